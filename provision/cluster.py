"""The cluster description: one YAML file, checked, as frozen data that still knows its lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import schema
from core.marked_yaml import Document, Path_, nearest
from core.marked_yaml import load as load_yaml
from provision import (
    flink_section,
    hadoop_section,
    history_section,
    hosts_section,
    housekeeping_section,
    lines,
    logs_section,
    metrics_section,
    mirror_ca,
    mirror_section,
    queue_mappings,
    queues_section,
)
from provision.flavours import Flavour, flavours
from provision.hadoop_section import Hadoop
from provision.history_section import HistoryServer
from provision.hosts_section import Host
from provision.housekeeping_section import Housekeeping
from provision.logs_section import Logs
from provision.metrics_section import Metrics
from provision.mirror_section import MirrorServer
from provision.queues_section import Queues

FORMAT = 1
ROOT = Path(__file__).resolve().parent.parent
SCHEMA = Path(__file__).with_name("cluster.schema.json")
DEFAULT_SALT_PYTHON = "/opt/pnda-salt/bin/python"
DEFAULT_AT_ONCE = 20
DEFAULT_JAVA_HOME = "/usr/lib/jvm/java-17-openjdk-amd64"


@dataclass(frozen=True)
class Cluster:
    """A checked cluster description.

    ``ssh_config`` is absolute; None where ssh's defaults count. ``at_once`` is how many hosts are
    worked on at the same time.
    """

    name: str
    flavour: Flavour
    hosts: tuple[Host, ...]
    mirror_uri: str
    mirror_server: MirrorServer | None
    mirror_ca: Path | None
    ssh_config: Path | None
    become: bool
    salt_python: str
    at_once: int
    versions: tuple[str, ...]
    default_version: str
    java_home: str
    storage: str
    yarn_queue: str
    hadoop: Hadoop
    queues: Queues | None
    history: HistoryServer
    metrics: Metrics
    housekeeping: Housekeeping
    logs: Logs
    configuration: Mapping[str, str]
    other_options: tuple[str, ...]
    application_loggers: tuple[str, ...]
    document: Document = field(repr=False, compare=False)

    def with_role(self, role: str) -> tuple[Host, ...]:
        """Return the hosts that have ``role``, in the order of the file."""
        return tuple(host for host in self.hosts if role in host.roles)

    @property
    def build(self) -> Path:
        """Return the folder of everything that is generated for this cluster."""
        return ROOT / "build" / self.name


def load(path: Path) -> Cluster:
    """Load and check the cluster file at ``path``.

    Raises UsageError with file, line and cure for whatever is wrong with it. Whether the lock has
    the versions is not known here: :func:`provision.facts.resolve` tells.
    """
    document = load_yaml(path)
    schema.check_format(document, FORMAT)
    _refuse_kerberos(document)
    schema.check(document, json.loads(SCHEMA.read_text()))
    return _Reader(document).cluster()


def _refuse_kerberos(document: Document) -> None:
    flink = document.data.get("flink")
    for where, table in (((), document.data), (("flink",), flink if isinstance(flink, dict) else {})):
        for key in ("kerberos", "security"):
            if key in table:
                raise document.fault(
                    (*where, key),
                    f"{key}: Kerberos is not supported yet",
                    "remove it: this release works on clusters without Kerberos",
                )


class _Reader:
    """Turns a document that fits the schema into a Cluster, checking what a schema cannot say."""

    def __init__(self, document: Document) -> None:
        self.document, self.data = document, document.data
        self.flink: dict[str, Any] = self.data["flink"]

    def cluster(self) -> Cluster:
        document = self.document
        hosts = hosts_section.read(document)
        versions, default = flink_section.versions(document)
        connection: dict[str, Any] = self.data.get("connection", {})
        ssh_config = connection.get("ssh_config")
        legacy = any(lines.LINES[lines.name_of(version)].legacy for version in versions)
        flavour = self._flavour()
        mirror_uri = self._mirror_uri(hosts)
        yarn_queue: str = self.flink.get("yarn_queue", "default")
        hadoop = hadoop_section.read(self.data.get("hadoop", {}))
        where: Path_ = ("flink", "configuration")
        return Cluster(
            name=self.data["name"],
            flavour=flavour,
            hosts=hosts,
            mirror_uri=mirror_uri,
            mirror_server=self._mirror_server(hosts),
            mirror_ca=mirror_ca.read(document, mirror_uri, ROOT),
            ssh_config=ROOT / ssh_config if ssh_config else None,
            become=connection.get("become", False),
            salt_python=connection.get("salt_python", DEFAULT_SALT_PYTHON),
            at_once=connection.get("at_once", DEFAULT_AT_ONCE),
            versions=versions,
            default_version=default,
            java_home=self.flink.get("java_home", DEFAULT_JAVA_HOME),
            storage=flink_section.storage(document),
            yarn_queue=yarn_queue,
            queues=self._queues(hosts, yarn_queue),
            history=self._history(versions, flavour),
            metrics=self._metrics(hosts, flavour),
            hadoop=hadoop,
            housekeeping=housekeeping_section.read(document, flavour, hadoop),
            logs=logs_section.read(document, hosts_section.roles(hosts)),
            configuration=flink_section.configuration(document, where, legacy, history=False),
            other_options=tuple(self.flink.get("other_options", ())),
            application_loggers=tuple(self.flink.get("application_loggers", ())),
            document=document,
        )

    def _flavour(self) -> Flavour:
        known = flavours()
        name = self.data["flavor"]
        if name not in known:
            raise self.document.fault(("flavor",), f"there is no flavor {name!r}", nearest(name, known))
        return known[name]

    def _mirror_uri(self, hosts: tuple[Host, ...]) -> str:
        uri = self.data.get("mirror", {}).get("base_uri")
        return uri or f"http://{hosts_section.only(self.document, hosts, 'MIRROR', 'mirror.base_uri')}"

    def _mirror_server(self, hosts: tuple[Host, ...]) -> MirrorServer | None:
        where: Path_ = ("mirror", "server")
        if "server" not in self.data.get("mirror", {}):
            return None
        if "MIRROR" not in hosts_section.roles(hosts):
            raise self.document.fault(
                where, "no host has the role MIRROR", "give one host MIRROR, or leave this out"
            )
        return mirror_section.read(self.document, where, self.data["mirror"]["server"], ROOT)

    def _queues(self, hosts: tuple[Host, ...], yarn_queue: str) -> Queues | None:
        queues = queues_section.read(self.document, yarn_queue, ROOT)
        queue_mappings.check(self.document, queues, hosts_section.roles(hosts))
        return queues

    def _history(self, versions: tuple[str, ...], flavour: Flavour) -> HistoryServer:
        section: dict[str, Any] = self.flink.get("history_server", {})
        version = history_section.version_of(section, versions)
        flink_section.known_line(self.document, version, (*history_section.WHERE, "version"))
        where = (*history_section.WHERE, "configuration")
        legacy = history_section.is_legacy(version)
        configuration = flink_section.configuration(self.document, where, legacy, history=True)
        return history_section.read(self.document, section, versions, flavour, configuration)

    def _metrics(self, hosts: tuple[Host, ...], flavour: Flavour) -> Metrics:
        section: dict[str, Any] = self.flink.get("metrics", {})
        host = section.get("graphite_host") or hosts_section.only(
            self.document, hosts, "GRAPHITE", "flink.metrics.graphite_host"
        )
        own = [each.name for each in hosts if "GRAPHITE" in each.roles]
        metrics = metrics_section.read(self.document, section, host, own, flavour)
        where: Path_ = ("flink", "configuration")
        metrics_section.check_names(self.document, where, self.flink.get("configuration", {}), metrics)
        return metrics

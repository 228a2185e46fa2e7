"""The section ``flink.history_server`` of a cluster file: what a schema cannot say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.marked_yaml import Document, Path_
from provision import lines
from provision.flavours import Flavour

WHERE: Path_ = ("flink", "history_server")
JAVA_OPTIONS = "env.java.opts.historyserver"


@dataclass(frozen=True)
class HistoryTls:
    """TLS of the history server: files on the hosts, and the name that the certificate is to be valid for.

    ``ca`` is empty where the node's own authorities count, ``name`` where each host's own name does.
    """

    certificate: str
    certificate_key: str
    ca: str
    name: str


@dataclass(frozen=True)
class HistoryServer:
    """The history server: version, TCP port, bind address, limits, retention, overrides of its Flink options.

    ``heap`` is in Flink's notation (``512m``), ``cpu_percent`` of one core (0: no limit), ``retained_ttl`` a
    duration such as ``30 d`` (empty: archives of any age are kept), ``refresh_seconds`` how often it looks
    for new archives.
    """

    version: str
    port: int
    address: str
    heap: str
    cpu_percent: int
    retained_jobs: int
    retained_ttl: str
    refresh_seconds: int
    tls: HistoryTls | None
    configuration: Mapping[str, str]


def read(
    document: Document,
    section: Mapping[str, Any],
    versions: Sequence[str],
    flavour: Flavour,
    configuration: Mapping[str, str],
) -> HistoryServer:
    """Return the server that ``section`` describes, for a cluster with Flink ``versions``.

    ``configuration`` are its Flink options. Raises UsageError with the line.
    """
    # An older server cannot read a newer one's archives.
    newest = max(versions, key=lines.order_of)
    version = version_of(section, versions)
    if lines.order_of(version) < lines.order_of(newest):
        raise document.fault(
            (*WHERE, "version"),
            f"a history server {version} cannot read what Flink {newest} archives",
            f"write {newest}, or leave the key out",
        )
    for word in configuration.get(JAVA_OPTIONS, "").split():
        if word.startswith(("-Xmx", "-Xms", "-XX:MaxHeapSize", "-XX:InitialHeapSize")):
            raise document.fault(
                (*WHERE, "configuration", JAVA_OPTIONS),
                f"{word}: the heap is made from flink.history_server.heap, and so is the unit's memory limit",
                "set flink.history_server.heap instead",
            )
    tls = section.get("tls")
    return HistoryServer(
        version=version,
        port=section.get("port", 8082),
        address=section.get("address", "0.0.0.0"),  # noqa: S104 - as on every PNDA cluster; the key narrows it
        heap=section.get("heap", flavour.history_heap),
        cpu_percent=section.get("cpu_percent", 0),
        retained_jobs=section.get("retained_jobs", flavour.history_retained_jobs),
        retained_ttl=section.get("retained_ttl", ""),
        refresh_seconds=section.get("refresh_seconds", 10),
        tls=HistoryTls(tls["certificate"], tls["certificate_key"], tls.get("ca", ""), tls.get("name", ""))
        if tls
        else None,
        configuration=configuration,
    )


def version_of(section: Mapping[str, Any], versions: Sequence[str]) -> str:
    """Return the server's version: the one in ``section``, or the newest of the cluster's ``versions``."""
    version: str = section.get("version", max(versions, key=lines.order_of))
    return version


def is_legacy(version: str) -> bool:
    """Tell whether the server of ``version`` reads Flink 1.x's configuration file."""
    return lines.LINES[lines.name_of(version)].legacy

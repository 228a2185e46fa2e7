"""The sections ``logs`` and ``yarn`` of a cluster file: what a schema cannot say of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError
from core.marked_yaml import Document

# PNDA's platform keeps its containers' logs and its Logstash's positions there.
DEFAULT_LOG_DIRECTORIES = ("/var/log/pnda/hadoop-yarn/container",)
DEFAULT_PIPELINE = "/etc/logstash/conf.d/pnda-flink.conf"
DEFAULT_SINCEDB = "/opt/pnda/logstash/sincedb"
DEFAULT_QUEUE_MEGABYTES = 1024
# With log aggregation, YARN deletes a container's files within seconds of its end: no shipper is so quick.
LEAST_DELAY_SECONDS = 60


@dataclass(frozen=True)
class Logs:
    """Where logs are shipped to, and by what.

    ``shipper`` is ``rsyslog``, ``logstash`` or ``none``. ``receiver_host`` is empty and ``receiver_port``
    0 where the site's own pipeline sends the events on. ``queue_megabytes`` is how much rsyslog keeps on
    disk while the receiver is away. ``pipeline`` and ``sincedb`` are paths on the hosts, for Logstash.
    ``directories`` are YARN's (``yarn.nodemanager.log-dirs``), ``delay_seconds`` is how long YARN leaves
    a container's files there (0: not stated).
    """

    shipper: str
    receiver_host: str
    receiver_port: int
    queue_megabytes: int
    pipeline: str
    sincedb: str
    directories: tuple[str, ...]
    delay_seconds: int


def read(document: Document, roles: Collection[str]) -> Logs:
    """Return what ``document`` says of logs; ``roles`` are all that its hosts have.

    Raises UsageError with the line.
    """
    logs: Mapping[str, Any] = document.data.get("logs", {})
    yarn: Mapping[str, Any] = document.data.get("yarn", {})
    shipper = logs.get("shipper", "none")
    receiver = logs.get("receiver", "")
    if shipper == "rsyslog" and not receiver:
        raise document.fault(
            ("logs",), "the shipper is rsyslog, and receiver is missing", "write `receiver: HOST:PORT`"
        )
    _check_used(document, logs, shipper)
    host, _, port = receiver.rpartition(":")
    host = host.strip("[]")
    if receiver and not 1 <= int(port) <= 65535:
        raise document.fault(("logs", "receiver"), f"{port} is no TCP port", "write one of 1 to 65535")
    found = Logs(
        shipper,
        host,
        int(port or 0),
        logs.get("queue_megabytes", DEFAULT_QUEUE_MEGABYTES),
        logs.get("pipeline", DEFAULT_PIPELINE),
        logs.get("sincedb", DEFAULT_SINCEDB),
        tuple(yarn.get("log_directories", DEFAULT_LOG_DIRECTORIES)),
        yarn.get("delete_debug_delay_seconds", 0),
    )
    if shipper != "none" and "YARN" in roles and found.delay_seconds < LEAST_DELAY_SECONDS:
        raise _too_soon(document, yarn)
    return found


def _check_used(document: Document, logs: Mapping[str, Any], shipper: str) -> None:
    used = {"none": (), "rsyslog": ("receiver", "queue_megabytes")}
    allowed = used.get(shipper, ("receiver", "pipeline", "sincedb"))
    for key in logs:
        if key != "shipper" and key not in allowed:
            raise document.fault(
                ("logs", key),
                f"{key} means nothing where the shipper is {shipper}",
                "remove it, or choose another shipper",
            )


def _too_soon(document: Document, yarn: Mapping[str, Any]) -> UsageError:
    key = "delete_debug_delay_seconds"
    need = f"yarn.nodemanager.delete.debug-delay-sec is to be {LEAST_DELAY_SECONDS} or more"
    if key not in yarn:
        return document.fault(
            ("yarn",) if yarn else ("logs",),
            "the logs of YARN's containers are shipped, and yarn.delete_debug_delay_seconds is missing",
            f"{need} in yarn-site.xml; state its value here",
        )
    return document.fault(
        ("yarn", key),
        f"YARN deletes a container's logs {yarn[key]} s after its end, before they are shipped",
        f"{need} in yarn-site.xml and here",
    )

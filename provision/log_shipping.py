"""The facts of the component ``logs``: what is shipped from a host, by what, and where to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from provision.cluster import Cluster
from provision.releases import LOG_DIRECTORY

# What Flink writes beside a container's own two (docs/how-to/log-from-an-application.md has flink.log).
# Written out, not `jobmanager.*`: a rolled file that is matched as well would be read again.
_CONTAINER_FILES = (
    *(f"{process}.{kind}" for process in ("jobmanager", "taskmanager") for kind in ("log", "out", "err")),
    "flink.log",
    "stdout",
    "stderr",
)


def components(cluster: Cluster, roles: Collection[str]) -> tuple[str, ...]:
    """Return ``("logs",)`` for hosts with ``roles`` that have logs to ship, else nothing."""
    shipped = cluster.logs.shipper != "none" and _inputs(cluster, roles)
    return ("logs",) if shipped else ()


def facts(cluster: Cluster, roles: Collection[str]) -> dict[str, Any]:
    """Return the facts of hosts with ``roles`` about logs: complete, also without it."""
    logs = cluster.logs
    here = bool(components(cluster, roles))
    return {
        # The first is there on every cluster, so that an application need not ask for an entry.
        "flink_application_loggers": list(dict.fromkeys(("application", *cluster.application_loggers))),
        "flink_log_shipper": logs.shipper if here else "none",
        "flink_log_receiver_host": logs.receiver_host,
        "flink_log_receiver_port": logs.receiver_port,
        "flink_log_queue_megabytes": logs.queue_megabytes,
        "flink_log_pipeline": logs.pipeline,
        "flink_log_sincedb": logs.sincedb,
        "flink_log_inputs": _inputs(cluster, roles) if here else [],
        "flink_log_container_directories": list(logs.directories) if here and "YARN" in roles else [],
        "flink_log_deletion_delay_seconds": logs.delay_seconds,
    }


def _inputs(cluster: Cluster, roles: Collection[str]) -> list[dict[str, Any]]:
    """Return what is read: a name, the source that PNDA knows it by, the files, and how events begin.

    ``form`` is ``log`` (an event begins with its time) or ``text`` (with any line but one of a stack trace).
    """
    found = []
    if "FLINK" in roles:
        found.append(_input("server", "flink", f"{LOG_DIRECTORY}/*.log"))
    if "EDGE" in roles:
        found.append(_input("client", "flink", f"{LOG_DIRECTORY}/client/*/*.log"))
    if "YARN" in roles:
        for number, directory in enumerate(cluster.logs.directories, 1):
            for name in _CONTAINER_FILES:
                path = f"{directory}/application_*/container_*/{name}"
                found.append(_input(f"container-{number}-{name.replace('.', '-')}", "yarn", path))
    return found


def _input(name: str, source: str, path: str) -> dict[str, str]:
    return {"name": name, "source": source, "path": path, "form": "log" if path.endswith(".log") else "text"}

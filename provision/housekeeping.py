"""The facts of housekeeping: what is cleaned on a host, how often, and where it has to write for that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from provision import releases
from provision.cluster import Cluster

COMPONENT = "housekeeping"
CONFIGURATION = "/etc/flink-housekeeping"
SERVICE = "flink-housekeeping.service"
TIMER = "flink-housekeeping.timer"
# Where systemd keeps when a persistent timer ran last.
STAMP = f"/var/lib/systemd/timers/stamp-{TIMER}"
_HOMES = ("/home", "/root", "/run/user")


def components(cluster: Cluster, roles: Collection[str]) -> list[str]:
    """Return ``["housekeeping"]`` for hosts with ``roles`` that Flink is on, where it is not switched off."""
    return [COMPONENT] if cluster.housekeeping.enabled and {"EDGE", "FLINK"} & set(roles) else []


def facts(
    cluster: Cluster, components: Collection[str], storage: bool, versions: list[str], state: str
) -> dict[str, Any]:
    """Return the facts that begin with ``flink_housekeeping_``: complete, also for hosts without it.

    ``storage`` tells that this host looks after what lies on the cluster's storage, ``versions`` are
    those on the host, ``state`` is the folder of the records.
    """
    its = COMPONENT in components
    configuration = _configuration(cluster, components, storage, versions, state) if its else {}
    writable = _writable(configuration)
    in_homes = any(f"{path}/".startswith(f"{home}/") for path in writable for home in _HOMES)
    return {
        "flink_housekeeping_configuration_directory": CONFIGURATION,
        "flink_housekeeping_configuration": configuration,
        "flink_housekeeping_calendar": f"*-*-* 00/{cluster.housekeeping.every_hours}:00:00",
        "flink_housekeeping_writable": writable,
        "flink_housekeeping_protect_home": "no" if in_homes else "yes",
    }


def _configuration(
    cluster: Cluster, components: Collection[str], storage: bool, versions: list[str], state: str
) -> dict[str, Any]:
    """Return the program's settings: the keys are explained in docs/reference/housekeeping.md."""
    wanted, hadoop = cluster.housekeeping, cluster.hadoop
    managers = list(hadoop.resource_managers)
    return {
        "state": f"{state}/housekeeping",
        "name_nodes": list(hadoop.name_nodes),
        "hdfs_user": "flink",
        "archives.enabled": storage and wanted.archives,
        "archives.folder": f"{cluster.storage}/completed-jobs",
        "archives.days": wanted.archive_days,
        # The history server's own number, so that the two agree.
        "archives.most": cluster.history.retained_jobs,
        "archives.youngest_hours": wanted.archive_youngest_hours,
        "staging.enabled": storage and bool(wanted.staging_homes),
        "staging.homes": wanted.staging_homes,
        "staging.resource_managers": managers,
        "staging.hours_after_end": wanted.staging_hours_after_end,
        "staging.unknown_days": wanted.staging_unknown_days,
        "libraries.enabled": wanted.libraries,
        "libraries.folder": releases.ROOT,
        "libraries.record": f"{state}/applied.json",
        "libraries.versions": versions,
        "libraries.days": wanted.libraries_days,
        # Without YARN nothing lies there.
        "shared_libraries.enabled": storage and wanted.libraries and bool(managers),
        "shared_libraries.folder": f"{cluster.storage}/lib",
        "shared_libraries.versions": list(cluster.versions),
        "shared_libraries.days": wanted.libraries_days,
        "temporary.enabled": "client" in components and wanted.temporary,
        "temporary.folders": list(wanted.temporary_folders),
        "temporary.days": wanted.temporary_days,
    }


def _writable(configuration: dict[str, Any]) -> list[str]:
    """Return the folders that the program changes, without those that lie in another of them."""
    if not configuration:
        return []
    found = {configuration["state"]}
    for part, key in (("archives", "folder"), ("staging", "homes"), ("shared_libraries", "folder")):
        uri = configuration[f"{part}.{key}"]
        if configuration[f"{part}.enabled"] and uri.startswith("file://"):
            found.add(uri.removeprefix("file://"))
    if configuration["libraries.enabled"]:
        found.add(configuration["libraries.folder"])
    if configuration["temporary.enabled"]:
        found.update(configuration["temporary.folders"])
    return sorted(path for path in found if not any(path.startswith(f"{other}/") for other in found))

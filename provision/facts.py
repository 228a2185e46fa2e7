"""From a cluster and a lock to the facts of each host: flat, complete, plain JSON, no nulls, no templates."""

from __future__ import annotations

from typing import Any

from core.errors import InternalError
from mirror.lockfile import Lock
from provision import (
    carbon,
    hadoop_section,
    history_server,
    housekeeping,
    lines,
    log_shipping,
    manifest,
    mirror_ca,
    mirror_server,
    option_check,
    releases,
    yarn_queues,
)
from provision.cluster import Cluster
from provision.hosts_section import Host

Facts = dict[str, Any]
# What each role brings on every cluster, in the order in which it is applied.
_COMPONENTS = {"EDGE": "client", "FLINK": "history_server"}
_PROGRAMS = "/usr/lib/pnda/flink"
_STATE = "/var/lib/pnda/flink"


def resolve(cluster: Cluster, lock: Lock) -> dict[str, Facts]:
    """Return the facts of every host, by its name, in the order of the cluster file.

    Hosts with the same roles share their values, which nobody changes. Raises UsageError, with the
    line of the cluster file, for a version that ``lock`` lacks, and for Flink options that its
    versions do not take.
    """
    releases.check_locked(cluster, lock)
    option_check.check(cluster)
    made: dict[tuple[str, bool], dict[str, Any]] = {}

    def release(version: str, client: bool) -> dict[str, Any]:
        key = (version, client)
        if key not in made:
            made[key] = releases.release(cluster, lock, version, client)
        return made[key]

    common = _common(cluster, lock)
    firsts = {component: _first(cluster, component) for component in manifest.FLINK.components}

    def of_equals(roles: frozenset[str], first: frozenset[str]) -> Facts:
        components = _components(cluster, roles)
        client = "client" in components
        found = [release(version, True) for version in cluster.versions] if client else []
        if "history_server" in components and cluster.history.version not in [
            item["version"] for item in found
        ]:
            found.append(release(cluster.history.version, False))
        deletes = "history_server" not in components or "history_server" in first
        own = {
            **history_server.facts(cluster, deletes),
            **carbon.facts(cluster, roles),
            **log_shipping.facts(cluster, roles),
        }
        cleaned = housekeeping.facts(
            cluster, components, "history_server" in first, [item["version"] for item in found], _STATE
        )
        facts = {**common, **own, **cleaned, "flink_components": components, "flink_releases": found}
        return {
            **facts,
            **_manifest(cluster, first, facts, yarn_queues.managed(cluster, roles)),
            **mirror_server.facts(cluster, roles),
            **yarn_queues.facts(cluster, roles),
        }

    result = {}
    shared: dict[tuple[frozenset[str], frozenset[str]], Facts] = {}
    for host in cluster.hosts:
        first = frozenset(component for component, its in firsts.items() if its == host)
        key = frozenset(host.roles), first
        if key not in shared:
            shared[key] = of_equals(*key)
        result[host.name] = {**shared[key], "flink_host": host.name}
    return result


def _components(cluster: Cluster, roles: frozenset[str]) -> list[str]:
    return [
        *(component for role, component in _COMPONENTS.items() if role in roles),
        *housekeeping.components(cluster, roles),
        *carbon.components(cluster, roles),
        *log_shipping.components(cluster, roles),
    ]


def _first(cluster: Cluster, component: str) -> Host | None:
    return next(
        (host for host in cluster.hosts if component in _components(cluster, frozenset(host.roles))), None
    )


def _common(cluster: Cluster, lock: Lock) -> Facts:
    return {
        "flink_cluster": cluster.name,
        "flink_managed_by": f"Managed by PNDA provisioning (cluster {cluster.name}): "
        "changes made here are overwritten.",
        "flink_mirror_uri": cluster.mirror_uri,
        **mirror_ca.facts(cluster.document, cluster.mirror_ca, _STATE),
        "flink_lock_digest": lock.digest,
        "flink_version": cluster.default_version,
        "flink_home": f"{releases.ROOT}/flink",
        "flink_java_home": cluster.java_home,
        "flink_user": "flink",
        "flink_group": "hadoop",
        "flink_log_directory": releases.LOG_DIRECTORY,
        "flink_program_directory": _PROGRAMS,
        "flink_state_directory": _STATE,
        "flink_queue_program": yarn_queues.program(cluster),
        **hadoop_section.facts(cluster.hadoop),
        "flink_storage": cluster.storage,
        "flink_archive_directory": f"{cluster.storage}/completed-jobs",
        "flink_graphite_host": cluster.metrics.graphite_host,
        "flink_graphite_port": cluster.metrics.graphite_port,
        "flink_metrics_port": cluster.metrics.port,
    }


def _manifest(cluster: Cluster, first: frozenset[str], facts: Facts, others: list[str]) -> Facts:
    """Return the manifest of a host; ``others`` are the rows of what another formula has there."""
    components = ["base", *facts["flink_components"]] if facts["flink_components"] or others else []
    if facts["flink_releases"]:
        components.append("install")
    names = {key.removeprefix("flink_"): value for key, value in facts.items() if isinstance(value, str)}
    del names["version"]  # that of the row's own release, where it is about one
    names |= {
        "default_home": facts["flink_home"],
        "default_release_home": f"{releases.ROOT}/flink-{cluster.default_version}",
        "history_release_home": f"{releases.ROOT}/flink-{cluster.history.version}",
        "storage_path": cluster.storage.removeprefix("file://"),
    }
    history = cluster.history.version
    resolved = manifest.resolve(
        manifest.Scope(
            components=frozenset(components),
            first=first,
            names=names,
            releases=[_release_names(item) for item in facts["flink_releases"]],
            history={"version": history, "parser": _parser(history)}
            if "history_server" in components
            else {},
        )
    )
    return {
        "flink_directories": list(resolved.directories),
        "flink_files": list(resolved.files),
        "flink_links": list(resolved.links),
        "flink_managed": [*resolved.managed, *others],
    }


def _release_names(item: dict[str, Any]) -> dict[str, str]:
    names = {key: value for key, value in item.items() if isinstance(value, str)}
    python = item["python"]
    return {
        **names,
        "parser": _parser(item["version"]),
        "python_home": python["home"],
        "python_environment": python["environment"],
    }


def _parser(version: str) -> str:
    return "legacy" if lines.LINES[lines.name_of(version)].legacy else "yaml"


def release_of(facts: Facts, entry: dict[str, str]) -> dict[str, Any]:
    """Return the release that a manifest entry is about; empty for an entry about none."""
    if not entry["release"]:
        return {}
    for item in facts["flink_releases"]:
        if item["version"] == entry["release"]:
            found: dict[str, Any] = item
            return found
    raise InternalError(f"{entry['destination']}: no release {entry['release']} on {facts['flink_host']}")

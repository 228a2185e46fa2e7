"""The facts of the queue policy, for hosts that submit jobs, and for YARN's own where that is asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from provision import manifest, queue_mappings
from provision.cluster import Cluster

# PNDA's folder; other tools of the platform call the program in it as well.
HOME = "/opt/pnda/rm-wrapper"
_POLICY = f"{HOME}/policies/map.txt"
_MAPPINGS = f"{HOME}/policies/queue-mappings.xml"


def program(cluster: Cluster) -> str:
    """Return what Flink's launchers ask for a queue on a node; empty where the cluster file says nothing."""
    return f"{HOME}/bin/queue-for" if cluster.queues else ""


def facts(cluster: Cluster, roles: Collection[str]) -> dict[str, Any]:
    """Return the facts of hosts with ``roles`` that begin with ``yarn_queues_``; each host has all."""
    common = _common(cluster, roles)
    resolved = _resolved(common)
    return {
        **common,
        "yarn_queues_directories": list(resolved.directories),
        "yarn_queues_files": list(resolved.files),
        "yarn_queues_links": list(resolved.links),
    }


def managed(cluster: Cluster, roles: Collection[str]) -> list[str]:
    """Return the rows by which hosts with ``roles`` know later what of this was described."""
    return list(_resolved(_common(cluster, roles)).managed)


def _common(cluster: Cluster, roles: Collection[str]) -> dict[str, Any]:
    queues = cluster.queues
    components = ["policy"] if "EDGE" in roles and queues is not None else []
    components += ["mappings"] if "YARN" in roles and queues is not None and queues.mappings else []
    rules = queues.rules if queues is not None and components else ()
    mappings = queue_mappings.of_rules(rules).mappings if "mappings" in components else ()
    return {
        "yarn_queues_managed_by": f"Managed by PNDA provisioning (cluster {cluster.name}): "
        "changes made here are overwritten.",
        "yarn_queues_components": components,
        "yarn_queues_home": HOME,
        "yarn_queues_policy_file": _POLICY,
        "yarn_queues_mappings_file": _MAPPINGS,
        "yarn_queues_mappings": list(mappings),
        "yarn_queues_scheduler": queues.scheduler if queues else "",
        "yarn_queues_rules": [{"member": rule.member, "queue": rule.queue} for rule in rules],
    }


def _resolved(common: dict[str, Any]) -> manifest.Manifest:
    names = {
        key.removeprefix("yarn_queues_"): value for key, value in common.items() if isinstance(value, str)
    }
    components = frozenset(common["yarn_queues_components"])
    return manifest.resolve(manifest.Scope(components, frozenset(), names, (), {}), manifest.YARN_QUEUES)

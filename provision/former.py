"""Hosts that nothing is described for any more, and that still have what an earlier run put there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import console
from core.errors import WorldError
from provision import nodes
from provision.cluster import Cluster
from provision.facts import Facts
from provision.manifest import has_components

# Roles that bring something on some clusters, and nothing on others: who has none of them is not asked.
_ROLES = frozenset({"EDGE", "FLINK", "GRAPHITE", "YARN"})


def record_path(facts: Mapping[str, Any]) -> str:
    """Return where a host keeps what was described before (programs/flink/take-away)."""
    return f"{facts['flink_state_directory']}/managed.json"


def command(facts: Facts) -> list[str]:
    """Return the command that tells on a host, in words, what is there and described no longer."""
    program = f"{facts['flink_program_directory']}/take-away"
    return [program, f"--record={record_path(facts)}", "--dry-run", *facts["flink_managed"]]


def hosts(cluster: Cluster, facts: Mapping[str, Facts]) -> list[str]:
    """Return those of ``facts`` without a component that have a record of some; a silent one is told of."""
    asked = [
        host.name
        for host in cluster.hosts
        if host.name in facts and not has_components(facts[host.name]) and _ROLES.intersection(host.roles)
    ]
    found = nodes.everywhere(asked, lambda host: _has(cluster, host, facts[host]), cluster.at_once)
    return [host for host, has in found.items() if has]


def _has(cluster: Cluster, host: str, facts: Facts) -> bool:
    try:
        done = nodes.remote(cluster, host, ["test", "-e", record_path(facts)])
    except WorldError as error:
        console.warn(f"{error.message}; what an earlier run may have left there stays")
        return False
    return done.code == 0

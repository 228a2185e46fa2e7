"""The section ``hosts`` of a cluster file: what a schema cannot say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.marked_yaml import Document, Path_
from provision import host_names

# What each role is needed for; GRAPHITE and MIRROR have a key that stands in for them.
_NEEDED = {"EDGE": "the client", "FLINK": "the history server"}


@dataclass(frozen=True)
class Host:
    """A host: its name (also its ssh `Host` name) and its roles."""

    name: str
    roles: tuple[str, ...]


def read(document: Document) -> tuple[Host, ...]:
    """Return the hosts in the order of the file. Raises UsageError with the line."""
    hosts = []
    for name, value in document.data["hosts"].items():
        wrong = host_names.fault(name)
        if wrong:
            raise document.fault(("hosts", name), *wrong)
        hosts.append(Host(name, tuple(value["roles"])))
    twins = host_names.same(document.data["hosts"])
    if twins:
        raise document.fault(
            ("hosts", twins[1]),
            f"{twins[0]} and {twins[1]} are both {host_names.short(twins[1])!r} without their domains, "
            "and metrics tell hosts apart by that",
            "give one of them another first part",
        )
    there = roles(hosts)
    for role, purpose in _NEEDED.items():
        if role not in there:
            raise document.fault(
                ("hosts",), f"no host has the role {role} ({purpose})", f"give one host {role}"
            )
    return tuple(hosts)


def roles(hosts: Sequence[Host]) -> set[str]:
    """Return the roles that any of ``hosts`` has."""
    return {role for host in hosts for role in host.roles}


def only(document: Document, hosts: Sequence[Host], role: str, key: str) -> str:
    """Return the name of the only host with ``role``, which stands in for ``key``. Raises UsageError."""
    where: Path_ = ("hosts",)
    found = [host.name for host in hosts if role in host.roles]
    if not found:
        raise document.fault(
            where, f"no host has the role {role}, and {key} is not set", f"give a host {role}, or set {key}"
        )
    if len(found) > 1:
        raise document.fault(
            (*where, found[1]),
            f"{found[0]} and {found[1]} both have the role {role}, and {key} is not set",
            f"set {key}: it says which one is meant",
        )
    return found[0]

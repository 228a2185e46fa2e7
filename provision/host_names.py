"""Host names that both engines, ssh and Graphite take, and tell apart."""

from __future__ import annotations

import re
from collections.abc import Iterable

from provision.manifest import FORMULAS

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# The last label of a name is never a number alone (RFC 1123, 2.1), which tells it from an address.
_ADDRESS = re.compile(r"(?:.*\.)?[0-9]+")
# Each machine takes the first for itself; the others are groups of Ansible's inventory.
_TAKEN = frozenset({"localhost", "all", "ungrouped", *(formula.name for formula in FORMULAS)})


def fault(name: str) -> tuple[str, str] | None:
    """Return (what is wrong, the cure) for a host's name alone, or None."""
    if len(name) > 253 or not _NAME.fullmatch(name):
        return f"{name!r} is no host name", "use lower-case letters, digits, hyphens, dots"
    if _ADDRESS.fullmatch(name):
        return f"{name!r} is an address, not a name", "name the host, and give its address to ssh (HostName)"
    if short(name) in _TAKEN:
        return f"{short(name)!r} cannot name a host: it means something else", "call it otherwise"
    return None


def short(name: str) -> str:
    """Return ``name`` without its domain, as `hostname -s` and Flink's metrics call the host."""
    return name.partition(".")[0]


def same(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two of ``names`` (earlier, later) that are one without their domains, or None."""
    seen: dict[str, str] = {}
    for name in names:
        if short(name) in seen:
            return seen[short(name)], name
        seen[short(name)] = name
    return None

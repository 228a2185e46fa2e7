"""Root on the nodes: whom ssh logs in as, or by ``sudo`` without a password (``connection.become``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from provision.cluster import Cluster

# What sudo (1.9) says when it refuses, what a shell says without it, and Ansible's own words.
_REFUSED = re.compile(
    r"^(?:sudo: .+|Sorry, user .+ is not allowed to .+|.+ is not in the sudoers file.*"
    r"|.*\bsudo: (?:command )?not found|.*Missing sudo password.*)$",
    re.MULTILINE,
)


def as_root(cluster: Cluster, words: Sequence[str]) -> list[str]:
    """Return the command that runs ``words`` as root on a node of ``cluster``; it asks nobody."""
    return ["sudo", "-n", "--", *words] if cluster.become else list(words)


def refusal(cluster: Cluster, said: str) -> str:
    """Return why ``said``, by what failed, means that ssh's user may not become root; else empty."""
    found = _REFUSED.search(said) if cluster.become else None
    if found is None:
        return ""
    return (
        f"ssh's user may not become root here without a password ({found.group(0).strip()}); "
        "connection.become wants `USER ALL=(root) NOPASSWD: ALL` in the host's sudoers"
    )

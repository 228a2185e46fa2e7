"""Which hosts a run is for: ``--limit`` by name, by role, by pattern."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from core.errors import UsageError
from core.marked_yaml import nearest
from provision.cluster import Cluster
from provision.facts import Facts
from provision.manifest import has_components

_ROLE = "role:"
_PATTERN = frozenset("*?[")


def meant(cluster: Cluster, limit: tuple[str, ...]) -> set[str]:
    """Return the hosts that any word of ``limit`` means; no word means all. Raises UsageError."""
    return (
        set().union(*(_meant(cluster, word) for word in limit)) if limit else {h.name for h in cluster.hosts}
    )


def choose(
    cluster: Cluster, facts: Mapping[str, Facts], limit: tuple[str, ...], former: Collection[str] = ()
) -> dict[str, Facts]:
    """Return the facts of the hosts that any word of ``limit`` means, in the order of the cluster file.

    A word is a host's name, ``role:`` and a role, or a pattern with ``*``, ``?`` or ``[...]``; no word
    means all hosts. Hosts with nothing to provision are left out, but for the ``former`` ones, which have
    something to be taken away. Raises UsageError for a word that means no host, or only hosts left out.
    """
    able = [host for host, its in facts.items() if has_components(its) or host in former]
    for word in limit:
        if not _meant(cluster, word).intersection(able):
            raise UsageError(
                f"--limit: there is nothing to provision on {word}",
                "name a host with EDGE or FLINK, or with MIRROR where mirror.server is set",
            )
    names = meant(cluster, limit)
    return {host: facts[host] for host in able if host in names}


def _meant(cluster: Cluster, word: str) -> set[str]:
    names = {host.name for host in cluster.hosts}
    if word.startswith(_ROLE):
        role, known = word.removeprefix(_ROLE), {role for host in cluster.hosts for role in host.roles}
        if role not in known:
            raise UsageError(
                f"--limit: cluster {cluster.name} has no host with the role {role!r}", nearest(role, known)
            )
        return {host.name for host in cluster.with_role(role)}
    if _PATTERN.intersection(word):
        found = {name for name in names if fnmatchcase(name, word)}
        if not found:
            raise UsageError(
                f"--limit: cluster {cluster.name} has no host like {word!r}",
                nearest(word.translate({ord(sign): None for sign in _PATTERN}), names),
            )
        return found
    if word not in names:
        raise UsageError(f"--limit: cluster {cluster.name} has no host {word!r}", nearest(word, names))
    return {word}

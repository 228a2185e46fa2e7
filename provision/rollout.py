"""A change of version, host by host: one canary, then batches, a look at each, and back where one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core import console
from core.errors import WorldError
from provision import health, lines, nodes, rollback
from provision.cluster import Cluster
from provision.facts import Facts
from provision.report import HostResult

Engine = Callable[[Cluster, Mapping[str, Facts], bool], dict[str, HostResult]]
Records = Mapping[str, Mapping[str, Any]]


def changing(facts: Mapping[str, Facts], records: Records) -> list[str]:
    """Return the hosts whose default or history server's version would change, servers first. Pure.

    Servers first, because an older one cannot read what a newer line's jobs archive. A host that has
    no version yet is not among them: there is nothing to go back to.
    """
    found = [host for host, its in facts.items() if _differs(its, records.get(host, {}))]
    return sorted(found, key=lambda host: "history_server" not in facts[host]["flink_components"])


def _differs(facts: Facts, record: Mapping[str, Any]) -> bool:
    components = facts["flink_components"]
    pairs = [
        ("client", "default", "flink_version"),
        ("history_server", "history_server", "flink_history_version"),
    ]
    return any(
        component in components and record.get(key) and record[key] != facts[fact]
        for component, key, fact in pairs
    )


def too_old(facts: Mapping[str, Facts], records: Records) -> list[str]:
    """Return a phrase for each history server that would get an older line than it has. Pure.

    Jobs of the newer line may have archived since, and the older server cannot read that.
    """
    phrases = []
    for host, its in facts.items():
        has = records.get(host, {}).get("history_server") or ""
        wanted = its["flink_history_version"]
        if has and "history_server" in its["flink_components"] and _older_line(wanted, has):
            phrases.append(
                f"{host} has the history server {has}, and one of {lines.name_of(wanted)} cannot read what "
                f"jobs of {lines.name_of(has)} may have archived"
            )
    return phrases


def _older_line(version: str, than: str) -> bool:
    try:
        return lines.order_of(lines.name_of(version)) < lines.order_of(lines.name_of(than))
    except ValueError:  # the record of something that is no release
        return False


def batches(hosts: Sequence[str], size: int) -> list[list[str]]:
    """Return ``hosts`` as one canary and then at most ``size`` at a time. Pure."""
    rest = hosts[1:]
    return [list(hosts[:1]), *(list(rest[at : at + size]) for at in range(0, len(rest), size))]


def roll_out(
    cluster: Cluster, facts: Mapping[str, Facts], records: Records, engine: Engine, size: int
) -> dict[str, HostResult]:
    """Provision all hosts in ``facts``; those whose version changes last, in batches of ``size``.

    After each batch its hosts are asked whether they work. Where one does not, nothing goes on, and
    every host whose version was changed gets its old one back. ``records`` are what the hosts said
    before. Returns what happened on each host; failed are also those that were put back or not reached.
    """
    upgraded = changing(facts, records)
    first = [host for host in facts if host not in upgraded]
    results: dict[str, HostResult] = {}
    if first:
        results |= _run(engine, cluster, {host: facts[host] for host in first})
        if any(result.failed for result in results.values()):
            return _in_order(facts, results, "left as it is: a host before it failed")
    steps = batches(upgraded, size)
    done: list[str] = []
    for number, batch in enumerate(steps):
        name = "canary" if number == 0 else f"batch {number} of {len(steps) - 1}"
        console.say(f"   {name}: {', '.join(batch)}")
        results |= _run(engine, cluster, {host: facts[host] for host in batch})
        done += batch
        results |= _looked_at(cluster, facts, {host: results[host] for host in batch})
        failed = [host for host in batch if results[host].failed]
        if failed:
            console.say(f"   {failed[0]} failed: putting the version before back on {', '.join(done)}")
            results |= _put_back(cluster, facts, records, {host: results[host] for host in done}, failed[0])
            break
    return _in_order(facts, results, "left as it is: the roll-out stopped before")


def _run(engine: Engine, cluster: Cluster, facts: Mapping[str, Facts]) -> dict[str, HostResult]:
    try:
        return engine(cluster, facts, False)
    except WorldError as error:  # such as its time limit: what it did by then is to be put back
        return {host: HostResult(0, (), error.message) for host in facts}


def _looked_at(
    cluster: Cluster, facts: Mapping[str, Facts], results: Mapping[str, HostResult]
) -> dict[str, HostResult]:
    def look(host: str) -> HostResult:
        its, result = facts[host], results[host]
        if result.failed:
            return result
        reason = health.check(cluster, host, its, its["flink_version"], its["flink_history_version"])
        return replace(result, failed=f"not healthy: {reason}" if reason else "")

    return nodes.everywhere(list(results), look, cluster.at_once)


def _put_back(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    records: Records,
    results: Mapping[str, HostResult],
    culprit: str,
) -> dict[str, HostResult]:
    def put(host: str) -> HostResult:
        result = results[host]
        gone = rollback.back(cluster, host, facts[host], since=str(records[host]["time"]))
        why = result.failed or f"{culprit} failed"
        if gone.failed:
            return replace(result, failed=f"{why}\nthe version before could not be put back: {gone.failed}")
        said = "; ".join(gone.changes) or "nothing had been changed yet"
        return replace(result, failed=f"{why}\nput back: {said}", put_back=True)

    return nodes.everywhere(list(results), put, cluster.at_once)


def _in_order(
    facts: Mapping[str, Facts], results: Mapping[str, HostResult], otherwise: str
) -> dict[str, HostResult]:
    return {host: results.get(host, HostResult(0, (), otherwise)) for host in facts}

"""Back to the version before, host by host, and what is known of earlier roll-backs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from core import console, locks
from core.errors import WorldError
from provision import health, nodes
from provision.cluster import Cluster
from provision.facts import Facts
from provision.report import ApplyError, ApplyReport, HostResult
from provision.status import of_newer, record_path, sound


def rollback(cluster: Cluster, facts: Mapping[str, Facts]) -> ApplyReport:
    """Roll the hosts in ``facts`` back, all at once, check their health, and return what changed where.

    Hosts without Flink are left out. Raises BusyError while an apply of the cluster is at work,
    ApplyError when a host failed, with the report of all.
    """
    hosts = [host for host, its in facts.items() if its["flink_releases"]]
    with locks.held(cluster.build / "apply.lock", f"apply of cluster {cluster.name}"):
        console.say(f"   rolling back {', '.join(hosts) or 'no host'}")
        since = time.monotonic()
        results = nodes.everywhere(hosts, lambda host: back(cluster, host, facts[host]), cluster.at_once)
        console.say(f"   the way back and a look at each host took {time.monotonic() - since:.1f} s")
    report = ApplyReport("roll-back", results)
    if any(result.failed for result in results.values()):
        raise ApplyError(report)
    return report


def back(cluster: Cluster, host: str, facts: Facts, since: str = "") -> HostResult:
    """Roll one host back and check its health; the program on the node decides what that means there.

    ``since`` is the time of its record before an upgrade that failed; it may not have come to its end.
    """
    words = [f"{facts['flink_program_directory']}/roll-back", f"--state={facts['flink_state_directory']}"]
    words += [f"--since={since}"] if since else []
    try:
        done = nodes.remote(cluster, host, words, timeout=300)
        if done.code != 0:
            return HostResult(0, (), done.tail() or f"roll-back ended with {done.code}")
        answer = json.loads(done.stdout)
        changes = tuple(answer["changes"])
    except WorldError as error:
        return HostResult(0, (), error.message)
    except (ValueError, KeyError, TypeError):
        return HostResult(0, (), f"roll-back gave no answer: {done.tail()}")
    reason = health.check(cluster, host, facts, answer["default"], answer["history_server"])
    return HostResult(len(changes), (*changes, *answer["kept"]), reason)


def records(cluster: Cluster, facts: Mapping[str, Facts]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the record of each host in ``facts``, empty where there is none, and why a host gave none.

    Nobody knows of such a host what it was rolled back from, so it has to be left alone: it did not answer,
    or a newer checkout than this has written its record.
    """
    found = nodes.everywhere(list(facts), lambda host: _record(cluster, host, facts[host]), cluster.at_once)
    silent = {host: one for host, one in found.items() if isinstance(one, str)}
    return {host: {} if isinstance(one, str) else one for host, one in found.items()}, silent


def _record(cluster: Cluster, host: str, facts: Facts) -> dict[str, Any] | str:
    words = ["cat", record_path(facts)] if facts["flink_releases"] else ["true"]
    try:
        done = nodes.remote(cluster, host, words)
        found = json.loads(done.stdout) if done.code == 0 else {}
        newer = of_newer(found)
        return f"{host}: {newer}" if newer else sound(found)
    except WorldError as error:
        return error.message
    except ValueError:
        return {}


def undone(facts: Mapping[str, Facts], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a phrase for each host whose roll-back an apply of ``facts`` would undo. Pure."""
    phrases = []
    for host, record in found.items():
        its, rolled = facts[host], record.get("rolled_back") or {}
        default = "client" in its["flink_components"] and rolled.get("to") != rolled.get("from")
        history = rolled.get("history_to") != rolled.get("history_from")
        again = (default and its["flink_version"] == rolled.get("from")) or (
            history and its["flink_history_version"] == rolled.get("history_from")
        )
        if rolled and again:
            source, target = ("from", "to") if default else ("history_from", "history_to")
            phrases.append(
                f"{host} was rolled back from {rolled.get(source)} to {rolled.get(target)} "
                f"at {rolled.get('time')}, and this would undo it"
            )
    return phrases

"""Whether a host's Flink works: the version that its commands start, and its history server's answer."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import WorldError
from provision import nodes
from provision.cluster import Cluster
from provision.facts import Facts
from provision.status import ready

_READY_SECONDS = 120.0


def check(cluster: Cluster, host: str, facts: Facts, default: str, history: str) -> str:
    """Return why ``host`` is not healthy, or an empty text.

    ``default`` is the version that the client is to start, ``history`` the history server's; an empty
    one is not looked at. What is asked for are the commands that users have, not our own record.
    """
    try:
        if "client" in facts["flink_components"] and default:
            reason = _client(cluster, host, default)
            if reason:
                return reason
        if "history_server" in facts["flink_components"] and history:
            return _said(cluster, host, ready(facts, history, _READY_SECONDS))
    except WorldError as error:
        return error.message
    return ""


def _client(cluster: Cluster, host: str, version: str) -> str:
    done = nodes.remote(cluster, host, ["/usr/bin/flink", "--version"])
    if done.code != 0:
        return f"flink --version ended with {done.code}: {done.tail()}"
    # "Version: 1.20.5, Commit ID: ...", as both lines print it.
    if f"Version: {version}," not in done.stdout:
        return f"flink --version says {done.stdout.strip()!r}, not {version}"
    return ""


def _said(cluster: Cluster, host: str, words: Sequence[str]) -> str:
    done = nodes.remote(cluster, host, words, timeout=_READY_SECONDS + 60)
    return "" if done.code == 0 else done.tail() or f"{words[0]} ended with {done.code}"

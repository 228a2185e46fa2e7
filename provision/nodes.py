"""Hosts as they are looked at and told something by ssh, outside of either engine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from core.errors import WorldError
from core.process import Finished, run, threads
from provision import privilege
from provision.cluster import DEFAULT_AT_ONCE, Cluster

T = TypeVar("T")
# Runs on a node with nothing but Python's standard library; reads what to look at from standard input.
PROBE = Path(__file__).with_name("probe.py")
_UNREACHED = 255  # ssh's own exit code


class UnreachableError(WorldError):
    """A host does not answer by ssh; the message says why."""


class NotRootError(WorldError):
    """A host's user, by ssh, may not become root without a password; the message says what is missing."""


def remote(
    cluster: Cluster, host: str, words: Sequence[str], *, stdin: str = "", timeout: float = 120
) -> Finished:
    """Run ``words`` (quoted here) on ``host`` as root and return how it ended.

    Raises UnreachableError where ssh has no way to the host, NotRootError where its user may not become
    root there, WorldError at the time limit (seconds).
    """
    options = ["-F", str(cluster.ssh_config)] if cluster.ssh_config else []
    command = [
        "ssh",
        *options,
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        host,
        "--",
        shlex.join(privilege.as_root(cluster, words)),
    ]
    done = run(command, timeout=timeout, stdin=stdin, check=False, what=f"ssh {host}")
    if done.code == _UNREACHED:
        raise UnreachableError(f"{host} cannot be reached by ssh: {done.tail()}")
    refusal = privilege.refusal(cluster, done.stderr) if done.code != 0 else ""
    if refusal:
        raise NotRootError(f"{host}: {refusal}")
    return done


def script(cluster: Cluster, host: str, file: Path, wanted: Mapping[str, Any], timeout: float = 180) -> Any:
    """Run the Python script ``file`` on ``host``, give it ``wanted`` as JSON, and return its JSON answer.

    Raises UnreachableError, or WorldError with what the script said where it fails.
    """
    words = ("python3", "-c", file.read_text(encoding="utf-8"))
    done = remote(cluster, host, words, stdin=json.dumps(wanted), timeout=timeout)
    try:
        if done.code == 0:
            return json.loads(done.stdout)
    except ValueError:
        pass
    raise WorldError(f"{host}: {file.name} ended with {done.code}\n{done.tail()}".rstrip())


def everywhere(
    hosts: Sequence[str], work: Callable[[str], T], at_once: int = DEFAULT_AT_ONCE
) -> dict[str, T]:
    """Return what ``work`` makes of each host, ``at_once`` at the same time, in the order of ``hosts``."""
    with threads(at_once) as pool:
        return dict(zip(hosts, pool.map(work, hosts), strict=True))

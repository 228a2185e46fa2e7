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
# A host that falls silent in the middle ends ssh after a minute; without these a run would wait on.
SSH_ALIVE = ("ServerAliveInterval=15", "ServerAliveCountMax=4")
_SSH = ("BatchMode=yes", "ConnectTimeout=10", *SSH_ALIVE)
# What ssh (OpenSSH 9) says, and what helps.
_CURES = {
    "Permission denied": "the host refuses user or key: see User and IdentityFile in {settings}",
    "Host key verification failed": "the host's key is not the one that is known: make sure that it is "
    "the right host, then mend the known_hosts file that {settings} names",
    "Could not resolve hostname": "give it a HostName in {settings}, or see to the names' server",
    "Connection timed out": "see that the host is up, and HostName and Port in {settings}",
    "Connection refused": "see that sshd runs on the host, and HostName and Port in {settings}",
    "No route to host": "see that the host is up, and HostName in {settings}",
}
_UNREACHED = 255  # ssh's own exit code


class UnreachableError(WorldError):
    """A host does not answer by ssh; the message says why."""


class NotRootError(WorldError):
    """A host's user, by ssh, may not become root without a password; the message says what is missing."""


def ssh_options(cluster: Cluster) -> list[str]:
    """Return the options of every ssh of ours: it asks nobody, and gives a silent host up."""
    given = ["-F", str(cluster.ssh_config)] if cluster.ssh_config else []
    return [*given, *(word for setting in _SSH for word in ("-o", setting))]


def hint(cluster: Cluster, said: str) -> str:
    """Return what to do where ssh ``said`` that it has no way to a host, on a line of its own; else empty."""
    settings = str(cluster.ssh_config or "~/.ssh/config")
    for words, cure in _CURES.items():
        if words in said:
            return f"\n{cure.format(settings=settings)}"
    return ""


def remote(
    cluster: Cluster, host: str, words: Sequence[str], *, stdin: str = "", timeout: float = 120
) -> Finished:
    """Run ``words`` (quoted here) on ``host`` as root and return how it ended.

    Raises UnreachableError where ssh has no way to the host, NotRootError where its user may not become
    root there, WorldError at the time limit (seconds).
    """
    command = ["ssh", *ssh_options(cluster), host, "--", shlex.join(privilege.as_root(cluster, words))]
    done = run(command, timeout=timeout, stdin=stdin, check=False, what=f"ssh {host}")
    if done.code == _UNREACHED:
        raise UnreachableError(f"{host} cannot be reached by ssh: {done.tail()}{hint(cluster, done.tail())}")
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

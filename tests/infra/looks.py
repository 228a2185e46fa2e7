"""Look at many paths of a host with one command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seen:
    """What ``stat`` says of a path; ``kind`` in its words (``directory``, ``regular file``, ...)."""

    kind: str
    mode: str
    owner: str
    group: str
    target: str


def stat(host: Any, paths: list[str]) -> dict[str, Seen]:
    """Return what is at each of ``paths``; absent ones are left out. Links are not followed."""
    words = " ".join(shlex.quote(path) for path in paths)
    script = f'for p in {words}; do stat -c "%n|%F|%a|%U|%G|" "$p" 2>/dev/null && readlink "$p" || echo; done'
    seen: dict[str, Seen] = {}
    lines = host.run("sh -c %s", script).stdout.splitlines()
    for number, line in enumerate(lines):
        if line.count("|") == 5:
            path, kind, mode, owner, group, _ = line.split("|")
            seen[path] = Seen(kind.replace("empty ", ""), mode.zfill(4), owner, group, lines[number + 1])
    return seen


def sha256(host: Any, paths: list[str]) -> dict[str, str]:
    """Return the SHA-256 of each of ``paths``; unreadable ones are left out."""
    words = " ".join(shlex.quote(path) for path in paths)
    lines = host.run(f"sha256sum -- {words}").stdout.splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}

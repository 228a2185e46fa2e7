# SPDX-License-Identifier: Apache-2.0
"""Flink and PyFlink versions that nobody runs any more: on this node, and on the cluster's storage.

A version stays while the record of what was applied names it, as it is now or as it was before (so that a
roll-back works), while a link leads to it, or while a process uses it. It goes when all runs for so
many days have found it unused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pnda_housekeeping import folders, hadoop, processes
from pnda_housekeeping.base import PartReport, Seen
from pnda_housekeeping.hadoop import AnswerError
from pnda_housekeeping.storage import Entry, Storage, StorageError

_RELEASE = re.compile(r"flink-([0-9]+\.[0-9]+\.[0-9]+)")
_PYTHON = re.compile(r"pyflink-([0-9]+\.[0-9]+\.[0-9]+)-[0-9a-f]{12}")
_HALF = re.compile(r"\.flink-[0-9]+\.[0-9]+\.[0-9]+\.(partial|replaced)")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


class RecordError(Exception):
    """The record of what was applied cannot be read, so that nothing is known to be unused."""


@dataclass(frozen=True)
class Limits:
    """``now``, and for how long something has to be unused, in seconds."""

    now: float
    unused: float


def clean(
    root: str,
    record: Path,
    versions: Sequence[str],
    limits: Limits,
    seen: Seen,
    dry: bool,
    report: PartReport,
) -> None:
    """Remove unused versions from ``root`` (/opt/pnda); ``versions`` are those that are configured."""
    try:
        kept = {*versions, *named(record)}
        with folders.opened(root, follow=True) as top:
            for name, _ in folders.left_aside(top):
                report.delete(f"{root}/{name}")
                if not dry:
                    folders.clear(top, name, report.problem)
            _unused(root, top, kept, limits, seen, dry, report)
    except (OSError, RecordError) as error:
        report.problem(str(error))


def _unused(
    root: str, top: int, kept: set[str], limits: Limits, seen: Seen, dry: bool, report: PartReport
) -> None:
    names = sorted(os.listdir(top))
    linked = _linked(top, names, kept)
    found = [name for name in names if _is_ours(root, name)]
    alive = processes.scan([f"{root}/{name}" for name in found])
    idle = []
    for name in found:
        version = _version(name)
        if version in kept and (name == f"flink-{version}" or name in linked):
            report.keep("in use, or where a roll-back leads")
        elif name in linked:
            report.keep("a link leads to it")
        elif alive.uses[f"{root}/{name}"].started:
            report.keep("a process uses it")
        elif alive.blind:
            report.keep("there are processes that cannot be looked into")
        else:
            idle.append(name)
    own = f"{root}/"
    seen.unused = {
        **{path: at for path, at in seen.unused.items() if not path.startswith(own)},
        **{own + name: seen.unused.get(own + name, limits.now) for name in idle},
    }
    for name in idle:
        if limits.now - seen.unused[own + name] < limits.unused:
            report.keep("unused, but not for long enough")
        else:
            _remove(root, top, name, dry, report)


def _remove(root: str, top: int, name: str, dry: bool, report: PartReport) -> None:
    if dry:
        report.delete(f"{root}/{name}")
        return
    aside = folders.set_aside(top, name, top)
    if processes.scan([f"{root}/{aside}"]).uses[f"{root}/{aside}"].started:
        os.rename(aside, name, src_dir_fd=top, dst_dir_fd=top)  # begun since we looked
        report.keep("a process uses it")
        return
    folders.clear(top, aside, report.problem)
    python = _PYTHON.fullmatch(name)
    link = f"pyflink-{python[1]}" if python else ""
    with suppress(OSError):
        if link and os.path.basename(os.readlink(link, dir_fd=top)) == name:
            os.unlink(link, dir_fd=top)
    report.delete(f"{root}/{name}")


def named(record: Path) -> set[str]:
    """Return the versions that applied.json names, now and before. Raises RecordError."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{record}: {error}; nothing is known to be unused") from error
    if not isinstance(found, dict) or found.get("format") != 1 or not isinstance(found.get("releases"), dict):
        raise RecordError(f"{record}: it is no record; nothing is known to be unused")
    result = set()
    for one in (found, found.get("before"), found.get("rolled_back")):
        result |= _versions_in(one)
    return result


def _versions_in(found: Any) -> set[str]:
    if not isinstance(found, Mapping):
        return set()
    releases = found.get("releases")
    words = list(releases) if isinstance(releases, Mapping) else []
    keys = ("default", "history_server", "from", "to", "history_from", "history_to")
    return {word for word in (*words, *(found.get(key) for key in keys)) if isinstance(word, str) and word}


def _linked(top: int, names: Sequence[str], kept: set[str]) -> set[str]:
    """Return what links in the folder lead to; the link of a version that is gone does not count."""
    found = set()
    for name in names:
        version = name[len("pyflink-") :] if name.startswith("pyflink-") else ""
        if _VERSION.fullmatch(version) and version not in kept:
            continue
        with suppress(OSError):
            found.add(os.path.basename(os.readlink(name, dir_fd=top)))
    return found


def _version(name: str) -> str:
    match = _RELEASE.fullmatch(name) or _PYTHON.fullmatch(name)
    return match[1] if match else ""


def _is_ours(root: str, name: str) -> bool:
    """Tell whether the folder was made by install-release or install-python."""
    path = Path(root, name)
    if path.is_symlink() or not path.is_dir():
        return False
    if _RELEASE.fullmatch(name):
        return any(path.glob(".pnda-*"))
    return bool(_HALF.fullmatch(name)) or (bool(_PYTHON.fullmatch(name)) and (path / "pyvenv.cfg").exists())


def clean_shared(
    storage: Storage,
    managers: Sequence[str],
    versions: Sequence[str],
    limits: Limits,
    seen: Seen,
    dry: bool,
    report: PartReport,
) -> None:
    """Remove the libraries (a folder VERSION each) of versions that the cluster does not have any more.

    Those that it had before stay, and all of them while an application runs that was started before
    they were last configured, or while YARN does not say.
    """
    remember(seen, versions)
    kept = {version for one in seen.versions for version in one}
    try:
        owner = storage.owner(())
        left = storage.leftovers((), owner, dry, report.problem)
        if left:
            report.delete(f"{storage.label}: {left} that an earlier run had begun with")
        found = [
            item
            for item in storage.entries((), owner)
            if item.kind == "folder" and _VERSION.fullmatch(item.name)
        ]
        others = sorted((item for item in found if item.name not in kept), key=lambda item: item.modified)
        if len(seen.versions) == 1 and others:
            report.keep("what was configured before is not known: the latest is kept")
            others = others[:-1]
        _idle(storage, others, owner, managers, limits, seen, dry, report)
    except (OSError, StorageError, AnswerError) as error:
        report.problem(f"{storage.label}: {error}")


def _idle(
    storage: Storage,
    others: Sequence[Entry],
    owner: str,
    managers: Sequence[str],
    limits: Limits,
    seen: Seen,
    dry: bool,
    report: PartReport,
) -> None:
    own = f"{storage.label}/"
    seen.unused = {
        **{path: at for path, at in seen.unused.items() if not path.startswith(own)},
        **{own + item.name: seen.unused.get(own + item.name, limits.now) for item in others},
    }
    due = [item for item in others if limits.now - seen.unused[own + item.name] >= limits.unused]
    if len(due) < len(others):
        report.keep("unused, but not for long enough", len(others) - len(due))
    if not due:
        return
    oldest = hadoop.oldest_start(hadoop.active(managers))
    for item in due:
        if oldest <= seen.unused[own + item.name]:
            report.keep("an application runs that may use it")
        elif dry or storage.remove((), item, owner, ()):
            report.delete(own + item.name)
        else:
            report.keep("changed meanwhile")


def remember(seen: Seen, versions: Sequence[str]) -> None:
    """Note the configured ``versions``, if they are others than those noted last."""
    now = sorted(versions)
    if not seen.versions or seen.versions[0] != now:
        seen.versions = [now, *seen.versions][:2]

# SPDX-License-Identifier: Apache-2.0
"""Temporary folders of users (DIR/pnda-flink-USER, which the launcher makes): what dead processes left there.

A file goes when it was last changed before the limit *and* before the oldest living process that uses the
folder started, so that none of them can have made it, and when none holds it open. Folders go with all that
is in them, when all of it goes. Everything is done with the rights of the folder's owner, by handles.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pnda_housekeeping import folders, processes
from pnda_housekeeping.base import PartReport
from pnda_housekeeping.storage import UNUSUAL

PREFIX = "pnda-flink-"
DEEPEST = 60  # each level holds an open folder; nothing of Flink's is near this
SLACK = 60.0  # seconds by which a process may have started earlier than /proc and the clock say


@dataclass(frozen=True)
class _Rule:
    """What goes in one user's folder."""

    before: float
    held: frozenset[tuple[int, int]]
    used: bool
    device: int
    mounts: frozenset[str]

    def file_goes(self, info: os.stat_result) -> bool:
        """Tell whether what is no folder goes."""
        if stat.S_ISSOCK(info.st_mode) and self.used:
            return False  # a bound socket is not open by its name
        return _changed(info) < self.before and (info.st_dev, info.st_ino) not in self.held

    def enters(self, info: os.stat_result, path: str, depth: int) -> bool:
        """Tell whether the folder at ``path`` is looked into."""
        return info.st_dev == self.device and path not in self.mounts and depth <= DEEPEST


def clean(places: Sequence[str], limit: float, dry: bool, report: PartReport) -> None:
    """Remove what goes from the users' folders in ``places``. ``limit`` is in seconds since 1970."""
    found = []
    for place in places:
        try:
            with os.scandir(place) as entries:
                names = [entry.name for entry in entries if entry.name.startswith(PREFIX)]
        except OSError as error:
            report.problem(f"{place}: {error.strerror}")
            continue
        found += [f"{os.path.realpath(place)}/{name}" for name in sorted(names)]
    mine = [path for path in found if _is_its_users(path, report)]
    alive = processes.scan(mine)
    for path in mine:
        uid = os.lstat(path).st_uid
        uses = alive.uses[path]
        if uid in alive.blind.values():
            report.keep("a process of its user cannot be looked into")
            continue
        before = min(limit, uses.oldest - SLACK)
        held = frozenset(uses.held)
        device, mounts = os.lstat(path).st_dev, folders.mount_points()
        rule = _Rule(before, held, bool(uses.started), device, mounts)
        try:
            with folders.acting_as(uid), folders.opened(path) as top:
                if os.fstat(top).st_uid != uid:
                    report.keep("not its user's own folder")
                    continue
                _Folder(path, top, rule, dry, report).clean()
        except OSError as error:
            if error.errno in UNUSUAL:
                report.keep("cannot be read by its user")
            else:
                report.problem(f"{path}: {error.strerror}")


def _is_its_users(path: str, report: PartReport) -> bool:
    """Tell whether the folder is one, and the user's whose name it bears."""
    info = os.lstat(path)
    try:
        owner = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        owner = ""
    if stat.S_ISDIR(info.st_mode) and owner == os.path.basename(path)[len(PREFIX) :]:
        return True
    report.keep("not its user's own folder")
    return False


class _Folder:
    """One user's folder, open as ``top``."""

    def __init__(self, path: str, top: int, rule: _Rule, dry: bool, report: PartReport) -> None:
        self._path, self._top, self._rule, self._dry, self._report = path, top, rule, dry, report

    def clean(self) -> None:
        """Remove what goes."""
        for name, owner in folders.left_aside(self._top):
            if owner == os.geteuid() or os.geteuid() == 0:
                self._report.delete(f"{self._path}/{name}")
                self._clear(name)
        self._walk(self._top, self._path, 1)

    def _walk(self, handle: int, path: str, depth: int) -> None:
        with os.scandir(handle) as entries:
            for entry in entries:
                if entry.name.startswith(folders.ASIDE):
                    continue
                try:
                    self._one(handle, entry.name, path, depth)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno in UNUSUAL:  # swapped for a link meanwhile, or closed to its own user
                        self._report.keep("cannot be read by its user")
                    else:
                        self._report.problem(f"{path}/{entry.name}: {error.strerror}")

    def _one(self, handle: int, name: str, path: str, depth: int) -> None:
        info = os.stat(name, dir_fd=handle, follow_symlinks=False)
        whole = f"{path}/{name}"
        if not stat.S_ISDIR(info.st_mode):
            if not self._rule.file_goes(info):
                self._report.keep("young, or of a living process")
                return
            if not self._dry:
                os.unlink(name, dir_fd=handle)
            self._report.delete(whole, info.st_size)
            return
        if not self._rule.enters(info, whole, depth):
            self._report.keep("another file system, or too deep")
            return
        with folders.opened(name, handle) as inside:
            size = self._all_goes(inside, whole, depth + 1)
            if size is None:
                self._walk(inside, whole, depth + 1)
                return
        if not self._dry:
            self._clear(folders.set_aside(handle, name, self._top))
        self._report.delete(whole, size)

    def _all_goes(self, handle: int, path: str, depth: int) -> int | None:
        """Return the bytes of all in a folder; None where it does not go with all that is in it."""
        if _changed(os.fstat(handle)) >= self._rule.before:
            return None
        total = 0
        with ExitStack() as stack:
            for entry in stack.enter_context(os.scandir(handle)):
                info = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(info.st_mode):
                    if not self._rule.file_goes(info):
                        return None
                    total += info.st_size
                    continue
                whole = f"{path}/{entry.name}"
                if not self._rule.enters(info, whole, depth):
                    return None
                with folders.opened(entry.name, handle) as inside:
                    size = self._all_goes(inside, whole, depth + 1)
                if size is None:
                    return None
                total += size
        return total

    def _clear(self, name: str) -> None:
        if not self._dry:
            folders.clear(self._top, name, lambda text: self._report.problem(f"{self._path}/{text}"))


def _changed(info: os.stat_result) -> float:
    """Return when something was last changed; the second of the two cannot be set by anybody."""
    return max(info.st_mtime, info.st_ctime)

# SPDX-License-Identifier: Apache-2.0
"""Work in folders that other people may change meanwhile: by handles, with their owner's rights.

Nothing here follows a link. A folder that is to go is first renamed, to a name that says so, in one step;
then it is emptied. Whoever is ended in between finds these names again in the next run. Folders in it that
are not empty are renamed to beside it in turn, so that neither depth nor number needs open files or memory.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ASIDE = ".pnda-removing-"
NOBODY = 65534
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Have the rights of the user ``uid`` and no others, where this process is root's."""
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = NOBODY
    groups, own = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own)
        os.setgroups(groups)


@contextmanager
def opened(name: str, parent: int | None = None, follow: bool = False) -> Iterator[int]:
    """Open the folder ``name`` (in ``parent``). Raises OSError, for a link too unless ``follow``."""
    handle = os.open(name, FOLDER & ~os.O_NOFOLLOW if follow else FOLDER, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


def mount_points() -> frozenset[str]:
    """Return every path on which something is mounted (/proc/self/mountinfo, proc(5): octal escapes)."""
    found = set()
    with open("/proc/self/mountinfo", "rb") as stream:
        for line in stream:
            path = line.split(b" ")[4]
            for code in (b"040", b"011", b"012", b"134"):
                path = path.replace(b"\\" + code, bytes([int(code, 8)]))
            found.add(os.fsdecode(path))
    return frozenset(found)


def set_aside(parent: int, name: str, top: int) -> str:
    """Rename ``name`` in ``parent`` to one in ``top`` that says that it is to go, and return that."""
    number = 0
    while True:
        fresh = f"{ASIDE}{os.getpid()}-{number}"
        try:
            os.stat(fresh, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            try:
                os.rename(name, fresh, src_dir_fd=parent, dst_dir_fd=top)
                return fresh
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
        number += 1


def left_aside(top: int) -> list[tuple[str, int]]:
    """Return the names in ``top`` that an earlier run has set aside, each with its owner's number."""
    with os.scandir(top) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(ASIDE)]
    return [(name, os.stat(name, dir_fd=top, follow_symlinks=False).st_uid) for name in names]


def clear(top: int, name: str, problem: Callable[[str], None]) -> None:
    """Remove the folder ``name``, which was set aside in ``top``, with everything in it."""
    waiting = [name]
    while waiting:
        one = waiting.pop()
        try:
            waiting += _empty(top, one)
        except OSError as error:
            problem(f"{one}: {error.strerror}: {error.filename}")


def _empty(top: int, name: str) -> list[str]:
    """Empty and remove one folder; return the names of what was set aside from it."""
    info = os.stat(name, dir_fd=top, follow_symlinks=False)
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(name, dir_fd=top)
        return []
    aside = []
    with opened(name, top) as handle:
        if info.st_mode & 0o300 != 0o300:
            os.fchmod(handle, 0o700)
        for _ in range(3):  # some file systems leave names out while others are removed
            with os.scandir(handle) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=handle)
                        continue
                    try:
                        os.rmdir(entry.name, dir_fd=handle)
                    except OSError as error:
                        if error.errno not in _TAKEN:
                            raise
                        aside.append(set_aside(handle, entry.name, top))
            try:
                os.rmdir(name, dir_fd=top)
                break
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
        else:
            raise OSError(errno.ENOTEMPTY, "it is being filled", name)
    return aside

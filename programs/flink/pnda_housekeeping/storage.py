# SPDX-License-Identifier: Apache-2.0
"""The storage that archives and staging lie on, as the parts see it, and its form as a mounted folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Callable, Protocol

from pnda_housekeeping import folders

Parts = tuple[str, ...]
BATCH = 1000
# What a user can make of a folder of theirs: a link, a file, one that they may not even read themselves.
UNUSUAL = (errno.ELOOP, errno.ENOTDIR, errno.EACCES)


class StorageError(Exception):
    """The storage did not do what it was asked for; the text says what, and why."""


@dataclass(frozen=True)
class Entry:
    """Something in a folder.

    ``kind`` is ``file``, ``folder`` or ``other`` (a link, a socket, ...), ``modified`` are seconds since
    1970, ``owner`` is a user as the storage knows them. ``mark`` changes when the entry does.
    """

    name: str
    kind: str
    size: int
    modified: float
    owner: str
    mark: tuple[int, ...]


class Storage(Protocol):
    """A folder and what is under it. Paths are names from that folder on; ``user`` is who acts."""

    label: str

    def owner(self, parts: Parts) -> str:
        """Return who owns a folder. Raises StorageError."""

    def entries(self, parts: Parts, user: str) -> Iterator[Entry]:
        """Yield what is in a folder, a batch at a time; nothing where it is not there."""

    def remove(self, parts: Parts, entry: Entry, user: str, aside: Parts) -> bool:
        """Remove ``entry``, which is in ``parts``, with all in it; False where it has changed or is gone.

        Folders go by way of ``aside``, a folder that ``user`` may write to.
        """

    def remove_empty(self, parts: Parts, user: str) -> bool:
        """Remove a folder if it is empty; tell whether it was."""

    def leftovers(self, parts: Parts, user: str, dry: bool, problem: Callable[[str], None]) -> int:
        """Remove what a run that was ended has set aside in ``parts``; return how many there were."""


class LocalStorage:
    """A folder of this machine, perhaps of a mounted file system. Users are numbers, as text."""

    def __init__(self, root: str) -> None:
        self.label = root
        self._root = root

    def owner(self, parts: Parts) -> str:
        """Return who owns a folder."""
        with self._folder(parts) as handle:
            return str(os.fstat(handle).st_uid)

    def entries(self, parts: Parts, user: str) -> Iterator[Entry]:
        """Yield what is in a folder, a batch at a time; nothing where it is not there."""
        with ExitStack() as stack:
            with folders.acting_as(int(user)):
                try:
                    handle = stack.enter_context(self._folder(parts))
                except FileNotFoundError:
                    return
                found = stack.enter_context(os.scandir(handle))
            batch: list[Entry] = []
            while True:
                with folders.acting_as(int(user)):
                    for item in found:
                        entry = _entry(item.name, handle)
                        if entry:
                            batch.append(entry)
                        if len(batch) == BATCH:
                            break
                if not batch:
                    return
                yield from batch
                batch = []

    def remove(self, parts: Parts, entry: Entry, user: str, aside: Parts) -> bool:
        """Remove ``entry``, which is in ``parts``, with all in it; False where it has changed or is gone."""
        with folders.acting_as(int(user)), self._folder(parts) as parent:
            now = _entry(entry.name, parent)
            if now is None or now.mark != entry.mark:
                return False
            if entry.kind != "folder":
                os.unlink(entry.name, dir_fd=parent)
                return True
            with self._folder(aside) as top:
                problems: list[str] = []
                folders.clear(top, folders.set_aside(parent, entry.name, top), problems.append)
            if problems:
                raise StorageError(problems[0])
            return True

    def remove_empty(self, parts: Parts, user: str) -> bool:
        """Remove a folder if it is empty; tell whether it was."""
        with folders.acting_as(int(user)), self._folder(parts[:-1]) as parent:
            try:
                os.rmdir(parts[-1], dir_fd=parent)
            except OSError:
                return False
            return True

    def leftovers(self, parts: Parts, user: str, dry: bool, problem: Callable[[str], None]) -> int:
        """Remove what a run that was ended has set aside in ``parts``; return how many there were."""
        with ExitStack() as stack:
            with folders.acting_as(int(user)):
                try:
                    top = stack.enter_context(self._folder(parts))
                except FileNotFoundError:
                    return 0
                owners = folders.left_aside(top)
            for name, owner in [] if dry else owners:
                with folders.acting_as(owner):
                    folders.clear(top, name, problem)
            return len(owners)

    def _folder(self, parts: Parts) -> _Chain:
        return _Chain(self._root, parts)


class _Chain:
    """Opens a folder name by name, so that no link on the way is followed but the root's own."""

    def __init__(self, root: str, parts: Parts) -> None:
        self._root, self._parts, self._handle = root, parts, -1

    def __enter__(self) -> int:
        handle = os.open(self._root, folders.FOLDER & ~os.O_NOFOLLOW)
        device = os.fstat(handle).st_dev
        for part in self._parts:
            try:
                below = os.open(part, folders.FOLDER, dir_fd=handle)
            finally:
                os.close(handle)
            handle = below
        if os.fstat(handle).st_dev != device:
            os.close(handle)
            raise OSError(errno.EXDEV, "it is of another file system", "/".join((self._root, *self._parts)))
        self._handle = handle
        return handle

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _entry(name: str, handle: int) -> Entry | None:
    try:
        info = os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return None
    mode = info.st_mode
    kind = "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"
    mark = (info.st_ino, info.st_mtime_ns, info.st_size)
    return Entry(name, kind, info.st_size, info.st_mtime, str(info.st_uid), mark)

"""What a power cut would take: bytes and names that were not synced.

A cut may take any of them. The worst one takes all but ``current``, and that is the one played here.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

_KEPT = "current"


class Ledger:
    """Keeps account of what is not durable yet: ``bytes`` by inode, ``names`` by path."""

    def __init__(self) -> None:
        self.bytes: dict[int, tuple[str, int]] = {}
        self.names: set[str] = set()

    def change(self, event: str, paths: tuple[Any, ...]) -> None:
        """Note the names that a change is about to make, move or take away."""
        first = _text(paths[0])
        if event == "os.rename":
            self._move(first, _text(paths[1]))
        elif event in ("os.link", "os.symlink"):
            self.names.add(_text(paths[1]))
        elif event in ("os.mkdir", "open"):
            self.names |= set() if os.path.lexists(first) else {first}
        elif event in ("os.remove", "os.rmdir"):
            self.names.discard(first)

    def _move(self, source: str, target: str) -> None:
        moved = {name for name in self.names if name == source or name.startswith(f"{source}/")}
        self.names -= moved
        self.names |= {target + name[len(source) :] for name in moved}
        self.names.add(target)
        for inode, (path, durable) in self.bytes.items():
            if path == source or path.startswith(f"{source}/"):
                self.bytes[inode] = (target + path[len(source) :], durable)

    def wrote(self, handle: int) -> None:
        """Note that bytes are about to be written to the file ``handle``."""
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode):
            self.bytes.setdefault(found.st_ino, (_path(handle), found.st_size))

    def synced(self, handle: int) -> None:
        """Note that the file or folder ``handle`` is durable."""
        found = os.fstat(handle)
        self.bytes.pop(found.st_ino, None)
        if stat.S_ISDIR(found.st_mode):
            folder = _path(handle)
            self.names = {name for name in self.names if os.path.dirname(name) != folder}  # noqa: PTH120

    def lose(self) -> None:
        """Take away all that is not durable, but not the link to the published release."""
        for inode, (path, durable) in self.bytes.items():
            if os.path.exists(path) and os.stat(path).st_ino == inode:  # noqa: PTH110, PTH116 - text
                Path(path).chmod(0o600)
                os.truncate(path, durable)
        for lost in map(Path, sorted(self.names, reverse=True)):
            if lost.name != _KEPT and (lost.exists() or lost.is_symlink()):
                shutil.rmtree(lost) if lost.is_dir() and not lost.is_symlink() else lost.unlink()


def _path(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - text


def _text(path: Any) -> str:
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""

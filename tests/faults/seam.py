"""Where a program of ours touches the disk: each change is told to somebody before it happens.

A change is every call that CPython audits (create, rename, link, symlink, mkdir, remove, rmdir, chmod,
utime, truncate), every fsync, and every write. The program itself knows nothing of this.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

_EVENTS = {
    "os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.utime",
    "os.truncate",
}  # fmt: skip
# Ways to write that do not go through a Python stream: which argument is the file that is written.
_WRITERS = {"write": 0, "pwrite": 0, "writev": 0, "pwritev": 0, "sendfile": 0, "copy_file_range": 1}


class Observer:
    """Is told of changes below ``under`` before they happen; does nothing by itself."""

    def __init__(self, under: str) -> None:
        self.under = under

    def change(self, event: str, paths: tuple[Any, ...]) -> None:
        """``event`` (``os.rename``, ``open``, ...) is about to happen to ``paths``."""

    def write(self, handle: int, half: Callable[[], None]) -> None:
        """Bytes are about to be written to the file ``handle``; ``half`` writes the first half of them."""

    def sync(self, handle: int) -> None:
        """A file or folder is about to be synced."""

    def mine(self, path: Any) -> bool:
        # Paths relative to a folder's handle come from rmtree, which is only used on our own.
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        return bool(text) and (text.startswith(self.under) or not os.path.isabs(text))  # noqa: PTH117 - text


class _Writer:
    """A file open for writing whose writes are told."""

    def __init__(self, stream: Any, observer: Observer) -> None:
        self._stream, self._observer = stream, observer

    def write(self, data: Any) -> Any:
        def half() -> None:
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()

        self._observer.write(self._stream.fileno(), half)
        return self._stream.write(data)

    def __enter__(self) -> _Writer:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._stream.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def arm(observer: Observer) -> None:
    """Tell ``observer`` of every change that this process makes from now on."""
    real_open, real_fsync = io.open, os.fsync

    def audit(event: str, args: Any) -> None:
        created = event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT
        if (event in _EVENTS or created) and observer.mine(args[0]):
            observer.change(event, args)

    def fsync(handle: Any) -> None:
        observer.sync(handle if isinstance(handle, int) else handle.fileno())
        real_fsync(handle)

    def open_told(file: Any, mode: str = "r", *args: Any, **words: Any) -> Any:
        stream = real_open(file, mode, *args, **words)
        ours = isinstance(file, int) or observer.mine(file)
        return _Writer(stream, observer) if ours and set(mode) & set("wa+x") else stream

    sys.addaudithook(audit)
    for name, position in _WRITERS.items():
        setattr(os, name, _told(getattr(os, name), position, observer))
    os.fsync = os.fdatasync = fsync  # type: ignore[assignment] # the build's own calls go through the seam
    io.open = open_told


def _told(real: Callable[..., Any], position: int, observer: Observer) -> Callable[..., Any]:
    def call(*args: Any, **words: Any) -> Any:
        handle = args[position]
        if stat.S_ISREG(os.fstat(handle).st_mode):
            observer.write(handle, lambda: None)
        return real(*args, **words)

    return call

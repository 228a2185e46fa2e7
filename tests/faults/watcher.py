"""Run a command of ours and look at the mirror before each change that it makes, and at the end.

Looks with the eyes of a reader (is the published release whole, and nothing but one release?) and of
a machine that loses power at that moment (would it be whole afterwards?). ``WATCH_ROOT`` is the
mirror's root, ``KILL_UNDER`` and ``KILL_SPOILER`` are as for the killer. Prints one JSON document:
how many times it looked, and what was wrong at which change.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirror.contents import unsigned
from tests.faults import seam, spoilers
from tests.faults.durable import Ledger


class Watcher(seam.Observer):
    """Looks before each change."""

    def __init__(self) -> None:
        super().__init__(os.environ["KILL_UNDER"])
        self.root = Path(os.environ["WATCH_ROOT"])
        self.looked, self.faults = 0, list[tuple[int, str]]()
        self._ledger, self._lock, self._busy = Ledger(), threading.RLock(), False
        self._known: dict[tuple[int, int, int], str] = {}

    def change(self, event: str, paths: tuple[Any, ...]) -> None:
        with self._lock:
            if not self._busy:
                self.look()
                self._ledger.change(event, paths)

    def write(self, handle: int, half: Callable[[], None]) -> None:
        with self._lock:
            self._ledger.wrote(handle)
            self.look()

    def sync(self, handle: int) -> None:
        with self._lock:
            self.look()
            self._ledger.synced(handle)

    def look(self) -> None:
        """Look once, and note what is wrong."""
        self._busy = True
        self.looked += 1
        try:
            self.faults += [(self.looked, fault) for fault in self._faults()]
        finally:
            self._busy = False

    def _faults(self) -> list[str]:
        current = self.root / "current"
        if not current.is_symlink():
            return ["nothing is published"]
        release = current.resolve()
        sums = release / "SHA512SUMS"
        if not sums.is_file():
            return ["the published release has no list of its files"]
        listed = dict(line.split("  ", 1)[::-1] for line in sums.read_text().splitlines())
        there = {path.relative_to(release).as_posix(): path for path in release.rglob("*") if path.is_file()}
        strange = set(there) - set(listed) - {"SHA512SUMS"}
        faults = [f"{path}: of another release" for path in strange if unsigned(path)]
        faults += [f"{path}: not there" for path in listed if path not in there]
        faults += [
            f"{path}: other bytes"
            for path in listed
            if path in there and self._digest(there[path]) != listed[path]
        ]
        inodes = {path.stat().st_ino: name for name, path in there.items()}
        faults += [f"{inodes[inode]}: bytes not durable" for inode in self._ledger.bytes if inode in inodes]
        faults += [
            f"{name}: name not durable" for name in self._ledger.names
            if name == str(release) or name.startswith(f"{release}/")
        ]  # fmt: skip
        return faults

    def _digest(self, path: Path) -> str:
        found = path.stat()
        key = (found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._known:
            self._known[key] = hashlib.sha512(path.read_bytes()).hexdigest()
        return self._known[key]


if __name__ == "__main__":
    from core.program import main

    spoilers.spoil(os.environ.get("KILL_SPOILER", ""))
    watcher = Watcher()
    seam.arm(watcher)
    try:
        main()
    finally:
        watcher.look()
        document = {"looked": watcher.looked, "faults": watcher.faults}
        sys.stdout.write(f"{json.dumps(document)}\n")

"""Run a command of ours and fill the disk before the N-th change that it makes.

``FILL_AT`` is the point, ``KILL_UNDER`` the disk to fill (by a file ``filler`` there). The work goes on,
and meets a disk that is really full. At the end the number of changes is printed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.faults import seam


class Filler(seam.Observer):
    """Counts the changes, and fills the disk before the one that is the point."""

    def __init__(self) -> None:
        super().__init__(os.environ["KILL_UNDER"])
        self.point, self.count, self._lock = int(os.environ["FILL_AT"]), 0, threading.RLock()
        self._write = os.write  # before the seam is armed: our own writes are no changes

    def change(self, event: str, paths: tuple[Any, ...]) -> None:
        self._step()

    def write(self, handle: int, half: Callable[[], None]) -> None:
        self._step()

    def sync(self, handle: int) -> None:
        self._step()

    def _step(self) -> None:
        with self._lock:
            self.count += 1
            if self.count == self.point:
                self._fill()

    def _fill(self) -> None:
        handle = os.open(f"{self.under}/filler", os.O_CREAT | os.O_WRONLY, 0o600)
        for size in (1 << 16, 1 << 12, 1):
            try:
                while self._write(handle, bytes(size)):
                    pass
            except OSError:
                continue  # full for pieces of that size
        os.close(handle)


if __name__ == "__main__":
    from core.program import main

    filler = Filler()
    seam.arm(filler)
    try:
        main()
    finally:
        sys.stdout.write(f"{filler.count}\n")

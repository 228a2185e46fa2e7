"""Run a command of ours and end it, as the kernel or a power cut would, at the N-th change to the disk.

The environment says how: ``KILL_AT`` (the point, 1 for the first; 0 never; -1
when all is done), ``KILL_UNDER`` (only what
lies there counts), ``KILL_POWER`` (1: what was not made durable is lost besides) and ``KILL_SPOILER``
(a fault of :mod:`tests.faults.spoilers`, to see whether it is found). A write that is a point is torn:
half of its bytes get to the file. At the end the number of changes is printed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.faults import seam, spoilers
from tests.faults.durable import Ledger


class Counter(seam.Observer):
    """Counts the changes, and ends the process before the one that is the point."""

    def __init__(self) -> None:
        super().__init__(os.environ["KILL_UNDER"])
        self.point, self.count, self._lock = int(os.environ["KILL_AT"]), 0, threading.RLock()
        power = os.environ.get("KILL_POWER") == "1"
        self._ledger = Ledger() if power else None

    # The lock is held to the end: no other thread changes anything more, neither the disk nor the ledger.

    def change(self, event: str, paths: tuple[Any, ...]) -> None:
        with self._lock:
            self._step(lambda: None)
            if self._ledger:
                self._ledger.change(event, paths)

    def write(self, handle: int, half: Callable[[], None]) -> None:
        with self._lock:
            if self._ledger:
                self._ledger.wrote(handle)
            self._step(half)

    def sync(self, handle: int) -> None:
        with self._lock:
            self._step(lambda: None)
            if self._ledger:
                self._ledger.synced(handle)

    def _step(self, torn: Callable[[], None]) -> None:
        self.count += 1
        if self.count == self.point:
            self.point = 0
            torn()
            self.end()

    def end(self) -> None:
        """End this process now."""
        if self._ledger:
            self._ledger.lose()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from core.program import main

    spoilers.spoil(os.environ.get("KILL_SPOILER", ""))
    counter = Counter()
    seam.arm(counter)
    try:
        main()
    finally:
        if counter.point == -1:
            counter.end()
        sys.stdout.write(f"{counter.count}\n")

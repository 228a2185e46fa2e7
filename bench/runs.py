"""Run one program and measure it: seconds, processor seconds, peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import WorldError


@dataclass(frozen=True)
class Cost:
    """What a program cost: ``wall`` and ``cpu`` in seconds (its children's included), ``peak`` in MB."""

    wall: float
    cpu: float
    peak: float

    def plus(self, other: Cost) -> Cost:
        """Return the cost of doing one after the other."""
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


def measure(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, limit: int = 400
) -> Cost:
    """Run ``words`` in ``folder``; return the cost. Raises WorldError on failure or after ``limit`` s."""
    with (folder / "output.log").open("ab") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(limit)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            signal.alarm(0)
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = (folder / "output.log").read_text(errors="replace")[-2000:]
        raise WorldError(f"{words[0]} failed ({process.returncode})\n{tail}", "see above")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def best(costs: Sequence[Cost]) -> Cost:
    """Return the one with the least wall time: on a shared machine the others measure the neighbours."""
    return min(costs, key=lambda cost: cost.wall)

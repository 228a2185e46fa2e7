from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mirror.lanes import in_lanes

ROOT = Path(__file__).resolve().parents[3]

AT_EVERY_STEP = """
import faulthandler, os, signal, sys, threading
from mirror.lanes import in_lanes

faulthandler.dump_traceback_later(60, exit=True)
stopped = threading.Event()
left = step = interrupted = ignored = 0

def unraisable(what):  # Python ignores it where it comes into a callback of the collected pool: all is over
    global ignored
    assert what.exc_type is KeyboardInterrupt
    ignored += 1

sys.unraisablehook = unraisable

def tracer(frame, event, value):
    global left
    left -= 1
    if left == 0:
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGINT)
    return tracer

while left <= 0:
    step, left = step + 1, step + 1
    stopped.clear()
    sys.settrace(tracer)
    try:
        in_lanes(lambda item: stopped.wait(0.001), range(3), lambda item: "one", 2, stopped.set)
    except KeyboardInterrupt:
        interrupted += 1
    finally:
        sys.settrace(None)
    assert threading.active_count() == 1, f"step {step}: {threading.enumerate()}"
print(step - 1, interrupted, ignored)
"""


def test_a_blocked_lane_holds_up_no_other() -> None:
    done: list[str] = []
    others = threading.Event()

    def work(item: str) -> None:
        if item.startswith("slow"):
            assert others.wait(20)
        done.append(item)
        if sum(1 for name in done if name.startswith("quick")) == 5:
            others.set()

    items = [f"slow{number}" for number in range(4)] + [f"quick{number}" for number in range(5)]
    in_lanes(work, items, lambda item: item[:4], 2, lambda: None)
    assert sorted(done) == sorted(items)
    assert done[0].startswith("quick")


def test_a_lane_is_no_wider_than_told() -> None:
    now, most, lock = [0], [0], threading.Lock()

    def work(_: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    in_lanes(work, range(20), lambda _: "one", 3, lambda: None)
    assert most[0] == 3


def test_the_first_error_stops_the_rest() -> None:
    stopped = threading.Event()
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError("one")
        assert stopped.wait(20)

    with pytest.raises(ValueError, match="one"):
        in_lanes(work, range(50), lambda _: "one", 2, stopped.set)
    assert len(begun) < 5


def test_a_signal_at_any_step_ends_all_and_nothing_waits_for_ever() -> None:
    """At each step of the main thread in turn; the locks of Python's own threading are taken in some."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EVERY_STEP],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    steps, interrupted, ignored = map(int, done.stdout.split())
    assert interrupted > 100
    assert interrupted + ignored == steps

from __future__ import annotations

import threading
import time

import pytest

from mirror.lanes import in_lanes


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

"""Work side by side in lanes: what waits for one slow host never holds up the others."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

Given = TypeVar("Given")


def in_lanes(
    work: Callable[[Given], None],
    items: Iterable[Given],
    lane: Callable[[Given], str],
    width: int,
    stop: Callable[[], None],
) -> None:
    """Do ``work(item)`` for all items; each lane has up to ``width`` threads of its own.

    Within a lane the items begin in their order. The first error (or Ctrl-C) lets nothing more begin,
    calls ``stop`` to end what has, and is raised when all have ended.
    """
    lanes: dict[str, deque[Given]] = {}
    for item in items:
        lanes.setdefault(lane(item), deque()).append(item)
    given_up = threading.Event()

    def walk(waiting: deque[Given]) -> None:
        while not given_up.is_set():
            try:
                item = waiting.popleft()
            except IndexError:
                return
            work(item)

    with ExitStack() as pools:
        try:
            walks = []
            for name, waiting in lanes.items():
                threads = min(width, len(waiting))
                pool = pools.enter_context(ThreadPoolExecutor(threads, thread_name_prefix=f"lane-{name}"))
                walks += [pool.submit(walk, waiting) for _ in range(threads)]
            ended, _ = wait(walks, return_when=FIRST_EXCEPTION)
            for one in ended:
                one.result()
        except BaseException:
            given_up.set()
            stop()
            raise

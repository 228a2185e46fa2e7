"""Work side by side in lanes: what waits for one slow host never holds up the others."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TypeVar

from core import interrupts

_PARALLEL = 8

Given = TypeVar("Given")
Made = TypeVar("Made")


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
    # What each thread came to; a signal's word is one of them.
    said: SimpleQueue[BaseException | None] = SimpleQueue()

    def walk(waiting: deque[Given]) -> None:
        try:
            while waiting and not given_up.is_set():
                try:
                    item = waiting.popleft()
                except IndexError:  # another thread was quicker
                    break
                work(item)
            said.put(None)
        except BaseException as error:  # noqa: BLE001 - raised by the main thread
            said.put(error)

    with interrupts.told(lambda: said.put(KeyboardInterrupt())), ExitStack() as pools:
        try:
            walks = 0
            for name, waiting in lanes.items():
                threads = min(width, len(waiting))
                pool = pools.enter_context(ThreadPoolExecutor(threads, thread_name_prefix=f"lane-{name}"))
                for _ in range(threads):
                    pool.submit(walk, waiting)
                walks += threads
            for _ in range(walks):
                error = said.get()
                if error is not None:
                    raise error
        except BaseException:
            given_up.set()
            stop()
            raise
    if not said.empty():  # a signal, after the last had ended
        raise KeyboardInterrupt


def in_parallel(
    work: Callable[[Given], Made], items: Iterable[Given], stop: Callable[[], None]
) -> list[Made]:
    """Return ``work(item)`` for all items, in their order, by a few threads; else as :func:`in_lanes`."""
    made: dict[int, Made] = {}

    def keep(numbered: tuple[int, Given]) -> None:
        made[numbered[0]] = work(numbered[1])

    in_lanes(keep, enumerate(items), lambda _: "all", _PARALLEL, stop)
    return [made[number] for number in sorted(made)]

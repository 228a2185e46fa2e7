"""Work side by side in lanes: what waits for one slow host never holds up the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
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

    Within a lane the items begin in their order. The first error (or Ctrl-C) cancels what has not
    begun, calls ``stop`` to end what has, and is raised when all have ended.
    """
    pools: dict[str, ThreadPoolExecutor] = {}
    futures: list[Future[None]] = []
    try:
        for item in items:
            name = lane(item)
            if name not in pools:
                pools[name] = ThreadPoolExecutor(width, thread_name_prefix=f"lane-{name}")
            futures.append(pools[name].submit(work, item))
        ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in ended:
            future.result()
    except BaseException:
        stop()
        raise
    finally:
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools.values():
            pool.shutdown(wait=True)

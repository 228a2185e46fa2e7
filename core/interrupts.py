"""Ctrl-C while threads are at work: told, where an exception would come in between."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NUMBERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextmanager
def told(tell: Callable[[], None]) -> Iterator[None]:
    """Have the signals that end a program call ``tell`` in the block, where they would raise.

    KeyboardInterrupt may come between any two steps of the main thread, also where it holds a lock
    of Python's own threading, which is never free again then: threads, and with them the program, would
    not end. ``tell`` is called between two steps too, so it may take no lock (SimpleQueue.put does
    not). Signals that are ignored stay so. Does nothing outside the main thread, where none arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    raising = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in raising:
            signal.signal(number, lambda _number, _frame: tell())
        yield
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)

"""What a person or a program reads: plain lines, a progress bar on a terminal, one JSON document.

One process-wide setting, made once by :mod:`core.program` from ``--quiet``, ``--json`` and
``--debug``. Standard output carries results; progress and warnings go to standard error.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Settings:
    """How this process talks: no progress (``quiet``), JSON results (``json``), tracebacks (``debug``)."""

    quiet: bool = False
    json: bool = False
    debug: bool = False


settings = Settings()


def say(text: str) -> None:
    """Tell the user one line of what is going on (silent with ``--quiet``; to stderr with ``--json``)."""
    if not settings.quiet:
        stream = sys.stderr if settings.json else sys.stdout
        stream.write(f"{text}\n")  # in one piece: several threads talk
        stream.flush()


def warn(text: str) -> None:
    """Tell the user, always and on standard error, about something that did not stop the work."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def result(document: Any, text: str) -> None:
    """Print a task's result: ``document`` as one JSON document with ``--json``, else ``text``."""
    print(json.dumps(document, indent=2, sort_keys=True) if settings.json else text, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce ``title``, do the work, then say how many seconds it took."""
    say(f"-- {title}")
    started = time.monotonic()
    yield
    say(f"   {title}: {time.monotonic() - started:.1f} s")


class Meter:
    """Progress of many transfers in bytes, safe to advance from several threads.

    A live bar on a terminal, otherwise a plain line now and then, nothing with ``--quiet``.
    """

    _EVERY = 5.0

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._lock, self._last = threading.Lock(), time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Meter:
        if not settings.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Count ``count`` more bytes (negative when a transfer starts over)."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done)
            elif time.monotonic() - self._last >= self._EVERY:
                self._last = time.monotonic()
                say(f"   {self._title}: {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")

"""A line for each host as it ends, while a roll-out goes on."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core import console
from provision.report import HostResult, state

_LOOK = 0.5  # seconds between two looks at the events


class Progress:
    """Says a line for each of ``total`` hosts when it ends; several threads may tell it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def ended(self, host: str, result: HostResult) -> None:
        """Say how ``host`` ended, the first time only."""
        with self._lock:
            if host not in self._told:
                self._told.add(host)
                reason = f": {result.failed.splitlines()[0]}" if result.failed else ""
                console.say(f"   [{len(self._told)}/{self._total}] {host}: {state(result)}{reason}")


def phrase(event: Mapping[str, str]) -> str:
    """Return in words what an event of Ansible's callback says: the task without its role, and the rest."""
    task = event["task"].partition(" : ")[2] or event["task"]
    return f"{task}: {event['text']}" if event["text"] else task


class Follower:
    """Reads the events that Ansible's callback appends to the file ``events``, and tells ``progress``."""

    def __init__(self, events: Path, progress: Progress) -> None:
        self._events, self._progress = events, progress
        self._changed: Counter[str] = Counter()
        self._offset = 0

    def look(self) -> None:
        """Read what is new; a line that is still being written is left for the next time."""
        if not self._events.exists():
            return
        with self._events.open("rb") as stream:
            stream.seek(self._offset)
            raw = stream.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            if event["kind"] == "changed":
                self._changed[event["host"]] += 1
            else:
                reason = "" if event["kind"] == "ended" else phrase(event)
                self._progress.ended(event["host"], HostResult(self._changed[event["host"]], (), reason))


@contextmanager
def following(events: Path, progress: Progress) -> Iterator[None]:
    """Tell ``progress`` what comes into the file ``events`` for the length of the block."""
    follower, stop = Follower(events, progress), threading.Event()

    def follow() -> None:
        while not stop.wait(_LOOK):
            follower.look()

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    follower.look()

"""A log server on the loopback: RFC 5424 events over TCP with octet counting (RFC 6587)."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

_EVENT = re.compile(r"<134>1 \S+ (\S+) (\S+) - - \[pnda@32473 ((?:[^\]\\]|\\.)*)\] (.*)", re.DOTALL)
_FIELD = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Event:
    """One event: host, source, structured fields with their escapes undone, and text."""

    host: str
    source: str
    fields: dict[str, str]
    text: str


def parsed(raw: bytes) -> Event:
    """Return the event in ``raw``. Raises AssertionError for what is none."""
    found = _EVENT.fullmatch(raw.decode())
    assert found, raw
    host, source, fields, text = found.groups()
    return Event(
        host,
        source,
        {key: re.sub(r"\\(.)", r"\1", value) for key, value in _FIELD.findall(fields)},
        text.replace("\\n", "\n"),
    )


class Receiver:
    """It listens while it is open; what came is in ``events``, in the order of arrival."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.port = 0
        self._links: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and end those that are open, after what has come is read."""
        for place in (self._listener, *self._links):
            with contextlib.suppress(OSError):  # its other end was quicker
                place.shutdown(socket.SHUT_RD)
            place.close()
        self._links.clear()

    def texts(self) -> list[str]:
        """Return the texts of all events."""
        return [event.text for event in self.events]

    def wait(self, texts: Sequence[str], seconds: float = 60) -> list[str]:
        """Wait until all of ``texts`` have come; return what is missing after ``seconds``."""
        end = time.monotonic() + seconds
        while True:
            missing = sorted(set(texts) - set(self.texts()))
            if not missing or time.monotonic() > end:
                return missing
            time.sleep(0.1)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            self._links.append(link)
            threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link: socket.socket) -> None:
        waiting = b""
        while True:
            try:
                piece = link.recv(1 << 16)
            except OSError:
                return
            if not piece:
                return
            waiting += piece
            while b" " in waiting[:12]:
                length, rest = waiting.split(b" ", 1)
                if len(rest) < int(length):
                    break
                self.events.append(parsed(rest[: int(length)]))
                waiting = rest[int(length) :]

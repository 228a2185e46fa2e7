"""A clock over all exchanges: what trickles ends too, although each of its reads ends in time."""

from __future__ import annotations

import contextlib
import errno
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

_LOOK = 1.0  # seconds between two looks at the clock, at most


@dataclass(eq=False)
class Watched:
    """An exchange under the clock; ``expired`` once it was ended."""

    deadline: float
    end: Callable[[], None]
    expired: bool = False

    def go_on(self, seconds: float) -> None:
        """Give it ``seconds`` from now."""
        self.deadline = time.monotonic() + seconds


class Watch:
    """Ends watched exchanges whose time is over, from a thread that is there only while any are."""

    def __init__(self) -> None:
        self._lock, self._watched = threading.Lock(), set[Watched]()
        self._thread: threading.Thread | None = None
        self._over = False

    @contextlib.contextmanager
    def limit(self, seconds: float, end: Callable[[], None]) -> Iterator[Watched]:
        """Call ``end`` from another thread if the body takes longer, which must make it fail.

        The failure (OSError or one of the HTTP libraries' own) then becomes TimeoutError.
        """
        watched = Watched(time.monotonic() + seconds, end)
        with self._lock:
            if self._over:
                raise TimeoutError(errno.ETIMEDOUT, "it was given up")
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
        failure: Exception | None = None
        try:
            yield watched
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
            if not watched.expired:
                raise
            failure = error
        finally:
            with self._lock:
                self._watched.discard(watched)
        if failure or watched.expired:
            raise TimeoutError(errno.ETIMEDOUT, "it took too long")

    def end_all(self) -> None:
        """End everything that is watched now, and let nothing new begin."""
        with self._lock:
            self._over = True
            for watched in self._watched:
                _end(watched)

    def _run(self) -> None:
        while True:
            with self._lock:
                now = time.monotonic()
                for watched in self._watched:
                    if watched.deadline <= now and not watched.expired:
                        _end(watched)
                waiting = [item.deadline - now for item in self._watched if not item.expired]
                if not self._watched:
                    self._thread = None
                    return
            time.sleep(max(0.01, min([_LOOK, *waiting])))


def _end(watched: Watched) -> None:
    watched.expired = True
    # It may have come to its end by itself meanwhile, or not have connected yet.
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        watched.end()


def under(watch: Watch, seconds: float, connection: type[Any]) -> type[Any]:
    """Return urllib3's class ``connection`` with the clock over connecting and over the headers.

    Each is to end within ``seconds``. (Resolving a name and each TCP connection have limits of their
    own, and are not cut short here; the handshake of TLS is bounded as a whole by Python.)
    """

    class Connection(connection):  # type: ignore[misc] # which of urllib3's it is depends on the way
        def connect(self) -> None:
            with watch.limit(seconds, self._end):
                super().connect()

        def getresponse(self) -> Any:
            with watch.limit(seconds, self._end):
                return super().getresponse()

        def _end(self) -> None:
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)

    return Connection

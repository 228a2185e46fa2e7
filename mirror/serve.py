"""The mirror's own web server: one process, one thread, HTTP and TLS on asyncio (decision 4)."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from core import console
from core.errors import UsageError
from mirror.connection import Connection
from mirror.privileges import give_up
from mirror.published import Published

_HANDSHAKE = 10.0  # seconds for TLS
_EVICTABLE = 1.0  # seconds that a silent connection may keep its place when others wait for one
_BACKLOG = 4096
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True)
class Limits:
    """How many connections are open at once, and how many seconds are given for what.

    ``head``: for a whole head, from the connection or the last answer on; ``stalled``: for taking
    one MiB; ``grace``: for transfers under way at a stop.
    """

    connections: int = 2048
    head: float = 20.0
    stalled: float = 60.0
    grace: float = 30.0


class Server:
    """Serves what is published; :meth:`serve_forever` in one thread, :meth:`shutdown` from any."""

    def __init__(
        self,
        published: Published,
        listener: socket.socket,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.published, self.tls, self.log = published, tls, log
        self.limits = limits or Limits()
        self.server_address: tuple[str, int] = listener.getsockname()[:2]
        self.server_port = self.server_address[1]
        self.connections: set[Connection] = set()
        # Who waits for a head or a handshake, the longest first, since when, and how to end it.
        self.waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._listener = listener
        self._open = 0
        self._freed: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._asked_to_stop = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server_close()

    def serve_forever(self, *, on_start: Callable[[asyncio.AbstractEventLoop], None] | None = None) -> None:
        """Serve until :meth:`shutdown`; then finish what is under way (bounded) and return.

        ``on_start`` gets the event loop, to add what only its owner can (signal handlers).
        """
        try:
            asyncio.run(self._main(on_start))
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Ask :meth:`serve_forever` to end; returns at once, from its own thread only."""
        self._asked_to_stop = True
        if self._stop is not None:
            self._stop.set()

    def shutdown(self) -> None:
        """Ask :meth:`serve_forever`, which another thread runs, to end, and wait until it has."""
        self._asked_to_stop = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it ended in this moment
                self._loop.call_soon_threadsafe(self.stop)
        self._ended.wait(self.limits.grace + 10)

    def server_close(self) -> None:
        """Close the listening socket and the published tree."""
        if self._listener.fileno() >= 0:
            self._listener.close()
            self.published.close()

    def done(self, connection: Connection) -> None:
        """Take note that ``connection`` is closed."""
        self.connections.discard(connection)
        self.waiting.pop(connection, None)
        self._free()

    @property
    def crowded(self) -> bool:
        """Tell whether answered connections should make room for others."""
        return self._open >= self.limits.connections or (self._stop is not None and self._stop.is_set())

    async def _main(self, on_start: Callable[[asyncio.AbstractEventLoop], None] | None) -> None:
        self._loop, self._stop, self._freed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._loop.set_exception_handler(_report)
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of clients that have gone
        if on_start is not None:
            on_start(self._loop)
        if self._asked_to_stop:
            self._stop.set()
        self._listener.setblocking(False)
        jobs = [self._loop.create_task(work) for work in (self._accept(), self._sweep())]
        stop = self._loop.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait([*jobs, stop], return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()  # only `stop` ends by itself; what broke another is raised here
            jobs[0].cancel()
            self._listener.close()
            for connection in [item for item in self.connections if not item.busy]:
                connection.end()
            limit = time.monotonic() + self.limits.grace
            while self.connections and time.monotonic() < limit:
                await asyncio.sleep(0.05)
        finally:
            for job in (*jobs, stop):
                job.cancel()
            for connection in list(self.connections):
                connection.abort()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        welcomes: set[asyncio.Task[None]] = set()
        while True:
            await self._room()
            try:
                peer, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    await asyncio.sleep(0.1)  # what is open now must end first; the rest waits in the kernel
                elif self._listener.fileno() < 0:
                    return
                continue
            self._open += 1
            task = loop.create_task(self._welcome(peer))
            self.waiting[task] = time.monotonic(), task.cancel  # type: ignore[assignment]
            welcomes.add(task)
            task.add_done_callback(welcomes.discard)

    async def _welcome(self, peer: socket.socket) -> None:
        task = asyncio.current_task()
        limit = _HANDSHAKE if self.tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self), peer, ssl=self.tls, ssl_handshake_timeout=limit
            )
        except (OSError, asyncio.CancelledError):
            peer.close()  # no TLS, a certificate that the client does not like, or gone again
            self._free()
        finally:
            self.waiting.pop(task, None)

    async def _room(self) -> None:
        """Wait for a free place; where all are taken, those who only wait lose theirs, oldest first."""
        assert self._freed is not None
        while self._open >= self.limits.connections:
            self._evict(time.monotonic() - _EVICTABLE, 1)
            self._freed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), 0.2)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self._evict(time.monotonic() - self.limits.head, len(self.waiting))

    def _evict(self, before: float, most: int) -> None:
        for key, (since, end) in list(self.waiting.items())[:most]:
            if since > before:
                return
            del self.waiting[key]
            end()

    def _free(self) -> None:
        self._open -= 1
        if self._freed is not None:
            self._freed.set()


def make_server(
    root: Path,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    user: str = "",
    log: Callable[[str], None] | None = None,
    limits: Limits | None = None,
) -> Server:
    """Return a server for the mirror at ``root``, bound and not yet running.

    With ``user`` this process becomes that user for good. Raises WorldError when nothing is
    published or it cannot be read, UsageError when the address cannot be bound.
    """
    published = Published(root)
    try:
        listener = _listen(host, port)
        try:
            published.check_readable(give_up(user))
        except BaseException:
            listener.close()
            raise
    except BaseException:
        published.close()
        raise
    most = limits or Limits()
    most = replace(most, connections=min(most.connections, _files(3 * most.connections + 100) // 3))
    return Server(published, listener, tls, log, most)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", "") or error
        raise UsageError(
            f"cannot listen on {host}:{port}: {reason}", "choose another --port or --host"
        ) from error


def _files(wanted: int) -> int:
    """Return how many files this process may open, after asking for ``wanted``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and (hard > soft or hard == resource.RLIM_INFINITY):
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _report(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Tell about a fault of ours; what clients and their connections do is no news."""
    error = context.get("exception")
    if not isinstance(error, OSError):
        console.warn(f"web server: {context.get('message')}: {type(error).__name__}: {error}")

"""One client's connection to the mirror's web server: requests in, answers out, one after another."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from io import FileIO
from typing import TYPE_CHECKING, cast

from core import console
from mirror import http_answer
from mirror.http_answer import Answer
from mirror.http_head import LIMIT, Head, RequestError, parse
from mirror.published import Found, IsFolderError

if TYPE_CHECKING:
    from mirror.serve import Server

_AT_ONCE = 1 << 16  # bytes that are sent with the head, in one call
_PIECE = 1 << 20
_CHUNK = 1 << 16  # with TLS, where bytes go through this process
_END = b"\r\n\r\n"
_GONE, _SHORT = "the client has gone", "the file is shorter than it was"


class Connection(asyncio.Protocol):
    """Reads heads, answers small files at once and large ones in a task; never buffers a file."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._sending: asyncio.Task[None] | None = None
        self._eof = self._full = self._lost = False
        self._drained: asyncio.Future[None] | None = None
        self._peer = ""

    @property
    def busy(self) -> bool:
        """Tell whether an answer is under way."""
        return self._sending is not None or self._full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_CHUNK)
        self._socket = transport.get_extra_info("socket")
        self._peer = str((transport.get_extra_info("peername") or ("-",))[0])
        self._server.connections.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - inherited
        """Forget everything."""
        self._lost = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionResetError())
        self._server.done(self)

    def data_received(self, data: bytes) -> None:
        """Collect heads; what comes while an answer is under way waits in the kernel."""
        self._buffer += data
        if not self.busy:
            self._serve()
        elif self._server.tls is None:
            self._transport.pause_reading()
        elif len(self._buffer) > _AT_ONCE:
            # TLS is never paused: asyncio would not tell that the client has gone, and drop what is written.
            self.abort()

    def eof_received(self) -> bool:
        """Go on with an answer for a client that closed only its own side (TLS knows no such thing)."""
        self._eof = True
        return self.busy and self._server.tls is None

    def pause_writing(self) -> None:
        """Take note that the client is slower than we are."""
        self._full = True
        self._drained = asyncio.get_running_loop().create_future()
        if self._sending is None:  # many small answers that nobody reads
            self._server.waiting.pop(self, None)
            self._server.waiting[self] = time.monotonic(), self.abort

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._sending is None:
            self._wait()
            self._serve()

    def end(self) -> None:
        """Close after what is written."""
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._server.tls is None or not self._transport.is_closing():
            self._transport.abort()
            return
        # With TLS a close that is under way waits for the client, and asyncio knows no way to end that.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> None:
        self._server.waiting.pop(self, None)
        self._server.waiting[self] = time.monotonic(), self.abort

    def _serve(self) -> None:
        """Answer the requests that are in the buffer, until one takes longer."""
        while not (self.busy or (self._eof and self._server.tls) or self._transport.is_closing()):
            while self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]
            end = self._buffer.find(_END, 0, LIMIT)
            if end < 0:
                if len(self._buffer) >= LIMIT:
                    self._write(None, http_answer.refusal(431, False, _now()), False)
                else:
                    self._transport.resume_reading()
                return
            raw = bytes(self._buffer[:end])
            del self._buffer[: end + len(_END)]
            self._answer(raw)

    def _answer(self, raw: bytes) -> None:
        try:
            request = parse(raw)
        except RequestError as error:
            self._write(None, http_answer.refusal(error.status, False, _now()), False)
            return
        keep = request.keep and not self._eof and not self._server.crowded
        found = None
        try:
            path = request.path
            if http_answer.wants_simple_json(path, request.fields.get("accept", "")):
                found = self._server.published.find(f"{path}index.json")
            found = found or self._server.published.find(path)
            if found is None:
                refusal = http_answer.refusal(404, keep, _now(), body=request.method == "GET")
                self._write(request, refusal, keep)
            else:
                found = self._send(request, found, keep)
        except IsFolderError:
            self._write(request, http_answer.moved(request.path, keep, _now()), keep)
        except OSError as error:
            console.warn(f"web server: {self._server.published.root}: {type(error).__name__}: {error}")
            self._write(request, http_answer.refusal(500, False, _now()), False)
        finally:
            if found is not None:
                os.close(found.handle)

    def _send(self, request: Head, found: Found, keep: bool) -> Found | None:
        """Answer with ``found``; return it, or None when a task has taken it over."""
        answer = http_answer.of_file(request, found, keep, _now())
        if answer.count <= _AT_ONCE:
            body = os.pread(found.handle, answer.count, answer.first) if answer.count else b""
            whole = len(body) == answer.count
            self._write(request, replace(answer, head=answer.head + body), keep and whole)
            return found
        self._server.waiting.pop(self, None)
        self._log(request, answer)
        self._transport.write(answer.head)
        task = asyncio.get_running_loop().create_task(self._stream(found, answer, keep))
        self._sending = task
        return None

    def _write(self, request: Head | None, answer: Answer, keep: bool) -> None:
        self._wait()
        self._log(request, answer)
        self._transport.write(answer.head)
        if not keep:
            self._transport.close()

    async def _stream(self, found: Found, answer: Answer, keep: bool) -> None:
        """Send the bytes of a large answer; a client that takes no piece in time is cut off."""
        with FileIO(found.handle, "rb") as stream:
            try:
                place, end = answer.first, answer.first + answer.count
                while place < end:
                    count = min(_PIECE, end - place)
                    piece = self._copy if self._server.tls else self._sendfile
                    await asyncio.wait_for(piece(stream, place, count), self._server.limits.stalled)
                    place += count
            except (OSError, TimeoutError):
                self.abort()  # shorter than promised: the client must not take it for the whole
            finally:
                self._sending = None
        if self._lost or self._transport.is_closing():
            return
        if not keep or self._eof or self._server.crowded:
            self._transport.close()
            return
        self._wait()
        self._serve()

    async def _sendfile(self, stream: FileIO, place: int, count: int) -> None:
        if self._transport.is_closing():
            raise OSError(_GONE)
        loop = asyncio.get_running_loop()
        try:
            sent = await loop.sendfile(self._transport, stream, place, count, fallback=False)
        except asyncio.SendfileNotAvailableError:  # not every file system can
            await self._copy(stream, place, count)
            return
        if sent != count:
            raise OSError(_SHORT)

    async def _copy(self, stream: FileIO, place: int, count: int) -> None:
        end = place + count
        while place < end:
            data = os.pread(stream.fileno(), min(_CHUNK, end - place), place)
            if not data or self._transport.is_closing() or (self._server.tls and self._eof):
                raise OSError(_GONE if data else _SHORT)
            self._transport.write(data)
            place += len(data)
            if self._full and self._drained is not None:
                await self._drained
            else:
                await asyncio.sleep(0)  # other connections have their turn

    def _log(self, request: Head | None, answer: Answer) -> None:
        if self._server.log is None:
            return
        date = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        line = f"{request.method} {request.target} HTTP/1.1" if request else "-"
        quoted = line.replace("\\", "\\\\").replace('"', '\\"')
        self._server.log(f'{self._peer} - - [{date}] "{quoted}" {answer.status} {answer.count}')


def _now() -> str:
    return _date(int(time.time()))


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)

"""A loopback web server that answers as told: rightly, wrongly, slowly, or not at all."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream: Upstream

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or gave up, is what these tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 20

    def do_GET(self) -> None:
        self._act()

    def do_HEAD(self) -> None:
        self._act()

    def log_message(self, *_: Any) -> None:
        pass

    def _act(self) -> None:
        upstream = self.server.upstream
        path = self.path.split("?")[0]
        with upstream.lock:
            upstream.asked.append((self.command, path, dict(self.headers)))
            answers = upstream.answers.get(path, [])
            answer = (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else status(404)
        answer(self)

    def give(self, code: Any, body: bytes = b"", headers: Any = None, length: Any = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()


class Upstream:
    """``set(path, *answers)``: each request takes the next answer; the last one stays."""

    def __init__(self, context: Any = None) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.upstream = self
        scheme = "http"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_address[1]
        self.base = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def set(self, path: Any, *answers: Any) -> Any:
        self.answers[path] = [file(item) if isinstance(item, bytes) else item for item in answers]
        return f"{self.base}{path}"

    def count(self, path: Any = None, method: Any = "GET") -> Any:
        return sum(1 for verb, asked, _ in self.asked if verb == method and path in (None, asked))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def file(body: bytes, headers: Any = None) -> Answer:
    return lambda handler: handler.give(200, body, headers)


def status(code: Any, headers: Any = None, body: bytes = b"") -> Answer:
    return lambda handler: handler.give(code, body, headers)


def redirect(target: Any, code: Any = 302) -> Answer:
    return status(code, {"Location": target})


def page() -> Answer:
    return file(b"<!DOCTYPE html><html>Please log in</html>", {"Content-Type": "text/html"})


def encoded(body: bytes) -> Answer:
    """The bytes of a .tgz sent with the header that makes many clients unpack it."""
    return file(body, {"Content-Encoding": "gzip"})


def tgz(data: Any) -> bytes:
    return gzip.compress(data, mtime=0)


def truncated(body: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.give(200, body[: len(body) // 2], length=len(body))
        handler.close_connection = True

    return answer


def reset(body: bytes) -> Answer:
    """Half of the body, then a TCP reset instead of an end."""

    def answer(handler: Handler) -> None:
        handler.give(200, body[: len(body) // 2], length=len(body))
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()

    return answer


def without_length(body: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
        handler.close_connection = True

    return answer


def chunked(body: bytes, size: int = 1000) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(body), size):
            part = body[start : start + size]
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def slowly(body: bytes, seconds: Any, parts: Any = 20, before: Any = lambda part: None) -> Answer:
    """The body in ``parts`` over ``seconds``; ``before(part)`` is called before each."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        step = max(1, len(body) // parts)
        for number, start in enumerate(range(0, len(body), step)):
            before(number)
            handler.wfile.write(body[start : start + step])
            handler.wfile.flush()
            time.sleep(seconds / parts)

    return answer


def dripping(body: bytes, pause: float) -> Answer:
    """One byte at a time: each read ends in time, and the whole never does."""
    return slowly(body, pause * len(body), parts=len(body))


def raw(text: bytes) -> Answer:
    """Bytes on the wire that may be no HTTP at all."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(text)
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def flipped(body: bytes) -> bytes:
    """The body with one bit changed in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


class Ranged:
    """A file that can be continued; counts in ``sent`` what it sends, keeps in ``asked`` the ranges.

    ``stop``: send nothing from this offset on, until ``go`` is set. ``etag``/``modified`` may change
    between requests, and ``headers`` replaces what a right answer to a range would say.
    """

    def __init__(self, body: bytes, etag: str = '"one"', modified: str = "", stop: int = -1) -> None:
        self.body, self.etag, self.modified, self.stop = body, etag, modified, stop
        self.headers: dict[str, str] = {}
        self.honours_range = self.honours_if_range = True
        self.cut = False
        self.refuse = 0
        self.go = threading.Event()
        self.sent = 0
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, handler: Handler) -> None:
        asked = handler.headers.get("Range", "")
        condition = handler.headers.get("If-Range", "")
        self.asked.append(asked)
        if asked and self.refuse:
            handler.give(self.refuse)
            return
        same = condition in ("", self.etag, self.modified) or not self.honours_if_range
        start = int(asked[len("bytes=") : -1]) if asked and same and self.honours_range else 0
        handler.send_response(206 if start else 200)
        headers = {"Content-Length": str(len(self.body) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        headers |= {"ETag": self.etag} if self.etag else {}
        headers |= {"Last-Modified": self.modified} if self.modified else {}
        for name, value in {**headers, **(self.headers if start else {})}.items():
            handler.send_header(name, value.format(start=start, last=len(self.body) - 1))
        handler.end_headers()
        end = self.stop if start < self.stop else len(self.body)
        self._send(handler, start, end)
        if end < len(self.body) and not self.cut:
            self.go.wait(60)
            self._send(handler, end, len(self.body))
        handler.close_connection = True

    def _send(self, handler: Handler, start: int, end: int) -> None:
        for offset in range(start, end, 1 << 16):
            part = self.body[offset : min(offset + (1 << 16), end)]
            handler.wfile.write(part)
            with self._lock:
                self.sent += len(part)
        handler.wfile.flush()

"""A small HTTP server for the published release: GET and HEAD, single ranges, nothing else."""

from __future__ import annotations

import os
import re
import shutil
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from core.errors import UsageError, WorldError, disk_error
from core.files import CHUNK
from mirror.paths import path_fault

_TYPES = {
    ".html": "text/html; charset=utf-8", ".json": "application/json", ".txt": "text/plain; charset=utf-8",
    ".lock": "application/json", ".pom": "text/xml", ".jar": "application/java-archive",
    ".whl": "application/zip", ".gz": "application/gzip",
}  # fmt: skip
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Server(ThreadingHTTPServer):
    """Serves what ``root/current`` points to at each request; ``root`` itself is never reachable."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, host: str, port: int) -> None:
        self.root = root
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)


def make_server(root: Path, host: str, port: int) -> Server:
    """Return a server for the mirror at ``root``, bound and not yet running.

    Raises WorldError when nothing is published, UsageError when the address cannot be bound.
    """
    if not (root / "current" / "release.json").is_file():
        raise WorldError(f"{root}: nothing is published there", "run ./inv mirror.build")
    try:
        return Server(root, host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", "choose another --port or --host"
        ) from (disk_error(error, root) or error)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "pnda-mirror"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Say nothing: requests are not our user's business on a terminal."""

    def _answer(self, body: bool) -> None:
        found = self._find()
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with found.open("rb") as stream:
            status = os.fstat(stream.fileno())
            etag = f'"{int(status.st_mtime):x}-{status.st_size:x}"'
            if self.headers.get("If-None-Match") == etag:
                self._head(HTTPStatus.NOT_MODIFIED, {"ETag": etag})
                return
            asked = self.headers.get("Range", "")
            if self.headers.get("If-Range", etag) != etag:
                asked = ""
            span = _span(asked, status.st_size)
            if span is None:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{status.st_size}")
                return
            first, count, partial = span
            headers = {
                "Content-Length": str(count),
                "Content-Type": _TYPES.get(found.suffix, "application/octet-stream"),
                "ETag": etag,
                "Last-Modified": self.date_time_string(int(status.st_mtime)),
                "Accept-Ranges": "bytes",
            }
            if partial:
                headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{status.st_size}"
            self._head(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK, headers)
            if body:
                stream.seek(first)
                self._send(stream, count)

    def _find(self) -> Path | None:
        """Return the regular file in the present release that the request names, or None."""
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        if path == "" or path.endswith("/"):
            path += "index.html"
        if path_fault(path):
            return None
        release = (self.server.root / "current").resolve()
        found = release / path
        regular = found.is_file() and found.resolve().is_relative_to(release)
        return found if regular else None

    def _send(self, stream: BinaryIO, count: int) -> None:
        if count == os.fstat(stream.fileno()).st_size:
            shutil.copyfileobj(stream, self.wfile, CHUNK)
            return
        while count and (chunk := stream.read(min(CHUNK, count))):
            self.wfile.write(chunk)
            count -= len(chunk)

    def _head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: HTTPStatus, span: str = "") -> None:
        headers = {"Content-Length": "0"} | ({"Content-Range": span} if span else {})
        self._head(status, headers)


def _span(asked: str, size: int) -> tuple[int, int, bool] | None:
    """Return (first byte, count, is it a part) for a Range header; None when it cannot be satisfied.

    Several ranges, other units and nonsense are answered with the whole file (RFC 9110, 14.2).
    """
    match = _RANGE.fullmatch(asked.strip())
    if not match or not (match[1] or match[2]):
        return 0, size, False
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if match[2] and int(match[2]) < first:
            return 0, size, False
    else:
        first, last = max(0, size - int(match[2])), size - 1
    return (first, last - first + 1, True) if first < size and last >= first else None

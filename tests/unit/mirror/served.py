"""A published tree made by hand, a real server on it, and a way to ask."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror.serve import Limits, Server, make_server

LARGE = bytes(range(256)) * 4096 * 3  # 3 MiB


@dataclass
class Asked:
    """A running server: ``raw`` talks bytes to it, ``ask`` HTTP."""

    server: Server
    root: Path
    tls: Any
    lines: list[str]  # of the access log

    def connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.server.server_port), timeout=20)
        return self.tls.wrap_socket(plain, server_hostname="127.0.0.1") if self.tls else plain

    def raw(self, data: bytes) -> bytes:
        """Send ``data`` and return all that comes until the server closes."""
        with self.connect() as stream:
            stream.sendall(data)
            found = b""
            while chunk := stream.recv(1 << 16):
                found += chunk
        return found

    def ask(self, path: Any, method: Any = "GET", **headers: Any) -> Any:
        if self.tls:
            connection: Any = http.client.HTTPSConnection(
                "127.0.0.1", self.server.server_port, timeout=20, context=self.tls
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body


def publish(root: Path, serial: int, files: dict[str, bytes]) -> None:
    """Write a release with its list of sums and make it the current one."""
    release = root / "releases" / str(serial)
    sums = ""
    for path, body in {"release.json": b"{}\n", "index.html": b"front", **files}.items():
        target = release / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        if path != "release.json":
            sums += f"{hashlib.sha512(body).hexdigest()}  {path}\n"
    (release / "SHA512SUMS").write_text(sums)
    (root / ".new").symlink_to(f"releases/{serial}")
    (root / ".new").rename(root / "current")


@contextmanager
def running(root: Path, tls: Any = None, client: Any = None, **options: Any) -> Iterator[Asked]:
    limits = Limits(**{"connections": 600, "grace": 5.0, **options})
    lines: list[str] = []
    server = make_server(root, "127.0.0.1", 0, tls=tls, limits=limits, log=lines.append)
    faults: list[BaseException] = []

    def serve() -> None:
        try:
            server.serve_forever()
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            faults.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    asked = Asked(server, root, client, lines)
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
        assert not thread.is_alive()
        assert faults == []

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme


class Site:
    """A real HTTP server on the loopback: files under ``root``; ``answers`` overrule them by path."""

    def __init__(self, root: Path, tls: ssl.SSLContext | None = None) -> None:
        self.root = root
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path not in site.answers:
                    super().do_GET()
                    return
                code, headers, body = site.answers[self.path]
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        self.port = self.server.server_address[1]
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.uri = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"


class Authority:
    """A site's authority, its certificate in the file ``pem``, and sites with certificates by it."""

    def __init__(self, pem: Path) -> None:
        self.pem, self.authority = pem, trustme.CA()
        self.authority.cert_pem.write_to_path(str(pem))

    def site(self, root: Path, name: str, ended: bool = False) -> Site:
        """Return a site with a certificate for ``name``; not started."""
        ends = datetime.now(UTC) - timedelta(days=1) if ended else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(
            name, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=ends
        ).configure_cert(context)
        return Site(root, context)


@contextmanager
def served(made: Site) -> Iterator[Site]:
    """Serve ``made`` while the block runs."""
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join(timeout=10)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca.pem")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    with served(Site(root)) as made:
        yield made

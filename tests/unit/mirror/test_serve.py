from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError, WorldError
from mirror.certificates import CertificateRequest, issue
from mirror.privileges import give_up
from mirror.tls import server_context
from tests.unit.mirror.served import LARGE, publish, running

JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    issued = issue(CertificateRequest(("127.0.0.1",), tmp_path_factory.mktemp("tls")))
    return server_context(issued.certificate, issued.key), ssl.create_default_context(cafile=issued.ca)


@pytest.fixture(params=["http", "https"])
def served(request: Any, tmp_path: Path, contexts: Any) -> Iterator[Any]:
    publish(tmp_path, 3, {"a.bin": LARGE, "d/small.txt": b"old", "d/index.html": b"page"})
    server, client = contexts if request.param == "https" else (None, None)
    with running(tmp_path, server, client) as asked:
        yield asked


def test_a_large_file_whole_and_in_parts(served: Any) -> None:
    assert served.ask("/a.bin")[2] == LARGE
    status, head, body = served.ask("/a.bin", Range=f"bytes=100000-{len(LARGE) - 2}")
    assert (status, body) == (206, LARGE[100000:-1])
    assert head["Content-Range"] == f"bytes 100000-{len(LARGE) - 2}/{len(LARGE)}"


def test_the_tag_follows_from_the_content(served: Any, tmp_path: Path) -> None:
    tag = served.ask("/d/small.txt")[1]["ETag"]
    assert hashlib.sha512(b"old").hexdigest()[:32] in tag
    assert served.ask("/d/small.txt", If_None_Match=tag)[0] == 304
    path = tmp_path / "releases" / "3" / "d" / "small.txt"
    path.write_bytes(b"0ld")  # damaged: whoever continues a transfer must not mix the two
    os.utime(path, (5, 5))
    assert served.ask("/d/small.txt")[1]["ETag"] != tag


def test_a_serial_in_the_address_stays_what_it_was(served: Any, tmp_path: Path) -> None:
    pinned = served.ask("/d/small.txt")[1]["Content-Location"]
    publish(tmp_path, 4, {"d/small.txt": b"new"})
    (tmp_path / "releases" / "5").mkdir()
    (tmp_path / "releases" / "5" / "x.txt").write_text("not published")
    (tmp_path / "releases" / ".6.partial").mkdir()
    assert pinned == "/releases/3/d/small.txt"
    assert [served.ask(path)[2] for path in ("/d/small.txt", pinned)] == [b"new", b"old"]
    for path in (
        "/releases/5/x.txt", "/releases/5", "/releases/.6.partial/", "/releases/03/d/small.txt", "/releases/",
        "/releases/99999999999999999999/a", "/releases/%D9%A3/d/small.txt", "/releases/-1/", "/releases//",
    ):  # fmt: skip
        assert served.ask(path)[0] == 404, path
    assert served.ask("/releases/3")[1]["Location"] == "3/"
    assert served.ask("/releases/3/")[2] == b"front"


def test_a_transfer_goes_on_when_another_release_is_published(served: Any, tmp_path: Path) -> None:
    with served.connect() as stream:
        stream.sendall(b"GET /a.bin HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        found = stream.recv(1000)
        publish(tmp_path, 4, {"a.bin": b"new" * 1_000_000})
        (tmp_path / "releases" / "3" / "a.bin").unlink()
        while chunk := stream.recv(1 << 16):
            found += chunk
    assert found.partition(b"\r\n\r\n")[2] == LARGE


def test_one_connection_many_requests_sent_at_once(served: Any) -> None:
    one = b"GET /d/small.txt HTTP/1.1\r\nHost: m\r\n\r\n"
    large = b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n"
    last = b"GET /d/ HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"
    found = served.raw(one * 300 + large + one + last)
    assert found.count(b"\r\n\r\nold") == 301
    assert LARGE in found
    assert found.endswith(b"\r\n\r\npage")


def test_folders_and_missing_files(served: Any) -> None:
    status, head, _ = served.ask("/d")
    assert (status, head["Location"]) == (301, "d/")
    assert served.ask("/d/")[2] == b"page"
    status, head, body = served.ask("/none<script>")
    assert (status, head["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert b"script" not in body
    assert b"SHA512SUMS" in body
    assert served.ask("/none", "HEAD")[2] == b""


def test_the_simple_index_is_negotiated(served: Any, tmp_path: Path) -> None:
    pages = {"index.html": b"<a>", "index.json": b"{}", "x/index.html": b"<b>"}
    publish(tmp_path, 4, {f"mirror_python/simple/{name}": body for name, body in pages.items()})
    _, head, body = served.ask("/mirror_python/simple/", Accept=JSON)
    assert (body, head["Content-Type"], head["Vary"]) == (b"{}", JSON, "Accept")
    assert served.ask("/mirror_python/simple/", Accept="text/html")[2] == b"<a>"
    assert served.ask("/mirror_python/simple/x/", Accept=JSON)[2] == b"<b>"  # it has no other


def test_nonsense_is_answered_and_the_connection_ends(served: Any) -> None:
    assert served.raw(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert served.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 20000).startswith(b"HTTP/1.1 431 ")
    smuggled = (
        b"GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 30\r\n\r\nGET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n"
    )
    assert served.raw(smuggled).count(b"HTTP/1.1 ") == 1
    assert served.ask("/d/small.txt")[2] == b"old"


def test_the_log_has_a_line_a_request(served: Any) -> None:
    served.raw(b'GET /"x\\" HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n')
    served.ask("/d/small.txt")
    assert served.lines[0].startswith("127.0.0.1 - - [")
    assert served.lines[0].endswith('] "GET /\\"x\\\\\\" HTTP/1.1" 404 0')
    assert served.lines[1].endswith('"GET /d/small.txt HTTP/1.1" 200 3')


def test_two_hundred_clients_at_once_in_places_for_ten(tmp_path: Path, contexts: Any) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE})
    bodies: list[str] = []
    with running(tmp_path, connections=10) as asked:

        def client() -> None:
            bodies.append(hashlib.sha256(asked.ask("/a.bin")[2]).hexdigest())

        threads = [threading.Thread(target=client) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert bodies == [hashlib.sha256(LARGE).hexdigest()] * 200


def test_those_who_send_no_head_give_way_to_those_who_do(tmp_path: Path) -> None:
    publish(tmp_path, 1, {"a.txt": b"a"})
    with running(tmp_path, connections=10) as asked:
        slow = [asked.connect() for _ in range(30)]
        for stream in slow[:10]:
            stream.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert asked.ask("/a.txt")[2] == b"a"
        for stream in slow:
            stream.close()


def test_those_who_begin_no_handshake_give_way(tmp_path: Path, contexts: Any) -> None:
    publish(tmp_path, 1, {"a.txt": b"a"})
    with running(tmp_path, *contexts, connections=5) as asked:
        slow = [socket.create_connection(("127.0.0.1", asked.server.server_port)) for _ in range(10)]
        assert asked.ask("/a.txt")[2] == b"a"
        for stream in slow:
            stream.close()


def test_a_stop_lets_a_transfer_end(tmp_path: Path) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE * 8})
    with running(tmp_path, grace=30) as asked:
        with asked.connect() as stream, asked.connect() as idle:
            stream.sendall(b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n")
            found = stream.recv(1000)
            stop = threading.Thread(target=asked.server.shutdown)
            stop.start()
            assert idle.recv(10) == b""  # who waits is sent home
            while chunk := stream.recv(1 << 16):
                found += chunk
            stop.join(30)
        assert found.partition(b"\r\n\r\n")[2] == LARGE * 8
        with pytest.raises(ConnectionRefusedError):
            asked.connect()


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE * 8})
    with running(tmp_path, grace=0.2) as asked, asked.connect() as stream:
        stream.sendall(b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n")
        stream.recv(1000)
        asked.server.shutdown()
        found = 0
        try:
            while chunk := stream.recv(1 << 20):
                found += len(chunk)
        except ConnectionResetError:
            pass
    assert found < len(LARGE) * 8


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_takes_nothing_is_cut_off(tmp_path: Path, contexts: Any, scheme: str) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE * 16})
    both = contexts if scheme == "https" else (None, None)
    with running(tmp_path, *both, stalled=0.5) as asked, asked.connect() as stream:
        stream.sendall(b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n")
        stream.recv(100)
        _until(lambda: not asked.server.connections)
        with contextlib.suppress(OSError):  # what was in the kernel comes, and no more
            found = 0
            while chunk := stream.recv(1 << 16):
                found += len(chunk)
            assert found < len(LARGE) * 16


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: m\r\n", b"GET / HTTP/1.1\r\nHost: m\r\n\r\n"]
)
def test_who_sends_nothing_more_is_sent_home(tmp_path: Path, sent: bytes) -> None:
    publish(tmp_path, 4, {})
    with running(tmp_path, head=0.3) as asked, asked.connect() as stream:
        stream.sendall(sent)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := stream.recv(1 << 16):
                found += chunk
        assert found.endswith(b"front") or not sent.endswith(b"\r\n\r\n")
        _until(lambda: not asked.server.connections)


def test_small_answers_that_nobody_takes_do_not_pile_up(tmp_path: Path) -> None:
    publish(tmp_path, 1, {"a.bin": bytes(60_000)})
    with running(tmp_path, head=1.0) as asked, asked.connect() as stream:
        stream.settimeout(2)
        request = b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n" * 100
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 100_000_000:
                sent += stream.send(request)
        assert sent < 100_000_000  # the server stopped to read, then ended it
        _until(lambda: not asked.server.connections)


def test_a_current_that_vanishes_or_is_nonsense(tmp_path: Path) -> None:
    publish(tmp_path, 1, {"a.txt": b"a"})
    with running(tmp_path) as asked:
        (tmp_path / "current").unlink()
        assert [asked.ask(path)[0] for path in ("/", "/a.txt", "/releases/1/a.txt")] == [404, 404, 404]
        (tmp_path / "current").symlink_to("releases/1/../../..")
        assert asked.ask("/a.txt")[0] == 404
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to("releases/1")
        assert asked.ask("/a.txt")[2] == b"a"
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "1")
    with pytest.raises(WorldError, match="does not point to a release"), running(tmp_path):
        pass


def test_a_certificate_for_another_host_is_not_shown_as_ours(contexts: Any, tmp_path: Path) -> None:
    publish(tmp_path, 1, {})
    server, client = contexts
    with running(tmp_path, server, client) as asked:
        plain = socket.create_connection(("127.0.0.1", asked.server.server_port), timeout=20)
        with plain, pytest.raises(ssl.SSLCertVerificationError):
            client.wrap_socket(plain, server_hostname="other.site")
        # And plain HTTP, sent to it by mistake, harms nobody.
        with socket.create_connection(("127.0.0.1", asked.server.server_port), timeout=20) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.recv(100)
        assert asked.ask("/")[2] == b"front"


def test_unreadable_root_unknown_user_and_odd_ports_are_said(tmp_path: Path) -> None:
    from mirror.serve import make_server

    publish(tmp_path, 1, {})
    with pytest.raises(UsageError, match="no user"):
        make_server(tmp_path, "127.0.0.1", 0, user="nobody-of-this-name")
    with pytest.raises(UsageError, match="cannot listen"):
        make_server(tmp_path, "127.0.0.1", 70000)
    with pytest.raises(UsageError, match="cannot listen"):
        make_server(tmp_path, "no.such.host.invalid", 0)
    with pytest.raises(WorldError, match="nothing is published"):
        make_server(tmp_path / "none", "127.0.0.1", 0)


def test_who_is_not_root_becomes_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert give_up("") == "12345"
    with pytest.raises(UsageError, match="only root"):
        give_up("nobody")


def test_closed_connections_leave_nothing_behind(tmp_path: Path) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE})
    with running(tmp_path) as asked:
        asked.ask("/a.bin")
        _until(lambda: not asked.server.connections)
        before = _handles()
        for _ in range(20):
            with asked.connect() as stream:
                stream.sendall(b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n")
                stream.recv(10)
            asked.ask("/none")
            asked.ask("/d", "HEAD")
        _until(lambda: not asked.server.connections and _handles() <= before)
        assert not asked.server.waiting


def test_a_stop_does_not_wait_for_a_client_that_never_closes(tmp_path: Path, contexts: Any) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE})
    with running(tmp_path, *contexts, grace=0.2) as asked, asked.connect() as stream:
        stream.sendall(b"GET /release.json HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        assert stream.recv(1000)
        asked.server.shutdown()
        assert not asked.server.connections


def test_with_tls_too_who_has_gone_is_forgotten(tmp_path: Path, contexts: Any) -> None:
    publish(tmp_path, 1, {"a.bin": LARGE * 20})
    request = b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n"
    with running(tmp_path, *contexts) as asked:
        for more in (b"", request, request * 3000):
            stream = asked.connect()
            stream.sendall(request)
            stream.recv(100)
            with contextlib.suppress(OSError):
                stream.sendall(more)
            stream.close()  # without a word of TLS
        _until(lambda: not asked.server.connections)


SENT = [
    b"GET /a.bin HTTP/1.1\r\nHost: m\r\n\r\n",
    b"GET /d/small.txt HTTP/1.1\r\nHost: m\r\nRange: bytes=1-100\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n",
    b"GET /releases/3/../3/%2e HTTP/1.1\r\nHost: m\r\n\r\n",
    b"GET /d HTTP/1.1\r\nHost: m\r\nAccept: application/vnd.pypi.simple.v1+json;q=1.0\r\n\r\n",
]


def _abuse(served: Any, chance: random.Random) -> None:
    """Send some requests, most of them damaged, in pieces, and leave in one of several ways."""
    data = bytearray(b"".join(chance.choices(SENT, k=chance.randint(1, 20))))
    for _ in range(chance.choice((0, 1, 8))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    with contextlib.suppress(OSError), served.connect() as stream:
        stream.settimeout(0.5)
        size = chance.randint(20, 600)
        for start in range(0, len(data), size):
            stream.sendall(data[start : start + size])
        way = chance.randrange(4)
        if way > 0:
            stream.recv(chance.randint(1, 1 << 20))
        if way == 2:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if way == 3:
            stream.shutdown(socket.SHUT_WR)
            stream.recv(1000)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_abuse_leaves_is_a_server_that_serves(
    tmp_path: Path, contexts: Any, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, 3, {"a.bin": LARGE, "d/small.txt": b"old", "d/index.html": b"page"})
    both = contexts if scheme == "https" else (None, None)
    with running(tmp_path, *both, head=0.5, stalled=0.5, connections=20) as served:

        def client(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(20):
                _abuse(served, chance)

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        _until(lambda: not served.server.connections)
        assert not served.server.waiting
        assert served.ask("/a.bin")[2] == LARGE
    assert capsys.readouterr().err == ""


def _handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)

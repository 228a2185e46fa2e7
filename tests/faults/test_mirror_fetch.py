from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from core.errors import PndaError, UpstreamError, WorldError
from mirror.fetch import Fetched, Fetcher, Wanted
from mirror.locations import Location
from mirror.manners import Policy
from tests.faults.upstream import (
    Upstream,
    chunked,
    dripping,
    encoded,
    file,
    flipped,
    page,
    raw,
    redirect,
    reset,
    slowly,
    status,
    tgz,
    truncated,
    without_length,
)

BODY = tgz(bytes(range(256)) * 400)
DIGESTS = {"sha256": hashlib.sha256(BODY).hexdigest(), "sha512": hashlib.sha512(BODY).hexdigest()}
QUICK = Policy(attempts=3, base=0.01, longest_wait=1.5, connect=2, read=2)

IMPATIENT = Policy(2, 0.01, 1.0, 1, 1, slowest=1000, window=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    path = tmp_path / "fetched"
    path.mkdir()
    return path


@pytest.fixture(params=["in memory", "to the disk"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bytes are while they come: a small file's in memory, a larger one's on the disk."""
    if request.param == "to the disk":
        monkeypatch.setattr("mirror.fetch.HELD", -1)


SIZE = len(BODY)


def fetch(folder: Path, *urls: Any, size: int = SIZE, digests: Any = DIGESTS, policy: Any = QUICK) -> Fetched:
    fetcher = Fetcher(folder, policy)
    return fetcher.download(Wanted("x.tgz", [Location(url) for url in urls], size, digests))


def date_in(seconds: float) -> str:
    """An HTTP date that many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


RIGHT: dict[str, list[Any]] = {
    "plain": [BODY],
    "Content-Encoding on a tgz": [encoded(BODY)],
    "chunked": [chunked(BODY)],
    "no length": [without_length(BODY)],
    "slow": [slowly(BODY, 0.5)],
    "busy, then there": [status(503), BODY],
    "429 with seconds": [status(429, {"Retry-After": "0"}), BODY],
    "429 with a date": [status(429, {"Retry-After": date_in(-5)}), BODY],
    "500, then there": [status(500), status(502), BODY],
    "500 with seconds": [status(500, {"Retry-After": "1"}), BODY],
    "503 with seconds": [status(503, {"Retry-After": "0"}), BODY],
    "503 with a date": [status(503, {"Retry-After": date_in(-86400)}), BODY],
    "no answer, then there": [raw(b""), BODY],
    "Retry-After in no digits of ours": [status(503, {"Retry-After": "\xb2"}), BODY],
    "nonsense Retry-After": [status(503, {"Retry-After": "soon"}), BODY],
    "reset twice": [reset(BODY), reset(BODY), BODY],
    "cut short once": [truncated(BODY), BODY],
}  # fmt: skip


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("case", RIGHT)
def test_the_right_bytes_come_through(upstream: Upstream, folder: Path, case: str) -> None:
    done = fetch(folder, upstream.set("/x.tgz", *RIGHT[case]))
    assert done.path.read_bytes() == BODY
    assert done.digests.sha512 == DIGESTS["sha512"]
    assert list(folder.iterdir()) == [done.path]


WRONG: dict[str, tuple[list[Any], type[PndaError], str]] = {
    "one flipped bit": ([flipped(BODY)], WorldError, "sha256"),
    "too long": ([BODY + b"x"], WorldError, "more than"),
    "too short, length agrees": ([BODY[:-1]], WorldError, "size"),
    "too short, no length": ([without_length(BODY[:-1])], WorldError, "size"),
    "login page": ([page()], WorldError, "web page"),
    "always cut short": ([truncated(BODY)], UpstreamError, "broke off"),
    "always reset": ([reset(BODY)], UpstreamError, "broke off"),
    "not there": ([status(404)], UpstreamError, "not published"),
    "gone": ([status(410)], UpstreamError, "not published"),
    "always 500": ([status(500)], UpstreamError, "HTTP 500"),
    "always 429": ([status(429)], UpstreamError, "HTTP 429"),
    "refused": ([status(403)], UpstreamError, "HTTP 403"),
    "wants a password": ([status(401)], UpstreamError, "HTTP 401"),
    "asks for too long a wait": ([status(503, {"Retry-After": "86400"}), BODY], UpstreamError, "too long"),
    "asks by date for too long a wait": (
        [status(503, {"Retry-After": date_in(86400)}), BODY],
        UpstreamError,
        "too long",
    ),
    "asks with a number beyond all bounds": (
        [status(429, {"Retry-After": "9" * 400}), BODY],
        UpstreamError,
        "too long",
    ),
    "not there, and asks to wait": (
        [status(404, {"Retry-After": "0"}), BODY],
        UpstreamError,
        "not published",
    ),
    "a longer length than the file": (
        [raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(BODY) + 9) + BODY)],
        UpstreamError,
        "broke off",
    ),
    "a length below none": ([raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc")], WorldError, "size 3"),
    "part of a file": (
        [status(206, {"Content-Range": f"bytes 0-9/{len(BODY)}"}, BODY)],
        UpstreamError,
        "206",
    ),
    "no content": ([status(204)], UpstreamError, "204"),
    "stalls": ([slowly(BODY, 60, parts=2)], UpstreamError, "broke off"),
    "drips": ([dripping(BODY, 0.02)], UpstreamError, "bytes came in"),
    "empty": ([b""], WorldError, "size 0"),
    "no HTTP": ([raw(b"SSH-2.0-x\r\n")], UpstreamError, "tries"),
    "hangs up": ([raw(b"")], UpstreamError, "tries"),
    "headers without end": ([raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500)], UpstreamError, "tries"),
    "two lengths": (
        [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc")],
        UpstreamError,
        "InvalidHeader",
    ),
    "broken chunks": (
        [raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n")],
        UpstreamError,
        "broke off",
    ),
    "a range that nobody asked for": (
        [raw(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc")],
        UpstreamError,
        "206",
    ),
    "a redirect to nowhere": ([status(302)], UpstreamError, "redirects"),
}


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_an_error_and_leaves_nothing(upstream: Upstream, folder: Path, case: str) -> None:
    answers, kind, words = WRONG[case]
    with pytest.raises(kind) as caught:
        fetch(folder, upstream.set("/x.tgz", *answers), policy=IMPATIENT)
    assert words in caught.value.message
    assert "x.tgz" in caught.value.message
    assert caught.value.cure
    assert list(folder.iterdir()) == []


def test_a_wrong_digest_names_both_digests(upstream: Upstream, folder: Path) -> None:
    with pytest.raises(WorldError) as caught:
        fetch(folder, upstream.set("/x.tgz", flipped(BODY)))
    assert DIGESTS["sha256"] in caught.value.message
    assert hashlib.sha256(flipped(BODY)).hexdigest() in caught.value.message


def test_another_source_is_tried_after_wrong_bytes_and_silence(upstream: Upstream, folder: Path) -> None:
    urls = [
        upstream.set("/absent/x.tgz", status(404)),
        upstream.set("/wrong/x.tgz", flipped(BODY)),
        "http://127.0.0.1:9/x.tgz",
        upstream.set("/right/x.tgz", BODY),
    ]
    assert fetch(folder, *urls, policy=Policy(1, 0.01, 1, 1, 1)).path.read_bytes() == BODY
    assert len(list(folder.iterdir())) == 1


def test_a_wrong_digest_is_not_asked_for_again_at_the_same_source(upstream: Upstream, folder: Path) -> None:
    with pytest.raises(WorldError):
        fetch(folder, upstream.set("/x.tgz", flipped(BODY)))
    assert upstream.count("/x.tgz") == 1


def test_wrong_bytes_are_asked_of_one_other_source_and_of_no_third(upstream: Upstream, folder: Path) -> None:
    urls = [upstream.set(f"/{number}/x.tgz", flipped(BODY)) for number in (1, 2)]
    third = upstream.set("/3/x.tgz", BODY)
    with pytest.raises(WorldError) as caught:
        fetch(folder, *urls, third)
    assert "/1/x.tgz" in caught.value.message
    assert "/2/x.tgz" in caught.value.message
    assert upstream.count("/3/x.tgz") == 0
    assert list(folder.iterdir()) == []


def test_a_host_is_asked_for_no_more_at_a_time_than_allowed(upstream: Upstream, folder: Path) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def answer(handler: Any) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        handler.give(200, BODY)

    place = Location(upstream.set("/x.tgz", answer))
    fetcher = Fetcher(folder, Policy(per_host=3))
    with ThreadPoolExecutor(9) as pool:
        wanted = Wanted("x.tgz", [place], len(BODY), DIGESTS)
        done = list(pool.map(lambda _: fetcher.download(wanted), range(18)))
    assert len({item.path for item in done}) == 18
    assert most[0] == 3


def test_a_connection_is_used_again(upstream: Upstream, folder: Path) -> None:
    """A thread that fetches many files connects once: on a long line that is most of the time."""
    ports = set()

    def answer(handler: Any) -> None:
        ports.add(handler.client_address[1])
        handler.give(200, BODY)

    fetcher = Fetcher(folder, QUICK)
    for _ in range(5):
        fetcher.download(Wanted("x.tgz", [Location(upstream.set("/x.tgz", answer))], len(BODY), DIGESTS))
    assert len(ports) == 1


def test_a_proxy_is_used_and_its_password_stays_secret(upstream: Upstream, folder: Path) -> None:
    url = "http://files.invalid/x.tgz"
    proxies = {"http": upstream.base.replace("//", "//me:secret@")}
    upstream.answers[url] = [file(BODY), status(502)]
    place = Location(url, proxies=proxies)
    wanted = Wanted("x.tgz", [place], len(BODY), DIGESTS)
    assert Fetcher(folder, QUICK).download(wanted).path.read_bytes() == BODY
    assert upstream.asked[0][2]["Proxy-Authorization"].startswith("Basic ")
    with pytest.raises(UpstreamError) as caught:
        Fetcher(folder, QUICK).download(wanted)
    assert "secret" not in str(caught.value)


def test_a_redirect_is_followed_and_a_loop_is_not(upstream: Upstream, folder: Path) -> None:
    upstream.set("/real.tgz", BODY)
    assert fetch(folder, upstream.set("/x.tgz", redirect("/real.tgz", 307))).path.read_bytes() == BODY
    with pytest.raises(UpstreamError) as caught:
        fetch(folder, upstream.set("/loop", redirect("/loop")))
    assert "redirects" in caught.value.message
    assert upstream.count("/loop") < 10


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[broken"])
def test_a_redirect_to_another_scheme_is_refused(upstream: Upstream, folder: Path, target: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        fetch(folder, upstream.set("/x.tgz", redirect(target)))
    assert "sends us to" in caught.value.message or "redirects to nonsense" in caught.value.message
    assert list(folder.iterdir()) == []


def test_credentials_go_to_their_own_host_only_and_into_no_message(upstream: Upstream, folder: Path) -> None:
    other = Upstream()
    try:
        upstream.set("/x.tgz", redirect(other.set("/x.tgz", status(403))))
        place = Location(f"{upstream.base}/x.tgz", auth=("me", "secret"))
        with pytest.raises(UpstreamError) as caught:
            Fetcher(folder, QUICK).download(Wanted("x.tgz", [place], len(BODY), DIGESTS))
        assert "secret" not in str(caught.value)
        assert "Authorization" in upstream.asked[0][2]
        assert "Authorization" not in other.asked[0][2]
    finally:
        other.close()


def test_a_netrc_is_honoured(
    upstream: Upstream, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fetch(folder, upstream.set("/x.tgz", BODY))
    assert upstream.asked[0][2]["Authorization"].startswith("Basic ")


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Any]:
    """A server with a certificate for 127.0.0.1 by an authority of our own, and that one's bundle."""
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = Upstream(context)
    yield server, str(bundle)
    server.close()


def test_a_private_authority_works_when_named_and_is_refused_otherwise(tls: Any, folder: Path) -> None:
    server, bundle = tls
    url = server.set("/x.tgz", BODY)
    named = Location(url, verify=bundle)
    done = Fetcher(folder, QUICK).download(Wanted("x.tgz", [named], len(BODY), DIGESTS))
    assert done.path.read_bytes() == BODY
    with pytest.raises(UpstreamError) as caught:
        fetch(folder, url)
    assert "certificate" in caught.value.message


@pytest.mark.parametrize("fault", ["another name", "expired", "not valid yet"])
def test_a_certificate_of_the_named_authority_can_still_be_wrong(
    tmp_path: Path, folder: Path, fault: Any
) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    day, now = timedelta(days=1), datetime.now(UTC)
    certificate = {
        "another name": lambda: authority.issue_cert("files.invalid"),
        "expired": lambda: authority.issue_cert("127.0.0.1", not_before=now - 9 * day, not_after=now - day),
        "not valid yet": lambda: authority.issue_cert("127.0.0.1", not_before=now + day),
    }[fault]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    server = Upstream(context)
    try:
        place = Location(server.set("/x.tgz", BODY), verify=str(bundle))
        with pytest.raises(UpstreamError) as caught:
            Fetcher(folder, QUICK).download(Wanted("x.tgz", [place], len(BODY), DIGESTS))
        assert "certificate" in caught.value.message
        assert server.asked == []
        assert list(folder.iterdir()) == []
    finally:
        server.close()


def test_https_never_leads_to_http(tls: Any, upstream: Upstream, folder: Path) -> None:
    server, bundle = tls
    url = server.set("/x.tgz", redirect(upstream.set("/x.tgz", BODY)))
    with pytest.raises(UpstreamError) as caught:
        Fetcher(folder, QUICK).download(Wanted("x.tgz", [Location(url, verify=bundle)], len(BODY), DIGESTS))
    assert "from https to http" in caught.value.message
    assert upstream.asked == []


def test_a_short_document_has_a_limit(upstream: Upstream, folder: Path) -> None:
    fetcher = Fetcher(folder, QUICK)
    place = Location(upstream.set("/x.sha1", file(b"a" * 1000)))
    assert fetcher.text(place, 1000) == ("a" * 1000, "")
    with pytest.raises(UpstreamError):
        fetcher.text(place, 999)
    assert fetcher.text(Location(upstream.base + "/none"), 10) is None

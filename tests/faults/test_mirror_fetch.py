from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from core.errors import PndaError, UpstreamError, WorldError
from mirror.fetch import Fetched, Fetcher, Policy, Wanted
from mirror.locations import Location
from tests.faults.upstream import (
    Upstream,
    chunked,
    encoded,
    file,
    flipped,
    page,
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


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    path = tmp_path / "fetched"
    path.mkdir()
    return path


SIZE = len(BODY)


def fetch(folder: Path, *urls: Any, size: int = SIZE, digests: Any = DIGESTS, policy: Any = QUICK) -> Fetched:
    fetcher = Fetcher(folder, policy)
    return fetcher.download(Wanted("x.tgz", [Location(url) for url in urls], size, digests))


RIGHT: dict[str, list[Any]] = {
    "plain": [BODY],
    "Content-Encoding on a tgz": [encoded(BODY)],
    "chunked": [chunked(BODY)],
    "no length": [without_length(BODY)],
    "slow": [slowly(BODY, 0.5)],
    "busy, then there": [status(503), BODY],
    "429 with seconds": [status(429, {"Retry-After": "0"}), BODY],
    "503 with a date": [
        status(503, {"Retry-After": format_datetime(datetime.now(UTC) - timedelta(1), usegmt=True)}), BODY
    ],
    "nonsense Retry-After": [status(503, {"Retry-After": "soon"}), BODY],
    "reset twice": [reset(BODY), reset(BODY), BODY],
    "cut short once": [truncated(BODY), BODY],
}  # fmt: skip


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
    "part of a file": (
        [status(206, {"Content-Range": f"bytes 0-9/{len(BODY)}"}, BODY)],
        UpstreamError,
        "206",
    ),
    "no content": ([status(204)], UpstreamError, "204"),
    "stalls": ([slowly(BODY, 60, parts=2)], UpstreamError, "broke off"),
}


@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_an_error_and_leaves_nothing(upstream: Upstream, folder: Path, case: str) -> None:
    answers, kind, words = WRONG[case]
    with pytest.raises(kind) as caught:
        fetch(folder, upstream.set("/x.tgz", *answers), policy=Policy(2, 0.01, 1.0, 1, 1))
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


def test_a_redirect_is_followed_and_a_loop_is_not(upstream: Upstream, folder: Path) -> None:
    upstream.set("/real.tgz", BODY)
    assert fetch(folder, upstream.set("/x.tgz", redirect("/real.tgz", 307))).path.read_bytes() == BODY
    with pytest.raises(UpstreamError) as caught:
        fetch(folder, upstream.set("/loop", redirect("/loop")))
    assert "redirects" in caught.value.message
    assert upstream.count("/loop") < 10


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[broken"])
def test_a_redirect_to_another_scheme_is_refused(upstream: Upstream, folder: Path, target: Any) -> None:
    with pytest.raises(UpstreamError):
        fetch(folder, upstream.set("/x.tgz", redirect(target)))
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

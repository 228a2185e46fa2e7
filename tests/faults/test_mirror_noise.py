"""Answers broken in ways nobody thought of: the right bytes, or an error of ours and nothing left."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import UpstreamError, WorldError
from mirror.fetch import Fetcher, Wanted
from mirror.locations import Location
from mirror.manners import Policy
from tests.faults.upstream import Upstream, raw
from tests.fullness import examples

BODY = bytes(range(256)) * 2
DIGESTS = {"sha256": hashlib.sha256(BODY).hexdigest()}
HASTY = Policy(attempts=2, base=0.001, longest_wait=0.01, connect=1, read=0.3)

STATUS = st.sampled_from([
    "200 OK", "206 Partial Content", "301 Moved", "302 Found", "404 No", "416 No", "429 Wait", "503 Wait",
    "100 Continue", "101 Switching", "204 None", "304 Same", "999 ?", "-1 x", "20 x", "2000 x", "abc", "",
])  # fmt: skip
WILD = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([
            "Content-Length", "Content-Range", "Transfer-Encoding", "Content-Encoding", "Location",
            "Retry-After",
            "ETag", "Last-Modified", "Date", "Connection", "Content-Type", "Set-Cookie", "X", "",
        ]),
        WILD
        | st.sampled_from([
            "512", "511", "513", "-1", "0", "1e3", "512, 512", "0x200", "\xb2", "9" * 30, "chunked", "gzip",
            "identity", "chunked, gzip", "bytes 0-511/512", "bytes */*", "/x", "//", "http://", "http://[",
            "http://h:x/", "http://127.0.0.1:0/", "file:///etc/passwd",
            "\xe9", '"tag"', "close", "keep-alive",
            "Thu, 01 Jan 1970 00:00:00 +99999999999", "text/html; charset=\xb2",
        ]),
    ),
    max_size=6,
)  # fmt: skip
BODIES = st.binary(max_size=40) | st.sampled_from(
    [
        BODY,
        BODY[:-1],
        BODY + b"x",
        b"200\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nx",
        b"-1\r\n",
    ]
)


def answer(version: str, status: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{version} {status}\r\n{head}\r\n".encode("latin-1") + body


ANSWERS = st.binary(max_size=60) | st.builds(
    answer, st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/9.9", "ICY", ""]), STATUS, FIELDS, BODIES
)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    made = Upstream()
    yield made
    made.close()


@given(ANSWERS)
@example(answer("HTTP/1.1", "200 OK", [("Content-Length", "\xb2")], BODY))
@example(answer("HTTP/1.1", "503 Wait", [("Retry-After", "\xb2")], b""))
@example(answer("HTTP/1.1", "302 Found", [("Location", "http://h:x/")], b""))
@example(answer("HTTP/1.1", "200 OK", [("Transfer-Encoding", "chunked")], b"ffffffffffffffffff\r\nx"))
@settings(
    max_examples=examples(150, 5000),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_answer_is_the_right_bytes_or_an_error_of_ours(server: Any, sent: bytes) -> None:
    server.set("/x", raw(sent))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = Wanted("x", [Location(f"{server.base}/x")], len(BODY), DIGESTS)
        try:
            done = Fetcher(folder, HASTY).download(wanted)
        except (UpstreamError, WorldError) as error:
            assert "x" in error.message  # noqa: PT017 - both outcomes are judged
            assert error.cure  # noqa: PT017
            assert list(folder.iterdir()) == []
            return
        assert done.path.read_bytes() == BODY


@given(ANSWERS)
@settings(
    max_examples=examples(60, 2000),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_answer_is_a_short_document_or_an_error_of_ours(server: Any, sent: bytes) -> None:
    server.set("/x.sha1", raw(sent))
    fetcher = Fetcher(Path(tempfile.gettempdir()), HASTY)
    try:
        found = fetcher.text(Location(f"{server.base}/x.sha1"), 100)
    except UpstreamError as error:
        assert error.cure  # noqa: PT017
        return
    assert found is None or len(found[0].encode()) <= 100

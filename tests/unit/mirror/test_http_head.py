from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import http_answer
from mirror.http_head import Head, RequestError, parse
from mirror.published import Found

GET = b"GET /a%20b?x#y HTTP/1.1\r\nHost: m\r\nAccept:  text/html \r\nACCEPT: */*"


def test_a_plain_head() -> None:
    head = parse(GET)
    assert (head.method, head.path, head.keep) == ("GET", "/a b", True)
    assert head.fields["accept"] == "text/html, */*"
    assert parse(b"GET http://m:80/x?y HTTP/1.1\r\nHost: m").path == "/x"
    assert not parse(b"GET / HTTP/1.0").keep
    assert not parse(b"GET / HTTP/1.1\r\nHost: m\r\nConnection: foo, Close").keep


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400), (b"GET /", 400), (b"GET / HTTP/2.0\r\nHost: m", 400),
        (b"GET  / HTTP/1.1\r\nHost: m", 400),
        (b"GET / HTTP/1.1", 400), (b"GET / HTTP/1.1\r\nHost: m\r\nHost: m", 400),
        (b"GET / HTTP/1.1\r\nHost : m", 400), (b"GET / HTTP/1.1\r\nHost: m\r\n folded", 400),
        (b"GET / HTTP/1.1\r\nHost: m\nX: y", 400), (b"GET / HTTP/1.1\r\nHost: m\x00", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: m", 400), (b"get / HTTP/1.1\r\nHost: m", 400),
        (b"GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 5", 413),
        (b"GET / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked", 413),
        (b"POST / HTTP/1.1\r\nHost: m", 405), (b"BREW / HTTP/1.1\r\nHost: m", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    ],
)  # fmt: skip
def test_what_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(RequestError) as error:
        parse(raw)
    assert error.value.status == status


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert parse(raw).method in ("GET", "HEAD")


@given(st.binary(max_size=60))
def test_any_field_value_is_a_request_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(RequestError):
        head = parse(b"GET / HTTP/1.1\r\nHost: m\r\nRange: " + raw + b"\r\nIf-Modified-Since: " + raw)
        answer = http_answer.of_file(head, _found(100), True, "now")
        assert answer.status in (200, 206, 304, 416)
        assert 0 <= answer.first <= answer.first + answer.count <= 100


def _found(size: int, path: str = "a", pinned: bool = False) -> Found:
    return Found(path, "7", pinned, -1, size, 1000, '"tag-3e8"')


@given(st.text(alphabet="bytes=-,0123456789 ", max_size=24), st.integers(0, 20))
def test_a_range_is_inside_the_file_or_not_one(asked: str, size: int) -> None:
    answer = http_answer.of_file(_get(range=f"bytes={asked}"), _found(size), True, "now")
    assert answer.status in (200, 206, 416)
    if answer.status == 200:
        assert (answer.first, answer.count) == (0, size)
    if answer.status == 206:
        assert 0 <= answer.first < size
        assert 1 <= answer.count <= size - answer.first


def _get(**fields: str) -> Head:
    return Head("GET", "/a", "/a", {k.replace("_", "-"): v for k, v in fields.items()}, True)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": '"tag-3e8"'}, 304), ({"if_none_match": 'W/"x", "tag-3e8"'}, 304),
        ({"if_none_match": "*"}, 304), ({"if_none_match": '"tag"'}, 200),
        ({"if_modified_since": "Thu, 01 Jan 1970 00:16:40 GMT"}, 304),
        # A rollback publishes content whose date is earlier than what the client has.
        ({"if_modified_since": "Thu, 01 Jan 1970 00:16:41 GMT"}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_none_match": '"x"', "if_modified_since": "Thu, 01 Jan 1970 00:16:40 GMT"}, 200),
        ({"range": "bytes=1-2", "if_range": '"tag-3e8"'}, 206),
        ({"range": "bytes=1-2", "if_range": "Thu, 01 Jan 1970 00:16:40 GMT"}, 206),
        ({"range": "bytes=1-2", "if_range": "Thu, 01 Jan 1970 00:16:41 GMT"}, 200),
        ({"range": "bytes=1-2", "if_range": 'W/"tag-3e8"'}, 200),
        ({"range": "bytes=99999999999999999999-"}, 200), ({"range": "bytes=100-"}, 416),
    ],
)  # fmt: skip
def test_conditions(fields: Any, status: int) -> None:
    assert http_answer.of_file(_get(**fields), _found(100), True, "now").status == status


def test_what_a_release_holds_is_immutable_and_what_is_current_is_asked_for_again() -> None:
    pinned = http_answer.of_file(_get(), _found(1, pinned=True), True, "now").head
    assert b"Cache-Control: public, max-age=31536000, immutable\r\n" in pinned
    assert b"Content-Location" not in pinned
    current = http_answer.of_file(_get(), _found(1, path="p/a+b~1.deb"), True, "now").head
    assert b"Cache-Control: no-cache\r\nContent-Location: /releases/7/p/a+b~1.deb\r\n" in current


PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"


@pytest.mark.parametrize(
    ("path", "accept", "json"),
    [
        ("/mirror_python/simple/", PIP, True), ("/mirror_python/simple/x/", PIP, True),
        ("/releases/3/mirror_python/simple/x/", PIP, True),
        ("/mirror_python/simple/x/y/", PIP, False), ("/mirror_python/simple/x", PIP, False),
        ("/mirror_apps/", PIP, False), ("/mirror_python/simple/", "text/html", False),
        ("/mirror_python/simple/", "*/*", False), ("/mirror_python/simple/", "", False),
        ("/mirror_python/simple/", "application/vnd.pypi.simple.latest+json", True),
        ("/mirror_python/simple/", "application/vnd.pypi.simple.v1+json;q=0", False),
        ("/mirror_python/simple/", "application/vnd.pypi.simple.v1+json;q=nan, text/html", False),
        ("/mirror_python/simple/", "application/vnd.pypi.simple.v1+json;q=0.2, text/html;q=0.3", False),
    ],
)  # fmt: skip
def test_the_index_as_json_is_for_those_who_prefer_it(path: str, accept: str, json: bool) -> None:
    assert http_answer.wants_simple_json(path, accept) is json


def test_types() -> None:
    assert http_answer.content_type("mirror_python/simple/x/index.json") == http_answer.SIMPLE_JSON
    assert http_answer.content_type("sbom.cdx.json") == "application/json"
    assert http_answer.content_type("mirror_deb/dists/bookworm/InRelease").startswith("text/plain")
    assert http_answer.content_type("a/b.jar.sha1").startswith("text/plain")
    assert http_answer.content_type("a/unknown") == "application/octet-stream"

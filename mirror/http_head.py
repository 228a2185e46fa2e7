"""The head of an HTTP request, parsed strictly: GET and HEAD without a body are all that a mirror needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

LIMIT = 16384  # bytes of a whole head; pip, Maven and apt send under 1 kB
_LINE = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]{1,4096}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_KNOWN = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")


@dataclass(frozen=True)
class Head:
    """A request: ``target`` as it was sent (visible ASCII), ``path`` decoded, fields by lower-case name."""

    method: str
    target: str
    path: str
    fields: Mapping[str, str]
    keep: bool  # whether the connection may be used again


class RequestError(Exception):
    """A request that cannot be answered as asked; ``status`` says why. The connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def parse(raw: bytes) -> Head:
    """Parse ``raw``, a head without the empty line that ends it (RFC 9112, read strictly).

    Raises RequestError: 400 for what is not HTTP/1 or has a repeated or missing Host, 413 for a
    body, 405 for a method that changes something, 501 for one that nobody knows.
    """
    lines = raw.split(b"\r\n")
    match = _LINE.fullmatch(lines[0])
    if not match:
        raise RequestError(400)
    fields: dict[str, str] = {}
    for line in lines[1:]:
        found = _FIELD.fullmatch(line)
        if not found:
            raise RequestError(400)
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1").strip(" \t")
        if name in fields and name in ("host", "content-length"):
            raise RequestError(400)
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    modern = match[3] == b"1"
    if modern and "host" not in fields:
        raise RequestError(400)
    # Who sends a body does not speak of this server's files; where it ends must not be guessed at.
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        raise RequestError(413)
    method, target = match[1].decode("ascii"), match[2].decode("ascii")
    if method not in ("GET", "HEAD"):
        raise RequestError(405 if method in _KNOWN else 501)
    tokens = [token.strip().lower() for token in fields.get("connection", "").split(",")]
    keep = modern and "close" not in tokens
    return Head(method, target, _path(target), fields, keep)


def _path(target: str) -> str:
    """Return the decoded path of ``target``, which may be a whole address; of no file if it is none."""
    try:
        raw = target if target.startswith("/") else urlsplit(target).path
        return unquote_to_bytes(raw.partition("?")[0].partition("#")[0]).decode("utf-8")
    except ValueError:
        return "/\0"

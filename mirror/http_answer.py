"""What a mirror answers to a request: status, fields and which bytes. Nothing is read or sent here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote

from mirror.http_head import Head
from mirror.published import Found

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_SIMPLE = "mirror_python/simple/"
_TYPES = {
    "html": "text/html; charset=utf-8", "json": "application/json", "txt": "text/plain; charset=utf-8",
    "asc": "text/plain; charset=utf-8", "md": "text/plain; charset=utf-8", "lock": "application/json",
    "css": "text/css; charset=utf-8", "svg": "image/svg+xml",
    "pom": "text/xml", "xml": "text/xml", "jar": "application/java-archive",
    "sha1": "text/plain; charset=utf-8", "sha256": "text/plain; charset=utf-8",
    "sha512": "text/plain; charset=utf-8", "whl": "application/zip", "zip": "application/zip",
    "gz": "application/gzip", "tgz": "application/gzip", "deb": "application/vnd.debian.binary-package",
}  # fmt: skip
_PLAIN = ("SHA512SUMS", "Release", "InRelease", "Packages")
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_WORDS = {
    400: "This is not a request that a mirror understands.",
    404: "The published release has no such file. /index.html shows what it holds, /SHA512SUMS lists it all.",
    405: "A mirror is only read: GET and HEAD.",
    413: "A mirror takes no uploads.",
    416: "The file ends before that range.",
    431: "The head of the request is too long.",
    500: "The mirror could not read the file; its operator sees why.",
    501: "A mirror is only read: GET and HEAD.",
}


@dataclass(frozen=True)
class Answer:
    """A whole answer but for the file's bytes: ``count`` of them from ``first`` follow ``head``."""

    status: int
    head: bytes
    first: int = 0
    count: int = 0


def of_file(request: Head, found: Found, keep: bool, now: str) -> Answer:
    """Return the answer that ``found`` gives to ``request`` (RFC 9110, 13 and 14).

    ``keep``: whether the connection stays; ``now``: the value of Date.
    """
    changed = formatdate(found.date, usegmt=True)
    fields = [f"ETag: {found.tag}", f"Last-Modified: {changed}"]
    if found.pinned:
        fields.append("Cache-Control: public, max-age=31536000, immutable")
    else:
        # Names stay and bytes change when a release is published; asking again costs a tag.
        fields.append("Cache-Control: no-cache")
        fields.append(f"Content-Location: /releases/{found.serial}/{quote(found.path, safe='/+~@=')}")
    if found.path.startswith(_SIMPLE):
        fields.append("Vary: Accept")
    if _unchanged(request, found):
        return Answer(304, _head(304, fields, keep, now))
    span = _span(request, found, changed)
    if span is None:
        return refusal(416, keep, now, (f"Content-Range: bytes */{found.size}",), request.method == "GET")
    first, count, part = span
    fields += [
        f"Content-Type: {content_type(found.path)}",
        f"Content-Length: {count}",
        "Accept-Ranges: bytes",
    ]
    if part:
        fields.append(f"Content-Range: bytes {first}-{first + count - 1}/{found.size}")
    status = 206 if part else 200
    return Answer(status, _head(status, fields, keep, now), first, count if request.method == "GET" else 0)


def refusal(status: int, keep: bool, now: str, fields: tuple[str, ...] = (), body: bool = True) -> Answer:
    """Return a short answer in words; 405 says what is allowed."""
    text = f"{status} {HTTPStatus(status).phrase}\n{_WORDS.get(status, '')}\n".encode()
    allow = ("Allow: GET, HEAD",) if status == 405 else ()
    own = ("Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(text)}")
    return Answer(status, _head(status, [*fields, *allow, *own], keep, now) + (text if body else b""))


def moved(path: str, keep: bool, now: str) -> Answer:
    """Return the way to a folder's page, for a ``path`` without the slash at its end."""
    place = quote(path.rsplit("/", 1)[-1], safe="+~@=") + "/"
    return Answer(301, _head(301, [f"Location: {place}", "Content-Length: 0"], keep, now))


def content_type(path: str) -> str:
    """Return the media type of a release's file."""
    name = path.rsplit("/", 1)[-1]
    if path.startswith(_SIMPLE) and name == "index.json":
        return SIMPLE_JSON
    if name in _PLAIN:
        return "text/plain; charset=utf-8"
    return _TYPES.get(name.rsplit(".", 1)[-1], "application/octet-stream")


def wants_simple_json(path: str, accept: str) -> bool:
    """Tell whether the index page at ``path`` (ending in a slash) is wanted as JSON (PEP 691)."""
    _, _, rest = path.partition(_SIMPLE)
    if not path.endswith("/") or _SIMPLE not in path or rest.count("/") > 1:
        return False
    json = max((_quality(accept, SIMPLE_JSON), _quality(accept, SIMPLE_JSON.replace("v1", "latest"))))
    html = max(_quality(accept, SIMPLE_JSON.replace("json", "html")), _quality(accept, "text/html"))
    return json > 0 and json >= html


def _quality(accept: str, wanted: str) -> float:
    """Return the weight that an Accept field gives to exactly the media type ``wanted``, 0 if none."""
    for item in accept.split(","):
        name, *parameters = (word.strip().lower() for word in item.split(";"))
        if name == wanted:
            weights = [word[2:] for word in parameters if word.startswith("q=")]
            if not weights:
                return 1.0
            return float(weights[0]) if re.fullmatch(r"[01](\.\d{0,3})?", weights[0]) else 0.0
    return 0.0


def _head(status: int, fields: list[str], keep: bool, now: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Server: pnda-mirror", f"Date: {now}",
        "X-Content-Type-Options: nosniff", *fields, *(() if keep else ("Connection: close",)), "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("ascii")


def _unchanged(request: Head, found: Found) -> bool:
    asked = request.fields.get("if-none-match")
    if asked is not None:
        tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
        return found.tag in tags or "*" in tags
    since = _seconds(request.fields.get("if-modified-since", ""))
    # Equal, not later: a rollback publishes content with an earlier date.
    return since == found.date


def _seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) if date else None
    except (ValueError, OverflowError):
        return None


def _span(request: Head, found: Found, changed: str) -> tuple[int, int, bool] | None:
    """Return (first byte, count, is it a part); None when the range cannot be satisfied.

    Several ranges, other units and nonsense are answered with the whole file, as is a range of
    bytes that are not those the client has (If-Range).
    """
    asked = request.fields.get("range", "") if request.method == "GET" else ""
    size = found.size
    if request.fields.get("if-range", found.tag) not in (found.tag, changed):
        asked = ""
    match = _RANGE.fullmatch(asked)
    if not match or not (match[1] or match[2]):
        return 0, size, False
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if match[2] and int(match[2]) < first:
            return 0, size, False
    else:
        first, last = max(0, size - int(match[2])), size - 1
    return (first, last - first + 1, True) if first < size and last >= first else None

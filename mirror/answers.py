"""Sort what servers answer, and how asking them fails, by what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from core.errors import UpstreamError
from mirror.locations import redact

REDIRECT = {301, 302, 303, 307, 308}
_GONE = {404, 410}
_CROWDED = {429, 503}
_RETRY = {408, 425, 500, 502, 504, *_CROWDED}
_REFUSED = {401, 403, 407, 451}


class TransientError(Exception):
    """One try failed; ``wait`` is what the server asks for, in seconds, if it asks.

    ``crowded``: fewer requests at a time may help. ``pause``: the server asks all of us to wait, not
    only this request. ``progressed`` is set when the try nevertheless brought the transfer further
    than any before.
    """

    def __init__(
        self, reason: str, wait: float | None = None, *, crowded: bool = False, pause: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait, self.crowded, self.pause, self.progressed = wait, crowded, pause, False


class AbsentError(Exception):
    """The server says that it has no such file."""


class WrongBytesError(Exception):
    """The bytes came whole, and are not the ones that were asked for."""


class RangeRefusedError(Exception):
    """The server cannot, or must not, continue where an earlier transfer ended."""


def fault(status: int, headers: Mapping[str, str], url: str, ranged: bool) -> Exception:
    """Return what an answer without the bytes stands for; ``ranged``: a Range was asked for.

    AbsentError, TransientError, RangeRefusedError, or UpstreamError for what no retry helps.
    """
    if status == 416 and ranged:
        return RangeRefusedError()
    if status in _GONE:
        return AbsentError()
    if status in _RETRY:
        wait = _retry_after(headers.get("Retry-After", ""))
        return TransientError(f"HTTP {status}", wait, crowded=status in _CROWDED, pause=status == 429)
    cure = "check the credentials (.netrc, pip's or Maven's settings)" if status in _REFUSED else ""
    return UpstreamError(f"{redact(url)}: HTTP {status}", cure or "look at that address by hand")


def redirected(url: str, header: str) -> str:
    """Return the address that ``url`` sends us to. Raises UpstreamError for one that is never followed."""
    try:
        target = urljoin(url, header)
        before, after = urlsplit(url), urlsplit(target)
    except ValueError as error:
        raise UpstreamError(f"{redact(url)}: redirects to nonsense", "name the final address") from error
    if after.scheme not in ("http", "https") or (before.scheme, after.scheme) == ("https", "http"):
        raise UpstreamError(
            f"{redact(url)}: sends us to {redact(target)}, from {before.scheme} to {after.scheme}",
            "such a redirect is never followed: name an address that answers by itself",
        )
    return target


def reason(error: BaseException) -> str:
    """Return the innermost reason in few words; the libraries' own text repeats whole addresses."""
    seen: BaseException = error
    while not (isinstance(seen, OSError) and seen.strerror):
        inner = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
        if not isinstance(inner, BaseException) or inner is seen:
            break
        seen = inner
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return f"{type(seen).__name__}"


def _retry_after(value: str) -> float | None:
    if re.fullmatch(r"[0-9]+", value.strip()):
        return float(value)
    date = parse_date(value)
    return None if date is None else max(0.0, (date - datetime.now(UTC)).total_seconds())


def parse_date(value: str) -> datetime | None:
    """Return the moment that an HTTP date names, or None if it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)

"""Fetch bytes over HTTP: never decoded, never short, never under a final name before they are right.

requests gives netrc, proxies and CA bundles; bodies are read raw from its urllib3 stream, so that a
``.tgz`` sent with a Content-Encoding stays what upstream published.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from core.errors import UpstreamError, WorldError
from core.files import CHUNK, writing
from mirror.digests import Digests, Hasher, disagreements
from mirror.locations import Location, redact

Result = TypeVar("Result")

_GONE = {404, 410}
_RETRY = {408, 425, 429, 500, 502, 503, 504}
_REFUSED = {401, 403, 407, 451}
_REDIRECT = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Policy:
    """How patient we are. Times in seconds; ``longest_wait`` also caps a server's Retry-After."""

    attempts: int = 5
    base: float = 0.5
    longest_wait: float = 60.0
    connect: float = 15.0
    read: float = 90.0


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: where it may be had, in order, and all that is known of its bytes."""

    name: str
    locations: Sequence[Location]
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    limit: int = 8 << 30


@dataclass(frozen=True)
class Fetched:
    """Verified bytes in a temporary file that now belongs to the caller."""

    path: Path
    digests: Digests


class _TransientError(Exception):
    """One try failed; ``wait`` is what the server asks for, in seconds, if it asks."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _AbsentError(Exception):
    """The server says that it has no such file."""


class _WrongBytesError(Exception):
    """The bytes came whole, and are not the ones that were asked for."""


class Fetcher:
    """Downloads into ``folder``. Safe for several threads; counts ``requests`` and ``fetched_bytes``."""

    def __init__(
        self,
        folder: Path,
        policy: Policy | None = None,
        progress: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._folder, self._policy, self.progress = folder, policy or Policy(), progress
        self._local, self._lock = threading.local(), threading.Lock()
        self._stopped = threading.Event()
        self.requests = 0
        self.fetched_bytes = 0

    def stop(self) -> None:
        """Let transfers in other threads end at their next chunk: the work has failed or is not wanted."""
        self._stopped.set()

    def download(self, wanted: Wanted) -> Fetched:
        """Fetch ``wanted`` into a temporary file and return it with its digests.

        Raises WorldError when bytes came and are wrong (naming both digests), UpstreamError when
        no location has them or answers after retries, DiskError when they cannot be kept.
        """
        absent: list[str] = []
        wrong: list[str] = []
        failed: list[str] = []
        for location in wanted.locations:
            try:
                return self._patiently(location, lambda place: self._download_once(wanted, place))
            except _AbsentError:
                absent.append(str(location))
            except _WrongBytesError as error:
                wrong.append(f"{location}: {error}")
            except UpstreamError as error:
                failed.append(error.message)
        if wrong:
            raise WorldError(
                f"{wanted.name}: wrong bytes, refused\n  " + "\n  ".join(wrong),
                "somebody changed the file upstream or on the way: compare with another source, and do not "
                "lock anew before you know why",
            )
        if failed:
            raise UpstreamError(
                f"{wanted.name}: cannot be fetched\n  " + "\n  ".join(failed),
                "check the network, the proxy and the credentials, then run the same command again",
            )
        raise UpstreamError(
            f"{wanted.name}: not published at {', '.join(absent) or 'any known place'}",
            "if upstream withdrew it, write another version into the catalogue and lock again",
        )

    def text(self, location: Location, limit: int, accept: str = "*/*") -> tuple[str, str] | None:
        """Return the short document at ``location`` and its content type, or None if it is not there.

        Raises UpstreamError when it is longer than ``limit`` bytes, not UTF-8, or cannot be had.
        """
        return self._text(location, limit, {"Accept": accept})

    def _text(self, location: Location, limit: int, headers: Mapping[str, str]) -> tuple[str, str] | None:
        def once(place: Location) -> tuple[str, str]:
            with self._answer(place, headers) as answer:
                chunks = list(self._body(answer, limit))
                return b"".join(chunks).decode("utf-8"), answer.headers.get("Content-Type", "")

        try:
            return self._patiently(location, once)
        except _AbsentError:
            return None
        except (UnicodeDecodeError, _WrongBytesError) as error:
            reason = "not text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise UpstreamError(
                f"{location}: not the short text expected there: {reason}", "look at it with a browser"
            ) from error

    def exists(self, location: Location) -> bool:
        """Tell whether ``location`` answers 200 (by HEAD). Raises UpstreamError when nobody answers."""

        def once(place: Location) -> bool:
            with self._answer(place, {}, "HEAD"):
                return True

        try:
            return self._patiently(location, once)
        except _AbsentError:
            return False

    def _patiently(self, location: Location, once: Callable[[Location], Result]) -> Result:
        for attempt in range(1, self._policy.attempts + 1):
            try:
                return once(location)
            except _TransientError as error:
                wait = self._wait(attempt, error.wait)
                if attempt == self._policy.attempts or wait is None:
                    tries = f"after {attempt} tries" if attempt > 1 else "and asks for too long a wait"
                    raise UpstreamError(
                        f"{location}: {error} ({tries})",
                        "check the network and the proxy, or try again later",
                    ) from error
                if self._stopped.wait(wait):
                    raise UpstreamError(f"{location}: given up", "see the error before") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _wait(self, attempt: int, asked: float | None) -> float | None:
        if asked is not None:
            return asked if asked <= self._policy.longest_wait else None
        ceiling = min(self._policy.longest_wait, self._policy.base * 2**attempt)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, not a secret

    def _download_once(self, wanted: Wanted, location: Location) -> Fetched:
        temporary: Path | None = None
        hasher = Hasher(wanted.digests)
        hint = ""
        try:
            with writing(self._folder), self._answer(location, {}) as answer:
                if "html" in answer.headers.get("Content-Type", ""):
                    hint = " (the answer is a web page: a login page or a proxy?)"
                handle, name = tempfile.mkstemp(dir=self._folder, prefix="fetch-")
                temporary = Path(name)
                limit = wanted.limit if wanted.size is None else wanted.size
                with os.fdopen(handle, "wb") as stream:
                    for chunk in self._body(answer, limit):
                        stream.write(chunk)
                        hasher.update(chunk)
                        self.progress(len(chunk))
                        with self._lock:
                            self.fetched_bytes += len(chunk)
            found = hasher.result()
            faults = disagreements(found, wanted.digests, wanted.size)
            if faults:
                raise _WrongBytesError("; ".join(faults))
            fetched, temporary = Fetched(temporary, found), None
            return fetched
        except _WrongBytesError as error:
            raise _WrongBytesError(f"{error}{hint}") from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
                self.progress(-hasher.size)

    @contextlib.contextmanager
    def _answer(self, location: Location, headers: Mapping[str, str], method: str = "GET") -> Iterator[Any]:
        """Yield the 200 answer of ``location``, having followed redirects that may be followed."""
        url, auth = location.url, location.auth
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._send(location.at(url), auth, headers, method)
            with contextlib.closing(answer):
                if answer.status_code not in _REDIRECT:
                    self._judge(answer, url)
                    yield answer
                    return
                target = _target(url, answer.headers.get("Location", ""))
            before, after = urlsplit(url), urlsplit(target)
            if after.scheme not in ("http", "https") or (before.scheme, after.scheme) == ("https", "http"):
                raise UpstreamError(
                    f"{redact(url)}: sends us to {redact(target)}, from {before.scheme} to {after.scheme}",
                    "such a redirect is never followed: name an address that answers by itself",
                )
            if (before.scheme, before.netloc) != (after.scheme, after.netloc):
                auth = None  # credentials are for the host that they were given for
            url = target
        raise UpstreamError(f"{location}: more than {_MAX_REDIRECTS} redirects", "name the final address")

    def _send(
        self, location: Location, auth: tuple[str, str] | None, headers: Mapping[str, str], method: str
    ) -> requests.Response:
        with self._lock:
            self.requests += 1
        try:
            return self._session().request(
                method,
                location.url,
                auth=auth,
                headers={"Accept-Encoding": "identity", **headers},
                proxies=dict(location.proxies) or None,
                verify=location.verify,
                cert=location.cert,
                timeout=(self._policy.connect, self._policy.read),
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise UpstreamError(
                f"{location}: its certificate is not accepted: {_reason(error)}",
                "give your CA's bundle by REQUESTS_CA_BUNDLE or pip's cert setting",
            ) from error
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise _TransientError(_reason(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise UpstreamError(
                f"{location}: cannot be asked: {type(error).__name__}", "check the address and the proxy"
            ) from error

    def _judge(self, answer: requests.Response, url: str) -> None:
        status = answer.status_code
        if status == 200:
            return
        if status in _GONE:
            raise _AbsentError
        if status in _RETRY:
            raise _TransientError(f"HTTP {status}", _retry_after(answer.headers.get("Retry-After", "")))
        cure = "check the credentials (.netrc, pip's or Maven's settings)" if status in _REFUSED else ""
        raise UpstreamError(f"{redact(url)}: HTTP {status}", cure or "look at that address by hand")

    def _body(self, answer: requests.Response, limit: int) -> Iterator[bytes]:
        """Yield the raw body. A body longer than ``limit`` bytes is refused, a short one is transient."""
        count = 0
        try:
            while chunk := answer.raw.read1(CHUNK, decode_content=False):
                count += len(chunk)
                if count > limit:
                    raise _WrongBytesError(f"more than the expected {limit} bytes")
                if self._stopped.is_set():
                    raise UpstreamError("a transfer was given up", "see the error before")
                yield chunk
        except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            raise _TransientError(f"the answer broke off after {count} bytes: {_reason(error)}") from error

    def _session(self) -> requests.Session:
        # A Session is not documented as safe for threads, so each thread has one.
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["User-Agent"] = "flink-on-pnda-mirror"
        return session


def _reason(error: BaseException) -> str:
    """Return the innermost reason in few words; requests' own text repeats whole addresses."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
        if not isinstance(inner, BaseException) or inner is seen:
            break
        seen = inner
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return f"{type(seen).__name__}"


def _target(url: str, header: str) -> str:
    try:
        return urljoin(url, header)
    except ValueError as error:
        raise UpstreamError(f"{redact(url)}: redirects to nonsense", "name the final address") from error


def _retry_after(value: str) -> float | None:
    if value.strip().isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())

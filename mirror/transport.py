"""HTTP as the mirror needs it: raw bodies, bounded in time and size, faults sorted by what helps.

requests gives netrc, proxies and CA bundles; bodies are read raw from its urllib3 stream, so that a
``.tgz`` sent with a Content-Encoding stays what upstream published.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from core.errors import UpstreamError
from core.files import CHUNK
from mirror.locations import Location, redact

_GONE = {404, 410}
_RETRY = {408, 425, 429, 500, 502, 503, 504}
_REFUSED = {401, 403, 407, 451}
_REDIRECT = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 5
# Where Debian's and Red Hat's families keep the machine's CA bundle.
_SYSTEM_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))


@dataclass(frozen=True)
class Policy:
    """How patient we are. Times in seconds; ``longest_wait`` also caps a server's Retry-After.

    A body that brings fewer than ``slowest`` bytes a second over a whole ``window`` is given up like
    one that stalls. ``per_host`` limits the requests to one host that are under way at a time.
    """

    attempts: int = 5
    base: float = 0.5
    longest_wait: float = 60.0
    connect: float = 15.0
    read: float = 90.0
    slowest: int = 1024
    window: float = 60.0
    per_host: int = 8


class TransientError(Exception):
    """One try failed; ``wait`` is what the server asks for, in seconds, if it asks.

    ``progressed`` is set when the try nevertheless brought the transfer further than any before.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait, self.progressed = wait, False


class AbsentError(Exception):
    """The server says that it has no such file."""


class WrongBytesError(Exception):
    """The bytes came whole, and are not the ones that were asked for."""


class RangeRefusedError(Exception):
    """The server cannot, or must not, continue where an earlier transfer ended."""


@dataclass(frozen=True)
class _Way:
    """How a host is reached. ``auth`` is what netrc has for it."""

    proxies: dict[str, str] = field(repr=False)
    verify: bool | str | None
    cert: str | tuple[str, str] | None
    auth: tuple[str, str] | None = field(repr=False)


class Transport:
    """Asks servers, for several threads at once; counts ``requests``."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._local, self._lock = threading.local(), threading.Lock()
        self._turns: dict[str, threading.BoundedSemaphore] = {}
        self._ways: dict[tuple[object, ...], _Way] = {}
        self.stopped = threading.Event()
        self.requests = 0

    @contextlib.contextmanager
    def answer(self, location: Location, headers: Mapping[str, str], method: str = "GET") -> Iterator[Any]:
        """Yield the answer of ``location`` (200, or 206 to a Range), redirects followed if they may be.

        Raises AbsentError, TransientError, RangeRefusedError, or UpstreamError for what no retry helps.
        """
        url, auth = location.url, location.auth
        for _ in range(_MAX_REDIRECTS + 1):
            with (
                self._turn(url),
                contextlib.closing(self._send(location.at(url), auth, headers, method)) as answer,
            ):
                if answer.status_code not in _REDIRECT:
                    _judge(answer, url, "Range" in headers)
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

    def body(self, answer: requests.Response, limit: int) -> Iterator[bytes]:
        """Yield the raw body. More than ``limit`` bytes are refused; too few, or too slow, is transient."""
        count = 0
        pace = _Pace(self._policy)
        try:
            while chunk := answer.raw.read1(CHUNK, decode_content=False):
                count += len(chunk)
                if count > limit:
                    raise WrongBytesError(f"more than the expected {limit} bytes")
                if self.stopped.is_set():
                    raise UpstreamError("a transfer was given up", "see the error before")
                pace.count(len(chunk))
                yield chunk
        except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            raise TransientError(f"the answer broke off after {count} bytes: {_reason(error)}") from error

    @contextlib.contextmanager
    def _turn(self, url: str) -> Iterator[None]:
        """Wait for one of the host's few places."""
        with self._lock:
            limit = threading.BoundedSemaphore(self._policy.per_host)
            turn = self._turns.setdefault(urlsplit(url).netloc.rsplit("@", 1)[-1], limit)
        with turn:
            yield

    def _send(
        self, location: Location, auth: tuple[str, str] | None, headers: Mapping[str, str], method: str
    ) -> requests.Response:
        with self._lock:
            self.requests += 1
        try:
            way = self._way(location)
            return self._session().request(
                method,
                location.url,
                auth=auth or way.auth,
                headers={"Accept-Encoding": "identity", **headers},
                proxies=way.proxies,
                verify=way.verify,
                cert=way.cert,
                timeout=(self._policy.connect, self._policy.read),
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise UpstreamError(
                f"{location}: its certificate is not accepted: {_reason(error)}",
                "add your CA to this machine (update-ca-certificates), or name one in REQUESTS_CA_BUNDLE",
            ) from error
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise TransientError(_reason(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise UpstreamError(
                f"{location}: cannot be asked: {type(error).__name__}", "check the address and the proxy"
            ) from error

    def _session(self) -> requests.Session:
        # A Session is not documented as safe for threads, so each thread has one.
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # the environment is asked once per host, by _way
            session.headers["User-Agent"] = "flink-on-pnda-mirror"
        return session

    def _way(self, location: Location) -> _Way:
        """Return how the environment (proxies, CA bundle, netrc) and ``location`` want its host reached.

        Kept per host: for small files, requests would spend most of its time asking this anew.
        """
        parts = urlsplit(location.url)
        key = (parts.scheme, parts.netloc, *location.proxies.items(), location.verify, location.cert)
        with self._lock:
            if key not in self._ways:
                merged = requests.Session().merge_environment_settings(
                    location.url, dict(location.proxies), True, location.verify, location.cert
                )
                netrc = requests.utils.get_netrc_auth(location.url)
                verify = trust(merged["verify"] is None or merged["verify"])
                self._ways[key] = _Way(dict(merged["proxies"]), verify, merged["cert"], netrc)
            return self._ways[key]


def trust(verify: bool | str, system: Sequence[Path] = _SYSTEM_BUNDLES) -> bool | str:
    """Return ``verify``, and where it leaves the choice (True) the machine's own CA bundle.

    requests would take the bundle that it brings along, in which a company's CA that stands in the
    machine's store, and which Maven and apt accept, is missing.
    """
    if verify is not True:
        return verify
    named = os.environ.get("SSL_CERT_FILE", "")
    return next((str(path) for path in (*([Path(named)] if named else []), *system) if path.is_file()), True)


class _Pace:
    """Notices a body that drips: each read ends in time, and the whole would take days."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._since, self._bytes = policy, time.monotonic(), 0

    def count(self, size: int) -> None:
        """Count ``size`` bytes; raise TransientError if a whole window brought too few."""
        self._bytes += size
        passed = time.monotonic() - self._since
        if passed < self._policy.window:
            return
        if self._bytes < self._policy.slowest * passed:
            raise TransientError(f"only {self._bytes} bytes came in {passed:.0f} s")
        self._since, self._bytes = time.monotonic(), 0


def _judge(answer: requests.Response, url: str, ranged: bool) -> None:
    status = answer.status_code
    if status == 200 or (status == 206 and ranged):
        return
    if status == 416 and ranged:
        raise RangeRefusedError
    if status in _GONE:
        raise AbsentError
    if status in _RETRY:
        raise TransientError(f"HTTP {status}", _retry_after(answer.headers.get("Retry-After", "")))
    cure = "check the credentials (.netrc, pip's or Maven's settings)" if status in _REFUSED else ""
    raise UpstreamError(f"{redact(url)}: HTTP {status}", cure or "look at that address by hand")


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

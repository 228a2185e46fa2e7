"""HTTP as the mirror needs it: raw bodies, bounded in time and size, faults sorted by what helps.

Bodies are read raw from urllib3's stream, so that a ``.tgz`` sent with a Content-Encoding stays what
upstream published.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from core.errors import UpstreamError
from core.files import CHUNK
from mirror.answers import REDIRECT, TransientError, WrongBytesError, fault, reason, redirected
from mirror.locations import Location
from mirror.manners import LARGE, Gates, Manners, Policy, manners_of
from mirror.watch import Watch, under
from mirror.ways import Ways

_MAX_REDIRECTS = 5
_READ = 1 << 17  # bytes: many transfers at a time are to fit into little memory
_DRAINED = 1 << 14  # an answer that is not wanted, and shorter than this, is read: its connection stays
_HEADERS = {"User-Agent": "flink-on-pnda-mirror", "Accept": "*/*", "Accept-Encoding": "identity"}


class Transport:
    """Asks servers, for several threads at once; counts ``requests``."""

    def __init__(self, policy: Policy, manners: Callable[[str, Policy], Manners] = manners_of) -> None:
        self._policy = policy
        self._lock, self._watch = threading.Lock(), Watch()
        self.stopped = threading.Event()
        self._gates = Gates(policy, self.stopped, manners)
        # Connecting, then the answer: each has half of the time.
        self._ways = Ways(policy.per_host, lambda kind: under(self._watch, policy.answer / 2, kind))
        self._timeout = urllib3.Timeout(connect=policy.connect, read=policy.read)
        self.requests = 0

    def stop(self) -> None:
        """End what is under way, and let nothing begin any more."""
        self.stopped.set()
        self._watch.end_all()

    @contextlib.contextmanager
    def answer(
        self, location: Location, headers: Mapping[str, str], method: str = "GET", *, large: bool = False
    ) -> Iterator[Any]:
        """Yield the answer of ``location`` (200, or 206 to a Range), redirects followed if they may be.

        It is urllib3's, with ``status`` and ``headers``; ``large`` says that a large file is expected.
        Raises AbsentError, TransientError, RangeRefusedError, or UpstreamError for what no retry helps.
        """
        url, auth, ranged = location.url, location.auth, "Range" in headers
        for _ in range(_MAX_REDIRECTS + 1):
            with self._gates.of(url).turn(large) as turn:
                try:
                    answer = self._send(location.at(url), auth, headers, method)
                    with contextlib.closing(answer):
                        if answer.status == 200 or (answer.status == 206 and ranged):
                            turn.praise()
                            yield answer
                            return
                        self._drain(answer)
                        if answer.status not in REDIRECT:
                            raise fault(answer.status, answer.headers, url, ranged)
                        target = redirected(url, answer.headers.get("Location", ""))
                except TransientError as error:
                    if error.crowded:
                        turn.complain(error.wait if error.pause else None)
                    raise
            before, after = urlsplit(url), urlsplit(target)
            if (before.scheme, before.netloc) != (after.scheme, after.netloc):
                auth = None  # credentials are for the host that they were given for
            url = target
        raise UpstreamError(f"{location}: more than {_MAX_REDIRECTS} redirects", "name the final address")

    def body(self, answer: Any, limit: int) -> Iterator[bytes]:
        """Yield the raw body. More than ``limit`` bytes are refused; too few, or too slow, is transient."""
        count = 0
        size = CHUNK if limit > LARGE else _READ
        pace = _Pace(self._policy)
        # One read takes a whole piece of a chunked body, however it trickles.
        patience = self._policy.window + size / self._policy.slowest
        try:
            with self._watch.limit(patience, answer.shutdown) as watched:
                while chunk := answer.read1(size, decode_content=False):
                    count += len(chunk)
                    if count > limit:
                        raise WrongBytesError(f"more than the expected {limit} bytes")
                    if self.stopped.is_set():
                        raise UpstreamError("a transfer was given up", "see the error before")
                    pace.count(len(chunk))
                    watched.go_on(patience)
                    yield chunk
        except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            raise TransientError(f"the answer broke off after {count} bytes: {reason(error)}") from error

    def _send(
        self, location: Location, auth: tuple[str, str] | None, headers: Mapping[str, str], method: str
    ) -> Any:
        with self._lock:
            self.requests += 1
        try:
            way = self._ways.to(location)
            target, sent = way.request(location.url, auth, {**_HEADERS, **headers}, method)
            return way.pool.urlopen(
                method,
                target,
                headers=sent,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.SSLError as error:
            if any(isinstance(one, (ssl.SSLEOFError, ConnectionError)) for one in error.args):
                raise TransientError(reason(error), crowded=True) from error
            raise UpstreamError(
                f"{location}: its certificate is not accepted: {reason(error)}",
                "add your CA to this machine (update-ca-certificates), or name one in REQUESTS_CA_BUNDLE",
            ) from error
        except (
            urllib3.exceptions.TimeoutError,
            urllib3.exceptions.ProtocolError,
            urllib3.exceptions.ProxyError,
            ConnectionError,
            TimeoutError,
        ) as error:
            raise TransientError(reason(error), crowded=True) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise UpstreamError(
                f"{location}: cannot be asked: {type(error).__name__}", "check the address and the proxy"
            ) from error

    def _drain(self, answer: Any) -> None:
        """Read an answer that is not wanted, if it is short: its connection can then be used again."""
        left = answer.length_remaining
        if left is not None and left <= _DRAINED:
            with contextlib.suppress(TimeoutError), self._watch.limit(self._policy.connect, answer.shutdown):
                answer.drain_conn()


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

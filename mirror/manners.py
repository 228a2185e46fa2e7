"""How patient we are, and how much of a host we take at a time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.errors import UpstreamError, UsageError

# Transfers of more than this many bytes fill a line by themselves.
LARGE = 8 << 20

# Apache's rules (infra.apache.org/release-distribution): bytes may come from the content network,
# which drops a release when the next one is out; checksums and signatures only from the other two.
_APACHE_BYTES = (
    "https://dlcdn.apache.org",
    "https://downloads.apache.org",
    "https://archive.apache.org/dist",
)
_APACHE_TRUSTED = _APACHE_BYTES[1:]


def apache_bytes() -> tuple[str, ...]:
    """Return the base addresses of the Apache distribution (``PNDA_APACHE_BYTES`` replaces them)."""
    return tuple(os.environ.get("PNDA_APACHE_BYTES", "").split()) or _APACHE_BYTES


def apache_trusted() -> tuple[str, ...]:
    """Return the bases whose checksums and signatures count (``PNDA_APACHE_TRUSTED`` replaces them)."""
    return tuple(os.environ.get("PNDA_APACHE_TRUSTED", "").split()) or _APACHE_TRUSTED


@dataclass(frozen=True)
class Policy:
    """How patient we are. Times in seconds; ``longest_wait`` also caps a server's Retry-After.

    ``read`` limits a silence, ``answer`` all of an answer up to its body, however it trickles. A body
    that brings fewer than ``slowest`` bytes a second over a whole ``window`` is given up like one that
    stalls. ``per_host`` limits the requests to one host that are under way at a time, ``large`` those
    of them that are for large files.
    """

    attempts: int = 5
    base: float = 0.5
    longest_wait: float = 60.0
    connect: float = 15.0
    read: float = 90.0
    answer: float = 120.0
    slowest: int = 1024
    window: float = 60.0
    per_host: int = 64
    large: int = 8


def policy_of_run() -> Policy:
    """Return the policy of a run: ``PNDA_MIRROR_CONNECTIONS`` replaces ``per_host``."""
    return Policy(per_host=_number("PNDA_MIRROR_CONNECTIONS", Policy.per_host, 1, 256))


@dataclass(frozen=True)
class Manners:
    """What one host is spared: ``width`` requests at a time, ``gap`` seconds between their beginnings.

    ``budget`` is how many requests a run may make there; None: as many as it takes.
    """

    width: int
    gap: float = 0.0
    budget: int | None = None


def manners_of(host: str, policy: Policy) -> Manners:
    """Return what ``host`` (with its port, if it has one) is spared under ``policy``.

    Apache's trusted hosts get two requests at a time. The last of them is the archive, which bars
    addresses that ask too much: there, ``PNDA_APACHE_REQUESTS`` (500) a run and five a second.
    """
    hosts = [urlsplit(base).netloc for base in apache_trusted()]
    if host not in hosts:
        return Manners(policy.per_host)
    width = min(2, policy.per_host)
    if host != hosts[-1]:
        return Manners(width)
    return Manners(width, 0.2, _number("PNDA_APACHE_REQUESTS", 500, 0, 1_000_000))


def _number(name: str, default: int, least: int, most: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UsageError(f"{name}={text}: no number from {least} to {most}", f"such as {name}={default}")
    return int(text)


class Turn:
    """One request's place at a host; ``complain`` and ``praise`` say how it went."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._begun = gate, time.monotonic()

    def complain(self, wait: float | None) -> None:
        """Say that the host has too much to do, and asks for ``wait`` seconds of quiet, if it does."""
        self._gate.narrow(self._begun, wait or 0.0)

    def praise(self) -> None:
        """Say that the host answered."""
        self._gate.widen()


class Gate:
    """Lets requests to one host pass as its manners are: fewer at a time when it complains, then more.

    Halved at most once per round of requests, widened by one for each round that goes well.
    """

    def __init__(self, host: str, manners: Manners, policy: Policy, stopped: threading.Event) -> None:
        self._host, self._manners, self._policy, self._stopped = host, manners, policy, stopped
        self._free = threading.Condition()
        self._large = threading.BoundedSemaphore(min(policy.large, manners.width))
        self._width, self._busy, self._asked = float(manners.width), 0, 0
        self._narrowed, self._not_before = 0.0, 0.0

    @property
    def width(self) -> int:
        """Return how many requests may be under way now."""
        return max(1, int(self._width))

    @contextlib.contextmanager
    def turn(self, large: bool) -> Iterator[Turn]:
        """Wait for a place. Raises UpstreamError when the budget is spent, or the work is given up."""
        with self._large if large else contextlib.nullcontext():
            self._enter()
            try:
                yield Turn(self)
            finally:
                with self._free:
                    self._busy -= 1
                    self._free.notify()

    def _enter(self) -> None:
        with self._free:
            while self._busy >= self.width:
                self._free.wait()
            budget = self._manners.budget
            if budget is not None and self._asked >= budget:
                self._free.notify()
                raise UpstreamError(
                    f"{self._host}: this run has made the {budget} requests that it may make there",
                    "run the same again later, what came is kept; or allow more with PNDA_APACHE_REQUESTS "
                    "(that host bars addresses that ask too much)",
                )
            self._asked += 1
            self._busy += 1
            now = time.monotonic()
            start = max(now, self._not_before)
            self._not_before = start + self._manners.gap
        if self._stopped.wait(start - now) if start > now else self._stopped.is_set():
            with self._free:
                self._busy -= 1
                self._free.notify()
            raise UpstreamError(f"{self._host}: given up", "see the error before")

    def narrow(self, begun: float, wait: float) -> None:
        """Halve the width, unless that was done after ``begun``; let nothing begin for ``wait`` seconds."""
        with self._free:
            now = time.monotonic()
            if begun >= self._narrowed:
                self._width, self._narrowed = max(1.0, self._width / 2), now
            if wait <= self._policy.longest_wait:
                self._not_before = max(self._not_before, now + wait)

    def widen(self) -> None:
        """Let a little more pass, up to what the manners allow."""
        if self._width < self._manners.width:
            with self._free:
                self._width = min(float(self._manners.width), self._width + 1 / self._width)
                self._free.notify()


class Gates:
    """The gates of all hosts; ``manners`` says what each is spared. Safe for several threads."""

    def __init__(
        self,
        policy: Policy,
        stopped: threading.Event,
        manners: Callable[[str, Policy], Manners] = manners_of,
    ) -> None:
        self._policy, self._stopped, self._manners = policy, stopped, manners
        self._gates: dict[str, Gate] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> Gate:
        """Return the gate of the host that ``url`` names."""
        host = urlsplit(url).netloc.rsplit("@", 1)[-1]
        with self._lock:
            if host not in self._gates:
                self._gates[host] = Gate(host, self._manners(host, self._policy), self._policy, self._stopped)
            return self._gates[host]

"""Fetch bytes over HTTP: never decoded, never short, never under a final name before they are right."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from core.errors import UpstreamError, WorldError
from core.files import CHUNK, writing
from mirror.answers import AbsentError, RangeRefusedError, TransientError, WrongBytesError
from mirror.digests import Digests, disagreements
from mirror.held import HELD, Held
from mirror.locations import Location
from mirror.manners import LARGE, Manners, Policy, manners_of, policy_of_run
from mirror.partial import Partial, partial
from mirror.transport import Transport

Result = TypeVar("Result")

# Bytes that two sources agree to get wrong are not asked of a third: something else is amiss.
_SOURCES_TRUSTED = 2


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: where it may be had, in order, and all that is known of its bytes.

    ``gone`` is the cure when no location has it.
    """

    name: str
    locations: Sequence[Location]
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    limit: int = 8 << 30
    gone: str = "if upstream withdrew it, write another version into the catalogue and lock again"

    @property
    def key(self) -> str:
        """Return what names the bytes, wherever they come from: a digest, or the name if none is known."""
        return self.digests.get("sha256") or "".join(sorted(self.digests.values())) or self.name


@dataclass(frozen=True)
class Fetched:
    """Verified bytes in a temporary file that now belongs to the caller."""

    path: Path
    digests: Digests


class NotTextError(UpstreamError):
    """A document is there, and is longer than it may be, or no text."""


class _SpoiledError(Exception):
    """A continued transfer did not come to the right bytes: what was there before may be to blame."""


class Fetcher:
    """Downloads into ``folder``. Safe for several threads; counts ``requests`` and ``fetched_bytes``."""

    def __init__(
        self,
        folder: Path,
        policy: Policy | None = None,
        progress: Callable[[int], None] = lambda _count: None,
        manners: Callable[[str, Policy], Manners] = manners_of,
    ) -> None:
        self._folder, self.policy, self.progress = folder, policy or policy_of_run(), progress
        self._transport, self._lock = Transport(self.policy, manners), threading.Lock()
        self._aside = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="digest")
        self.fetched_bytes = 0

    @property
    def requests(self) -> int:
        """Return how many HTTP requests were made."""
        return self._transport.requests

    def stop(self) -> None:
        """End the transfers of other threads at once: the work has failed or is not wanted."""
        self._transport.stop()

    def download(self, wanted: Wanted) -> Fetched:
        """Fetch ``wanted`` into a temporary file and return it with its digests.

        Raises WorldError when bytes came and are wrong (naming both digests), UpstreamError when
        no location has them or answers after retries, DiskError when they cannot be kept.
        """
        absent: list[str] = []
        reached = _Reached()
        wrong: list[str] = []
        failed: list[UpstreamError] = []
        for location in wanted.locations:
            try:
                return self._patiently(location, lambda place: self._download_once(wanted, place, reached))
            except AbsentError:
                absent.append(str(location))
            except WrongBytesError as error:
                wrong.append(f"{location}: {error}")
                if len(wrong) == _SOURCES_TRUSTED:
                    break
            except UpstreamError as error:
                failed.append(error)
        if wrong:
            raise WorldError(
                f"{wanted.name}: wrong bytes, refused\n  " + "\n  ".join(wrong),
                "somebody changed the file upstream or on the way: compare with another source, and do not "
                "lock anew before you know why",
            )
        if failed:
            raise UpstreamError(
                f"{wanted.name}: cannot be fetched\n  " + "\n  ".join(error.message for error in failed),
                "; or ".join(dict.fromkeys(error.cure for error in failed if error.cure)),
            )
        raise UpstreamError(
            f"{wanted.name}: not published at {', '.join(absent) or 'any known place'}",
            wanted.gone,
        )

    def text(self, location: Location, limit: int, accept: str = "*/*") -> tuple[str, str] | None:
        """Return the short document at ``location`` and its content type, or None if it is not there.

        Raises NotTextError when it is longer than ``limit`` bytes or not UTF-8, UpstreamError when it
        cannot be had.
        """
        return self._text(location, limit, {"Accept": accept})

    def _text(self, location: Location, limit: int, headers: Mapping[str, str]) -> tuple[str, str] | None:
        def once(place: Location) -> tuple[str, str]:
            with self._transport.answer(place, headers) as answer:
                chunks = list(self._transport.body(answer, limit))
                return b"".join(chunks).decode("utf-8"), answer.headers.get("Content-Type", "")

        try:
            return self._patiently(location, once)
        except AbsentError:
            return None
        except (UnicodeDecodeError, WrongBytesError) as error:
            reason = "not text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise NotTextError(
                f"{location}: not the short text expected there: {reason}", "look at it with a browser"
            ) from error

    def exists(self, location: Location) -> bool:
        """Tell whether ``location`` answers 200 (by HEAD). Raises UpstreamError when nobody answers."""

        def once(place: Location) -> bool:
            with self._transport.answer(place, {}, "HEAD"):
                return True

        try:
            return self._patiently(location, once)
        except AbsentError:
            return False

    def _patiently(self, location: Location, once: Callable[[Location], Result]) -> Result:
        attempt = 0
        while True:
            attempt += 1
            try:
                return once(location)
            except TransientError as error:
                if error.progressed:
                    attempt = 1  # a long file over a bad line: each try brings it further
                wait = self._wait(attempt, error.wait)
                if attempt >= self.policy.attempts or wait is None:
                    tries = "and asks for too long a wait" if wait is None else f"after {attempt} tries"
                    raise UpstreamError(
                        f"{location}: {error} ({tries})",
                        "check the network and the proxy, or try again later",
                    ) from error
                if self._transport.stopped.wait(wait):
                    raise UpstreamError(f"{location}: given up", "see the error before") from error

    def _wait(self, attempt: int, asked: float | None) -> float | None:
        if asked is not None:
            return asked if asked <= self.policy.longest_wait else None
        ceiling = min(self.policy.longest_wait, self.policy.base * 2**attempt)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, not a secret

    def _download_once(self, wanted: Wanted, location: Location, reached: _Reached) -> Fetched:
        if wanted.size is not None and wanted.size <= HELD:
            with writing(self._folder):
                return self._transfer(wanted, location, Held(self._folder, wanted.digests), reached)
        # What fits into one chunk is fetched again as a whole.
        short = wanted.size is not None and wanted.size <= CHUNK
        where = "" if short else str(location)
        with (
            writing(self._folder),
            partial(self._folder, where, wanted.key, wanted.digests, None if short else self._aside) as part,
        ):
            if part.offset:
                try:
                    return self._transfer(wanted, location, part, reached)
                except (RangeRefusedError, _SpoiledError):
                    part.discard()
            return self._transfer(wanted, location, part, reached)

    def _transfer(
        self, wanted: Wanted, location: Location, part: Partial | Held, reached: _Reached
    ) -> Fetched:
        """Ask for what ``part`` lacks; return the whole. Raises _SpoiledError if a continued one is wrong."""
        hint, counted, kept = "", 0, 0
        limit = wanted.limit if wanted.size is None else wanted.size
        try:
            with self._transport.answer(location, part.headers, large=limit > LARGE) as answer:
                if answer.status == 206 and not part.fits(answer.headers):
                    raise RangeRefusedError
                if answer.status != 206:
                    part.restart(answer.headers)
                if "html" in answer.headers.get("Content-Type", ""):
                    hint = " (the answer is a web page: a login page or a proxy?)"
                kept = part.offset
                counted = self._count(kept, fetched=False)
                for chunk in self._transport.body(answer, limit - kept):
                    part.write(chunk)
                    counted += self._count(len(chunk))
            found = part.digests()
            faults = disagreements(found, wanted.digests, wanted.size)
            if faults:
                raise WrongBytesError("; ".join(faults))
            path, counted = part.finish(), 0
            return Fetched(path, found)
        except WrongBytesError as error:
            part.discard()
            if kept:
                raise _SpoiledError from error
            raise WrongBytesError(f"{error}{hint}") from error
        except TransientError as error:
            error.progressed = reached.further(part.noted)
            raise
        finally:
            self.progress(-counted)

    def _count(self, size: int, fetched: bool = True) -> int:
        self.progress(size)
        with self._lock:
            self.fetched_bytes += size if fetched else 0
        return size


class _Reached:
    """How far one download has ever come, over all its tries."""

    def __init__(self) -> None:
        self._most = 0

    def further(self, offset: int) -> bool:
        """Tell whether ``offset`` bytes are more than ever before."""
        before, self._most = self._most, max(self._most, offset)
        return self._most > before

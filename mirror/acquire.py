"""Get locked files into a store: from the user's cache, from upstream, or made from locked inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core import console
from core.errors import UsageError, WorldError
from mirror import derived, digests
from mirror.cache import Cache, Need, copy_hashed, require_space
from mirror.digests import Digests
from mirror.fetch import Fetcher, Wanted
from mirror.lanes import in_lanes
from mirror.lockfile import Lock, LockedFile
from mirror.partial import kept
from mirror.store import Store
from mirror.upstreams import Upstreams

# Debian's pools hold what their indexes name now, and little else.
_DEB_GONE = (
    "the suite has a newer version now: run ./inv mirror.build --refresh-debs to resolve its packages anew, "
    "and look at what changed"
)


def acquire(lock: Lock, missing: Sequence[LockedFile], store: Store) -> tuple[int, int]:
    """Bring ``missing`` into ``store``; return the bytes fetched and the requests made.

    Each file goes through the cache and is hashed on the way into the store. Raises WorldError,
    UpstreamError, DiskError or UsageError; what was verified until then stays in the cache.
    """
    unique = {item.sha256: item for item in missing}
    cache = Cache()
    total = sum(item.size for item in unique.values())
    source = Source(lock, cache)
    work = what_to_get(lock, cache, unique.values())
    # Before the first byte; a disk that holds both must have room for both.
    require_space(
        Need(store.temporary, total, "the mirror's store"),
        Need(cache.temporary, work.fetched_bytes + work.made_bytes, "the cache of verified files"),
    )
    source.provide(unique.values())
    with console.Meter("into the store", total) as meter:
        for item in unique.values():
            _into_store(item, store, cache, source)
            meter.advance(item.size)
    return source.fetched_bytes, source.requests


@dataclass(frozen=True)
class Work:
    """What it takes to have some files in the cache: what to fetch, and what to make then.

    ``kept_bytes`` of what to fetch are there from earlier transfers that did not come to their end.
    ``made_bytes`` is the room that making wants: the results, and as much again on the way.
    """

    fetched: tuple[LockedFile, ...]
    made: tuple[LockedFile, ...]
    kept_bytes: int

    @property
    def fetched_bytes(self) -> int:
        """Return how many bytes are to come over the network."""
        return sum(item.size for item in self.fetched) - self.kept_bytes

    @property
    def made_bytes(self) -> int:
        """Return how many bytes of room making the rest wants."""
        return 2 * sum(item.size for item in self.made)


def what_to_get(lock: Lock, cache: Cache, items: Iterable[LockedFile]) -> Work:
    """Return what ``cache`` lacks of ``items``, and of what they are made of.

    Raises UsageError when the source of a file in the lock is damaged.
    """
    absent = [item for item in items if not cache.has(item.sha256, item.size)]
    made = [item for item in absent if item.source["kind"] in derived.KINDS]
    inputs = [one for item in made for one in _inputs(lock, item)]
    fetched = {item.sha256: item for item in absent if item.source["kind"] not in derived.KINDS}
    fetched |= {one.sha256: one for one in inputs if not cache.has(one.sha256, one.size)}
    before = kept(cache.temporary) if fetched else {}
    left = sum(min(before.get(sha256, 0), item.size) for sha256, item in fetched.items())
    return Work(tuple(fetched.values()), tuple(made), left)


def _into_store(item: LockedFile, store: Store, cache: Cache, source: Source) -> None:
    for again in (True, False):
        copy, found = copy_hashed(cache.path(item.sha256), store.temporary)
        if found == item.sha256:
            store.put(copy, item.sha256)
            return
        copy.unlink()
        if again:
            console.warn(f"{item.path}: the cached copy has changed; it is dropped and fetched anew")
            cache.drop(item.sha256)
            source.provide([item])
    raise WorldError(f"{item.path}: its bytes change while they are copied", "check the disk of the cache")


class Source:
    """Fills the cache with locked files, counting what that took."""

    def __init__(self, lock: Lock, cache: Cache) -> None:
        self._lock, self._cache = lock, cache
        self._fetcher: Fetcher | None = None
        self._upstreams: Upstreams | None = None

    @property
    def fetched_bytes(self) -> int:
        """Return how many bytes came over the network."""
        return self._fetcher.fetched_bytes if self._fetcher else 0

    @property
    def requests(self) -> int:
        """Return how many HTTP requests were made."""
        return self._fetcher.requests if self._fetcher else 0

    def provide(self, items: Iterable[LockedFile]) -> None:
        """Make sure that the cache has every one of ``items``: fetch what can be, then make the rest."""
        work = what_to_get(self._lock, self._cache, items)
        self._fetch(work.fetched)
        for item in work.made:
            self._make(item, _inputs(self._lock, item))

    def _fetch(self, items: Sequence[LockedFile]) -> None:
        if not items:
            return
        total = sum(item.size for item in items)
        with (
            console.step(f"fetching {len(items)} files, {total / 1e6:.0f} MB"),
            console.Meter("fetched", total) as meter,
        ):
            fetcher = self._fetcher
            if fetcher is None:
                fetcher = self._fetcher = Fetcher(self._cache.temporary)
                self._upstreams = Upstreams(fetcher)
            fetcher.progress = meter.advance
            # The largest first, so that no single long one is left at the end. A kind of source is
            # in general a host, or a few: a slow one does not hold up the others.
            ordered = sorted(items, key=lambda item: -item.size)
            in_lanes(self._fetch_one, ordered, _lane, fetcher.policy.per_host, fetcher.stop)

    def _fetch_one(self, item: LockedFile) -> None:
        assert self._fetcher is not None
        assert self._upstreams is not None
        places = self._upstreams.locations(item.source, item.path)
        wanted = {"sha256": item.sha256, "sha512": item.sha512}
        asked = Wanted(item.path, places, item.size, wanted)
        if item.source["kind"] == "deb":
            asked = replace(asked, gone=_DEB_GONE)
        done = self._fetcher.download(asked)
        self._cache.add(done.path, item.sha256)

    def _make(self, item: LockedFile, inputs: Iterable[LockedFile]) -> None:
        require_space(Need(self._cache.temporary, 2 * item.size, f"making {item.path}"))
        blobs = {one.path: self._checked(one) for one in inputs}
        with (
            console.step(f"making {item.path}"),
            tempfile.TemporaryDirectory(prefix="made-", dir=self._cache.temporary) as scratch,
        ):
            made, found = derived.make(item.source, blobs, Path(scratch))
            _compare(item, found)
            self._cache.add(made, item.sha256)

    def _checked(self, item: LockedFile) -> Path:
        """Return the cached blob of an input, having read it: what is made of it must be right."""
        path = self._cache.path(item.sha256)
        if digests.of_file(path).sha256 != item.sha256:
            console.warn(f"{item.path}: the cached copy has changed; it is dropped and fetched anew")
            self._cache.drop(item.sha256)
            self.provide([item])
        return path


def _inputs(lock: Lock, item: LockedFile) -> list[LockedFile]:
    try:
        return [lock.input(name) for name in derived.inputs_of(item.source)]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{item.path}: its source in the lock is damaged ({error!r})", "restore the lock from git"
        ) from error


def _lane(item: LockedFile) -> str:
    return str(item.source["kind"])


def _compare(item: LockedFile, found: Digests) -> None:
    faults = digests.disagreements(found, {"sha256": item.sha256, "sha512": item.sha512}, item.size)
    if faults:
        raise WorldError(
            f"{item.path}: made here from the locked inputs, and not what the lock says\n  "
            + "\n  ".join(faults),
            "this program or its build tools have changed since locking: compare, then lock anew",
        )

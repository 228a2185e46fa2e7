"""Write the lock: resolve the catalogue's entries to exact files, with the evidence for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core import console
from core.errors import InternalError, UsageError
from mirror import catalogue, evidence, keys, lockfile, resolve_files, resolve_maven, resolve_python
from mirror.cache import Cache
from mirror.catalogue import AssemblyEntry, DebEntry, Entry, FileEntry, MavenEntry, PythonEntry
from mirror.fetch import Fetcher
from mirror.gpg import Keyring
from mirror.lockfile import Lock, LockedEntry, LockedFile
from mirror.pin import Pinner
from mirror.resolving import Missing, NotPublishedError, Resolver
from mirror.upstreams import Upstreams


@dataclass(frozen=True)
class LockRequest:
    """What to lock: the catalogue, where the lock goes, and which groups to resolve anew (none: all).

    ``keys`` is the folder of the key snapshots; by default ``keys`` beside the catalogue.
    """

    catalogue: Path
    lock: Path
    groups: tuple[str, ...] = ()
    keys: Path | None = None


@dataclass(frozen=True)
class LockReport:
    """What locking did: the lock, and the artefacts taken in a version that was not the wanted one."""

    lock: Lock
    substituted: tuple[tuple[str, str], ...]
    requests: int
    fetched_bytes: int


@dataclass(frozen=True)
class Resolved:
    """What resolving came to, not yet written: the parts of a lock, and what it took."""

    entries: Mapping[str, LockedEntry]
    files: tuple[LockedFile, ...]
    inputs: tuple[LockedFile, ...]
    requests: int
    fetched_bytes: int


def write_lock(request: LockRequest) -> LockReport:
    """Resolve, pin and write the lock.

    With ``groups`` only those entries are resolved anew; the others keep what the lock has. What is
    not published anywhere is collected over all entries and raised as one NotPublishedError; the
    old lock is untouched then.
    """
    found = resolve(request)
    lock = lockfile.save(request.lock, found.entries, found.files, found.inputs)
    substituted = {
        (str(item.source.get("coordinate", item.path)), str(item.source["instead_of"]))
        for item in (*lock.files, *lock.inputs)
        if "instead_of" in item.source
    }
    return LockReport(lock, tuple(sorted(substituted)), found.requests, found.fetched_bytes)


def resolve(request: LockRequest) -> Resolved:
    """Return what :func:`write_lock` would write; raises as it does."""
    wanted = catalogue.load(request.catalogue)
    chosen = wanted.select(request.groups)
    kept = _kept(wanted, chosen, request)
    cache = Cache()
    fetcher = Fetcher(cache.temporary)
    files: list[LockedFile] = list(kept.files) if kept else []
    inputs: list[LockedFile] = list(kept.inputs) if kept else []
    table = dict(kept.entry_table) if kept else {}
    missing: list[Missing] = []
    snapshots = keys.snapshots(request.keys or request.catalogue.parent / "keys")
    with Keyring(snapshots) as keyring:
        resolver = Resolver(fetcher, cache, Pinner(fetcher, cache, keyring), Upstreams(fetcher))
        for entry in chosen:
            with console.step(f"locking {entry.name}"):
                try:
                    served, needed = _resolve(entry, resolver)
                except NotPublishedError as error:
                    missing += error.missing
                    continue
            evidence.require(entry, (*served, *needed))
            files += served
            inputs += needed
            table[entry.name] = LockedEntry(entry.groups, entry.digest)
    if missing:
        raise NotPublishedError(missing)
    return Resolved(table, _merged(files), _merged(inputs), fetcher.requests, fetcher.fetched_bytes)


def _merged(files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
    return tuple(sorted(merge(files), key=lambda item: item.path))


def merge(files: Iterable[LockedFile]) -> list[LockedFile]:
    """Return one line per path, with all entries that bring it in and the strongest evidence.

    Raises UsageError when two entries want different bytes at one path.
    """
    merged: dict[str, LockedFile] = {}
    for item in sorted(files, key=lambda file: (file.path, not evidence.is_verified(file), file.entries)):
        other = merged.get(item.path)
        if other is None:
            merged[item.path] = item
        elif other.sha256 != item.sha256:
            raise UsageError(
                f"{item.path}: the entries {other.entry} and {item.entry} bring different files there",
                "give one of them another folder in the catalogue",
            )
        else:
            names = tuple(sorted({*other.entries, *item.entries}))
            via, sha1 = {**item.via, **other.via}, other.sha1 or item.sha1
            merged[item.path] = replace(other, entries=names, via=via, sha1=sha1)
    return list(merged.values())


def _kept(wanted: catalogue.Catalogue, chosen: Iterable[Entry], request: LockRequest) -> Lock | None:
    """Return what the present lock holds for entries that are not resolved anew."""
    again = {entry.name for entry in chosen}
    digests = {entry.name: entry.digest for entry in wanted.entries if entry.name not in again}
    if not request.groups or not request.lock.exists():
        return None
    old = lockfile.load(request.lock)
    stay = {name: old.entry_table[name] for name in digests if name in old.entry_table}

    def keep(items: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
        pairs = ((item, tuple(name for name in item.entries if name in stay)) for item in items)
        return tuple(
            replace(item, entries=names, via={name: way for name, way in item.via.items() if name in names})
            for item, names in pairs
            if names
        )

    return Lock(old.path, old.digest, stay, keep(old.files), keep(old.inputs))


def _resolve(entry: Entry, resolver: Resolver) -> tuple[list[LockedFile], list[LockedFile]]:
    if isinstance(entry, FileEntry):
        return resolve_files.resolve_file(entry, resolver), []
    if isinstance(entry, MavenEntry):
        return resolve_maven.resolve(entry, resolver), []
    if isinstance(entry, PythonEntry):
        return resolve_python.resolve(entry, resolver)
    if isinstance(entry, DebEntry):
        return [], []  # resolved by the build: see mirror/kept_debs.py
    if isinstance(entry, AssemblyEntry):
        return resolve_files.resolve_assembly(entry, resolver)
    raise InternalError(f"no resolver for {type(entry).__name__}")

"""Build the mirror: bring what the lock names into the store, and publish it as a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core import console
from core.errors import UsageError, WorldError
from mirror import kept_debs, lockfile, memo, project_files
from mirror.cache import Cache
from mirror.contents import Content, contents, locked, root_digest
from mirror.lockfile import Lock, LockedFile
from mirror.memo import Memo
from mirror.ownership import builder_lock
from mirror.release import Record, Releases, whole
from mirror.sealing import refuse_to_unsign, signed_as_asked
from mirror.store import Store, seems_whole

if TYPE_CHECKING:
    from mirror.signing import Signer


@dataclass(frozen=True)
class BuildRequest:
    """What to build and where.

    ``groups``: group or entry names, none for all. ``keep_published`` adds what the present release
    holds; without it a build that would drop entries wants ``allow_shrink``. ``verify`` re-hashes
    what is in the store even if nothing seems to have changed. ``signers`` sign the release;
    ``unsigned`` lets an unsigned one follow a signed one. ``refresh_debs`` resolves the Debian
    packages of the chosen entries anew, and of what shares a suite with them.
    """

    catalogue: Path
    lock: Path
    root: Path
    groups: tuple[str, ...] = ()
    keep_published: bool = False
    allow_shrink: bool = False
    verify: bool = False
    signers: tuple[Signer, ...] = ()
    unsigned: bool = False
    refresh_debs: bool = False


@dataclass(frozen=True)
class BuildReport:
    """What a build did. ``published`` is False when the present release already was exactly this.

    ``signers``: the fingerprints of those who signed the release.
    """

    release: Path
    serial: int
    root_digest: str
    files: int
    fetched_bytes: int
    requests: int
    published: bool
    signers: tuple[str, ...]


@dataclass(frozen=True)
class BuildPlan:
    """What a build would do, and whether it would publish.

    ``missing``: files that the store lacks. ``fetched``: those (or what they are made of) that the
    cache lacks too; ``fetched_bytes`` would come over the network, beside the ``kept_bytes`` that an
    earlier transfer left. ``made`` would be made here. ``pending``: entries whose Debian packages the
    build would first have to resolve.
    """

    missing: tuple[LockedFile, ...]
    fetched: tuple[LockedFile, ...]
    fetched_bytes: int
    kept_bytes: int
    made: tuple[LockedFile, ...]
    publishes: bool
    files: int
    pending: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Checked:
    """A lock that follows from its catalogue, and what was read for it and known of that by an earlier build.

    ``pending``: entries whose Debian packages are not resolved. ``fetched_bytes`` and ``requests``:
    what resolving took.
    """

    lock: Lock
    read: Mapping[str, str]
    known: Memo | None
    pending: tuple[str, ...] = ()
    fetched_bytes: int = 0
    requests: int = 0


@dataclass(frozen=True)
class _Job:
    lock: Lock
    entries: tuple[str, ...]
    files: tuple[LockedFile, ...]
    found: dict[str, Content]
    digest: str
    published: bool
    known: bool = False


def build(request: BuildRequest) -> BuildReport:
    """Build and publish; quick and without any request when nothing changed.

    Raises UsageError for a bad catalogue, lock or group, BusyError when another builder is at
    work, WorldError for wrong bytes, UpstreamError and DiskError as their names say. The present
    release stays whole and published in each of these cases.
    """
    _check_signing(request)
    checked = _load(request)
    with builder_lock(request.root):
        store, releases = Store(request.root), Releases(request.root)
        store.prepare()
        releases.sweep()
        present = _present(releases, request.verify)
        checked = _with_debs(request, checked, present, ask=True)
        job = _job(request, checked, present, store)
        _keep_memo(request, checked, job)
        if present and job.published and not request.verify:
            kept_debs.settle(request.root)
            return _report(present, checked.fetched_bytes, checked.requests, published=False)
        if present and not request.verify:  # sooner than what it would cost to fetch
            refuse_to_unsign(present[1], request.signers, request.unsigned)
        _set_damaged_aside(store, job)
        fetched_bytes, requests = _bring_in(store, job)
        fetched_bytes, requests = fetched_bytes + checked.fetched_bytes, requests + checked.requests
        if present and _is_this(request, present, job.digest, job.found, store):
            kept_debs.settle(request.root)
            return _report(present, fetched_bytes, requests, published=False)
        if present:
            refuse_to_unsign(present[1], request.signers, request.unsigned)
        for item in job.found.values():
            if item.data is not None:
                store.put_bytes(item.data, item.sha256)
        store.flush()
        made = releases.publish(store, job.found, job.digest, job.lock, job.entries, request.signers)
        kept_debs.settle(request.root)
    return _report(made, fetched_bytes, requests, published=True)


def plan(request: BuildRequest) -> BuildPlan:
    """Return what :func:`build` would do, changing nothing."""
    _check_signing(request)
    checked = _load(request)
    store, releases = Store(request.root), Releases(request.root)
    present = _present(releases, request.verify)
    checked = _with_debs(request, checked, present, ask=False)
    job = _job(request, checked, present, store)
    missing = [item for item in job.files if not _in_store(store, item)]
    from mirror.acquire import what_to_get  # loads the HTTP client, which an unchanged lock does not need

    work = what_to_get(job.lock, Cache(read_only=True), missing)
    publishes = not job.published
    return BuildPlan(
        tuple(missing), work.fetched, work.fetched_bytes, work.kept_bytes, work.made, publishes,
        len(job.found), checked.pending,
    )  # fmt: skip


def _load(request: BuildRequest) -> _Checked:
    """Return the lock, having checked that it follows from the catalogue."""
    read = memo.digests(_read(request))
    known = None if request.verify else memo.recall(request.root, read)
    lock = lockfile.load(request.lock)
    if known is None or lock.digest not in read.values():
        known = None
        _check(request, lock)
    return _Checked(lock, read, known)


def _read(request: BuildRequest) -> tuple[Path, ...]:
    projects = project_files.beside(request.catalogue)
    return request.catalogue, request.lock, *projects


def _with_debs(
    request: BuildRequest, checked: _Checked, present: tuple[Path, Record] | None, *, ask: bool
) -> _Checked:
    """Add the Debian packages; those that nobody has resolved yet are resolved if ``ask``."""
    kept = kept_debs.load(request.root)
    entries = _entries(request, checked.lock, present)
    pending = kept_debs.pending(checked.lock, kept, entries)
    wanted = entries if request.refresh_debs else pending
    if not (wanted and ask):
        return replace(checked, lock=kept_debs.merged(checked.lock, kept), pending=pending)
    from mirror import catalogue

    known = catalogue.load(request.catalogue).entries
    wanted = tuple(e.name for e in known if e.name in wanted and isinstance(e, catalogue.DebEntry))
    if not wanted and not request.refresh_debs:
        return checked
    if not wanted:
        raise UsageError(
            "no chosen entry brings Debian packages, so there are none to refresh", "leave --refresh-debs out"
        )
    kept, fetched_bytes, requests = kept_debs.resolve(request.root, kept, known, wanted)
    lock = kept_debs.merged(checked.lock, kept)
    return _Checked(lock, checked.read, None, fetched_bytes=fetched_bytes, requests=requests)


def _check(request: BuildRequest, lock: Lock) -> None:
    from mirror import catalogue  # loads the schema checker, which an unchanged catalogue does not need

    wanted = catalogue.load(request.catalogue)
    cure = "run ./inv mirror.lock, look at what changed, and commit it"
    for entry in wanted.entries:
        known = lock.entry_table.get(entry.name)
        if known is None or known.digest != entry.digest or set(known.groups) != set(entry.groups):
            how = "is not in the lock" if known is None else "has changed since it was locked"
            raise UsageError(f"{request.catalogue}: the entry {entry.name} {how} ({request.lock})", cure)
    extra = set(lock.entries()) - {entry.name for entry in wanted.entries}
    if extra:
        raise UsageError(f"{request.lock}: locks {', '.join(sorted(extra))}, not in the catalogue", cure)


def _present(releases: Releases, verify: bool) -> tuple[Path, Record] | None:
    try:
        return releases.published()
    except WorldError:
        if not verify:
            raise
        return None


def _job(request: BuildRequest, checked: _Checked, present: tuple[Path, Record] | None, store: Store) -> _Job:
    lock = checked.lock
    entries = _entries(request, lock, present)
    files = lock.files_of(entries)
    known = checked.known
    if known and known.entries == entries and present:
        found = {**locked(files), **known.made}
        digest = root_digest(found)
        # Believed only where the published release is just that; else all is made, and so compared, anew.
        if _is_this(request, present, digest, found, store):
            return _Job(lock, entries, files, found, digest, published=True, known=True)
    found = contents(lock, request.lock.read_bytes(), entries)
    digest = root_digest(found)
    published = present is not None and _is_this(request, present, digest, found, store)
    return _Job(lock, entries, files, found, digest, published)


def _entries(request: BuildRequest, lock: Lock, present: tuple[Path, Record] | None) -> tuple[str, ...]:
    entries = set(lock.select(request.groups))
    held = {name for name in present[1].entries if name in lock.entry_table} if present else set()
    if request.keep_published:
        entries |= held
    dropped = held - entries
    if dropped and not request.allow_shrink:
        raise UsageError(
            f"this build would drop {', '.join(sorted(dropped))} from the published release",
            "add --keep to keep what is published, or --allow-shrink to drop it",
        )
    return tuple(sorted(entries))


def _keep_memo(request: BuildRequest, checked: _Checked, job: _Job) -> None:
    if not job.known:
        memo.keep(request.root, memo.of(checked.read, job.entries, job.found))


def _is_this(
    request: BuildRequest,
    present: tuple[Path, Record],
    digest: str,
    found: Mapping[str, Content],
    store: Store,
) -> bool:
    folder, record = present
    asked = signed_as_asked(record, request.signers, request.unsigned)
    return asked and record.root_digest == digest and whole(folder, record, found, store)


def _check_signing(request: BuildRequest) -> None:
    if request.signers and request.unsigned:
        raise UsageError("--unsigned and a key contradict each other", "leave one of them out")


def _report(release: tuple[Path, Record], fetched_bytes: int, requests: int, published: bool) -> BuildReport:
    folder, record = release
    return BuildReport(
        folder,
        record.serial,
        record.root_digest,
        record.files,
        fetched_bytes,
        requests,
        published,
        record.signers,
    )


def _in_store(store: Store, item: LockedFile) -> bool:
    return seems_whole(store.path(item.sha256), item.sha256, item.size)


def _set_damaged_aside(store: Store, job: _Job) -> None:
    """Re-hash what a new release would link to; damaged blobs are named and fetched again."""
    names = {item.sha256: path for path, item in job.found.items()}
    for sha256 in store.damaged(names):
        kept = store.set_aside(sha256)
        console.warn(f"{names[sha256]}: its bytes in the store have changed; kept as {kept}, fetched anew")


def _bring_in(store: Store, job: _Job) -> tuple[int, int]:
    missing = [item for item in job.files if not _in_store(store, item)]
    if not missing:
        return 0, 0
    from mirror.acquire import acquire  # loads the HTTP client, which an unchanged lock does not need

    return acquire(job.lock, missing, store)

"""Repair a mirror: what an audit finds is set aside, brought in anew, and published again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError, WorldError
from mirror import kept_debs, lockfile
from mirror.acquire import acquire
from mirror.audit import Findings, examine, reading
from mirror.bundle_source import take_from
from mirror.cache import Cache
from mirror.contents import LOCK, Content, contents, root_digest
from mirror.lockfile import Lock, LockedFile
from mirror.ownership import builder_lock
from mirror.release import Record, Releases, whole
from mirror.sealing import refuse_to_unsign
from mirror.store import Store, seems_whole

if TYPE_CHECKING:
    from mirror.signing import Signer


@dataclass(frozen=True)
class RepairReport:
    """What was wrong and what was done.

    ``set_aside``: where the damaged blobs lie now (nothing is ever deleted). ``bundle_bytes``,
    ``fetched_bytes`` and ``requests``: what the cache of verified files did not have. ``release`` is
    the published one, a new one if ``published``.
    """

    findings: Findings
    set_aside: tuple[Path, ...]
    bundle_bytes: int
    fetched_bytes: int
    requests: int
    release: Path
    serial: int
    published: bool


def repair(
    root: Path,
    lock: Path,
    signers: Sequence[Signer] = (),
    unsigned: bool = False,
    bundles: Sequence[Path] = (),
) -> RepairReport:
    """Make the published release under ``root`` and its store whole again, from the release's own lock.

    A release is never modified: the same content is published anew, under the same root digest.
    ``lock`` is used if the release's copy of its lock is damaged and this is the same one. What the
    cache of verified files does not have is looked for in ``bundles``, then asked of upstream. A signed
    release wants ``signers`` to publish it anew, or ``unsigned``. Raises
    BusyError when a builder is at work, and WorldError, UpstreamError or DiskError when bytes cannot
    be had; what is damaged then stays aside, and what was published stays published.
    """
    with builder_lock(root):
        store, releases = Store(root), Releases(root)
        present = releases.published()
        if present is None:
            raise WorldError(f"{root}: nothing is published there", "run ./inv mirror.build")
        folder, record = present
        with reading(root, folder) as disk:
            inside, expected = _expected(root, folder, record, lock)
            findings = examine(disk, record, expected)
        if findings.missing or findings.changed or findings.extra:
            refuse_to_unsign(record, signers, unsigned)
        store.prepare()
        releases.sweep()
        suspects = {
            expected[path].sha256 for path in (*findings.changed, *findings.missing) if path in expected
        }
        bad = [*store.damaged(sorted(suspects)), *findings.store]
        set_aside = tuple(store.set_aside(sha256) for sha256 in bad)
        files = inside.files_of(record.entries)
        missing = [item for item in files if not _in_store(store, item)]
        bundle_bytes = _from_bundles(missing, bundles, store)
        missing = [item for item in missing if not _in_store(store, item)]
        fetched_bytes, requests = acquire(inside, missing, store) if missing else (0, 0)
        for item in expected.values():
            if item.data is not None:
                store.put_bytes(item.data, item.sha256)
        store.flush()
        publishes = bool(findings.extra) or not whole(folder, record, expected, store)
        if publishes:
            refuse_to_unsign(record, signers, unsigned)
            folder, record = releases.publish(
                store, expected, record.root_digest, inside, record.entries, signers
            )
    return RepairReport(
        findings, set_aside, bundle_bytes, fetched_bytes, requests, folder, record.serial, published=publishes
    )


def _in_store(store: Store, item: LockedFile) -> bool:
    return seems_whole(store.path(item.sha256), item.sha256, item.size)


def _from_bundles(missing: Sequence[LockedFile], bundles: Sequence[Path], store: Store) -> int:
    """Bring in what the cache lacks and a bundle has; return how many bytes that was."""
    taken, cache = 0, Cache(read_only=True)
    for path in bundles:
        wanted = {
            item.sha256: item.size
            for item in missing
            if not cache.has(item.sha256, item.size) and not _in_store(store, item)
        }
        taken += take_from(path, wanted, store)
    return taken


def _expected(root: Path, folder: Path, record: Record, given: Path) -> tuple[Lock, Mapping[str, Content]]:
    """Return the lock that the release was made from, and what the release must hold."""
    locks = [(path, found) for path in (folder / LOCK, given) if (found := _readable(path))]
    debs = [found for path in kept_debs.copies(root, folder) if (found := _readable(path))]
    for path, lock in locks:
        if lock.digest != record.lock_digest:
            continue
        for resolution in (*debs, None):
            whole = kept_debs.merged(lock, resolution)
            expected = contents(whole, path.read_bytes(), record.entries)
            if root_digest(expected) == record.root_digest:
                return whole, expected
    raise WorldError(
        f"{folder}: neither its own lock nor {given} is the one that it was made from",
        "give that lock (--lock), or run ./inv mirror.build --verify",
    )


def _readable(path: Path) -> Lock | None:
    try:
        return lockfile.load(path)
    except UsageError:
        return None  # damaged or not there; another one may do, and if not, that is said

"""Audit a mirror: re-hash every file of the published release and of the store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import WorldError
from core.files import sha256_of
from mirror import kept_debs, lockfile
from mirror.contents import LOCK, Content, contents, root_digest, unsigned
from mirror.release import Record, Releases
from mirror.sealing import outside_of
from mirror.sealing import verify as verify_seal
from mirror.store import Store


@dataclass(frozen=True)
class Findings:
    """What is wrong: release-relative paths, and in ``store`` the names of damaged blobs besides."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    store: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.missing or self.changed or self.extra or self.store)


@dataclass(frozen=True)
class AuditReport:
    """What an audit found. Paths are relative to the release; ``store`` names blobs that are damaged.

    ``follows_lock`` is False when the release was built from another lock than the one asked about.
    ``signed_by`` are the trusted who signed it, if somebody's word was asked for.
    """

    release: Path
    files: int
    bytes: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    store: tuple[str, ...]
    follows_lock: bool
    serial: int
    signed_by: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Tell whether nothing is wrong with the bytes."""
        return not (self.missing or self.changed or self.extra or self.store)


def audit(root: Path, lock: Path, keyring: bytes | None = None, at_least: int = 0) -> AuditReport:
    """Re-hash the published release under ``root`` and compare with the lock inside it and ``lock``.

    With ``keyring`` (public keys) its signatures are judged first. Raises WorldError when nothing is
    published, when a signature is not of those, when the serial is lower than ``at_least``, or the
    release's own lock is not what its record says (then nothing in it can be trusted).
    """
    published = Releases(root).published()
    if published is None:
        raise WorldError(f"{root}: nothing is published there", "run ./inv mirror.build")
    folder, record = published
    if record.serial < at_least:
        raise WorldError(
            f"{folder}: an older release: its serial is {record.serial}, and you have seen {at_least}",
            "find out who put the older one there; going back is ./inv mirror.rollback, under a new serial",
        )
    signed_by: tuple[str, ...] = ()
    if keyring is not None:
        seal = verify_seal(folder, keyring)
        record, signed_by = seal.record, seal.signers
    # Hashing leaves the processor to other threads: what is expected is worked out meanwhile.
    with reading(root, folder) as disk:
        asked = lockfile.load(lock)
        inside = kept_debs.of_release(folder)
        expected = contents(inside, (folder / LOCK).read_bytes(), record.entries)
        if root_digest(expected) != record.root_digest:
            # Another version of this program made it: then its links tell what it was published with.
            expected = _as_linked(disk)
        if inside.digest != record.lock_digest or root_digest(expected) != record.root_digest:
            raise WorldError(
                f"{folder}: the release's lock and its record do not belong together",
                "somebody changed them: run ./inv mirror.build --verify",
            )
        found = examine(disk, record, expected)
    present = [item for path, item in expected.items() if path not in found.missing]
    return AuditReport(
        folder, len(present), sum(item.size for item in present), found.missing, found.changed,
        found.extra, found.store, asked.digest == inside.digest, record.serial, signed_by,
    )  # fmt: skip


@dataclass(frozen=True)
class Disk:
    """What lies in a release (``there``) and in the store (``stored``), by path below each.

    ``digests``: the SHA-256 by inode, "" for what is no regular file; being computed.
    """

    there: Mapping[str, os.stat_result]
    stored: Mapping[str, os.stat_result]
    digests: Mapping[int, Future[str]]


@contextmanager
def reading(root: Path, folder: Path) -> Iterator[Disk]:
    """Hash the release in ``folder`` and every blob under ``root``, on all cores, the largest first.

    Each inode is read once, however many names it has: a release is made of links into the store.
    """
    blobs = Store(root).folder / "sha256"
    there, stored = dict(_files(folder)), dict(_files(blobs)) if blobs.is_dir() else {}
    names = {found.st_ino: (found, blobs / path) for path, found in stored.items()}
    names |= {found.st_ino: (found, folder / path) for path, found in there.items()}
    ordered = sorted(names, key=lambda inode: -names[inode][0].st_size)
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield Disk(there, stored, {inode: pool.submit(_digest, *names[inode]) for inode in ordered})
    finally:
        pool.shutdown(cancel_futures=True)


def _as_linked(disk: Disk) -> dict[str, Content]:
    names = {status.st_ino: path.rpartition("/")[2] for path, status in disk.stored.items()}
    return {
        path: Content(names.get(status.st_ino, ""), status.st_size)
        for path, status in disk.there.items()
        if unsigned(path)
    }


def examine(disk: Disk, record: Record, expected: Mapping[str, Content]) -> Findings:
    """Compare what lies on the disk with ``expected``.

    Signatures must be there, if ``record`` names signers; whether they are good is not looked at.
    """
    wanted = {*expected, *outside_of(record, expected)}
    present = [path for path in expected if path in disk.there]
    linked = {disk.there[path].st_ino for path in present}
    found = {inode: digest.result() for inode, digest in disk.digests.items()}
    return Findings(
        missing=tuple(sorted(path for path in wanted if path not in disk.there)),
        changed=tuple(
            sorted(path for path in present if found[disk.there[path].st_ino] != expected[path].sha256)
        ),
        extra=tuple(sorted(path for path in disk.there if path not in wanted)),
        store=tuple(
            sorted(
                path.rpartition("/")[2]
                for path, status in disk.stored.items()
                if status.st_ino not in linked and found[status.st_ino] != path.rpartition("/")[2]
            )
        ),
    )


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path below ``folder``, and the status, of everything there that is no folder."""
    inside = [""]
    while inside:
        below = inside.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inside.append(f"{below}{entry.name}/")
                else:
                    yield f"{below}{entry.name}", entry.stat(follow_symlinks=False)


def _digest(found: os.stat_result, path: Path) -> str:
    return sha256_of(path) if stat.S_ISREG(found.st_mode) else ""

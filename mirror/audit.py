"""Audit a mirror: re-hash every file of the published release and of the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core.errors import WorldError
from core.files import sha256_of
from mirror import lockfile
from mirror.contents import LOCK, Content, contents, root_digest
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
    asked = lockfile.load(lock)
    inside = lockfile.load(folder / LOCK)
    expected = contents(inside, (folder / LOCK).read_bytes(), record.entries)
    if inside.digest != record.lock_digest or root_digest(expected) != record.root_digest:
        raise WorldError(
            f"{folder}: the release's lock and its record do not belong together",
            "somebody changed them: run ./inv mirror.build --verify",
        )
    found = examine(root, folder, record, expected)
    present = [item for path, item in expected.items() if path not in found.missing]
    return AuditReport(
        folder, len(present), sum(item.size for item in present), found.missing, found.changed,
        found.extra, found.store, asked.digest == inside.digest, record.serial, signed_by,
    )  # fmt: skip


def examine(root: Path, folder: Path, record: Record, expected: Mapping[str, Content]) -> Findings:
    """Re-hash the release in ``folder`` and every blob under ``root``; compare with ``expected``.

    Signatures must be there, if ``record`` names signers; whether they are good is not looked at.
    """
    there = dict(_files(folder))
    wanted = {*expected, *outside_of(record, expected)}
    missing = sorted(path for path in wanted if path not in there)
    extra = sorted(path for path in there if path not in wanted)
    present = sorted(path for path in expected if path in there)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(lambda path: _digest(folder / path), present))
        changed = [path for path, value in zip(present, found, strict=True) if value != expected[path].sha256]
        hashed = {there[path] for path in present}
        store = list(pool.map(_damaged, _unlinked(root, hashed)))
    return Findings(tuple(missing), tuple(changed), tuple(extra), tuple(name for name in store if name))


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the release-relative path and inode of everything in ``folder`` that is no folder."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            yield path.relative_to(folder).as_posix(), path.lstat().st_ino


def _digest(path: Path) -> str:
    return "" if path.is_symlink() or not path.is_file() else sha256_of(path)


def _unlinked(root: Path, hashed: set[int]) -> list[Path]:
    """Return the blobs that were not read already as files of the release."""
    blobs = Store(root).folder / "sha256"
    return [path for path in sorted(blobs.glob("*/*")) if path.lstat().st_ino not in hashed]


def _damaged(blob: Path) -> str:
    return blob.name if _digest(blob) != blob.name else ""

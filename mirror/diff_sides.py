"""What can be compared: a release here or elsewhere, or a lock, each as files and what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError, WorldError
from mirror import kept_debs, lockfile
from mirror import record as records
from mirror.contents import RECORD, SUMS, contents, unsigned
from mirror.lockfile import Lock, LockedFile
from mirror.paths import path_fault
from mirror.record import Record
from mirror.release import Releases


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    ``files`` maps each path of the content to its SHA-512 and size in bytes, ``locked`` those of a
    lock to its row. ``record`` is the release's; a lock has none. ``groups`` are what it holds.
    """

    label: str
    files: Mapping[str, tuple[str, int]]
    locked: Mapping[str, LockedFile]
    groups: tuple[str, ...]
    record: Record | None


def load(name: str, root: Path) -> Side:
    """Return what ``name`` stands for: a serial under ``root``, ``current``, a lock, or a folder.

    A folder is a release, or another mirror's root, whose published release is meant. Raises
    UsageError for what is none of these, WorldError for a release whose lists are damaged.
    """
    releases = Releases(root)
    if name.isascii() and name.isdigit():
        return _release(*releases.get(int(name)))
    if name == "current":
        return _published(releases)
    path = Path(name)
    if path.is_file():
        return _lock(lockfile.load(path))
    if (path / RECORD).is_file():
        return _release(path, records.load(path / RECORD))
    if (path / "current").is_symlink():
        return _published(Releases(path))
    raise UsageError(
        f"{name!r} is no release and no lock",
        "give a serial (./inv mirror.releases), `current`, a lock's file, a release's folder or another root",
    )


def _published(releases: Releases) -> Side:
    return _release(*releases.require())


def _release(folder: Path, record: Record) -> Side:
    # Told by the release's own sums: another version of this program may have made its other files.
    sums = _sums(folder)
    files = {path: (digest, _size(folder, path)) for path, digest in _parsed(sums, folder).items()}
    files[SUMS] = (hashlib.sha512(sums).hexdigest(), len(sums))
    loaded = kept_debs.of_release(folder)
    locked = {item.path: item for item in loaded.files_of(record.entries)}
    return Side(f"release {record.serial} ({folder})", files, locked, record.groups, record)


def _lock(loaded: Lock) -> Side:
    found = contents(loaded, loaded.path.read_bytes(), loaded.entries())
    sums = found[SUMS].data or b""
    digests = {**_parsed(sums, loaded.path), SUMS: hashlib.sha512(sums).hexdigest()}
    files = {path: (digests[path], item.size) for path, item in found.items()}
    return Side(f"lock {loaded.path}", files, {i.path: i for i in loaded.files}, loaded.groups(), None)


def _sums(folder: Path) -> bytes:
    try:
        return (folder / SUMS).read_bytes()
    except OSError as error:
        raise WorldError(
            f"{folder / SUMS}: cannot be read: {error.strerror}", "run ./inv mirror.audit"
        ) from error


def _parsed(sums: bytes, where: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(sums.decode("utf-8", "replace").splitlines(), 1):
        digest, _, path = line.partition("  ")
        if len(digest) != 128 or path_fault(path) or not unsigned(path):
            raise WorldError(
                f"{where}: line {number} of {SUMS} is no sum of a file", "run ./inv mirror.audit"
            )
        found[path] = digest
    return found


def _size(folder: Path, path: str) -> int:
    try:
        return (folder / path).stat().st_size
    except OSError as error:
        raise WorldError(
            f"{folder / path}: cannot be read: {error.strerror}", "run ./inv mirror.audit"
        ) from error

"""Plan a bundle: what a release holds, what the receiver lacks of it, and which part takes what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import UsageError, WorldError
from core.files import sha256_of
from mirror.bundle_format import (
    BLOCK,
    MAX_BLOB,
    MAX_OUTSIDE,
    Item,
    Manifest,
    head_size,
    padded,
    root_digest,
)
from mirror.contents import RECORD, unsigned
from mirror.have import HaveList
from mirror.record import Record
from mirror.release import Releases
from mirror.store import Store

_REPAIR = "run ./inv mirror.repair, then export again"
_FAT = ("vfat", "msdos")
_FAT_MOST = (4 << 30) - 1


@dataclass(frozen=True)
class Shipment:
    """A release in its folder, and the lists of the bundle's parts (one, unless it was to be split)."""

    folder: Path
    manifests: tuple[Manifest, ...]
    missing: int
    missing_bytes: int

    @property
    def bytes(self) -> int:
        """Return how long all parts are together."""
        return sum(file_size(one) for one in self.manifests)


def file_size(manifest: Manifest) -> int:
    """Return how long the file with this list is, in bytes."""
    return head_size(len(manifest.dumps())) + manifest.body


def plan(root: Path, serial: int | None, have: HaveList | None, split: int | None) -> Shipment:
    """Return what is to be written for the release ``serial`` (None: the published one).

    Its files are believed by their links into the store; their bytes are hashed when they are
    written. Raises UsageError for an unknown release or a split that is too small, WorldError for
    a release whose files do not have its root digest.
    """
    folder, record = _release(root, serial)
    number, digest = record.serial, record.root_digest
    outside, files = _inventory(folder, Store(root))
    if root_digest(files) != digest:
        raise WorldError(f"{folder}: its files do not have the root digest of its {RECORD}", _REPAIR)
    for item in (*outside, *files):
        most = MAX_BLOB if unsigned(item.path) else MAX_OUTSIDE
        if item.size > most:
            raise WorldError(f"{item.path}: is {item.size} bytes long, a bundle takes {most}", _REPAIR)
    kept = {item.sha256 for item in outside} | set(have.blobs if have else ())
    sizes = {item.sha256: item.size for item in files if item.sha256 not in kept}
    whole = Manifest(number, digest, have.digest if have else "", 1, (tuple(sorted(sizes)),), outside, files)
    parts = _parts(whole, sizes, split) if split else whole.parts
    manifests = tuple(replace(whole, part=count + 1, parts=parts) for count in range(len(parts)))
    return Shipment(folder, manifests, len(sizes), sum(sizes.values()))


def file_system(folder: Path) -> str:
    """Return the type of the file system that ``folder`` lies on ("" if the kernel does not tell)."""
    best, kind = "", ""
    try:
        rows = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    here = folder.resolve()
    for row in rows:
        before, _, after = row.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        # The last of equal ones lies on top.
        if here.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def refuse_fat(folder: Path, size: int) -> None:
    """Raise UsageError for a file that a FAT medium at ``folder`` cannot hold."""
    if size > _FAT_MOST and file_system(folder) in _FAT:
        raise UsageError(
            f"{folder}: its file system (FAT) holds files of up to 4 GiB, and this is one of {size} bytes",
            "export with --split 4095M",
        )


def _release(root: Path, serial: int | None) -> tuple[Path, Record]:
    releases = Releases(root)
    if serial is not None:
        return releases.get(serial)
    present = releases.published()
    if present is None:
        raise WorldError(f"{root}: nothing is published there", "run ./inv mirror.build")
    return present


def _inventory(folder: Path, store: Store) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return what is outside the root digest, and what it covers, each sorted by path."""
    names = {blob.lstat().st_ino: blob.name for blob in (store.folder / "sha256").glob("*/*")}
    outside: list[Item] = []
    files: list[Item] = []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            raise WorldError(f"{path}: is no plain file, so it is not the release's", _REPAIR)
        found = path.lstat()
        counted = unsigned(name)
        sha256 = names.get(found.st_ino) if counted else None
        (files if counted else outside).append(Item(name, sha256 or sha256_of(path), found.st_size))
    return tuple(sorted(outside, key=_path)), tuple(sorted(files, key=_path))


def _path(item: Item) -> str:
    return item.path


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _parts(whole: Manifest, sizes: dict[str, int], split: int) -> tuple[tuple[str, ...], ...]:
    """Return the blobs of each part, none of which is longer than ``split`` bytes."""
    # The list of a part is a little longer for each part that there is.
    fixed = file_size(replace(whole, parts=((),))) + padded(len(whole.dumps())) + BLOCK
    room = split - fixed
    parts: list[list[str]] = [[]]
    used = 0
    for sha256, size in sorted(sizes.items()):
        length = BLOCK + padded(size)
        if length > room:
            raise UsageError(
                f"--split {split}: {whole.paths[sha256]} alone wants a part of {length + fixed} bytes",
                f"give at least {length + fixed}",
            )
        if used + length > room:
            parts.append([])
            used = 0
        parts[-1].append(sha256)
        used += length
    return tuple(map(tuple, parts))

"""Compare a document root that is not ours with what a release would put there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import WorldError
from core.files import sha256_of
from mirror import docroot_manifest, trees
from mirror.contents import SUMS, unsigned
from mirror.docroot_layout import SUMS_HERE, place, rank
from mirror.docroot_manifest import Manifest
from mirror.record import Record
from mirror.release import Releases
from mirror.store import Store, blob_date

_SHOWN = 20


@dataclass(frozen=True)
class Item:
    """One file to be there: its digest and size, and where its bytes are: a file, or here."""

    sha256: str
    size: int
    source: Path | bytes


@dataclass(frozen=True)
class Plan:
    """What is to be done in a document root; the fields are as in PublishReport, paths in order."""

    record: Record
    old: Manifest
    wanted: Mapping[str, Item]
    put: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    theirs: tuple[str, ...]
    left: tuple[str, ...]
    folders: frozenset[str]


def plan(root: Path, into: Path, store: Store) -> Plan:
    """Return what putting the published release under ``root`` into ``into`` takes; nothing is changed.

    Raises WorldError when nothing is published or the release is not whole, and naming every file
    in ``into`` that is not ours and differs.
    """
    folder, record = Releases(root).require()
    wanted = _wanted(folder, record, store)
    old = docroot_manifest.load(into)
    put, replaced, theirs, conflicts = [], [], [], []
    for path in sorted(wanted, key=lambda name: (rank(name), name)):
        there = _digest(into, path, store, (wanted[path].sha256, *old.files.get(path, ())))
        if there is None:
            put.append(path)
        elif there == wanted[path].sha256:
            if path not in old.files:
                theirs.append(path)
        elif there in old.files.get(path, ()):
            replaced.append(path)
        else:
            conflicts.append(path)
    folders = _missing_folders(into, put)
    conflicts += [folder for folder in sorted(folders) if (into / folder).is_symlink()]
    if conflicts:
        raise WorldError(
            f"{into}: these files there are not ours, and differ from the release's:\n"
            + "\n".join(f"  {path}" for path in conflicts[:_SHOWN])
            + (f"\n  and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""),
            "nothing was changed; move them away if they are not needed, then run the same command again",
        )
    gone = {path: _digest(into, path, store, old.files[path]) for path in old.files.keys() - wanted.keys()}
    removed = [path for path, there in gone.items() if there in old.files[path]]
    left = [path for path, there in gone.items() if there is not None and there not in old.files[path]]
    return Plan(
        record, old, wanted, tuple(put), tuple(replaced), tuple(sorted(removed)), tuple(theirs),
        tuple(sorted(left)), old.folders | folders,
    )  # fmt: skip


def _wanted(folder: Path, record: Record, store: Store) -> dict[str, Item]:
    """Return what the document root must hold, by its path there."""
    content = trees.content(folder, record, store)
    found: dict[str, Item] = {}
    sums: dict[str, str] = {}
    for path, held in content.items():
        if place(path):
            found[place(path)] = Item(held.sha256, held.size, store.path(held.sha256))
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, path = line.partition("  ")
        if place(path):
            sums[place(path)] = digest
    for path, _ in trees.files(folder):
        if not unsigned(path) and place(path):
            found[place(path)] = _bytes((folder / path).read_bytes())
    for target, item in found.items():
        if target not in sums:
            raw = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
            sums[target] = hashlib.sha512(raw).hexdigest()
    lines = "".join(f"{digest}  {target}\n" for target, digest in sorted(sums.items()))
    found[SUMS_HERE] = _bytes(lines.encode())
    return found


def _bytes(data: bytes) -> Item:
    return Item(hashlib.sha256(data).hexdigest(), len(data), data)


def _digest(into: Path, path: str, store: Store, likely: Iterable[str]) -> str | None:
    """Return the SHA-256 of what lies at ``path``; None for nothing, "" for what is no regular file.

    A link to a blob of ``likely``, or a file with its size and date, is not read.
    """
    target = into / path
    try:
        status = target.lstat()
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return ""
    if target.is_symlink() or not target.is_file():
        return ""
    for sha256 in likely:
        blob = store.path(sha256)
        if blob.exists() and target.samefile(blob):
            return sha256
        same_size = blob.exists() and blob.stat().st_size == status.st_size
        if same_size and status.st_mtime == blob_date(sha256):
            return sha256
    return sha256_of(target)


def _missing_folders(into: Path, paths: Iterable[str]) -> frozenset[str]:
    folders = {parent for path in paths for parent in Path(path).parents if parent.name}
    return frozenset(folder.as_posix() for folder in folders if not (into / folder).exists())

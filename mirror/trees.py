"""What a release's tree holds, told by its links into the store and not by any list inside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from core.errors import WorldError
from mirror.contents import Content, root_digest, unsigned
from mirror.record import Record
from mirror.store import Store, seems_whole

_SHOWN = 10


def files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the release-relative path and status of everything in ``folder`` that is no folder."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            yield path.relative_to(folder).as_posix(), path.lstat()


def blobs(store: Store) -> dict[tuple[int, int], str]:
    """Return the SHA-256 that each file of the store is filed under, by its device and inode."""
    found = {}
    for path in (store.folder / "sha256").glob("*/*"):
        status = path.lstat()
        found[status.st_dev, status.st_ino] = path.name
    return found


def as_linked(folder: Path, store: Store) -> dict[str, Content]:
    """Return the content of ``folder`` as its links into the store tell it: "" for what is no link."""
    known = blobs(store)
    return {
        path: Content(known.get((status.st_dev, status.st_ino), ""), status.st_size)
        for path, status in files(folder)
        if unsigned(path)
    }


def content(folder: Path, record: Record, store: Store) -> dict[str, Content]:
    """Return the content of the release in ``folder``, having checked links, dates, sizes and digest.

    Nothing is read: each file must be a link to a blob that seems untouched, and their names and
    digests must come to the root digest in ``record``, whichever version of this program made it.
    Raises WorldError naming what is not so.
    """
    found = as_linked(folder, store)
    bad = [
        path
        for path, item in found.items()
        if not item.sha256 or not seems_whole(folder / path, item.sha256, item.size)
    ]
    total = sum(item.size for item in found.values())
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        reason = f"not the store's own, or changed: {', '.join(sorted(bad)[:_SHOWN])}{more}"
    elif root_digest(found) != record.root_digest:
        reason = "files are missing, added or renamed: they do not come to its root digest"
    elif record.bytes and total != record.bytes:
        reason = f"it holds {total} bytes, and was published with {record.bytes}"
    else:
        return found
    raise WorldError(
        f"{folder}: the release {record.serial} is not whole: {reason}",
        "build it anew from its lock (./inv mirror.build --lock), or use another one (./inv mirror.releases)",
    )

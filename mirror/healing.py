"""Put a damaged release right in its place: under its own serial, with the signatures that its maker gave it.

Who cannot sign cannot publish the content anew (:mod:`mirror.repair` does that). Each wrong file is
replaced by one rename, by a link to a blob that was hashed, so that a reader has the damaged file or
the right one; what was there goes to the quarantine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.files import sync_directory, writing
from mirror.contents import Content
from mirror.release import untouched
from mirror.store import Store


def is_whole(folder: Path, found: Mapping[str, Content], outside: Mapping[str, bytes], store: Store) -> bool:
    """Tell whether the release in ``folder`` is just ``found`` (by links and dates) and ``outside``."""
    there = set(_files(folder))
    return (
        there == {*found, *outside}
        and untouched(folder, found, store)
        and all(_has(folder / path, data) for path, data in outside.items())
    )


def heal(folder: Path, found: Mapping[str, Content], outside: Mapping[str, bytes], store: Store) -> int:
    """Make the release in ``folder`` just ``found`` (all of it in ``store``) and ``outside``.

    Returns how many files were wrong, missing or too much. Ended midway, the next call goes on.
    """
    count = 0
    with writing(folder):
        for path in sorted(set(_files(folder)) - {*found, *outside}):
            _set_aside(folder / path, store)
            count += 1
        for path, item in sorted(found.items()):
            if not untouched(folder, {path: item}, store):
                new = store.temporary / f"heal-{count}"  # the builder's lock is held: nobody else is here
                new.hardlink_to(store.path(item.sha256))
                _put(new, folder / path, store)
                count += 1
        for path, data in sorted(outside.items()):
            if not _has(folder / path, data):
                handle, name = tempfile.mkstemp(dir=store.temporary, prefix="heal-")
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fchmod(stream.fileno(), 0o644)
                    os.fsync(stream.fileno())
                _put(Path(name), folder / path, store)
                count += 1
    return count


def _put(new: Path, target: Path, store: Store) -> None:
    if target.is_symlink() or target.is_dir():
        _set_aside(target, store)
    elif target.exists() and target.lstat().st_nlink == 1:  # nobody else keeps these bytes
        store.quarantine.mkdir(parents=True, exist_ok=True)
        _place(target, store).hardlink_to(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new.rename(target)
    sync_directory(target.parent)


def _set_aside(path: Path, store: Store) -> None:
    store.quarantine.mkdir(parents=True, exist_ok=True)
    path.rename(_place(path, store))


def _place(path: Path, store: Store) -> Path:
    return store.quarantine / f"{path.name}.{time.time_ns()}"


def _has(path: Path, data: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == data


def _files(folder: Path) -> Iterator[str]:
    """Yield the release-relative path of everything in ``folder`` that is no folder."""
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            yield Path(parent, name).relative_to(folder).as_posix()

"""Releases: trees of hard links into the store, published by one rename, never modified."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import WorldError
from core.files import sync_directory, writing
from mirror.contents import RECORD, Content
from mirror.lockfile import Lock
from mirror.store import Store, blob_date

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """What ``release.json`` says: outside the root digest, because it names serial and date."""

    serial: int
    root_digest: str
    lock_digest: str
    entries: tuple[str, ...]
    groups: tuple[str, ...]
    files: int
    date: str


class Releases:
    """The releases under a mirror's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "releases"
        self.current = root / "current"

    def published(self) -> tuple[Path, Record] | None:
        """Return the folder and record of the published release, or None when nothing is published.

        Raises WorldError when ``current`` points to something that is no release.
        """
        if not self.current.is_symlink():
            if self.current.exists():
                raise WorldError(f"{self.current} is not a symbolic link", "move it away: it is not ours")
            return None
        folder = self.root / self.current.readlink()
        try:
            data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            fields = {name: data[name] for name in Record.__dataclass_fields__}
            fields |= {name: tuple(data[name]) for name in ("entries", "groups")}
            return folder, Record(**fields)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorldError(
                f"{self.current}: the published release cannot be read ({type(error).__name__})",
                "run ./inv mirror.build --verify to publish it anew",
            ) from error

    def sweep(self) -> None:
        """Remove unfinished trees of killed builders, and finished ones that were never published."""
        if not self.folder.is_dir():
            return
        live = self._current_serial()
        for folder in self.folder.iterdir():
            unfinished = folder.name.startswith(".")
            unpublished = live is not None and folder.name.isdigit() and int(folder.name) > live
            if unfinished or unpublished:
                with writing(folder):
                    shutil.rmtree(folder)
        with writing(self.current):
            (self.root / ".current.new").unlink(missing_ok=True)

    def publish(
        self, store: Store, found: Mapping[str, Content], root_digest: str, lock: Lock, entries: Sequence[str]
    ) -> tuple[Path, Record]:
        """Link ``found`` (all of it in ``store``) into a new release and make it the current one.

        A reader sees the old release or the new one, whole; so does a machine that loses power.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            serial = self._next_serial()
            date = datetime.now(UTC).isoformat(timespec="seconds")
            groups = sorted({group for name in entries for group in lock.entry_table[name].groups})
            record = Record(
                serial, root_digest, lock.digest, tuple(sorted(entries)), tuple(groups), len(found), date
            )
            text = json.dumps({"format": FORMAT, **vars(record)}, indent=2, sort_keys=True) + "\n"
            final = self._place(serial, store, found, {RECORD: text.encode()})
            self._point_to(final)
        return final, record

    def adopt(
        self, store: Store, found: Mapping[str, Content], outside: Mapping[str, bytes], serial: int
    ) -> Path:
        """Publish ``found`` under the serial, and with the record and signatures, that its maker gave it.

        ``outside``: the files that the root digest does not count, by path. There must be no release
        ``serial`` here yet.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            final = self._place(serial, store, found, outside)
            self._point_to(final)
        return final

    def point_to(self, folder: Path) -> None:
        """Make a whole release that is here already the current one."""
        with writing(self.current):
            self._point_to(folder)

    def _place(
        self, serial: int, store: Store, found: Mapping[str, Content], outside: Mapping[str, bytes]
    ) -> Path:
        """Make the tree of a release, durable, under its final name; nothing points to it yet."""
        draft, final = self.folder / f".{serial}.partial", self.folder / str(serial)
        folders = self._link(store, found, draft)
        for path, data in sorted(outside.items()):
            target = draft / path
            target.parent.mkdir(parents=True, exist_ok=True)
            folders.update(folder for folder in target.parents if draft in folder.parents)
            with target.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        for folder in sorted(folders, reverse=True):
            sync_directory(folder)
        draft.rename(final)
        sync_directory(self.folder)
        return final

    def _link(self, store: Store, found: Mapping[str, Content], draft: Path) -> set[Path]:
        folders = {draft}
        draft.mkdir()
        for path, item in sorted(found.items()):
            target = draft / path
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders.update(folder for folder in target.parents if draft in folder.parents)
            target.hardlink_to(store.path(item.sha256))
        return folders

    def _point_to(self, final: Path) -> None:
        new = self.root / ".current.new"
        new.unlink(missing_ok=True)
        new.symlink_to(final.relative_to(self.root))
        new.rename(self.current)
        sync_directory(self.root)

    def _current_serial(self) -> int | None:
        name = self.current.readlink().name if self.current.is_symlink() else ""
        return int(name) if name.isdigit() else None

    def _next_serial(self) -> int:
        taken = [int(folder.name) for folder in self.folder.iterdir() if folder.name.isdigit()]
        return max([0, self._current_serial() or 0, *taken]) + 1


def untouched(folder: Path, found: Mapping[str, Content], store: Store) -> bool:
    """Tell by sizes, dates and links whether ``folder`` holds ``found``, each linked to its blob."""
    top = str(folder)
    return all(_is_link(f"{top}/{path}", store.name(item.sha256), item) for path, item in found.items())


def _is_link(path: str, blob: str, item: Content) -> bool:
    # Plain strings and one look at each: an unchanged build does this for all files of a mirror.
    try:
        link, kept = os.lstat(path), os.lstat(blob)
    except (FileNotFoundError, NotADirectoryError):
        return False
    same = (link.st_ino, link.st_dev) == (kept.st_ino, kept.st_dev)
    return same and link.st_size == item.size and link.st_mtime == blob_date(item.sha256)

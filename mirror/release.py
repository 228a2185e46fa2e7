"""Releases: trees of hard links into the store, published by one rename, never modified."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError, WorldError
from core.files import sync_directory, write_atomic, writing
from mirror import record as records
from mirror.contents import RECORD, Content
from mirror.lockfile import Lock
from mirror.record import Record
from mirror.sealing import outside_of, seal
from mirror.store import Store, blob_date

if TYPE_CHECKING:
    from mirror.signing import Signer

__all__ = ["Listed", "Record", "Releases", "untouched", "whole"]

_HIGHEST = ".serial"


@dataclass(frozen=True)
class Listed:
    """A release that is there: its folder, and its record, or why that cannot be read."""

    serial: int
    folder: Path
    record: Record | None
    fault: str = ""


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
        return folder, records.load(folder / RECORD)

    def require(self) -> tuple[Path, Record]:
        """Return :meth:`published`, or raise WorldError when nothing is."""
        found = self.published()
        if found is None:
            raise WorldError(f"{self.root}: nothing is published there", "run ./inv mirror.build")
        return found

    def all(self) -> tuple[Listed, ...]:
        """Return the releases that are there, by serial; one whose record cannot be read among them."""
        if not self.folder.is_dir():
            return ()
        serials = sorted(int(path.name) for path in self.folder.iterdir() if _is_serial(path.name))
        return tuple(self._listed(serial) for serial in serials)

    def get(self, serial: int) -> tuple[Path, Record]:
        """Return folder and record of the release ``serial``.

        Raises UsageError when there is none, WorldError when its record cannot be read.
        """
        folder = self.folder / str(serial)
        if not folder.is_dir():
            there = ", ".join(str(item.serial) for item in self.all()) or "none"
            raise UsageError(f"{self.root}: there is no release {serial}", f"there are: {there}")
        return folder, records.load(folder / RECORD)

    def _listed(self, serial: int) -> Listed:
        folder = self.folder / str(serial)
        try:
            return Listed(serial, folder, records.load(folder / RECORD))
        except WorldError as error:
            return Listed(serial, folder, None, error.message)

    def sweep(self) -> None:
        """Remove unfinished trees of killed builders, and finished ones that were never published."""
        if not self.folder.is_dir():
            return
        published = self._highest()
        for folder in self.folder.iterdir():
            unfinished = folder.name.startswith(".") and folder.is_dir()
            unpublished = published and _is_serial(folder.name) and int(folder.name) > published
            if unfinished or unpublished:
                with writing(folder):
                    shutil.rmtree(folder)
        with writing(self.current):
            (self.root / ".current.new").unlink(missing_ok=True)

    def publish(
        self,
        store: Store,
        found: Mapping[str, Content],
        root_digest: str,
        lock: Lock,
        entries: Sequence[str],
        signers: Sequence[Signer] = (),
    ) -> tuple[Path, Record]:
        """Link ``found`` (all of it in ``store``) into a new release and make it the current one.

        A reader sees the old release or the new one, whole; so does a machine that loses power.
        Signed by all of ``signers``, or by nobody.
        """
        groups = sorted({group for name in entries for group in lock.entry_table[name].groups})
        record = Record(0, root_digest, lock.digest, tuple(sorted(entries)), tuple(groups), len(found), "")
        try:
            present = self.published() if self.current.is_symlink() else None
        except WorldError:
            present = None  # it cannot be read: what is published now takes its place
        same = present[1].serial if present and present[1].root_digest == root_digest else None
        return self.publish_record(store, found, replace(record, same_tree_as=same), signers)

    def publish_record(
        self, store: Store, found: Mapping[str, Content], record: Record, signers: Sequence[Signer] = ()
    ) -> tuple[Path, Record]:
        """Publish as :meth:`publish` does; serial, date, counts and signers in ``record`` are made new."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            new = replace(
                record,
                serial=self._next_serial(),
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                files=len(found),
                bytes=sum(item.size for item in found.values()),
                signers=tuple(signer.fingerprint for signer in signers),
            )
            outside = seal(new, found, lambda path: store.path(found[path].sha256).read_bytes(), signers)
            final = self._place(new.serial, store, found, outside)
            self._point_to(final)
        return final, new

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
        # Before anybody can see it: a serial that was seen is never given to another release.
        if int(final.name) > self._highest(missing=0):
            write_atomic(self.root / _HIGHEST, f"{final.name}\n")
        new = self.root / ".current.new"
        new.unlink(missing_ok=True)
        new.symlink_to(final.relative_to(self.root))
        new.rename(self.current)
        sync_directory(self.root)

    def _highest(self, missing: int | None = None) -> int:
        """Return the highest serial ever published; if it is not known ``missing``, or the current one."""
        try:
            return int((self.root / _HIGHEST).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return self._current_serial() if missing is None else missing

    def _current_serial(self) -> int:
        name = self.current.readlink().name if self.current.is_symlink() else ""
        return int(name) if _is_serial(name) else 0

    def _next_serial(self) -> int:
        taken = [int(folder.name) for folder in self.folder.iterdir() if _is_serial(folder.name)]
        return max([0, self._highest(), self._current_serial(), *taken]) + 1


def whole(folder: Path, record: Record, found: Mapping[str, Content], store: Store) -> bool:
    """Tell as :func:`untouched` does, and that the record's signatures are there (not that they are good)."""
    outside = outside_of(record, found)
    return untouched(folder, found, store) and all((folder / path).is_file() for path in outside)


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


def _is_serial(name: str) -> bool:
    return name.isascii() and name.isdigit()

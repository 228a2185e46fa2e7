"""The store: every file of every release once, under its SHA-256, read-only."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from core.files import sha256_of, sync_directory, writing
from mirror.tarball import EPOCH

_MODE = 0o444


def blob_date(sha256: str) -> int:
    """Return the modification time that a blob must have, in seconds.

    It follows from the content: web servers make their ETag of date and size, so two contents of
    one size must not share a date. And an ordinary write to a blob changes it, which a build
    notices without reading the bytes.
    """
    return EPOCH + int(sha256[:7], 16)


class Store:
    """The blobs under ``root/store``."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "store"
        self.temporary = self.folder / "tmp"
        self.quarantine = self.folder / "quarantine"
        self._blobs = str(self.folder / "sha256")
        self._new: list[Path] = []

    def prepare(self) -> None:
        """Make the folders, and remove temporary files of builders that were killed."""
        with writing(self.folder):
            self.temporary.mkdir(parents=True, exist_ok=True)
            for leftover in self.temporary.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def path(self, sha256: str) -> Path:
        """Return where the blob lies or would lie."""
        return Path(self.name(sha256))

    def name(self, sha256: str) -> str:
        """Return :meth:`path` as text, for those who look at thousands."""
        return f"{self._blobs}/{sha256[:2]}/{sha256}"

    def put(self, temporary: Path, sha256: str) -> None:
        """Take a verified temporary file (in ``self.temporary``) in; durable after :meth:`flush`."""
        final = self.path(sha256)
        with writing(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary.chmod(_MODE)
            os.utime(temporary, (blob_date(sha256), blob_date(sha256)))
            # Durable before it has its name: a name in the store promises the bytes.
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.rename(final)
        self._new.append(final.parent)

    def put_bytes(self, data: bytes, sha256: str) -> None:
        """Take ``data`` in, unless it is there already and seems whole."""
        if seems_whole(self.path(sha256), sha256, len(data)):
            return
        with writing(self.temporary):
            handle, name = tempfile.mkstemp(dir=self.temporary, prefix="bytes-")
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
        self.put(Path(name), sha256)

    def flush(self) -> None:
        """Make the names of all blobs put since the last flush durable."""
        for folder in {*self._new, *(parent.parent for parent in self._new)}:
            sync_directory(folder)
        self._new.clear()

    def damaged(self, sha256s: Iterable[str]) -> list[str]:
        """Re-hash these blobs and return those whose bytes are wrong (absent ones are not reported)."""
        bad = []
        for sha256 in sha256s:
            path = self.path(sha256)
            if not (path.exists() or path.is_symlink()):
                continue
            if path.is_symlink() or not path.is_file() or sha256_of(path) != sha256:
                bad.append(sha256)
        return bad

    def set_aside(self, sha256: str) -> Path:
        """Move a damaged blob to the quarantine, for whoever wants to know what happened to it."""
        target = self.quarantine / f"{sha256}.{time.time_ns()}"
        with writing(target):
            self.quarantine.mkdir(parents=True, exist_ok=True)
            self.path(sha256).rename(target)
        return target


def seems_whole(path: Path, sha256: str, size: int) -> bool:
    """Tell by size and date, without reading, whether ``path`` is an untouched blob (or a link to it)."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return found.st_size == size and found.st_mtime == blob_date(sha256)

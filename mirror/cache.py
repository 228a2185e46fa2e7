"""The user's cache of verified bytes, shared by all checkouts: copies, never links to a store."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from core.errors import DiskError
from core.files import CHUNK, write_atomic, writing

_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file (btrfs, xfs)
_STALE = 2 * 24 * 3600.0


def default_root() -> Path:
    """Return ``$XDG_CACHE_HOME/flink-on-pnda`` (``~/.cache`` when the variable is not set)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "flink-on-pnda"


class Cache:
    """Blobs by SHA-256 under ``root``, and notes of which blob an upstream name last had.

    With ``read_only`` nothing is made or swept: it can then only be asked what it has.
    """

    def __init__(self, root: Path | None = None, *, read_only: bool = False) -> None:
        self.root = root or default_root()
        self.temporary = self.root / "tmp"
        if read_only:
            return
        with writing(self.root):
            self.temporary.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def path(self, sha256: str) -> Path:
        """Return where the blob with this digest lies or would lie."""
        return self.root / "sha256" / sha256[:2] / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Tell whether the blob seems to be there (its bytes are checked when they are copied out)."""
        try:
            found = self.path(sha256).stat()
        except FileNotFoundError:
            return False
        return size is None or found.st_size == size

    def add(self, temporary: Path, sha256: str) -> Path:
        """Move a verified temporary file of this cache in under its digest; return its path."""
        final = self.path(sha256)
        with writing(final):
            temporary.chmod(0o444)
            try:
                temporary.rename(final)
            except FileNotFoundError:  # seldom: the first of 256 folders' worth
                final.parent.mkdir(parents=True, exist_ok=True)
                temporary.rename(final)
        return final

    def drop(self, sha256: str) -> None:
        """Forget a blob whose bytes turned out to be wrong."""
        self.path(sha256).unlink(missing_ok=True)

    def remember(self, name: str, sha256: str) -> None:
        """Note that the upstream file ``name`` (a coordinate) had these bytes."""
        write_atomic(self._note(name), json.dumps({"name": name, "sha256": sha256}) + "\n")

    def recall(self, name: str) -> Path | None:
        """Return the blob that ``name`` last had, if it is still here. A hint: check the bytes."""
        try:
            note = json.loads(self._note(name).read_text(encoding="utf-8"))
            blob = self.path(str(note["sha256"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # an unreadable hint is no hint: the file is fetched again
        return blob if blob.exists() else None

    def _note(self, name: str) -> Path:
        return self.root / "names" / hashlib.sha256(name.encode()).hexdigest()

    def _sweep(self) -> None:
        """Remove what killed processes left behind; nobody downloads one file for two days."""
        for leftover in self.temporary.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > _STALE:
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def copy_hashed(source: Path, folder: Path) -> tuple[Path, str]:
    """Copy ``source`` to a new temporary file in ``folder``; return it and the SHA-256 of the copy.

    Shares blocks where the file system can, and reads the copy then, so that the digest is always
    that of the bytes that were kept. Raises DiskError when there is no room.
    """
    handle, name = tempfile.mkstemp(dir=folder, prefix="copy-")
    target, digest = Path(name), hashlib.sha256()
    try:
        with writing(folder), os.fdopen(handle, "w+b") as writer, source.open("rb") as reader:
            cloned = _clone(writer.fileno(), reader.fileno())
            origin = writer if cloned else reader
            while chunk := origin.read(CHUNK):
                digest.update(chunk)
                if not cloned:
                    writer.write(chunk)
        return target, digest.hexdigest()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _clone(target: int, source: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False  # most file systems cannot; the caller copies
    return True


@dataclass(frozen=True)
class Need:
    """``size`` bytes that are wanted under ``folder``, and what for."""

    folder: Path
    size: int
    what: str


def require_space(*needs: Need) -> None:
    """Raise DiskError unless all of ``needs`` and a small reserve are free, those on one disk together."""
    disks: dict[int, list[Need]] = {}
    for need in needs:
        if need.size:
            disks.setdefault(need.folder.stat().st_dev, []).append(need)
    for shared in disks.values():
        wanted, free = sum(need.size for need in shared), shutil.disk_usage(shared[0].folder).free
        if free < wanted + (1 << 20):
            parts = " and ".join(
                f"{need.what} needs {need.size / 1e6:.0f} MB under {need.folder}" for need in shared
            )
            raise DiskError(
                f"{parts}, and {free / 1e6:.0f} MB are free there",
                "free space there, or choose another folder (--root, PNDA_MIRROR_ROOT, XDG_CACHE_HOME)",
            )

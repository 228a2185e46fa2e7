"""The published tree as a web server sees it: paths to open files, below one folder and nowhere else."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import WorldError, disk_error
from mirror.contents import RECORD
from mirror.paths import path_fault

_SUMS = "SHA512SUMS"
_SMALL = 8 << 20  # bytes that are hashed for a tag when no sum is published of them
_KEPT = 4  # releases whose sums are remembered
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.ENXIO}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """A regular file of a release, open for reading; whoever takes it closes ``handle``.

    ``path`` is relative to the release, ``serial`` names the release, ``pinned`` says that the
    address named it too. ``size`` in bytes, ``date`` in seconds, ``tag`` a strong entity tag.
    """

    path: str
    serial: str
    pinned: bool
    handle: int
    size: int
    date: int
    tag: str


class IsFolderError(Exception):
    """The path names a folder of the release: the address lacks a slash at its end."""


@dataclass
class _Release:
    handle: int
    sums: dict[str, str]
    tags: dict[tuple[int, int, int], str] = field(default_factory=dict)  # of files without a sum

    def tag(self, path: str, handle: int, status: os.stat_result) -> str:
        """Return the entity tag: of content and date, so that a damaged file does not keep its tag."""
        digest = self.sums.get(path)
        if digest is None:
            key = (status.st_ino, status.st_mtime_ns, status.st_size)
            digest = self.tags.get(key)
            if digest is None:
                data = os.pread(handle, _SMALL, 0) if status.st_size <= _SMALL else str(key).encode()
                digest = self.tags[key] = hashlib.sha512(data).hexdigest()
        return f'"{digest[:32]}-{int(status.st_mtime):x}"'


class Published:
    """What is published under a mirror's root, reached through one open folder.

    That folder is opened once, so that a process which has given up its privileges needs no way
    to it from above. Symbolic links are never followed but ``current``.
    """

    def __init__(self, root: Path) -> None:
        """Open ``root``. Raises WorldError when nothing is published there."""
        self.root = root
        self._releases: dict[str, _Release] = {}
        if not (root / "current" / RECORD).is_file():
            raise WorldError(f"{root}: nothing is published there", "run ./inv mirror.build")
        self._handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the folders."""
        for name in list(self._releases):
            os.close(self._releases.pop(name).handle)
        os.close(self._handle)

    def check_readable(self, user: str) -> None:
        """Raise WorldError unless this process, which runs as ``user``, can read the published release."""
        if not self.serial():
            raise WorldError(
                f"{self.root}/current does not point to a release", "run ./inv mirror.build to publish one"
            )
        try:
            found = self._find(RECORD, self.serial(), False)
        except OSError as error:
            if disk_error(error, self.root) is None:
                raise
            raise WorldError(
                f"{self.root}: user {user} cannot read the published release",
                "make folders and files there readable for all, or name another --user",
            ) from error
        os.close(found.handle)

    def serial(self) -> str:
        """Return the serial of the release that is published now ("" if ``current`` is gone)."""
        with suppress(OSError):
            name = os.readlink("current", dir_fd=self._handle).removeprefix("releases/")
            return name if name.isascii() and name.isdigit() else ""
        return ""

    def find(self, path: str) -> Found | None:
        """Open what the decoded ``path`` of a request names; None if there is no such file.

        ``/releases/SERIAL/...`` names a release that is or was published, anything else is taken
        from the one published now. Raises IsFolderError.
        """
        words, pinned, current = path.removeprefix("/"), False, self.serial()
        serial = current
        if words.startswith("releases/"):
            _, serial, words = (*words.split("/", 2), "")[:3]
            # A greater serial is one that a builder has not published yet.
            plain = serial.isascii() and serial.isdigit() and len(serial) < 19 and serial == str(int(serial))
            if not plain or not current or int(serial) > int(current):
                return None
            if path.count("/") == 2:
                raise IsFolderError
            pinned = True
        if not serial or (words and path_fault(words.removesuffix("/"))):
            return None
        name = f"{words}index.html" if words == "" or words.endswith("/") else words
        try:
            return self._find(name, serial, pinned)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            return None

    def _find(self, path: str, serial: str, pinned: bool) -> Found:
        release = self._release(serial)
        handle = _open_below(release.handle, path)
        try:
            status = os.fstat(handle)
            if stat.S_ISDIR(status.st_mode):
                raise IsFolderError
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
            tag = release.tag(path, handle, status)
            return Found(path, serial, pinned, handle, status.st_size, int(status.st_mtime), tag)
        except BaseException:
            os.close(handle)
            raise

    def _release(self, serial: str) -> _Release:
        found = self._releases.get(serial)
        if found is not None:
            return found
        handle = os.open(f"releases/{serial}", _FOLDER, dir_fd=self._handle)
        try:
            release = _Release(handle, _sums(handle))
        except BaseException:
            os.close(handle)
            raise
        while len(self._releases) >= _KEPT:
            os.close(self._releases.pop(next(iter(self._releases))).handle)
        self._releases[serial] = release
        return release


def _open_below(folder: int, path: str) -> int:
    """Open ``path`` below ``folder`` without following a symbolic link at any step."""
    *folders, name = path.split("/")
    opened: list[int] = []
    try:
        for part in folders:
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1] if opened else folder))
        return os.open(name, _FILE, dir_fd=opened[-1] if opened else folder)
    finally:
        for handle in opened:
            os.close(handle)


def _sums(folder: int) -> dict[str, str]:
    """Return the published sums of the release, by path (none where it has no list)."""
    try:
        handle = os.open(_SUMS, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return {}
    with os.fdopen(handle, encoding="utf-8", errors="replace") as stream:
        pairs = [line.rstrip("\n").partition("  ") for line in stream]
    return {path: digest for digest, _, path in pairs if len(digest) == 128}

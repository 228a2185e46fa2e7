"""Read archives that others made, with suspicion: no escaping names, no links, bounded sizes."""

from __future__ import annotations

import errno
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import WorldError
from core.files import CHUNK, writing

_MAX_MEMBERS = 100_000
_MAX_BYTES = 8 << 30
_MAX_HEADER = 1 << 20  # tarfile and zipfile read these into memory as a whole
_MAX_NAME = 250  # what a part of a path may have on Linux (255 bytes), less a little
_HEADERS = {
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}  # fmt: skip
# What zipfile, tarfile and the decompressors raise on damaged bytes, besides OSError without a reason.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip


class _Header(tarfile.TarInfo):
    """A tar header that announces no negative size, and no name of a length that nobody needs."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in _HEADERS and found.size > _MAX_HEADER):
            raise WorldError(
                f"a header of the archive announces {found.size} bytes",
                "this archive is hostile or broken: do not use it",
            )
        return found


def safe_name(name: str, archive: str) -> str:
    """Return a member's name if it stays inside. Raises WorldError when it does not."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise WorldError(
            f"{archive}: the member {name!r} would leave the folder it is unpacked into",
            "this archive is hostile or broken: do not use it",
        )
    if len(name) > 4000 or any(len(part.encode("utf-8", "surrogateescape")) > _MAX_NAME for part in parts):
        raise WorldError(
            f"{archive}: the member {name[:60]!r}... has too long a name", "do not use this archive"
        )
    return name.rstrip("/")


def unpack_tar(
    archive: Path, into: Path, wanted: Callable[[str], bool] = lambda _name: True, title: str = ""
) -> list[str]:
    """Unpack the regular files of a tar (of any compression) that ``wanted`` accepts, below ``into``.

    Returns their names. ``title`` names the archive in messages. Every member is checked, wanted or
    not. Raises WorldError for links, devices, escaping or repeated names, too many members or bytes,
    or a damaged archive.
    """
    label = title or archive.name
    names: list[str] = []
    seen = _Names(label)
    total = 0
    with _readable(label), tarfile.open(archive, mode="r:*", tarinfo=_Header) as tar:
        for count, member in enumerate(tar):
            name = safe_name(member.name.removeprefix("./") or "top", label)
            total += member.size
            _check_bounds(label, count, total)
            if member.isdir():
                seen.folder(name)
                continue
            if not member.isreg():
                raise WorldError(f"{label}: {name!r} is a link or a device", "do not use this archive")
            seen.file(name)
            if wanted(name):
                source = tar.extractfile(member)
                assert source is not None  # it is a regular file
                target = into / name
                with writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as stream:
                        shutil.copyfileobj(source, stream, CHUNK)
                names.append(name)
    return names


@contextmanager
def open_zip(archive: Path, title: str = "") -> Iterator[zipfile.ZipFile]:
    """Open a zip whose members are all regular, inside, distinct and of bounded size.

    ``title`` names it in messages. Raises WorldError otherwise.
    """
    label = title or archive.name
    with _readable(label), zipfile.ZipFile(archive) as opened:
        seen = _Names(label)
        total = 0
        for count, info in enumerate(opened.infolist()):
            name = safe_name(info.filename, label)
            total += info.file_size
            _check_bounds(label, count, total)
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise WorldError(f"{label}: {name!r} is a link or a device", "do not use this archive")
            if info.is_dir():
                seen.folder(name)
            else:
                seen.file(name)
        yield opened


def read_member(opened: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return a member of an opened zip. Raises WorldError when it has more than ``limit`` bytes."""
    size = opened.getinfo(name).file_size
    if size > limit:
        raise WorldError(
            f"{Path(opened.filename or '').name}: {name} has {size} bytes, at most {limit} make sense there",
            "do not use this archive",
        )
    return opened.read(name)


class _Names:
    """The members seen so far: no name twice, and none that is both a file and a folder."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def file(self, name: str) -> None:
        """Note a file. Raises WorldError when the name is taken."""
        if name in self._files:
            raise WorldError(f"{self._label}: {name!r} stands there twice", "do not use this archive")
        self._parents(name)
        self._files.add(name)
        self._clash(name, name in self._folders)

    def folder(self, name: str) -> None:
        """Note a folder. Raises WorldError when a file has that name."""
        self._parents(f"{name}/")

    def _parents(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        while folder and folder not in self._folders:
            self._clash(folder, folder in self._files)
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]

    def _clash(self, name: str, clashes: bool) -> None:
        if clashes:
            raise WorldError(
                f"{self._label}: {name!r} is both a file and a folder", "do not use this archive"
            )


@contextmanager
def _readable(label: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(label, error) from error
    except OSError as error:
        # bz2 gives no number, and a seek to where no archive can be is EINVAL; the rest is the disk's.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(label, error) from error


def _damaged(label: str, error: Exception) -> WorldError:
    return WorldError(
        f"{label}: a damaged archive ({error})", "fetch it again; compare its digest with upstream's"
    )


def _check_bounds(label: str, members: int, total: int) -> None:
    if members > _MAX_MEMBERS or total > _MAX_BYTES:
        raise WorldError(
            f"{label}: more than {_MAX_MEMBERS} members or {_MAX_BYTES >> 30} GiB unpacked",
            "this cannot be an archive that belongs here",
        )

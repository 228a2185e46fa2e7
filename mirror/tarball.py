"""Write a ``.tar.gz`` whose bytes depend on nothing but its members.

USTAR headers with fixed owner and date, and a gzip stream of *stored* blocks written here: zlib's
output, even at level 0, differs between versions, and compressing jars again saves 2 %.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from core.errors import WorldError
from core.files import CHUNK

EPOCH = 315532800  # 1980-01-01, the oldest date that a zip can hold too
_BLOCK = 0xFFFF  # a stored block's longest content (RFC 1951, 3.2.4)


@dataclass(frozen=True)
class Member:
    """A regular file of an archive: its size in bytes and how to open it; ``mode`` such as 0o644."""

    size: int
    open: Callable[[], AbstractContextManager[BinaryIO] | BinaryIO]
    mode: int = 0o644


class StoredGzip:
    """A gzip stream (RFC 1952) of stored blocks over ``raw``; call ``finish`` at the end."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._crc, self._size = raw, 0, 0
        self._pending = bytearray()
        # magic, deflate, no flags, no date, no hints, "unknown" system
        raw.write(b"\x1f\x8b\x08\x00" + b"\0\0\0\0" + b"\x00\xff")

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._pending += data
        whole = len(self._pending) // _BLOCK * _BLOCK
        # The last block must be marked, so a whole block is kept back until more comes.
        if whole and whole == len(self._pending):
            whole -= _BLOCK
        view = bytes(self._pending[:whole])
        for start in range(0, whole, _BLOCK):
            self._block(view[start : start + _BLOCK], last=False)
        del self._pending[:whole]

    def finish(self) -> None:
        """Write the last block and the trailer."""
        self._block(bytes(self._pending), last=True)
        self._raw.write(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _block(self, data: bytes, last: bool) -> None:
        self._raw.write(struct.pack("<BHH", int(last), len(data), len(data) ^ 0xFFFF))
        self._raw.write(data)


def write_tar_gz(raw: BinaryIO, top: str, members: Mapping[str, Member], folders: Iterable[str] = ()) -> None:
    """Write ``members`` (path below ``top`` to Member) and the empty ``folders`` to ``raw``.

    Order, dates, owners and modes are fixed, so equal members give equal bytes. Memory is
    constant. Raises WorldError when a member has another size than announced or too long a name.
    """
    out = StoredGzip(raw)
    directories = {top}
    for name in (*(f"{top}/{path}" for path in members), *(f"{top}/{path}/." for path in folders)):
        parts = name.split("/")[:-1]
        directories.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    files = {f"{top}/{path}": member for path, member in members.items()}
    written = 0
    for name in sorted({*directories, *files}):
        member = files.get(name)
        out.write(_header(name, member))
        written += 512
        if member is not None:
            written += _content(out, name, member)
    # Two empty blocks end a tar, and its length is a multiple of 20 blocks (POSIX, pax "ustar").
    out.write(bytes(1024 + -(written + 1024) % 10240))
    out.finish()


def _header(name: str, member: Member | None) -> bytes:
    info = tarfile.TarInfo(name)
    info.mtime = EPOCH
    if member is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = member.size, member.mode
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except (ValueError, UnicodeError) as error:
        raise WorldError(f"{name}: cannot stand in a USTAR archive ({error})", "shorten the name") from error


def _content(out: StoredGzip, name: str, member: Member) -> int:
    count = 0
    with member.open() as stream:
        while chunk := stream.read(CHUNK):
            count += len(chunk)
            out.write(chunk)
    if count != member.size:
        raise WorldError(f"{name}: {count} bytes where {member.size} were announced", "run again")
    padding = -count % 512
    out.write(bytes(padding))
    return count + padding


def bytes_member(data: bytes, mode: int = 0o644) -> Member:
    """Return a Member that holds ``data``."""
    return Member(len(data), lambda: io.BytesIO(data), mode)

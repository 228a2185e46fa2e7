"""Read a bundle: its list only once its signature is known, its blobs only against the list."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from core.errors import UsageError, WorldError
from core.files import CHUNK
from mirror import bundle_list
from mirror.bundle_format import (
    BLOCK,
    END,
    LIST,
    MAX_LIST,
    SIGNATURE,
    SIGNATURE_FIELD,
    Manifest,
    Member,
    head_size,
    header,
    padded,
)

_ANOTHER = "take another copy of it, or have it made again by ./inv mirror.export"
_FIELD = re.compile(rb"-----BEGIN PGP SIGNATURE-----\n[\x20-\x7e\n]*\n-----END PGP SIGNATURE-----\n+")
_TYPES = {
    tarfile.LNKTYPE: "a hard link", tarfile.SYMTYPE: "a symbolic link", tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device", tarfile.DIRTYPE: "a folder", tarfile.FIFOTYPE: "a pipe",
    tarfile.XHDTYPE: "an extended header", tarfile.XGLTYPE: "an extended header",
    tarfile.GNUTYPE_LONGNAME: "a long name", tarfile.GNUTYPE_SPARSE: "a sparse file",
}  # fmt: skip


class Sink(Protocol):
    """Whatever takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take ``data``."""


class _Nowhere:
    def write(self, data: bytes, /) -> object:
        """Forget ``data``."""


@dataclass(frozen=True)
class Envelope:
    """The head of a bundle, not believed yet: the bytes of its list and the signature over them."""

    raw: bytes
    signature: bytes


class Bundle:
    """An open bundle. ``size`` is what is there of it, in bytes."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self._stream = path, stream
        self.size = os.fstat(stream.fileno()).st_size

    def envelope(self) -> Envelope:
        """Return the head. Raises WorldError for what is no bundle, or is cut off within the head."""
        first = self._exactly(0, BLOCK)
        length = _length(first)
        if length is None or first != header(LIST, length):
            raise WorldError(f"{self.path}: is not a bundle, or its first bytes have changed", _ANOTHER)
        if not 0 < length <= MAX_LIST:
            raise WorldError(f"{self.path}: its list is said to be {length} bytes long", _ANOTHER)
        raw = self._exactly(BLOCK, length)
        place = BLOCK + padded(length)
        self._zeros(BLOCK + length, place)
        self._expect(place, header(SIGNATURE, SIGNATURE_FIELD), SIGNATURE)
        field = self._exactly(place + BLOCK, SIGNATURE_FIELD)
        if not _FIELD.fullmatch(field):
            raise WorldError(f"{self.path}: there is no signature over its list", _ANOTHER)
        return Envelope(raw, field.rstrip(b"\n") + b"\n")

    def manifest(self, envelope: Envelope) -> Manifest:
        """Return the list that ``envelope`` holds. Who wants to believe it checks the signature before."""
        return bundle_list.loads(envelope.raw, str(self.path))

    def members(self, envelope: Envelope, manifest: Manifest) -> tuple[Member, ...]:
        """Return the blobs that are there whole, having compared everything around them with the list.

        Fewer than the list says are returned when the file is cut off (see :meth:`cut_off`). Raises
        WorldError for a member that is another, elsewhere, of another kind, or too much.
        """
        start = head_size(len(envelope.raw))
        listed = manifest.members(start)
        names = {member.name for member in listed}
        for count, member in enumerate(listed):
            if member.data + member.size > self.size:
                self._expect_start(member, names, manifest)
                return listed[:count]
            self._expect(member.start, header(member.name, member.size), _called(member, manifest), names)
            self._zeros(member.data + member.size, min(member.end, self.size))
        end = start + manifest.body
        self._zeros(end - END, min(end, self.size), "the end")
        if self.size > end:
            raise WorldError(
                f"{self.path}: {self.size - end} bytes follow after its end at byte {end}", _ANOTHER
            )
        return listed

    def cut_off(self, envelope: Envelope, manifest: Manifest) -> int:
        """Return how many bytes are missing at the end."""
        return max(0, head_size(len(envelope.raw)) + manifest.body - self.size)

    def is_right(self, member: Member) -> bool:
        """Tell whether the member is there, to the last byte of its padding."""
        if member.end > self.size or self._exactly(member.start, BLOCK) != header(member.name, member.size):
            return False
        rest = member.end - member.data - member.size
        return self.copy(member, _Nowhere()) and self._exactly(member.end - rest, rest) == bytes(rest)

    def copy(self, member: Member, into: Sink) -> bool:
        """Copy a blob into ``into`` and tell whether it was the right one; constant memory."""
        digest, at, end = hashlib.sha256(), member.data, member.data + member.size
        while at < end:
            chunk = self._exactly(at, min(CHUNK, end - at))
            digest.update(chunk)
            into.write(chunk)
            at += len(chunk)
        return digest.hexdigest() == member.sha256

    def _exactly(self, start: int, length: int) -> bytes:
        try:
            self._stream.seek(start)
            found = self._stream.read(length)
        except OSError as error:
            raise WorldError(
                f"{self.path}: cannot be read at byte {start}: {error.strerror}",
                "the medium is failing: take another copy; what was taken in of this one is kept",
            ) from error
        if len(found) != length:
            raise WorldError(
                f"{self.path}: is cut off at byte {start + len(found)}: what it is cannot be read",
                "copy it again",
            )
        return found

    def _expect_start(self, member: Member, names: set[str], manifest: Manifest) -> None:
        """Of a blob that is not whole, look at the header if that is."""
        if member.data <= self.size:
            self._expect(member.start, header(member.name, member.size), _called(member, manifest), names)

    def _expect(self, start: int, wanted: bytes, called: str, names: set[str] | None = None) -> None:
        found = self._exactly(start, BLOCK)
        if found != wanted:
            raise WorldError(
                f"{self.path}: at byte {start} there should be {called}, and there is "
                f"{_describe(found, names or set())}",
                _ANOTHER,
            )

    def _zeros(self, start: int, end: int, what: str = "padding") -> None:
        if start < end and self._exactly(start, end - start).strip(b"\0"):
            raise WorldError(f"{self.path}: {what} at byte {start} has changed", _ANOTHER)


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open the bundle at ``path``. Raises UsageError when there is no such file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name the file that mirror.export made") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UsageError(f"{path}: is not a plain file", "copy the bundle to a file first")
    with os.fdopen(handle, "rb") as stream:
        yield Bundle(path, stream)


def _length(raw: bytes) -> int | None:
    """Return the size that a header states, None if it is no number."""
    field = raw[124:135]
    return int(field, 8) if field.isdigit() and not field.strip(b"01234567") else None


def _called(member: Member, manifest: Manifest) -> str:
    return f"{member.name} ({manifest.paths[member.sha256]}, {member.size} bytes)"


def _describe(raw: bytes, names: set[str]) -> str:
    """Return what a person should know of a header that should not be there."""
    try:
        found = tarfile.TarInfo.frombuf(raw, "utf-8", "backslashreplace")
    except tarfile.HeaderError:
        return "the end of the archive" if not raw.strip(b"\0") else "no header of a tar"
    kind = _TYPES.get(found.type, "a file")
    order = ", out of its order" if found.name in names else ""
    return f"{kind} {found.name[:120]!r} of {found.size} bytes{order}"

"""The format of a bundle: a release, or what a receiver lacks of it, in one signed file.

A bundle is a POSIX tar of stored members that ``tar -tf`` can show: the list (JSON), its detached
signature in a field of fixed size, then each blob under its SHA-256. Whoever has checked the list
knows every byte that must follow: the order, each header, each length, the padding, the end. So a
reader never parses a header; it compares it. The same rules stand in ``programs/mirror/verify-bundle``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.errors import WorldError
from mirror.tarball import EPOCH

FORMAT = 1
KIND = "pnda-mirror-bundle"
LIST, SIGNATURE = "bundle.json", "bundle.json.asc"
BLOCK = 512
END = 2 * BLOCK
MAX_LIST = 16 << 20
SIGNATURE_FIELD = 16 << 10  # of fixed size, filled up with newlines: the length is known before signing
MAX_BLOB = (8 << 30) - 1  # what eleven octal digits of a tar header can say
MAX_OUTSIDE = 1 << 20


@dataclass(frozen=True)
class Item:
    """A file of the release: its path there, SHA-256 and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Member:
    """A blob inside a bundle: where its header starts (bytes from the start of the file), and its content."""

    sha256: str
    size: int
    start: int

    @property
    def name(self) -> str:
        """Return the member's name in the tar."""
        return f"blobs/{self.sha256}"

    @property
    def data(self) -> int:
        """Return where its bytes start."""
        return self.start + BLOCK

    @property
    def end(self) -> int:
        """Return where the next member starts."""
        return self.data + padded(self.size)


@dataclass(frozen=True)
class Manifest:
    """The signed list.

    ``files`` is what the root digest covers, ``outside`` what it does not (release.json, signatures);
    both sorted by path. ``parts`` has per part the blobs inside it, ``part`` says which this one is (1
    for the first); what is in ``outside`` is in every part. ``have`` is the digest of the have-list
    that a delta was made for, "" for a bundle that needs nothing.
    """

    serial: int
    root_digest: str
    have: str
    part: int
    parts: tuple[tuple[str, ...], ...]
    outside: tuple[Item, ...]
    files: tuple[Item, ...]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Return the size of every blob that the release needs."""
        return {item.sha256: item.size for item in (*self.files, *self.outside)}

    @cached_property
    def paths(self) -> dict[str, str]:
        """Return for every blob a path that it has in the release (the first)."""
        found: dict[str, str] = {}
        for item in (*self.outside, *self.files):
            found.setdefault(item.sha256, item.path)
        return found

    @property
    def inside(self) -> tuple[str, ...]:
        """Return the blobs in this part, in their order: what is outside the root digest comes first."""
        return (*dict.fromkeys(item.sha256 for item in self.outside), *self.parts[self.part - 1])

    def members(self, start: int) -> tuple[Member, ...]:
        """Return the blobs in this part with their places, the first at ``start`` (see :func:`head_size`)."""
        found: list[Member] = []
        for sha256 in self.inside:
            found.append(Member(sha256, self.sizes[sha256], start))
            start = found[-1].end
        return tuple(found)

    @property
    def body(self) -> int:
        """Return how many bytes follow the head: the blobs, their headers and padding, the end."""
        return sum(BLOCK + padded(self.sizes[sha256]) for sha256 in self.inside) + END

    def dumps(self) -> bytes:
        """Return the canonical bytes: sorted, one file a line."""
        head: dict[str, Any] = {
            "format": FORMAT, "kind": KIND, "serial": self.serial, "root_digest": self.root_digest,
            "have": self.have, "part": self.part, "body": self.body,
        }  # fmt: skip
        lines = ["{", *(f'"{name}": {json.dumps(value)},' for name, value in head.items())]
        for name, rows in (("outside", self.outside), ("files", self.files)):
            lines += [f'"{name}": [', *_joined([[row.path, row.sha256, row.size] for row in rows]), "],"]
        lines += ['"parts": [', *_joined([list(part) for part in self.parts]), "]", "}"]
        return ("\n".join(lines) + "\n").encode("ascii")


def padded(size: int) -> int:
    """Return ``size`` rounded up to whole tar blocks."""
    return -(-size // BLOCK) * BLOCK


def head_size(length: int) -> int:
    """Return how many bytes the head of a bundle takes whose list is ``length`` bytes long."""
    return BLOCK + padded(length) + BLOCK + SIGNATURE_FIELD


def header(name: str, size: int) -> bytes:
    """Return the one header that a member may have (POSIX ustar; a plain file, fixed owner and date)."""
    fields = [
        name.encode("ascii").ljust(100, b"\0"), b"0000444\0", b"0000000\0", b"0000000\0",
        b"%011o\0" % size, b"%011o\0" % EPOCH, b" " * 8, b"0", bytes(100), b"ustar\00000", bytes(64),
        bytes(16), bytes(155), bytes(12),
    ]  # fmt: skip
    raw = b"".join(fields)
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def head(manifest: bytes, signature: bytes) -> bytes:
    """Return the head of a bundle. Raises WorldError for signatures that do not fit in."""
    if len(signature) > SIGNATURE_FIELD:
        raise WorldError(f"the signatures take more than {SIGNATURE_FIELD} bytes", "sign with fewer keys")
    return b"".join(
        [
            header(LIST, len(manifest)), manifest, bytes(padded(len(manifest)) - len(manifest)),
            header(SIGNATURE, SIGNATURE_FIELD), signature.ljust(SIGNATURE_FIELD, b"\n"),
        ]
    )  # fmt: skip


def root_digest(files: Sequence[Item]) -> str:
    """Return the root digest over ``files`` (as :func:`mirror.contents.root_digest`)."""
    lines = "".join(f"{item.sha256}  {item.path}\n" for item in sorted(files, key=lambda item: item.path))
    return hashlib.sha256(lines.encode()).hexdigest()


def _joined(rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [json.dumps(row, separators=(",", ":")) for row in rows]
    return [line + "," for line in lines[:-1]] + lines[-1:]

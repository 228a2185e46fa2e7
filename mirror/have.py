"""The have-list: what a receiver has, so that a sender can leave it out of a bundle."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError, WorldError
from core.files import write_atomic
from mirror.release import Releases
from mirror.store import Store, blob_date

FORMAT = 1
KIND = "pnda-mirror-have"
SIGNATURE = ".asc"
_MAX_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CURE = "have it written again by ./inv mirror.have on the receiver's side"


@dataclass(frozen=True)
class HaveList:
    """The receiver's published release (serial 0 and no digest if there is none) and its blobs, sorted.

    ``digest`` is the SHA-256 of the list's bytes.
    """

    serial: int
    root_digest: str
    blobs: tuple[str, ...]

    def dumps(self) -> bytes:
        """Return the canonical bytes, one blob a line."""
        head = {"format": FORMAT, "kind": KIND, "serial": self.serial, "root_digest": self.root_digest}
        lines = ["{", *(f'"{name}": {json.dumps(value)},' for name, value in head.items()), '"blobs": [']
        lines += [f'"{sha256}",' for sha256 in self.blobs[:-1]] + [
            f'"{sha256}"' for sha256 in self.blobs[-1:]
        ]
        return ("\n".join([*lines, "]", "}"]) + "\n").encode()

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the list's bytes."""
        return hashlib.sha256(self.dumps()).hexdigest()


def have_list(root: Path) -> HaveList:
    """Return what the mirror under ``root`` has, by names and dates (an import hashes what it uses).

    Raises WorldError when what is published there cannot be read.
    """
    store = Store(root)
    present = Releases(root).published()
    blobs = sorted(
        blob.name
        for blob in (store.folder / "sha256").glob("*/*")
        if _SHA256.fullmatch(blob.name) and blob.lstat().st_mtime == blob_date(blob.name)
    )
    if present is None:
        return HaveList(0, "", tuple(blobs))
    return HaveList(present[1].serial, present[1].root_digest, tuple(blobs))


def save(found: HaveList, path: Path, signature: bytes | None = None) -> None:
    """Write the list to ``path``, and its detached signature beside it (none: an old one is removed)."""
    beside = path.with_name(path.name + SIGNATURE)
    beside.unlink(missing_ok=True)  # never a signature beside another list
    write_atomic(path, found.dumps())
    if signature is not None:
        write_atomic(beside, signature)


def load(path: Path, keyring: bytes | None = None) -> HaveList:
    """Read a have-list; with ``keyring`` its signature must be there and good.

    Raises UsageError for a bad list, WorldError for a bad signature.
    """
    raw = _read(path)
    if keyring is not None:
        from mirror.signing import verify_detached

        verify_detached(raw, _read(path.with_name(path.name + SIGNATURE)), keyring, str(path))
    try:
        data = json.loads(raw)
        found = HaveList(data["serial"], data["root_digest"], tuple(data["blobs"]))
        right = data["kind"] == KIND and data["format"] == FORMAT and _is_have(found)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: is no have-list ({type(error).__name__})", _CURE) from error
    if not right:
        raise UsageError(f"{path}: is no have-list of format {FORMAT}", _CURE)
    return found


def _is_have(found: HaveList) -> bool:
    digests: tuple[Any, ...] = (*found.blobs, *([found.root_digest] if found.root_digest else []))
    numbers = type(found.serial) is int and found.serial >= 0
    return numbers and all(isinstance(item, str) and _SHA256.fullmatch(item) for item in digests)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file", _CURE) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
    if len(raw) > _MAX_BYTES:
        raise WorldError(f"{path}: larger than {_MAX_BYTES >> 20} MiB", _CURE)
    return raw

"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import place_error

CHUNK = 1 << 20
# What is read stays in a core's own cache until it is hashed: measured, a fifth of the time is reading.
_READ = 96 << 10
_reading = threading.local()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk or the place of ``path`` does not allow into DiskError."""
    try:
        yield
    except OSError as error:
        fault = place_error(error, path)
        if fault is None:
            raise
        raise fault from error


def write_atomic(path: Path, data: str | bytes, mode: int = 0o644) -> None:
    """Write ``data`` under ``path`` by a temporary neighbour, fsync and rename.

    Raises DiskError when the disk is full or not writable; nothing is left behind then.
    """
    raw = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            Path(temporary).rename(path)
            temporary = None
            sync_directory(path.parent)
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable (fsync of the directory)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at ``path`` as lower-case hex; constant memory, several threads."""
    buffer: bytearray | None = getattr(_reading, "buffer", None)
    if buffer is None:
        buffer = _reading.buffer = bytearray(_READ)
    view, digest = memoryview(buffer), hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()

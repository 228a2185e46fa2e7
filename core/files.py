"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
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


def write_passing(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to the new file ``path``, with its folders, and do not wait for the disk.

    For what is made anew at each run. Nobody reads it with more rights than ``mode`` gives, not even
    for a moment. Raises DiskError, also when it is there already.
    """
    with writing(path):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb", buffering=0) as stream:
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]
            os.fchmod(stream.fileno(), mode)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of the folder ``path`` when the block ends well.

    When it does not, ``path`` stays as it was. Not durable: for what can be made anew. One at a time:
    the caller holds a lock. Raises DiskError.
    """
    new, old = (path.with_name(f".{path.name}.{what}") for what in ("new", "old"))
    with writing(path):
        for left in (new, old):
            if left.exists():
                shutil.rmtree(left)
        new.mkdir(parents=True)
    try:
        yield new
        with writing(path):
            if path.exists():
                path.rename(old)
            new.rename(path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


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

"""A transfer that survives its process: the bytes so far, and what it takes to trust them later."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from core.files import CHUNK
from mirror.answers import parse_date
from mirror.digests import Digests, Hasher

_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110, 8.8.3: an entity tag without W/
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
# A file may change twice in one second and keep its date; RFC 9110, 8.8.2.2 wants the date well past.
_MARGIN = timedelta(seconds=60)


def validator_of(headers: Mapping[str, str]) -> str:
    """Return what If-Range may be given for an answer with ``headers``: "" if nothing names its bytes.

    A strong entity tag, else a date well before the answer's own. A weak tag rules the date out
    too: the server says that it does not answer for the bytes.
    """
    tag = headers.get("ETag", "").strip()
    if tag:
        return tag if _STRONG.fullmatch(tag) else ""
    modified, now = headers.get("Last-Modified", "").strip(), headers.get("Date", "")
    changed, answered = parse_date(modified), parse_date(now)
    if changed is None or answered is None or answered - changed < _MARGIN:
        return ""
    return modified


class Partial:
    """The bytes of one transfer, in a file locked against other threads and processes.

    ``offset`` of them are already there and trusted. Every MiB a note is left beside the file: the
    server's validator, the whole length, and the SHA-256 of the bytes so far. A later process reads
    these bytes again and goes on only if they still have that digest.
    """

    def __init__(
        self,
        path: Path,
        stream: BinaryIO,
        identity: str,
        wanted: str,
        extra: Iterable[str],
        aside: Executor | None = None,
    ) -> None:
        self.path, self._stream, self._identity, self._wanted = path, stream, identity, wanted
        self._extra, self._aside = tuple(extra), aside
        self._note = path.with_suffix(".json")
        self._validator, self._length, self._noted = "", 0, 0
        self._hasher = Hasher(self._extra, self._aside)
        self._notes: FileIO | None = None
        if identity:
            self._recall()

    @property
    def offset(self) -> int:
        """Return how many bytes are there and hashed."""
        return self._hasher.size

    @property
    def noted(self) -> int:
        """Return from where another process, or another try, could go on."""
        return self._noted

    @property
    def headers(self) -> dict[str, str]:
        """Return the request headers that ask for the rest, if anything is there."""
        return {"Range": f"bytes={self.offset}-", "If-Range": self._validator} if self.offset else {}

    def fits(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a 206 answer is exactly the rest of the same bytes."""
        span = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        named = headers.get("ETag" if self._validator.startswith('"') else "Last-Modified", self._validator)
        expected = (self.offset, self._length - 1, self._length)
        return span is not None and tuple(map(int, span.groups())) == expected and named == self._validator

    def restart(self, headers: Mapping[str, str]) -> None:
        """Forget what is there; what comes now is the whole body of an answer with ``headers``."""
        self.discard()
        length = headers.get("Content-Length", "")
        if self._identity and _LENGTH.fullmatch(length) and "Transfer-Encoding" not in headers:
            self._validator, self._length = validator_of(headers), int(length)

    def write(self, chunk: bytes) -> None:
        """Keep and hash the next bytes."""
        self._stream.write(chunk)
        self._hasher.update(chunk)
        if self._validator and self.offset - self._noted >= CHUNK:
            self._write_note()

    def digests(self) -> Digests:
        """Return the digests of what is there."""
        return self._hasher.result()

    def discard(self) -> None:
        """Forget what is there."""
        if self._identity:
            self.close()
            self._note.unlink(missing_ok=True)
        if self._identity or self.offset:
            self._stream.seek(0)
            self._stream.truncate()
        self._validator, self._length, self._noted = "", 0, 0
        self._hasher = Hasher(self._extra, self._aside)

    def finish(self) -> Path:
        """Return the whole file under a name that no other transfer uses; it is the caller's now."""
        self._stream.flush()
        if not self._identity:
            return self.path
        # Renamed while the lock is held: whoever waits for the old name finds it gone.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix="fetch-")
        os.close(handle)
        self._note.unlink(missing_ok=True)
        self.path.rename(name)
        return Path(name)

    def _write_note(self) -> None:
        self._stream.flush()
        note = json.dumps({
            "url": self._identity, "wanted": self._wanted, "validator": self._validator,
            "length": self._length, "offset": self.offset, "sha256": self._hasher.result().sha256,
        })  # fmt: skip
        # Written over the one before, which is never longer: to rename a new file over it would make the
        # file system write both to the disk each time. A note that is torn fits no bytes, and there is no
        # fsync: after a power cut, too, the digest tells whether the bytes are there.
        if self._notes is None:
            self._notes = self._note.open("wb", buffering=0)
        self._notes.seek(0)
        self._notes.write(note.encode())
        self._noted = self.offset

    def close(self) -> None:
        """Close the note; it stays."""
        if self._notes is not None:
            self._notes.close()
            self._notes = None

    def _recall(self) -> None:
        """Take up what an earlier transfer left, or forget it if there is any doubt about it."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            offset, length, validator = int(note["offset"]), int(note["length"]), str(note["validator"])
            sha256 = str(note["sha256"]) if note["url"] == self._identity else ""
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            offset, length, validator, sha256 = 0, 0, "", ""
        if 0 < offset < length and validator:
            self._stream.seek(0)
            while self.offset < offset and (chunk := self._stream.read(min(CHUNK, offset - self.offset))):
                self._hasher.update(chunk)
            if self.offset == offset and self._hasher.result().sha256 == sha256:
                self._stream.seek(offset)
                self._stream.truncate()
                self._validator, self._length, self._noted = validator, length, offset
                return
        self.discard()


@contextlib.contextmanager
def partial(
    folder: Path, identity: str, wanted: str, extra: Iterable[str], aside: Executor | None = None
) -> Iterator[Partial]:
    """Yield the transfer of ``wanted`` (a digest or a name) from ``identity`` (an address without secrets).

    With an empty ``identity``, or when another transfer holds the same one, it is a new temporary
    file that cannot be continued. What cannot be continued later is removed on the way out; the file
    that :meth:`Partial.finish` returned is not. ``extra`` names further digests to compute, ``aside``
    may do some of that.
    """
    stream, path = _claim(folder, identity, wanted) if identity else (None, folder)
    if stream is None:
        identity = ""
        handle, name = tempfile.mkstemp(dir=folder, prefix="fetch-")
        stream, path = os.fdopen(handle, "r+b"), Path(name)
    done = False
    with stream:
        part = Partial(path, stream, identity, wanted, extra, aside)
        try:
            with contextlib.closing(part):
                yield part
            done = True
        finally:
            if not done and (not identity or not part.noted):
                path.unlink(missing_ok=True)


def kept(folder: Path) -> dict[str, int]:
    """Return how many bytes earlier transfers left in ``folder``, by what was ``wanted``.

    A hint: whether they can be gone on from is known only when the server is asked.
    """
    found: dict[str, int] = {}
    for note in folder.glob("part-*.json"):
        try:
            values = json.loads(note.read_text(encoding="utf-8"))
            wanted, offset = str(values["wanted"]), int(values["offset"])
            there = note.with_suffix(".part").stat().st_size
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
        if 0 < offset <= there:
            found[wanted] = max(offset, found.get(wanted, 0))
    return found


def _claim(folder: Path, identity: str, wanted: str) -> tuple[BinaryIO | None, Path]:
    key = hashlib.sha256(f"{identity}\n{wanted}".encode()).hexdigest()[:40]
    path = folder / f"part-{key}.part"
    stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have finished, and the file have become somebody's blob, while we opened it.
        if path.exists() and os.path.samestat(path.stat(), os.fstat(stream.fileno())):
            return stream, path
    except BlockingIOError:
        pass
    stream.close()
    return None, path

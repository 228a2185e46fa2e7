"""A small transfer: its bytes stay in memory until all are there, and get to the disk in one write."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mirror.digests import Digests, Hasher

HELD = 1 << 18  # bytes; many are under way at a time

_numbers = itertools.count()


class Held:
    """The bytes of one transfer that is not worth continuing; behaves like a new Partial."""

    offset = noted = 0
    headers: Mapping[str, str] = {}

    def __init__(self, folder: Path, extra: Iterable[str]) -> None:
        self._folder, self._extra = folder, tuple(extra)
        self._chunks: list[bytes] = []

    def fits(self, headers: Mapping[str, str]) -> bool:
        """Tell that no answer is the rest of it: none is ever asked for."""
        del headers
        return False

    def restart(self, headers: Mapping[str, str]) -> None:
        """Forget what is there; what comes now is the whole body of an answer with ``headers``."""
        del headers
        self.discard()

    def write(self, chunk: bytes) -> None:
        """Keep the next bytes."""
        self._chunks.append(chunk)

    def digests(self) -> Digests:
        """Return the digests of what is there."""
        hasher = Hasher(self._extra)
        hasher.update(self._whole())
        return hasher.result()

    def discard(self) -> None:
        """Forget what is there."""
        self._chunks.clear()

    def finish(self) -> Path:
        """Return the bytes as a new temporary file; it is the caller's now."""
        while True:
            path = self._folder / f"fetch-{os.getpid()}-{next(_numbers)}"
            try:
                stream = path.open("xb", buffering=0)
            except FileExistsError:
                continue  # a killed process had our number
            break
        try:
            with stream:
                left = memoryview(self._whole())
                while left:
                    left = left[stream.write(left) :]
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _whole(self) -> bytes:
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

"""Digests: computed while bytes stream, and read from the checksum files that upstreams publish."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from core.files import CHUNK

# How long each digest is in hex; the length alone names the algorithm of a bare digest.
HEX_LENGTH = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_MAX_CHECKSUM_FILE = 1 << 16
_WORTH_IT = 1 << 16  # bytes: below it, handing them to another thread costs more than hashing them

_BSD = re.compile(r"(MD5|SHA-?1|SHA-?256|SHA-?512) ?\((?P<name>.+)\) ?= ?(?P<hex>[0-9a-fA-F]+)")
_PLAIN = re.compile(r"(?P<hex>[0-9a-fA-F]+)(?:[ \t]+\*?(?P<name>\S.*))?")
_GPG = re.compile(r"(?P<name>[^\n:]+):(?P<hex>[0-9A-Fa-f \t\r\n]+)")


@dataclass(frozen=True)
class Digests:
    """Size in bytes and hex digests by algorithm; ``sha256`` and ``sha512`` are always there."""

    size: int
    by_name: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Return the SHA-256 as lower-case hex."""
        return self.by_name["sha256"]

    @property
    def sha512(self) -> str:
        """Return the SHA-512 as lower-case hex."""
        return self.by_name["sha512"]


class Hasher:
    """Feeds several digests at once; ``extra`` adds weaker ones that an upstream publishes.

    ``aside`` computes the slowest of them meanwhile, where another core is free: for a single large file.
    """

    def __init__(self, extra: Iterable[str] = (), aside: Executor | None = None) -> None:
        # md5 and sha1 are only ever compared with what is published, beside the strong ones.
        self._hashes = {
            name: hashlib.new(name, usedforsecurity=False) for name in {"sha256", "sha512", *extra}
        }
        self.size = 0
        self._aside = aside
        self._pending: Future[None] | None = None

    def update(self, chunk: bytes) -> None:
        """Count and hash ``chunk``."""
        self.size += len(chunk)
        slowest = self._hashes["sha512"]
        if self._aside is not None and len(chunk) >= _WORTH_IT:
            self._catch_up()
            self._pending = self._aside.submit(slowest.update, chunk)
        else:
            self._catch_up()
            slowest.update(chunk)
        for digest in self._hashes.values():
            if digest is not slowest:
                digest.update(chunk)

    def _catch_up(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def result(self) -> Digests:
        """Return what was seen so far."""
        self._catch_up()
        return Digests(self.size, {name: value.hexdigest() for name, value in self._hashes.items()})


def of_file(path: Path, extra: Iterable[str] = ()) -> Digests:
    """Return the digests of the file at ``path``, read once in constant memory."""
    hasher = Hasher(extra)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
    return hasher.result()


def disagreements(found: Digests, expected: Mapping[str, str], size: int | None = None) -> list[str]:
    """Return one phrase per expected digest (or size) that ``found`` does not have."""
    faults = []
    if size is not None and found.size != size:
        faults.append(f"size {found.size} instead of {size}")
    for name, value in sorted(expected.items()):
        if found.by_name[name] != value:
            faults.append(f"{name} {found.by_name[name]} instead of {value}")
    return faults


class ChecksumFormatError(ValueError):
    """A checksum file does not hold one digest of the right kind for the right file."""


def parse_checksum(text: str, filename: str, algorithm: str) -> str:
    """Return the digest that the checksum file ``text`` gives for ``filename``, as lower-case hex.

    Understands the forms found beside public artefacts: a bare digest, ``digest  name`` (sha512sum),
    ``digest *name``, ``ALGO (name) = digest`` (BSD), ``name: AAAA BBBB`` over several lines
    (gpg --print-md), lists of many files, names with a folder in front. Raises
    ChecksumFormatError for anything else, above all a digest of another file or an HTML page.
    """
    if len(text) > _MAX_CHECKSUM_FILE:
        raise ChecksumFormatError("the checksum file is far too long")
    length = HEX_LENGTH[algorithm]
    pairs = [(name, value) for name, value in _pairs(text) if len(value) == length]
    named = {value for name, value in pairs if name and name != "-" and _base(name) == filename}
    bare = {value for name, value in pairs if not name or name == "-"}
    if len(named) == 1:
        return named.pop()
    if not named and len(pairs) == 1 and len(bare) == 1:
        return bare.pop()
    if named:
        raise ChecksumFormatError(f"it holds several {algorithm} digests for {filename}")
    if pairs:
        raise ChecksumFormatError(f"it holds a {algorithm} digest, but not for {filename}")
    raise ChecksumFormatError(f"it holds no {algorithm} digest")


def _pairs(text: str) -> list[tuple[str, str]]:
    stripped = text.strip().lstrip("\ufeff")
    if match := _GPG.fullmatch(stripped):
        return [(match["name"].strip(), "".join(match["hex"].split()).lower())]
    pairs = []
    for raw in stripped.splitlines():
        line = raw.strip()
        match = _BSD.fullmatch(line) or _PLAIN.fullmatch(line)
        if match:
            pairs.append(((match["name"] or "").strip(), match["hex"].lower()))
    return pairs


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]

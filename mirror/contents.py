"""What a release holds: the locked files, and what is generated from the lock by one module each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mirror.lockfile import Lock, LockedFile

LOCK = "catalogue.lock"
RECORD = "release.json"
SUMS = "SHA512SUMS"
SIGNATURE = ".asc"
SITE_KEY = "mirror_keys/site.asc"
_SIGNED = frozenset({RECORD, RECORD + SIGNATURE, SUMS + SIGNATURE, SITE_KEY})
_SIGNED_INDEX = re.compile(r"mirror_deb/dists/[^/]+/(InRelease|Release\.gpg)")


@dataclass(frozen=True)
class Content:
    """One file of a release: its SHA-256 and size in bytes; ``data`` if it is made here."""

    sha256: str
    size: int
    data: bytes | None = None


def contents(lock: Lock, lock_bytes: bytes, entries: Sequence[str]) -> dict[str, Content]:
    """Return all unsigned content of a release of the lock's ``entries``, by path.

    It depends on nothing but its arguments: no date, no machine, no serial.
    """
    # What an unchanged build does not need.
    from mirror import kept_debs, maven_layout, pages, sbom, sidecars, simple_index

    entries = sorted(entries)
    files = sorted(lock.files_of(entries), key=lambda item: item.path)
    made = {LOCK: lock_bytes, **sidecars.files(files), **simple_index.files(files)}
    made |= sbom.files(lock, entries, files)
    made |= kept_debs.files(lock, entries)
    made |= maven_layout.files(files)
    made |= pages.files(lock, entries, files)
    sums = {item.path: item.sha512 for item in files}
    sums |= {path: hashlib.sha512(data).hexdigest() for path, data in made.items()}
    made[SUMS] = sidecars.sums(sums)
    generated = {
        path: Content(hashlib.sha256(data).hexdigest(), len(data), data) for path, data in made.items()
    }
    return locked(files) | generated


def unsigned(path: str) -> bool:
    """Tell whether ``path`` is unsigned content, which the root digest counts.

    Outside it stand the record, the signatures, and the public key of whoever made them: the same
    content may be published again, under another serial and by another signer.
    """
    return path not in _SIGNED and not _SIGNED_INDEX.fullmatch(path)


def locked(files: Iterable[LockedFile]) -> dict[str, Content]:
    """Return what of a release's content the lock names itself, by path."""
    return {item.path: Content(item.sha256, item.size) for item in files}


def root_digest(found: Mapping[str, Content]) -> str:
    """Return the one digest of a release's content: SHA-256 over its sorted ``sha256  path`` lines."""
    lines = "".join(f"{item.sha256}  {path}\n" for path, item in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()

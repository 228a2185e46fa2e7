"""What a proof is given, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mirror.catalogue import Catalogue
from mirror.entries import Entry
from mirror.lockfile import Lock, LockedFile


@dataclass(frozen=True)
class World:
    """Where a proof runs: the served release, its lock, and a folder for what clients write.

    ``base`` is the mirror's address without a trailing slash, ``ca`` the authority of its certificate,
    ``settings`` holds what ``mirror.client-config`` writes, ``keyring`` the keys that apt shall believe
    (None: the release is not signed). ``entries`` are those to be proven, ``files`` what they bring in;
    ``held`` names all that the release holds.
    """

    release: Path
    base: str
    ca: Path
    settings: Path
    keyring: Path | None
    scratch: Path
    lock: Lock
    catalogue: Catalogue
    entries: tuple[Entry, ...]
    held: tuple[str, ...]
    files: tuple[LockedFile, ...]

    def of(self, entry: Entry) -> tuple[LockedFile, ...]:
        """Return the files of the release that ``entry`` brings in."""
        return tuple(item for item in self.files if entry.name in item.entries)


@dataclass(frozen=True)
class Proof:
    """What one client found: ``subject`` is an entry, with its target if it has one; no fault is good."""

    client: str
    subject: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A proof to be made: what it is called, and the work, which returns its faults."""

    client: str
    subject: str
    work: Callable[[], Iterable[str]]

"""What a lock is: frozen data, however it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.marked_yaml import nearest

FORMAT = 1
# The group of what a build brings only where it is asked for it by name.
ON_REQUEST = "on-request"
CURE = "restore the lock from git, or write it anew with ./inv mirror.lock"


@dataclass(frozen=True)
class LockedFile:
    """One pinned file.

    ``path`` is its place in a release (for an input: only its name in the lock), ``size`` in bytes,
    ``source`` how to get it again (``kind`` and coordinate, never a registry's host),
    ``evidence`` which published checksums agreed and what is known of its signature. ``via`` has per
    entry the way to what the entry does not name itself: from what it names down to what needs this.
    ``sha1`` is "" but for files of a Maven repository: Maven compares no other digest. Nothing here
    believes it.
    """

    path: str
    size: int
    sha256: str
    sha512: str
    entries: tuple[str, ...]
    source: Mapping[str, Any]
    licence: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    via: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sha1: str = ""

    @property
    def name(self) -> str:
        """Return the base name."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def entry(self) -> str:
        """Return the entry that brought the file in (the first of them, if several did)."""
        return self.entries[0]


@dataclass(frozen=True)
class LockedEntry:
    """What the lock knows of a catalogue entry: its groups, and the digest of its text when locked."""

    groups: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Lock:
    """A loaded lock.

    ``files`` are served; ``inputs`` are what assembling and wheel building need, and never served.
    Both are sorted by path. ``digest`` is the SHA-256 of the lock file's bytes.
    """

    path: Path
    digest: str
    entry_table: Mapping[str, LockedEntry]
    files: tuple[LockedFile, ...]
    inputs: tuple[LockedFile, ...]

    def file(self, path: str) -> LockedFile:
        """Return the served file at ``path``. Raises UsageError when the lock has none there."""
        try:
            return self._by_path[path]
        except KeyError:
            raise UsageError(
                f"{self.path}: no file {path!r} is locked", nearest(path, self._by_path)
            ) from None

    def input(self, path: str) -> LockedFile:
        """Return the input called ``path``. Raises UsageError when there is none."""
        for item in self.inputs:
            if item.path == path:
                return item
        raise UsageError(f"{self.path}: no input {path!r} is locked", CURE)

    def of_entry(self, name: str) -> tuple[LockedFile, ...]:
        """Return the served files of entry ``name``. Raises UsageError for an unknown entry."""
        if name not in self.entry_table:
            raise UsageError(f"{self.path}: no entry {name!r} is locked", nearest(name, self.entry_table))
        return tuple(item for item in self.files if name in item.entries)

    def entries(self) -> tuple[str, ...]:
        """Return the names of the locked entries, sorted."""
        return tuple(sorted(self.entry_table))

    def groups(self) -> tuple[str, ...]:
        """Return the names of all groups, sorted."""
        return tuple(sorted({group for entry in self.entry_table.values() for group in entry.groups}))

    def select(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return the entries that one of ``groups`` (group or entry names) picks, sorted.

        No group means all entries but those in the group ``on-request``. Raises UsageError for a name
        that is neither.
        """
        wanted = set(groups)
        known = {*self.groups(), *self.entry_table}
        for name in sorted(wanted - known):
            raise UsageError(f"{self.path}: no group or entry {name!r} is locked", nearest(name, known))
        table = self.entry_table
        if not wanted:
            return tuple(name for name in self.entries() if ON_REQUEST not in table[name].groups)
        return tuple(name for name in self.entries() if wanted & {name, *table[name].groups})

    def files_of(self, entries: Iterable[str]) -> tuple[LockedFile, ...]:
        """Return the served files that at least one of ``entries`` brings in, sorted by path."""
        wanted = set(entries)
        return tuple(item for item in self.files if wanted.intersection(item.entries))

    @cached_property
    def _by_path(self) -> dict[str, LockedFile]:
        return {item.path: item for item in self.files}

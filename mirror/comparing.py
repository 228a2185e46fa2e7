"""Compare a lock with its catalogue, and with what resolving anew comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mirror import catalogue, derived, evidence, lockfile
from mirror.lockfile import Lock, LockedEntry, LockedFile

_FIELDS = ("size", "sha256", "sha512", "entries", "source", "licence", "evidence", "via")


@dataclass(frozen=True)
class Fault:
    """An entry whose locked files do not follow from the catalogue, and how."""

    entry: str
    reason: str


@dataclass(frozen=True)
class Difference:
    """A file that two locks do not share: ``how`` is added, removed, or the fields that changed."""

    path: str
    entries: tuple[str, ...]
    how: str


def check(catalogue_path: Path, lock_path: Path) -> tuple[Fault, ...]:
    """Return what in the lock does not follow from the catalogue; nothing outside is asked.

    Looked at are the text and groups of each entry when it was locked, that each has files, that
    what is made here has its inputs, the policies on signatures, and that the lock is written as
    this program writes it. Raises UsageError for a bad catalogue or lock.
    """
    wanted = catalogue.load(catalogue_path)
    lock = lockfile.load(lock_path)
    faults = [Fault(name, "is locked, and not in the catalogue") for name in _orphans(wanted, lock)]
    for entry in wanted.entries:
        faults += [Fault(entry.name, reason) for reason in _reasons(entry, lock)]
    text = lockfile.dumps(lock.entry_table, lock.files, lock.inputs)
    if not faults and lock_path.read_text(encoding="utf-8") != text:
        faults.append(Fault("(the lock)", "was edited, or written by another version of this program"))
    return tuple(faults)


def differences(
    old: Lock, entries: Mapping[str, LockedEntry], files: Iterable[LockedFile], inputs: Iterable[LockedFile]
) -> tuple[Difference, ...]:
    """Return how a newly resolved lock differs from ``old``, sorted by path."""
    found = [
        Difference(name, (name,), "entry added" if name in entries else "entry removed")
        for name in sorted(set(entries) ^ set(old.entry_table))
    ]
    found += [
        Difference(name, (name,), "entry changed in the catalogue")
        for name in sorted(set(entries) & set(old.entry_table))
        if entries[name].digest != old.entry_table[name].digest
    ]
    for before, after in ((old.files, files), (old.inputs, inputs)):
        found += _of_files({item.path: item for item in before}, {item.path: item for item in after})
    return tuple(found)


def _of_files(old: Mapping[str, LockedFile], new: Mapping[str, LockedFile]) -> list[Difference]:
    found = []
    for path in sorted({*old, *new}):
        if path not in old:
            found.append(Difference(path, new[path].entries, "added"))
        elif path not in new:
            found.append(Difference(path, old[path].entries, "removed"))
        else:
            changed = [name for name in _FIELDS if getattr(old[path], name) != getattr(new[path], name)]
            if changed:
                found.append(Difference(path, new[path].entries, f"changed: {', '.join(changed)}"))
    return found


def _orphans(wanted: catalogue.Catalogue, lock: Lock) -> list[str]:
    return sorted(set(lock.entries()) - {entry.name for entry in wanted.entries})


def _reasons(entry: catalogue.Entry, lock: Lock) -> list[str]:
    known = lock.entry_table.get(entry.name)
    if known is None:
        return ["is not locked"]
    if known.digest != entry.digest or set(known.groups) != set(entry.groups):
        return ["has changed since it was locked"]
    files = lock.of_entry(entry.name)
    if isinstance(entry, catalogue.DebEntry):
        return []  # resolved by the build
    if not files:
        return ["is locked without a file"]
    inputs = {item.path: item for item in lock.inputs if entry.name in item.entries}
    needed = {name for item in files for name in derived.inputs_of(item.source)}
    reasons = [f"needs {name}, which is not locked for it" for name in sorted(needed - set(inputs))]
    refused = evidence.unsigned(entry, (*files, *inputs.values()))
    return reasons + [f"{item.path} lacks a signature of its signers" for item in refused]

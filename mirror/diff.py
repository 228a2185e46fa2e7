"""What is different between two releases, or locks: for people and for machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mirror import identity
from mirror.diff_sides import Side
from mirror.lockfile import LockedFile

_SHOWN = 40


@dataclass(frozen=True)
class Change:
    """One thing that differs: a version, a signer or a licence of ``what``, before and after."""

    what: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """What it takes from one side to the other.

    ``added``, ``removed`` and ``changed`` map paths to sizes in bytes (changed: the new size).
    ``wire_files`` and ``wire_bytes`` are what a site with the first must fetch for the second: each
    content once, whatever it is called. ``made`` are those of the paths that no lock names.
    """

    before: str
    after: str
    added: Mapping[str, int]
    removed: Mapping[str, int]
    changed: Mapping[str, int]
    made: tuple[str, ...]
    versions: tuple[Change, ...]
    signers: tuple[Change, ...]
    licences: tuple[Change, ...]
    groups: Change
    release_signers: Change
    wire_files: int
    wire_bytes: int

    @property
    def same(self) -> bool:
        """Tell whether both hold the same files with the same bytes."""
        return not (self.added or self.removed or self.changed)


def diff(before: Side, after: Side) -> Difference:
    """Return what is different in ``after``, seen from ``before``."""
    old, new = before.files, after.files
    added = {path: new[path][1] for path in sorted(new.keys() - old.keys())}
    removed = {path: old[path][1] for path in sorted(old.keys() - new.keys())}
    changed = {path: new[path][1] for path in sorted(new.keys() & old.keys()) if old[path] != new[path]}
    held = {digest for digest, _ in old.values()}
    wire = {digest: size for digest, size in new.values() if digest not in held}
    named = {*before.locked, *after.locked}
    return Difference(
        before.label,
        after.label,
        added,
        removed,
        changed,
        tuple(path for path in sorted({*added, *removed, *changed}) if path not in named),
        _changes(before, after, _version),
        _changes(before, after, _signers),
        _changes(before, after, lambda item: [item.licence or "not stated"]),
        Change("groups", before.groups, after.groups),
        Change("release", _signed_by(before), _signed_by(after)),
        len(wire),
        sum(wire.values()),
    )


def _changes(before: Side, after: Side, look: Callable[[LockedFile], Iterable[str]]) -> tuple[Change, ...]:
    old, new = _by_name(before, look), _by_name(after, look)
    return tuple(
        Change(name, tuple(sorted(old.get(name, ()))), tuple(sorted(new.get(name, ()))))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _by_name(side: Side, look: Callable[[LockedFile], Iterable[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in side.locked.values():
        one = identity.of(item)
        found.setdefault(":".join(word for word in (one.kind, one.group, one.name) if word), set()).update(
            look(item)
        )
    return found


def _version(item: LockedFile) -> list[str]:
    return [identity.of(item).version or item.name]


def _signers(item: LockedFile) -> list[str]:
    state = str(item.evidence.get("signature", "unknown"))
    return [f"{state} {signer}" for signer in item.evidence.get("signers", [])] or [state]


def _signed_by(side: Side) -> tuple[str, ...]:
    return side.record.signers if side.record else ()


def document(found: Difference) -> dict[str, Any]:
    """Return the difference as plain data."""
    return {**asdict(found), "same": found.same}


def text(found: Difference) -> list[str]:
    """Return the difference as lines for a terminal."""
    lines = [f"from {found.before}", f"to   {found.after}"]
    if found.same:
        return [*lines, "the same files with the same bytes", *_said(found.release_signers, "signed by")]
    lines += [*_said(found.groups, "groups"), *_said(found.release_signers, "signed by")]
    parts = (("versions", found.versions), ("signatures", found.signers), ("licences", found.licences))
    for title, changes in parts:
        if changes:
            lines += [f"{title}:", *(f"  {one.what}: {_arrow(one)}" for one in changes)]
    for sign, files in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        rows = [f"{sign} {size:>12}  {path}" for path, size in files.items() if path not in found.made]
        lines += rows[:_SHOWN]
        if len(rows) > _SHOWN:
            lines.append(f"{sign} {len(rows) - _SHOWN} more (--json lists all)")
    if found.made:
        lines.append(f"and {len(found.made)} files that are made from the lock (indexes, sums, pages)")
    return [*lines, _wire(found)]


def markdown(found: Difference) -> list[str]:
    """Return the difference as a document in Markdown."""
    lines = ["# What changes", "", f"From {_code(found.before)} to {_code(found.after)}.", ""]
    if found.same:
        return [*lines, "The same files with the same bytes."]
    lines += [f"{_wire(found)}.", ""]
    parts = (("Versions", found.versions), ("Signatures", found.signers), ("Licences", found.licences))
    for title, changes in parts:
        if changes:
            lines += [f"## {title}", "", "| what | before | after |", "|---|---|---|"]
            lines += [f"| {_code(one.what)} | {_cell(one.before)} | {_cell(one.after)} |" for one in changes]
            lines.append("")
    files = {"added": found.added, "removed": found.removed, "changed": found.changed}
    if any(path not in found.made for rows in files.values() for path in rows):
        lines += ["## Files", "", "| | path | bytes |", "|---|---|---:|"]
        for how, rows in files.items():
            lines += [
                f"| {how} | {_code(path)} | {size} |" for path, size in rows.items() if path not in found.made
            ]
        lines.append("")
    if found.made:
        lines.append(f"And {len(found.made)} files that are made from the lock (indexes, sums, pages).")
    return lines


def _said(change: Change, title: str) -> list[str]:
    return [f"{title}: {_arrow(change)}"] if change.before != change.after else []


def _arrow(change: Change) -> str:
    return f"{', '.join(change.before) or 'none'} -> {', '.join(change.after) or 'none'}"


def _wire(found: Difference) -> str:
    return f"{found.wire_bytes / 1e6:.1f} MB in {found.wire_files} files are to be fetched anew"


def _cell(values: Iterable[str]) -> str:
    return ", ".join(map(_code, values)) or "-"


def _code(value: str) -> str:
    """Return ``value`` as code in a table, whatever characters a licence or a name has."""
    clean = value.replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{clean}`"

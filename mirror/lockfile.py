"""The lock: exactly which bytes. Sorted JSON, one file a line, read with suspicion."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from core.errors import UsageError, in_file
from core.files import write_atomic
from core.marked_yaml import nearest
from mirror.paths import is_made_here, path_fault

FORMAT = 1
_MAX_BYTES = 64 << 20
_CURE = "restore the lock from git, or write it anew with ./inv mirror.lock"
_DIGEST = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}


@dataclass(frozen=True)
class LockedFile:
    """One pinned file.

    ``path`` is its place in a release (for an input: only its name in the lock), ``size`` in bytes,
    ``source`` how to get it again (``kind`` and coordinate, never a registry's host),
    ``evidence`` which published checksums agreed and what is known of its signature. ``via`` has per
    entry the way to what the entry does not name itself: from what it names down to what needs this.
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
        raise UsageError(f"{self.path}: no input {path!r} is locked", _CURE)

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
        """Return the entries that one of ``groups`` (group or entry names; none: all) picks, sorted.

        Raises UsageError for a name that is neither.
        """
        wanted = set(groups)
        known = {*self.groups(), *self.entry_table}
        for name in sorted(wanted - known):
            raise UsageError(f"{self.path}: no group or entry {name!r} is locked", nearest(name, known))
        table = self.entry_table
        return tuple(n for n in self.entries() if not wanted or wanted & {n, *table[n].groups})

    def files_of(self, entries: Iterable[str]) -> tuple[LockedFile, ...]:
        """Return the served files that at least one of ``entries`` brings in, sorted by path."""
        wanted = set(entries)
        return tuple(item for item in self.files if wanted.intersection(item.entries))

    @cached_property
    def _by_path(self) -> dict[str, LockedFile]:
        return {item.path: item for item in self.files}


def load(path: Path) -> Lock:
    """Load and check the lock at ``path``. Raises UsageError with file, line (if known) and cure."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file", "write it with ./inv mirror.lock") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
    return loads(raw, path)


def loads(raw: bytes, path: Path) -> Lock:
    """Like :func:`load`, from bytes; ``path`` is used in messages."""
    return _Parser(raw, path).lock()


def dumps(
    entries: Mapping[str, LockedEntry], files: Iterable[LockedFile], inputs: Iterable[LockedFile]
) -> str:
    """Return the canonical text of a lock: sorted, one file a line, ends with a newline."""
    table = {name: {"digest": e.digest, "groups": sorted(e.groups)} for name, e in entries.items()}
    lines = ["{", f'"format": {FORMAT},', '"entries": {']
    lines += _joined(f"{json.dumps(name)}: {_line(table[name])}" for name in sorted(table))
    lines += ["},", '"files": [', *_joined(map(_file_line, _sorted(files))), "],"]
    lines += ['"inputs": [', *_joined(map(_file_line, _sorted(inputs))), "]", "}"]
    return "\n".join(lines) + "\n"


def save(
    path: Path, entries: Mapping[str, LockedEntry], files: Iterable[LockedFile], inputs: Iterable[LockedFile]
) -> Lock:
    """Write a lock to ``path`` (whole or not at all), having read back what was to be written."""
    text = dumps(entries, files, inputs)
    lock = loads(text.encode(), path)
    write_atomic(path, text)
    return lock


def _sorted(files: Iterable[LockedFile]) -> list[LockedFile]:
    return sorted(files, key=lambda item: item.path)


def _joined(lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    return [line + "," for line in listed[:-1]] + listed[-1:]


def _line(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=True)


def _file_line(item: LockedFile) -> str:
    fields: dict[str, Any] = {
        "size": item.size,
        "sha256": item.sha256,
        "sha512": item.sha512,
        "entries": sorted(item.entries),
        "source": item.source,
        "licence": item.licence,
        "evidence": item.evidence,
    }
    if item.via:
        fields["via"] = {name: list(steps) for name, steps in item.via.items()}
    # The path leads, so that a diff of two locks reads well.
    return '{"path": ' + json.dumps(item.path) + ", " + _line(fields)[1:]


class _Parser:
    """Turns bytes into a Lock, or into the error that says what is wrong and on which line."""

    def __init__(self, raw: bytes, path: Path) -> None:
        self.path, self.raw = path, raw
        if len(raw) > _MAX_BYTES:
            self.fail("larger than 64 MiB", cure="this cannot be a lock")
        try:
            self.text = raw.decode("utf-8")
            self.data = json.loads(self.text, object_pairs_hook=self._pairs)
        except UnicodeDecodeError:
            self.fail("not UTF-8")
        except json.JSONDecodeError as error:
            self.fail(f"not JSON: {error.msg}", error.lineno)
        except RecursionError:
            self.fail("nested too deeply")

    def fail(self, text: str, where: int | str | None = None, cure: str = _CURE) -> NoReturn:
        """Raise the error; ``where`` is a line, or text whose first line it is (looked up only now)."""
        line = self._find(where) if isinstance(where, str) else where
        raise UsageError(in_file(self.path, line, text), cure)

    def lock(self) -> Lock:
        data = self.data
        if not isinstance(data, dict):
            self.fail("the lock must be one JSON object")
        version = data.get("format")
        if type(version) is not int or version < 1:
            self.fail(f"format is {version!r}, not a number", '"format"')
        if version > FORMAT:
            self.fail(
                f"format {version} is newer than this program knows ({FORMAT})",
                '"format"',
                "use a newer release of this program for this lock",
            )
        self._keys(data, ("format", "entries", "files", "inputs"), "the lock", None)
        table = {name: self._entry(name, value) for name, value in self._object(data["entries"]).items()}
        files = self._files(data["files"], table, served=True)
        inputs = self._files(data["inputs"], table, served=False)
        return Lock(self.path, hashlib.sha256(self.raw).hexdigest(), table, files, inputs)

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                self.fail(f"the key {key!r} stands twice in one object")
            result[key] = value
        return result

    def _find(self, text: str) -> int | None:
        index = self.text.find(text)
        return self.text.count("\n", 0, index) + 1 if index >= 0 else None

    def _object(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fail(f"expected an object, found {value!r:.60}")
        return value

    def _keys(
        self,
        data: dict[str, Any],
        known: tuple[str, ...],
        where: str,
        line: str | None,
        optional: tuple[str, ...] = (),
    ) -> None:
        for key in data:
            if key not in known and key not in optional:
                self.fail(f"unknown key {key!r} in {where}", line or json.dumps(key))
        for key in known:
            if key not in data:
                self.fail(f"{where}: {key!r} is missing", line)

    def _entry(self, name: str, value: Any) -> LockedEntry:
        line = f"{json.dumps(name)}: {{"
        data = self._object(value)
        self._keys(data, ("digest", "groups"), f"entry {name}", line)
        if not isinstance(data["digest"], str) or not _DIGEST["sha256"].fullmatch(data["digest"]):
            self.fail(f"entry {name}: digest is not a SHA-256", line)
        return LockedEntry(self._strings(data["groups"], f"entry {name}: groups", line), data["digest"])

    def _strings(self, value: Any, what: str, line: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            self.fail(f"{what} must be a list of strings", line)
        return tuple(value)

    def _files(self, rows: Any, table: Mapping[str, LockedEntry], served: bool) -> tuple[LockedFile, ...]:
        if not isinstance(rows, list):
            self.fail('"files" and "inputs" must be lists')
        seen: set[str] = set()
        result = []
        for row in rows:
            item = self._file(row, table)
            line = f'"path": {json.dumps(item.path)}'
            if item.path in seen:
                self.fail(f"the path {item.path!r} is locked twice", line)
            if served and is_made_here(item.path):
                self.fail(f"{item.path!r} is a file that the release makes itself", line)
            seen.add(item.path)
            result.append(item)
        for path in seen if served else ():
            parents = path.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                folder = "/".join(parents[:depth])
                if folder in seen:
                    self.fail(f"{folder!r} is both a file and a folder", json.dumps(folder))
        return tuple(_sorted(result))

    def _file(self, row: Any, table: Mapping[str, LockedEntry]) -> LockedFile:
        data = self._object(row)
        path = data.get("path")
        if not isinstance(path, str):
            self.fail(f"a file without a path: {row!r:.80}")
        line = f'"path": {json.dumps(path)}'
        known = ("path", "size", "sha256", "sha512", "entries", "source", "licence", "evidence")
        self._keys(data, known, path, line, optional=("via",))
        if path_fault(path):
            self.fail(f"{path!r} {path_fault(path)}", line)
        if type(data["size"]) is not int or data["size"] < 0:
            self.fail(f"{path}: size is {data['size']!r}, not a number of bytes", line)
        for name, pattern in _DIGEST.items():
            if not isinstance(data[name], str) or not pattern.fullmatch(data[name]):
                self.fail(f"{path}: {name} is not {name} in lower-case hex", line)
        entries = self._strings(data["entries"], f"{path}: entries", line)
        for entry in entries:
            if entry not in table:
                self.fail(f"{path}: its entry {entry!r} is not in the lock", line)
        source, evidence, licence = data["source"], data["evidence"], data["licence"]
        if not isinstance(source, dict) or not isinstance(source.get("kind"), str):
            self.fail(f"{path}: source must be an object with a kind", line)
        if not isinstance(evidence, dict) or not isinstance(licence, str):
            self.fail(f"{path}: evidence must be an object and licence a string", line)
        groups = tuple(sorted({group for entry in entries for group in table[entry].groups}))
        via = {
            name: self._strings(steps, f"{path}: via {name}", line)
            for name, steps in self._object(data.get("via", {})).items()
        }
        if not via.keys() <= set(entries):
            self.fail(f"{path}: via names an entry that does not bring it in", line)
        digests = (data["sha256"], data["sha512"])
        return LockedFile(path, data["size"], *digests, entries, source, licence, evidence, groups, via)

"""Read a lock's bytes with suspicion: a Lock, or the error that says what is wrong and on which line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from core.errors import UsageError, in_file
from mirror.lock_model import CURE, FORMAT, Lock, LockedEntry, LockedFile
from mirror.paths import is_made_here, path_fault

_MAX_BYTES = 64 << 20
_DIGEST = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
_SHA1 = re.compile(r"[0-9a-f]{40}")


def parse(raw: bytes, path: Path) -> Lock:
    """Return the lock that ``raw`` is; ``path`` is used in messages. Raises UsageError with line and cure."""
    return _Parser(raw, path).lock()


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

    def fail(self, text: str, where: int | str | None = None, cure: str = CURE) -> NoReturn:
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
        return tuple(sorted(result, key=lambda item: item.path))

    def _file(self, row: Any, table: Mapping[str, LockedEntry]) -> LockedFile:
        data = self._object(row)
        path = data.get("path")
        if not isinstance(path, str):
            self.fail(f"a file without a path: {row!r:.80}")
        line = f'"path": {json.dumps(path)}'
        known = ("path", "size", "sha256", "sha512", "entries", "source", "licence", "evidence")
        self._keys(data, known, path, line, optional=("via", "sha1"))
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
        sha1 = data.get("sha1", "")
        if not isinstance(sha1, str) or (sha1 and not _SHA1.fullmatch(sha1)):
            self.fail(f"{path}: sha1 is not SHA-1 in lower-case hex", line)
        return LockedFile(path, data["size"], *digests, entries, source, licence, evidence, groups, via, sha1)

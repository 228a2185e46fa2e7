"""Read the list of a bundle with suspicion: it has crossed a gap on a medium that anybody may have held."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from core.errors import WorldError
from mirror.bundle_format import FORMAT, KIND, MAX_BLOB, MAX_OUTSIDE, Item, Manifest, root_digest
from mirror.paths import path_fault

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_OUTSIDE = 8 << 20  # bytes of all that is outside the root digest: it is held in memory
_CURE = "have it made again by ./inv mirror.export, or take another copy"


def loads(raw: bytes, name: str) -> Manifest:
    """Return the list in ``raw``; ``name`` is used in messages. Raises WorldError for a bad one."""
    return _Parser(name).manifest(raw)


class _Parser:
    def __init__(self, name: str) -> None:
        self._name = name

    def _fail(self, text: str) -> NoReturn:
        raise WorldError(f"{self._name}: its list is not one of ours: {text}", _CURE)

    def manifest(self, raw: bytes) -> Manifest:
        data = self._object(raw)
        keys = (
            "format",
            "kind",
            "serial",
            "root_digest",
            "have",
            "part",
            "body",
            "outside",
            "files",
            "parts",
        )
        if data.get("kind") != KIND or type(data.get("format")) is not int:
            self._fail("no format is named")
        if data["format"] > FORMAT:
            raise WorldError(
                f"{self._name}: format {data['format']} is newer than this program knows ({FORMAT})",
                "use a newer release of this program",
            )
        if set(data) != set(keys):
            self._fail(f"the keys {', '.join(sorted(set(data) ^ set(keys)))} are missing or unknown")
        have = data["have"]
        if not self._is_number(data["serial"], 1) or not isinstance(have, str):
            self._fail("serial or have-list")
        outside = self._items(data["outside"], "outside", MAX_OUTSIDE)
        files = self._items(data["files"], "files", MAX_BLOB)
        parts = self._parts(data["parts"])
        if not self._is_number(data["part"], 1) or data["part"] > len(parts):
            self._fail("its part is none of its parts")
        found = Manifest(data["serial"], data["root_digest"], have, data["part"], parts, outside, files)
        self._agree(found, data["body"])
        return found

    def _object(self, raw: bytes) -> Mapping[str, Any]:
        def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
            if len(dict(found)) != len(found):
                self._fail("a key stands twice in one object")
            return dict(found)

        try:
            data = json.loads(raw.decode("ascii"), object_pairs_hook=pairs)
        except (ValueError, RecursionError) as error:
            self._fail(f"not JSON ({type(error).__name__})")
        if not isinstance(data, dict):
            self._fail("not an object")
        return data

    def _is_number(self, value: Any, least: int) -> bool:
        return type(value) is int and least <= value < 1 << 53

    def _items(self, rows: Any, what: str, largest: int) -> tuple[Item, ...]:
        if not isinstance(rows, list):
            self._fail(f"{what} is no list")
        found = []
        for row in rows:
            if not isinstance(row, list) or len(row) != 3:
                self._fail(f"{what} has a line that is not path, digest and size: {row!r:.200}")
            path, sha256, size = row
            if not isinstance(path, str) or path_fault(path):
                self._fail(f"{path!r:.200} {path_fault(path) if isinstance(path, str) else 'is no path'}")
            if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
                self._fail(f"{path}: {sha256!r:.100} is not a SHA-256")
            if not self._is_number(size, 0) or size > largest:
                self._fail(f"{path}: a size of {size!r:.100} (at most {largest})")
            found.append(Item(path, sha256, size))
        return tuple(found)

    def _parts(self, rows: Any) -> tuple[tuple[str, ...], ...]:
        if not isinstance(rows, list) or not rows or not all(isinstance(part, list) for part in rows):
            self._fail("parts is no list of lists")
        return tuple(tuple(part) for part in rows)

    def _agree(self, found: Manifest, body: Any) -> None:
        """Check what the fields say of each other."""
        paths = [item.path for item in (*found.outside, *found.files)]
        twice = sorted(
            path for path, other in zip(sorted(paths), sorted(paths)[1:], strict=False) if path == other
        )
        if twice:
            self._fail(f"{twice[0]} stands there twice")
        folders = {parent for path in paths for parent in _parents(path)}
        both = sorted(folders.intersection(paths))
        if both:
            self._fail(f"{both[0]} is both a file and a folder")
        for item in (*found.outside, *found.files):
            if found.sizes[item.sha256] != item.size:
                self._fail(f"{item.path}: two sizes for one digest")
        if root_digest(found.files) != found.root_digest:
            self._fail("its files do not have its root digest")
        if sum(item.size for item in found.outside) > _MOST_OUTSIDE:
            self._fail("too much stands outside its root digest")
        blobs = [sha256 for part in found.parts for sha256 in part]
        kept = {item.sha256 for item in found.outside}
        known = {item.sha256 for item in found.files} - kept
        if len(set(map(str, blobs))) != len(blobs):
            self._fail("a blob stands in its parts twice")
        strange = [sha256 for sha256 in blobs if not isinstance(sha256, str) or sha256 not in known]
        if strange:
            self._fail(f"the blob {strange[0]!r:.100} is of no file")
        if found.body != body:
            self._fail("its length is not that of its blobs")


def _parents(path: str) -> list[str]:
    words = path.split("/")[:-1]
    return ["/".join(words[: depth + 1]) for depth in range(len(words))]

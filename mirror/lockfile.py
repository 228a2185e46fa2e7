"""The lock: exactly which bytes. Sorted JSON, one file a line, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.files import write_atomic
from mirror.lock_model import FORMAT
from mirror.lock_model import Lock as Lock
from mirror.lock_model import LockedEntry as LockedEntry
from mirror.lock_model import LockedFile as LockedFile
from mirror.lock_parser import parse


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
    return parse(raw, path)


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
    if item.sha1:
        fields["sha1"] = item.sha1
    # The path leads, so that a diff of two locks reads well.
    return '{"path": ' + json.dumps(item.path) + ", " + _line(fields)[1:]

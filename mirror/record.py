"""What ``release.json`` says of a release: outside the root digest, because it names serial and date."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from core.errors import WorldError

FORMAT = 1
_MAX_BYTES = 4 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}")
_CURE = "run ./inv mirror.build --verify to publish it anew"


@dataclass(frozen=True)
class Record:
    """The record of one release.

    ``serial`` only ever rises. ``files`` and ``bytes`` count the content (0 bytes: written before
    they were recorded), ``signers`` are the fingerprints of those who signed it. ``same_tree_as`` is
    the older release that has the same content, if it was published over that one; ``rollback_of``
    the release that a rollback went back from.
    """

    serial: int
    root_digest: str
    lock_digest: str
    entries: tuple[str, ...]
    groups: tuple[str, ...]
    files: int
    date: str
    bytes: int = 0
    signers: tuple[str, ...] = ()
    same_tree_as: int | None = None
    rollback_of: int | None = None


def dumps(record: Record) -> bytes:
    """Return the text of ``release.json``; what is None is left out."""
    known = {name: value for name, value in vars(record).items() if value is not None}
    return (json.dumps({"format": FORMAT, **known}, indent=2, sort_keys=True) + "\n").encode()


def load(path: Path) -> Record:
    """Load the record at ``path``. Raises WorldError when it is absent or is no record."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise WorldError(f"{path}: larger than 4 MiB: this is no record of a release", _CURE)
        raw = path.read_bytes()
    except OSError as error:
        raise WorldError(
            f"{path}: the release cannot be read: {error.strerror or type(error).__name__}", _CURE
        ) from error
    return loads(raw, str(path))


def loads(raw: bytes, where: str) -> Record:
    """Like :func:`load`, from bytes; ``where`` is used in messages."""
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WorldError(f"{where}: it is no record of a release: not JSON", _CURE) from error
    if not isinstance(data, dict):
        raise WorldError(f"{where}: it is no record of a release: not an object", _CURE)
    version = data.get("format")
    if type(version) is int and version > FORMAT:
        raise WorldError(
            f"{where}: format {version} is newer than this program knows ({FORMAT})",
            "use a newer release of this program",
        )
    fault = "the format" if version != FORMAT else _fault(data)
    if fault:
        raise WorldError(f"{where}: it is no record of a release: {fault} is wrong or missing", _CURE)
    known: dict[str, Any] = {item.name: data[item.name] for item in fields(Record) if item.name in data}
    lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    return Record(**{**known, **lists})


def _fault(data: Mapping[str, Any]) -> str:
    """Return the name of a field that is not as it must be, or ""."""
    for name in ("serial", "files", "bytes", "same_tree_as", "rollback_of"):
        value = data.get(name, 0 if name == "bytes" else None)
        optional = name in ("same_tree_as", "rollback_of")
        least = 0 if name in ("files", "bytes") else 1
        if not (optional and value is None) and (type(value) is not int or not least <= value < 1 << 53):
            return name
    for name in ("root_digest", "lock_digest"):
        if not isinstance(data.get(name), str) or not _DIGEST.fullmatch(data[name]):
            return name
    for name in ("entries", "groups", "signers"):
        value = data.get(name, [] if name == "signers" else None)
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            return name
    if not all(_FINGERPRINT.fullmatch(item) for item in data.get("signers", [])):
        return "signers"
    return "" if isinstance(data.get("date"), str) else "date"

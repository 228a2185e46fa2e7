# SPDX-License-Identifier: Apache-2.0
"""What earlier runs have seen: written in one step, and read as nothing where it is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Seen:
    """The record ``seen.json``.

    ``ended``: applications that YARN said have ended, and when. ``unused``: what nobody has used since when.
    ``versions``: the two last different sets of configured versions, the latest first.
    Times are seconds since 1970.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        found = _load(path)
        self.ended: dict[str, float] = _times(found.get("ended"))
        self.unused: dict[str, float] = _times(found.get("unused"))
        self.versions: list[list[str]] = _sets(found.get("versions"))

    def save(self) -> None:
        """Write the record where it has changed. Raises OSError."""
        document = {"format": 1, "ended": self.ended, "unused": self.unused, "versions": self.versions}
        if document != _load(self._path):
            write(self._path, document)


def write(path: Path, document: dict[str, Any]) -> None:
    """Write ``document`` to ``path`` by one rename, and make it durable. Raises OSError."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=2, sort_keys=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.chmod(0o644)
    partial.rename(path)


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("format") == 1 else {}


def _times(found: Any) -> dict[str, float]:
    if not isinstance(found, dict):
        return {}
    number = (int, float)
    return {
        key: float(at) for key, at in found.items() if isinstance(at, number) and not isinstance(at, bool)
    }


def _sets(found: Any) -> list[list[str]]:
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, list) and all(isinstance(item, str) for item in one)][:2]

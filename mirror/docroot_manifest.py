"""What we have put into a document root that is not ours: the list that removing goes by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import WorldError
from core.files import write_atomic
from mirror.docroot_layout import MANIFEST
from mirror.paths import path_fault

FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """Our files in a document root.

    ``files`` maps each path to the SHA-256 of the bytes that may lie there by our doing: one, or
    while a publication is under way two. ``folders`` are those that we made. ``serial`` and
    ``root_digest`` are the release's, 0 and "" before the first one is complete.
    """

    serial: int = 0
    root_digest: str = ""
    complete: bool = True
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()


def load(into: Path) -> Manifest:
    """Load the manifest of the document root ``into``; an empty one if there is none.

    Raises WorldError for one that is damaged: files are replaced and removed by it.
    """
    path = into / MANIFEST
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}")
        files = {name: _digests(name, row) for name, row in data["files"].items()}
        folders = frozenset(_checked(name) for name in data["folders"])
        return Manifest(int(data["serial"]), str(data["root_digest"]), bool(data["complete"]), files, folders)
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorldError(
            f"{path}: the list of what was put here cannot be used ({error})",
            "restore it from a backup; without it nothing here is known to be ours, so move it away only "
            "after you have removed what it lists",
        ) from error


def save(into: Path, manifest: Manifest) -> None:
    """Write the manifest. Raises DiskError when the disk is full or not writable."""
    document = {
        "format": FORMAT,
        "serial": manifest.serial,
        "root_digest": manifest.root_digest,
        "complete": manifest.complete,
        "files": {name: list(digests) for name, digests in manifest.files.items()},
        "folders": sorted(manifest.folders),
    }
    write_atomic(into / MANIFEST, json.dumps(document, indent=0, sort_keys=True) + "\n")


def _digests(name: str, row: Any) -> tuple[str, ...]:
    if not isinstance(row, list) or not row or not all(map(_SHA256.fullmatch, row)):
        raise ValueError(f"{name!r} has no digest")
    return tuple(row) if _checked(name) else ()


def _checked(name: str) -> str:
    if path_fault(name):
        raise ValueError(f"{name!r} {path_fault(name)}")
    return name

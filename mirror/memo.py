"""What an unchanged build need not work out again: that a lock follows its catalogue, and what is generated.

Only a cache, under ``store/``: whoever deletes or damages it loses time. A build uses it only where a
published release is exactly what it says (root digest, sizes, dates and links); in any other case
everything is made anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.bootstrap import ROOT
from core.files import sha256_of, write_atomic
from mirror.contents import Content
from mirror.paths import path_fault

FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Memo:
    """What a build worked out.

    ``read``: the SHA-256 of each file that it was worked out from, by absolute path. ``made``: the
    generated files of a release of ``entries``, without their bytes.
    """

    read: Mapping[str, str]
    entries: tuple[str, ...]
    made: Mapping[str, Content]


def place(root: Path) -> Path:
    """Return where the memo of the mirror at ``root`` lies."""
    return root / "store" / "memo.json"


def digests(files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its absolute path, "" for one that cannot be read."""
    return {str(path.absolute()): _digest(path) for path in files}


def of(read: Mapping[str, str], entries: Iterable[str], found: Mapping[str, Content]) -> Memo:
    """Return what is worth knowing of a release's contents ``found``, worked out from ``read``."""
    made = {path: Content(item.sha256, item.size) for path, item in found.items() if item.data is not None}
    return Memo(read, tuple(sorted(entries)), made)


def recall(root: Path, read: Mapping[str, str]) -> Memo | None:
    """Return the memo of ``root`` if it was worked out from just what was ``read`` now.

    None for a damaged memo, and for one of another version of this program.
    """
    try:
        data = json.loads(place(root).read_bytes())
        if (data["format"], data["program"], data["read"]) != (FORMAT, program(), read):
            return None
        made = {str(path): Content(str(row[0]), int(row[1])) for path, row in data["made"].items()}
        entries = tuple(map(str, data["entries"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None  # it is a cache: what cannot be read is worked out again
    sound = all(_SHA256.fullmatch(item.sha256) and not path_fault(path) for path, item in made.items())
    return Memo(read, entries, made) if sound and "" not in read.values() else None


def keep(root: Path, memo: Memo) -> None:
    """Write the memo down. Raises DiskError when the disk is full or not writable."""
    document = {
        "format": FORMAT,
        "program": program(),
        "read": dict(memo.read),
        "entries": list(memo.entries),
        "made": {path: [item.sha256, item.size] for path, item in memo.made.items()},
    }
    write_atomic(place(root), json.dumps(document, sort_keys=True) + "\n")


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""  # whoever loads the file says what is wrong with it


def program() -> str:
    """Return a digest of all that decides what is generated, besides lock and entries.

    These are the sources of this program, the exact versions of its libraries, and Python's own.
    """
    digest = hashlib.sha256(sys.version.encode())
    kinds = ("core/*.py", "mirror/*.py", "mirror/*.j2")
    sources = [path for kind in kinds for path in ROOT.glob(kind)]
    for path in [*sorted(sources), ROOT / "requirements" / "main.txt"]:
        digest.update(f"\n{path.name} {sha256_of(path)}".encode())
    return digest.hexdigest()

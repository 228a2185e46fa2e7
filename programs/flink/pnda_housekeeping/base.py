# SPDX-License-Identifier: Apache-2.0
"""What every part has: the settings, what earlier runs have seen, and the report of this one."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Callable

FORMAT = 1


class SettingsError(Exception):
    """The configuration cannot be used; the text says which key, and why."""


@dataclass(frozen=True)
class Settings:
    """What is cleaned on this node; ages are in days or hours and may be fractions.

    A key of the file has a dot after its part (``archives.days``), a field an underscore.
    What each means: docs/reference/housekeeping.md.
    """

    state: str
    name_nodes: list[str]
    hdfs_user: str
    archives_enabled: bool
    archives_folder: str
    archives_days: float
    archives_most: int
    archives_youngest_hours: float
    staging_enabled: bool
    staging_homes: str
    staging_resource_managers: list[str]
    staging_hours_after_end: float
    staging_unknown_days: float
    libraries_enabled: bool
    libraries_folder: str
    libraries_record: str
    libraries_versions: list[str]
    libraries_days: float
    shared_libraries_enabled: bool
    shared_libraries_folder: str
    shared_libraries_versions: list[str]
    shared_libraries_days: float
    temporary_enabled: bool
    temporary_folders: list[str]
    temporary_days: float


_SECTIONS = ("archives", "staging", "libraries", "shared_libraries", "temporary")


def load(path: Path) -> Settings:
    """Return the settings in the file ``path``. Raises SettingsError for whatever is wrong with it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise SettingsError(f"{path}: it is not of format {FORMAT}")
    wanted = {key_of(item.name): item for item in fields(Settings)}
    unknown = sorted(set(found) - set(wanted) - {"format", "managed_by"})
    missing = sorted(set(wanted) - set(found))
    if unknown or missing:
        raise SettingsError(
            f"{path}: {unknown[0]} is unknown" if unknown else f"{path}: {missing[0]} is missing"
        )
    for key, item in wanted.items():
        if not fits(found[key], str(item.type)):
            raise SettingsError(f"{path}: {key} is {found[key]!r}, not {item.type}")
    return Settings(**{item.name: found[key] for key, item in wanted.items()})


def key_of(name: str) -> str:
    """Return the key of the field ``name``."""
    for section in _SECTIONS:
        if name.startswith(f"{section}_"):
            return f"{section}.{name[len(section) + 1 :]}"
    return name


def fits(value: Any, kind: str) -> bool:
    """Tell whether ``value`` is of ``kind``, as annotated above."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if kind == "str":
        return isinstance(value, str)
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


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


TOLD = 20  # problems that are told in words; the others are counted


def ignore(_text: str) -> None:
    """Tell nobody."""


class PartReport:
    """One part's work: what was deleted (or would be), what was kept and why, what went wrong.

    ``tell`` is called with one line for everything that is deleted.
    """

    def __init__(self, name: str, tell: Callable[[str], None] = ignore) -> None:
        self.name = name
        self.deleted = 0
        self.bytes = 0
        self.kept: Counter[str] = Counter()
        self.problems: list[str] = []
        self.problem_count = 0
        self._tell = tell

    def delete(self, what: str, size: int = 0) -> None:
        """Count something that is deleted."""
        self.deleted += 1
        self.bytes += size
        self._tell(f"{self.name}: delete {printable(what)}")

    def keep(self, reason: str, count: int = 1) -> None:
        """Count something that could have gone, but for ``reason``."""
        self.kept[reason] += count

    def problem(self, text: str) -> None:
        """Count something that this part could not do."""
        self.problem_count += 1
        if len(self.problems) < TOLD:
            self.problems.append(printable(text))

    def document(self) -> dict[str, Any]:
        """Return this for programs."""
        return {
            "deleted": self.deleted,
            "bytes": self.bytes,
            "kept": dict(sorted(self.kept.items())),
            "problems": self.problem_count,
            "told": self.problems,
        }

    def lines(self, dry: bool) -> list[str]:
        """Return this for people."""
        verb = "would be deleted" if dry else "deleted"
        found = [f"{self.name}: {self.deleted} {verb} ({self.bytes / 1e6:.1f} MB)"]
        found += [f"{self.name}: kept {count}: {reason}" for reason, count in sorted(self.kept.items())]
        found += [f"{self.name}: problem: {text}" for text in self.problems]
        if self.problem_count > len(self.problems):
            found.append(f"{self.name}: and {self.problem_count - len(self.problems)} problems more")
        return found


def printable(text: str) -> str:
    """Return ``text`` on one line, whatever a file is called."""
    return text.encode("unicode_escape", "surrogateescape").decode("ascii", "replace") if odd(text) else text


def odd(text: str) -> bool:
    """Tell whether ``text`` cannot be printed as it is."""
    return not text.isprintable()

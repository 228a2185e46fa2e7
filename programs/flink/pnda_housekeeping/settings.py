# SPDX-License-Identifier: Apache-2.0
"""The configuration file: flat JSON, each key known, each value of its type."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

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

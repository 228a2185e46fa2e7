"""Which wheels run on a target, and which of several suits it best."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from mirror.catalogue import Target

_LEGACY = {
    "x86_64": {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"},
    "aarch64": {17: "manylinux2014"},
}


def platforms(target: Target) -> tuple[str, ...]:
    """Return the platform tags whose wheels run on ``target``, newest first (PEP 600 and before)."""
    minor = int(target.glibc.split(".")[1])
    legacy = _LEGACY[target.machine]
    tags = []
    for step in range(minor, min(legacy) - 1, -1):
        tags.append(f"manylinux_2_{step}_{target.machine}")
        if step in legacy:
            tags.append(f"{legacy[step]}_{target.machine}")
    return (*tags, f"linux_{target.machine}")


def tags(target: Target) -> tuple[Tag, ...]:
    """Return the tags of the wheels that ``target`` can install, the best first."""
    number = tuple(int(part) for part in target.python.split("."))
    interpreter = "cp" + target.python.replace(".", "")
    names = platforms(target)
    return (
        *cpython_tags(number, [interpreter], names),
        *compatible_tags(number, interpreter, names),
    )


def best_wheel(filenames: Iterable[str], version: Version, target: Target) -> str:
    """Return the wheel of ``version`` that suits ``target`` best, or "" when none can be installed."""
    order = {tag: rank for rank, tag in enumerate(tags(target))}
    found = []
    for filename in filenames:
        try:
            _, of, build, offered = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        fitting = [order[tag] for tag in offered if tag in order]
        if of == version and fitting:
            found.append((-min(fitting), build, filename))
    return max(found)[2] if found else ""

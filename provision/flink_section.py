"""The section ``flink`` of a cluster file, but for its parts: versions, storage, and Flink's own options."""

from __future__ import annotations

from typing import Any

from core.marked_yaml import Document, Path_, nearest
from provision import lines, option_rules


def versions(document: Document) -> tuple[tuple[str, ...], str]:
    """Return the versions, and which one is the default. Raises UsageError with the line."""
    section: dict[str, Any] = document.data["flink"]
    for index, version in enumerate(section["versions"]):
        known_line(document, version, ("flink", "versions", index))
    found: tuple[str, ...] = tuple(section["versions"])
    default: str = section.get("default", found[0])
    if default not in found:
        raise document.fault(
            ("flink", "default"),
            f"{default} is not among flink.versions",
            "add it there, or " + nearest(default, found),
        )
    return found, default


def known_line(document: Document, version: str, where: Path_) -> None:
    """Raise UsageError where ``version`` is of a line that is not supported."""
    if lines.name_of(version) not in lines.LINES:
        raise document.fault(
            where,
            f"Flink {version} is of a line that is not supported",
            f"take a version of {' or '.join(lines.LINES)}",
        )


def storage(document: Document) -> str:
    """Return the URI of the storage. Raises UsageError with the line."""
    uri: str = document.data["flink"]["storage"]
    where = ("flink", "storage")
    scheme, rest = uri.split("://", 1)
    if scheme != "file":
        raise document.fault(
            where,
            f"storage of the kind {scheme}:// is not supported yet",
            "use file:// and a folder that all nodes share",
        )
    if not rest.startswith("/") or "/../" in f"{rest}/" or "/./" in f"{rest}/":
        raise document.fault(where, f"{uri} names no absolute folder", "write file:///folder")
    return uri


def configuration(document: Document, where: Path_, legacy: bool, history: bool) -> dict[str, str]:
    """Return the Flink options at ``where`` as texts.

    ``legacy`` tells that Flink 1.x reads them, ``history`` that they are the history server's. Raises
    UsageError, with the line, for keys and values that this line cannot hold.
    """
    table: Any = document.data
    for key in where:
        table = table.get(key, {})
    result = {}
    for key, value in table.items():
        text = option_rules.text_of(value)
        wrong = option_rules.key_fault(key, history) or option_rules.value_fault(text, legacy)
        if wrong:
            message, cure = wrong
            prefix = "" if key in message else f"{key}: "
            raise document.fault((*where, key), prefix + message, cure)
        result[key] = text
    return result

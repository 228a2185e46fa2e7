"""Files that are made here from locked inputs: Flink's assembled archive and built wheels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UsageError
from mirror import digests
from mirror.digests import Digests

KINDS = ("assembly", "built")


def inputs_of(source: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the locked inputs that a derived ``source`` needs (none for a fetched one)."""
    if source["kind"] == "assembly":
        return (source["distribution"], source["libraries"], *source["additions"].values())
    return (source["input"],) if source["kind"] == "built" else ()


def make(source: Mapping[str, Any], blobs: Mapping[str, Path], scratch: Path) -> tuple[Path, Digests]:
    """Make the file that ``source`` describes from ``blobs`` (by input name), inside ``scratch``.

    Returns the file and its digests; the caller compares them with the lock. Raises WorldError for
    hostile or unfit inputs, UsageError for a damaged lock.
    """
    try:
        if source["kind"] == "assembly":
            return assembled(source, blobs, scratch)
        from mirror.wheels import build_wheel  # what is only fetched does without what makes files

        name = str(source["input"])
        wheel = build_wheel(blobs[name], name.rsplit("/", 1)[-1], scratch)
        return wheel, digests.of_file(wheel)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the lock's source of a derived file is damaged ({error!r})", "restore it"
        ) from error


def assembled(source: Mapping[str, Any], blobs: Mapping[str, Path], scratch: Path) -> tuple[Path, Digests]:
    """Assemble Flink's archive inside ``scratch`` and return it with its digests."""
    from mirror.assembly import FlinkParts, assemble

    additions = {path: blobs[name] for path, name in source["additions"].items()}
    libraries = source["libraries"]
    parts = FlinkParts(
        source["version"],
        blobs[source["distribution"]],
        blobs[libraries],
        libraries.rsplit("/", 1)[-1],
        additions,
    )
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    archive = scratch / "archive.tar.gz"
    assemble(parts, archive, unpacked)
    return archive, digests.of_file(archive)

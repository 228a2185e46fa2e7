"""Maven's coordinates, and the paths that they have in a repository of Maven's layout."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Coordinate:
    """A concrete artifact; ``extension`` is that of its file (``jar``, ``pom``)."""

    group: str
    artifact: str
    version: str
    extension: str = "jar"
    classifier: str = ""

    def __str__(self) -> str:
        middle = f":{self.classifier}" if self.classifier else ""
        return f"{self.group}:{self.artifact}:{self.extension}{middle}:{self.version}"

    @property
    def file(self) -> str:
        """Return the file's name in a repository."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.{self.extension}"

    @property
    def path(self) -> str:
        """Return the file's path in a repository of Maven's layout."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file}"

    @property
    def pom(self) -> Coordinate:
        """Return the coordinate of its pom."""
        return Coordinate(self.group, self.artifact, self.version, "pom")


def parse_coordinate(text: str) -> Coordinate:
    """Return the Coordinate that ``str(coordinate)`` wrote. Raises ValueError for anything else."""
    parts = text.split(":")
    if len(parts) not in (4, 5) or not all(re.fullmatch(r"[A-Za-z0-9_.+-]+", part) for part in parts):
        raise ValueError(f"not a coordinate: {text!r}")
    if ".." in parts:
        raise ValueError(f"not a coordinate: {text!r}")
    return Coordinate(parts[0], parts[1], parts[-1], parts[2], parts[3] if len(parts) == 5 else "")

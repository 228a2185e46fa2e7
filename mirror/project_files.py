"""Maven projects beside a catalogue, whose builds are mirrored: ``projects/NAME/{pom.xml,src/}``."""

from __future__ import annotations

from pathlib import Path

FOLDER = "projects"


def sources(project: Path) -> tuple[Path, ...]:
    """Return what a project in folder ``project`` is made of: its pom and the files of ``src/``, sorted.

    What a build left there (``target/``) is no part of it.
    """
    found = [project / "pom.xml", *(project / "src").rglob("*")]
    return tuple(sorted(path for path in found if path.is_file()))


def beside(catalogue: Path) -> tuple[Path, ...]:
    """Return the sources of all projects beside the catalogue at ``catalogue``."""
    folders = sorted((catalogue.parent / FOLDER).glob("*"))
    return tuple(path for folder in folders for path in sources(folder))

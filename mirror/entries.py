"""What a catalogue's entries are: frozen data of each kind, without where they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Artifact:
    """A Maven artifact with its acceptable versions, the wanted one first; the type is ``jar``."""

    group: str
    artifact: str
    versions: tuple[str, ...]
    classifier: str = ""

    @property
    def label(self) -> str:
        """Return ``group:artifact[:classifier]`` for messages."""
        return ":".join(part for part in (self.group, self.artifact, self.classifier) if part)


@dataclass(frozen=True)
class Copies:
    """Jars that also lie flat in folder ``into``; ``only`` names artifacts (all if empty)."""

    into: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A machine that wheels are meant for: ``python`` such as 3.11, ``machine``, newest ``glibc`` there."""

    name: str
    python: str
    machine: str
    glibc: str


@dataclass(frozen=True)
class Signing:
    """Who may sign an entry's files (fingerprints), and whether each must be signed by them.

    ``by_group`` says it per Maven group instead; nothing is said of groups that are not in it.
    """

    signers: tuple[str, ...] = ()
    required: bool = False
    by_group: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, source: Mapping[str, Any]) -> tuple[str, ...]:
        """Return who may sign the file with this ``source`` (as in the lock); none: nothing is said."""
        if not self.by_group:
            return self.signers
        return self.by_group.get(str(source.get("coordinate", "")).split(":")[0], ())


@dataclass(frozen=True)
class Entry:
    """What every kind of entry has; ``digest`` changes when the entry's text in the catalogue does."""

    name: str
    groups: tuple[str, ...]
    digest: str
    signing: Signing


@dataclass(frozen=True)
class FileEntry(Entry):
    """One file from ``url`` (``{version}`` filled in) or from the Apache distribution's path ``apache``."""

    path: str
    url: str
    apache: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """A Maven project whose whole build is mirrored: ``pom.xml`` and ``src/`` in ``folder``.

    ``profiles`` are switched on; ``goals`` are what a developer calls besides building.
    """

    folder: Path
    profiles: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()


@dataclass(frozen=True)
class MavenEntry(Entry):
    """Artifacts, with ``closure`` their runtime closure too, and all that building ``project`` needs.

    ``repository`` is a folder in Maven's layout.
    """

    artifacts: tuple[Artifact, ...]
    closure: bool
    project: Project | None
    repository: str
    copies: tuple[Copies, ...]


@dataclass(frozen=True)
class PythonEntry(Entry):
    """Wheels for ``targets``; ``build`` names source-only packages, ``provided`` what is never served."""

    requirements: tuple[str, ...]
    targets: tuple[Target, ...]
    into: str
    provided: tuple[str, ...]
    build: tuple[str, ...]


@dataclass(frozen=True)
class Addition:
    """A jar that an assembly puts into its folder ``into``, under ``name`` if that is not empty."""

    artifact: Artifact
    into: str
    name: str


@dataclass(frozen=True)
class AssemblyEntry(Entry):
    """Flink's archive at ``path``: assembled here, or (``origin`` apache) the distribution's own."""

    path: str
    version: str
    origin: str
    scala: str
    target: Target
    additions: tuple[Addition, ...]


@dataclass(frozen=True)
class DebEntry(Entry):
    """Debian packages of ``suite``, in their newest version there or in one of the suites ``updates``.

    ``closure``: with all that they depend on and pre-depend on (``recommends``: and recommend), but
    for what ``base`` names and needs, which the machines have already; with ``minbase`` that is what
    is required and essential, and apt. ``origin`` is what the suites' Release files must say.
    """

    suite: str
    updates: tuple[str, ...]
    origin: str
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    packages: tuple[str, ...]
    closure: bool
    recommends: bool
    minbase: bool
    base: tuple[str, ...]

    @property
    def suites(self) -> tuple[str, ...]:
        """Return all suites that packages may come from."""
        return self.suite, *self.updates

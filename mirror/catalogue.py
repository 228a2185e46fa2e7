"""The catalogue: what to mirror. Loads ``catalogue.yml`` and refuses whatever is not meant there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import marked_yaml, schema
from core.errors import UsageError
from mirror.catalogue_schema import FORMAT, SCHEMA
from mirror.entries import Addition as Addition
from mirror.entries import Artifact as Artifact
from mirror.entries import AssemblyEntry as AssemblyEntry
from mirror.entries import Copies as Copies
from mirror.entries import DebEntry as DebEntry
from mirror.entries import Entry as Entry
from mirror.entries import FileEntry as FileEntry
from mirror.entries import MavenEntry as MavenEntry
from mirror.entries import Project as Project
from mirror.entries import PythonEntry as PythonEntry
from mirror.entries import Signing as Signing
from mirror.entries import Target as Target
from mirror.paths import path_fault
from mirror.project_files import sources


@dataclass(frozen=True)
class Catalogue:
    """A checked catalogue; ``path`` is the file it came from."""

    path: Path
    entries: tuple[Entry, ...]

    def groups(self) -> frozenset[str]:
        """Return every group and entry name that ``--only`` accepts."""
        return frozenset(name for entry in self.entries for name in (entry.name, *entry.groups))

    def select(self, groups: Iterable[str]) -> tuple[Entry, ...]:
        """Return the entries that one of ``groups`` (group or entry names; none means all) picks."""
        wanted = tuple(groups)
        if not wanted:
            return self.entries
        check_groups(wanted, self.groups())
        return tuple(entry for entry in self.entries if {entry.name, *entry.groups} & set(wanted))


def check_groups(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError when one of ``wanted`` is neither a group nor an entry among ``known``."""
    names = set(known)
    for name in wanted:
        if name not in names:
            raise UsageError(
                f"there is no group or entry {name!r} to choose", marked_yaml.nearest(name, names)
            )


def load(path: Path) -> Catalogue:
    """Load and check the catalogue at ``path``. Raises UsageError with file, line and cure."""
    document = marked_yaml.load(path)
    schema.check_format(document, FORMAT)
    schema.check(document, SCHEMA)
    data = document.data
    targets = {name: Target(name, **value) for name, value in data.get("targets", {}).items()}
    readers = {"file": _file, "maven": _maven, "python": _python, "deb": _deb, "assembly": _assembly}
    entries = tuple(
        readers[raw["kind"]](_Reader(document, name, raw, targets)) for name, raw in data["entries"].items()
    )
    _check_names(document, entries)
    _check_suites(document, entries)
    return Catalogue(path, tuple(sorted(entries, key=lambda entry: entry.name)))


@dataclass(frozen=True)
class _Reader:
    """One raw entry with what is needed to read it and to complain about it."""

    document: marked_yaml.Document
    name: str
    raw: Mapping[str, Any]
    targets: Mapping[str, Target]

    def common(self) -> tuple[str, tuple[str, ...], str, Signing]:
        used = [self.targets[name] for name in self._target_names() if name in self.targets]
        text = json.dumps([self.raw, [vars(target) for target in used], *self._sources()], sort_keys=True)
        groups = tuple(sorted(self.raw["groups"]))
        return self.name, groups, hashlib.sha256(text.encode()).hexdigest(), self._signing()

    def project(self) -> Project | None:
        """Return the entry's Maven project, if it has one. Raises UsageError when its folder has no pom."""
        if "project" not in self.raw:
            return None
        raw = self.raw["project"]
        folder = self.document.path.parent / self.path("project", "folder")
        if not (folder / "pom.xml").is_file():
            raise self.fault(
                ("project", "folder"), f"no pom.xml lies in {folder}", "name a folder beside the catalogue"
            )
        return Project(folder, tuple(raw.get("profiles", ())), tuple(raw.get("goals", ())))

    def _sources(self) -> list[list[list[str]]]:
        """Return path and SHA-256 of each file of the entry's project: they are a part of the entry."""
        project = self.project()
        if project is None:
            return []
        files = [(file.relative_to(project.folder).as_posix(), file) for file in sources(project.folder)]
        return [[[name, hashlib.sha256(file.read_bytes()).hexdigest()] for name, file in files]]

    def _signing(self) -> Signing:
        named, required = self.raw.get("signers", ()), "require" in self.raw
        if isinstance(named, dict):
            signing = Signing((), required, {group: tuple(keys) for group, keys in named.items()})
        else:
            signing = Signing(tuple(named), required)
        if required and not named:
            raise self.fault(("require",), "a signature is required, but nobody's", "name `signers`")
        return signing

    def fault(self, where: Iterable[str | int], message: str, cure: str) -> UsageError:
        return self.document.fault(("entries", self.name, *where), f"{self.name}: {message}", cure)

    def path(self, *where: str | int, versioned: bool = False) -> str:
        value: Any = self.raw
        for key in where:
            value = value[key]
        fault = path_fault(value.replace("{version}", "0") if versioned else value)
        if fault:
            raise self.fault(where, f"{value!r} {fault}", "write a plain path relative to the release")
        return str(value)

    def find_target(self, name: str, *where: str | int) -> Target:
        if name not in self.targets:
            raise self.fault(where, f"unknown target {name!r}", marked_yaml.nearest(name, self.targets))
        return self.targets[name]

    def _target_names(self) -> list[str]:
        return [*self.raw.get("targets", []), *([self.raw["target"]] if "target" in self.raw else [])]


def _file(reader: _Reader) -> FileEntry:
    raw = reader.raw
    if ("url" in raw) == ("apache" in raw):
        raise reader.fault((), "a file wants either `url` or `apache`, one of them", "keep one of the two")
    url, apache, versions = raw.get("url", ""), raw.get("apache", ""), tuple(raw.get("versions", ()))
    if ("{version}" in url + apache) != bool(versions):
        raise reader.fault(
            (), "`versions` and {version} in the address belong together", "write both or neither"
        )
    if apache:
        fault = path_fault(apache.replace("{version}", "0"))
        if fault:
            raise reader.fault(
                ("apache",), f"{apache!r} {fault}", "write the path below Apache's dist folder"
            )
    return FileEntry(*reader.common(), reader.path("path", versioned=bool(versions)), url, apache, versions)


def _artifact(text: str, versions: Iterable[str], classifier: str = "") -> Artifact:
    group, artifact = text.split(":")
    return Artifact(group, artifact, tuple(versions), classifier)


def _maven(reader: _Reader) -> MavenEntry:
    raw = reader.raw
    artifacts = tuple(
        _artifact(item["artifact"], item["versions"], item.get("classifier", ""))
        for item in raw.get("artifacts", ())
    )
    project = reader.project()
    if not artifacts and project is None:
        raise reader.fault((), "nothing says which artifacts", "add `artifacts` or `project`")
    repository = reader.path("repository") if "repository" in raw else ""
    copies = tuple(
        Copies(reader.path("copies", i, "into"), tuple(item.get("only", ())))
        for i, item in enumerate(raw.get("copies", ()))
    )
    if project is not None and not repository:
        raise reader.fault(("project",), "a project needs a repository to build from", "add `repository`")
    if not repository and not copies:
        raise reader.fault((), "nothing says where the jars go", "add `repository` or `copies`")
    return MavenEntry(
        *reader.common(), artifacts, bool(raw.get("closure", False)), project, repository, copies
    )


def _python(reader: _Reader) -> PythonEntry:
    raw = reader.raw
    targets = tuple(reader.find_target(name, "targets", index) for index, name in enumerate(raw["targets"]))
    pinned = {key: tuple(raw.get(key, ())) for key in ("provided", "build")}
    return PythonEntry(
        *reader.common(), tuple(raw["requirements"]), targets, reader.path("into"), pinned["provided"],
        pinned["build"],
    )  # fmt: skip


def _deb(reader: _Reader) -> DebEntry:
    raw = reader.raw
    base = raw.get("base", "minbase")
    return DebEntry(
        *reader.common(), raw["suite"], tuple(raw.get("updates", ())), raw.get("origin", "Debian"),
        tuple(raw.get("components", ("main",))), tuple(raw.get("architectures", ("amd64",))),
        tuple(raw["packages"]), bool(raw.get("closure", True)), bool(raw.get("recommends", False)),
        base == "minbase", () if isinstance(base, str) else tuple(base),
    )  # fmt: skip


def _assembly(reader: _Reader) -> AssemblyEntry:
    raw = reader.raw
    if "require" in raw and raw.get("origin") != "apache":
        raise reader.fault(
            ("require",),
            "an archive assembled here has parts that nobody signs (the Python index has no signatures)",
            "write `origin: apache`, or take `require` out",
        )
    additions = []
    for index, block in enumerate(raw.get("add", ())):
        into = reader.path("add", index, "into")
        for text in block["artifacts"]:
            artifact = _artifact(text, block["versions"], block.get("classifier", ""))
            additions.append(Addition(artifact, into, block.get("name", "")))
    return AssemblyEntry(
        *reader.common(), reader.path("path"), raw["version"], raw.get("origin", "assembled"), raw["scala"],
        reader.find_target(raw["target"], "target"), tuple(additions),
    )  # fmt: skip


def _check_names(document: marked_yaml.Document, entries: Iterable[Entry]) -> None:
    names = {entry.name for entry in entries}
    for entry in entries:
        for index, group in enumerate(document.data["entries"][entry.name]["groups"]):
            if group in names:
                raise document.fault(
                    ("entries", entry.name, "groups", index),
                    f"{group!r} is the name of an entry and of a group",
                    "rename one of them, so that --only can tell them apart",
                )


def _check_suites(document: marked_yaml.Document, entries: Iterable[Entry]) -> None:
    """Let entries of one suite agree: they are resolved together, from one state of its indexes."""
    first: dict[str, DebEntry] = {}
    for entry in entries:
        if isinstance(entry, DebEntry):
            other = first.setdefault(entry.suite, entry)
            for key in ("updates", "origin", "components"):
                if getattr(entry, key) != getattr(other, key):
                    raise document.fault(
                        (
                            "entries",
                            entry.name,
                            *((key,) if key in document.data["entries"][entry.name] else ()),
                        ),
                        f"{entry.name}: {key} is not what {other.name} says for the suite {entry.suite}",
                        "write the same in all entries of one suite",
                    )

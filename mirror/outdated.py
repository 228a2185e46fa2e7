"""What is newer upstream than what the lock holds, for what the catalogue names itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from mirror import catalogue, kept_debs, lockfile
from mirror.cache import Cache
from mirror.catalogue import Artifact, AssemblyEntry, DebEntry, Entry, FileEntry, MavenEntry, PythonEntry
from mirror.fetch import Fetcher
from mirror.lockfile import Lock
from mirror.maven import Coordinate, parse_coordinate
from mirror.poms import parse_xml
from mirror.upstreams import Upstreams

_METADATA_LIMIT = 16 << 20
_FINAL = re.compile(r"[0-9]+(\.[0-9]+)*")
_TRIES = 5  # how many listed versions without a file are passed over


@dataclass(frozen=True)
class Age:
    """A named artifact: what is locked, and the newest version that is published.

    ``newest`` is "" when nothing newer is there; ``unknown`` says why nobody can tell.
    """

    entry: str
    what: str
    locked: str
    newest: str
    unknown: str = ""


def outdated(
    catalogue_path: Path,
    lock_path: Path,
    groups: Iterable[str] = (),
    same_line: bool = False,
    root: Path | None = None,
) -> tuple[Age, ...]:
    """Return the age of what the chosen entries name, sorted by entry.

    Debian packages are those resolved under ``root``, and the suite's version counts, whatever it is.
    With ``same_line`` only versions with the same first two numbers count. Raises UpstreamError
    when an upstream stays away, UsageError for a bad catalogue, lock or group.
    """
    chosen = catalogue.load(catalogue_path).select(groups)
    lock = kept_debs.loaded(lock_path, root) if root else lockfile.load(lock_path)
    fetcher = Fetcher(Cache().temporary)
    asker = _Asker(fetcher, Upstreams(fetcher), lock, same_line)
    debs = [entry for entry in chosen if isinstance(entry, DebEntry)]
    found = [age for entry in chosen if not isinstance(entry, DebEntry) for age in asker.ages(entry)]
    return tuple(sorted(dict.fromkeys([*found, *_debs(debs, lock)]), key=lambda age: age.entry))


def _debs(entries: Sequence[DebEntry], lock: Lock) -> list[Age]:
    from mirror.resolve_deb import newest

    ages = []
    for suite in sorted({entry.suite for entry in entries}):
        members = [entry for entry in entries if entry.suite == suite]
        now = newest(members)
        for entry in members:
            held = {item.source["package"]: item.source["version"] for item in lock.of_entry(entry.name)}
            for text in entry.packages:
                name = text.partition("=")[0]
                version, there = str(held.get(name, "")), now.get((entry.name, name), "")
                unknown = "" if version else "no build has resolved it yet"
                ages.append(
                    Age(entry.name, name, version, there if version and there != version else "", unknown)
                )
    return ages


def final_versions(listed: Iterable[str], locked: str, same_line: bool) -> list[str]:
    """Return the final releases among ``listed`` that are newer than ``locked``, the newest first.

    A connector's suffix that names Flink's line (``3.4.0-1.20``) must be the same one.
    """
    number, suffix = _split(locked)
    now = _key(number)
    found = []
    for version in listed:
        other, tail = _split(version)
        if tail != suffix or not _FINAL.fullmatch(other) or _key(other) <= now:
            continue
        if same_line and _key(other)[:2] != now[:2]:
            continue
        found.append(version)
    return sorted(found, key=lambda version: _key(_split(version)[0]), reverse=True)


def _split(version: str) -> tuple[str, str]:
    number, _, suffix = version.partition("-")
    return number, suffix


def _key(number: str) -> tuple[int, ...]:
    digits = [int(word) for word in re.findall(r"[0-9]+", number)]
    while digits and not digits[-1]:
        digits.pop()
    return tuple([*digits, 0, 0][: max(2, len(digits))])


@dataclass(frozen=True)
class _Asker:
    fetcher: Fetcher
    upstreams: Upstreams
    lock: Lock
    same_line: bool

    def ages(self, entry: Entry) -> list[Age]:
        if isinstance(entry, MavenEntry):
            return [self._maven(entry.name, artifact) for artifact in entry.artifacts]
        if isinstance(entry, PythonEntry):
            pinned = [*entry.requirements, *entry.build]
            return [self._python(entry.name, text) for text in pinned]
        if isinstance(entry, AssemblyEntry):
            jars = [self._maven(entry.name, addition.artifact) for addition in entry.additions]
            return [self._python(entry.name, f"apache-flink=={entry.version}"), *jars]
        assert isinstance(entry, FileEntry)
        what = entry.apache or entry.path
        return [Age(entry.name, what, "", "", "a single address has no list of versions")]

    def _maven(self, entry: str, artifact: Artifact) -> Age:
        locked = self._locked_version(entry, artifact)
        if not locked:
            return Age(entry, artifact.label, "", "", "it is not locked")
        listed: set[str] = set()
        for repository in self.upstreams.repositories():
            folder = f"{artifact.group.replace('.', '/')}/{artifact.artifact}"
            place = repository.base.at(f"{repository.base.url.rstrip('/')}/{folder}/maven-metadata.xml")
            answer = self.fetcher.text(place, _METADATA_LIMIT)
            if answer is not None:
                root = parse_xml(answer[0].encode(), str(place))
                listed |= {node.text.strip() for node in root.iterfind(".//versions/version") if node.text}
        # A repository may list versions whose files it does not have.
        for version in final_versions(listed, locked, self.same_line)[:_TRIES]:
            coordinate = Coordinate(artifact.group, artifact.artifact, version, "jar", artifact.classifier)
            if any(
                self.fetcher.exists(repository.locate(coordinate))
                for repository in self.upstreams.repositories()
            ):
                return Age(entry, artifact.label, locked, version)
        return Age(entry, artifact.label, locked, "")

    def _locked_version(self, entry: str, artifact: Artifact) -> str:
        for item in (*self.lock.files, *self.lock.inputs):
            if entry in item.entries and item.source["kind"] == "maven":
                found = parse_coordinate(str(item.source["coordinate"]))
                if (found.group, found.artifact, found.classifier, found.extension) == (
                    artifact.group, artifact.artifact, artifact.classifier, "jar",
                ):  # fmt: skip
                    return found.version
        return ""

    def _python(self, entry: str, text: str) -> Age:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            return Age(entry, text, "", "", "it is no requirement by name")
        exact = [part.version for part in wanted.specifier if part.operator == "=="]
        if not exact:
            return Age(entry, text, "", "", "no version is pinned")
        listed = {
            str(version)
            for item in self.upstreams.project(wanted.name)
            if not item.yanked and (version := _version(item.filename)) is not None
        }
        newer = final_versions(listed, exact[0], self.same_line)
        return Age(entry, canonicalize_name(wanted.name), exact[0], newer[0] if newer else "")


def _version(filename: str) -> Version | None:
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[1]
        return parse_sdist_filename(filename)[1]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None

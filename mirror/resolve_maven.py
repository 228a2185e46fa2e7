"""Lock Maven entries: choose versions, let Maven resolve the closure, pin jars, poms and parents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from core import console
from core.errors import WorldError
from mirror import digests, evidence, maven_closure
from mirror.catalogue import Artifact, Entry, MavenEntry
from mirror.gpg import SignerChangedError
from mirror.lanes import in_parallel
from mirror.lockfile import LockedFile
from mirror.maven import Coordinate
from mirror.maven_closure import Landed
from mirror.maven_run import ArtifactsAbsentError
from mirror.maven_settings import Repository
from mirror.pin import Pinned
from mirror.poms import PomFacts, pom_facts
from mirror.resolving import Missing, NotPublishedError, Resolver

_MAX_PARENTS = 20


@dataclass(frozen=True)
class Chosen:
    """A coordinate that is published, and the wanted version it stands in for (or "")."""

    coordinate: Coordinate
    instead_of: str


def resolve(entry: MavenEntry, resolver: Resolver) -> list[LockedFile]:
    """Return the files of ``entry``. Raises NotPublishedError with all that is missing."""
    chosen = choose(entry.name, entry.artifacts, resolver)
    needed = _needed(entry, sorted(item.coordinate for item in chosen), resolver)
    instead = {item.coordinate: item.instead_of for item in chosen}
    jars = pin_all(entry, tuple(needed.ways), resolver, instead)
    poms = _poms(entry, {*needed.poms, *(item.pom for item in jars)}, resolver)
    _check_read(needed.read, {**jars, **{item: pinned for item, (pinned, _) in poms.items()}})
    licences = {coordinate: _licence(coordinate.pom, poms) for coordinate in jars}
    files = []
    for copies in entry.copies:
        for coordinate, pinned in jars.items():
            if not copies.only or coordinate.artifact in copies.only:
                path, way = f"{copies.into}/{coordinate.file}", needed.ways[coordinate]
                files.append(resolver.locked(path, entry, pinned, licences[coordinate], way))
    if entry.repository:
        above = _ways_to_poms(needed.ways, poms)
        for coordinate, pinned in jars.items():
            way = needed.ways[coordinate]
            files.append(_kept(entry, resolver, coordinate, pinned, licences[coordinate], way))
        for coordinate, (pinned, _) in poms.items():
            way = above.get(coordinate, ())
            files.append(_kept(entry, resolver, coordinate, pinned, _licence(coordinate, poms), way))
    _check_only(entry, jars)
    return files


@dataclass(frozen=True)
class _Needed:
    """Artifacts with the ways to them, poms that Maven read besides, and the bytes of what it read."""

    ways: dict[Coordinate, tuple[str, ...]]
    poms: frozenset[Coordinate] = frozenset()
    read: Mapping[Coordinate, str] = field(default_factory=dict)


def _needed(entry: MavenEntry, roots: Sequence[Coordinate], resolver: Resolver) -> _Needed:
    """Return what Maven says that ``entry`` needs. Raises NotPublishedError for what it cannot find."""
    ways: dict[Coordinate, tuple[str, ...]] = dict.fromkeys(roots, ())
    landed: list[Landed] = []
    read: dict[Coordinate, str] = {}
    try:
        if entry.closure and roots:
            console.say(f"   {entry.name}: Maven resolves the closure of {len(roots)} artifacts")
            with _scratch(resolver) as scratch:
                found = maven_closure.closure(roots, resolver.upstreams.repositories(), scratch)
                ways |= found.ways
                landed += found.poms
                read |= _digests(found.poms)
        if entry.project is not None:
            console.say(f"   {entry.name}: Maven builds the project in {entry.project.folder.name}")
            with _scratch(resolver) as scratch:
                built = maven_closure.build(entry.project, resolver.upstreams.repositories(), scratch)
                landed += built
                read |= _digests(built)
    except ArtifactsAbsentError as error:
        raise NotPublishedError([Missing(entry.name, name, ()) for name in error.names]) from error
    for item in landed:
        if item.coordinate.extension != "pom":
            ways.setdefault(item.coordinate, ())
    poms = frozenset(item.coordinate for item in landed if item.coordinate.extension == "pom")
    return _Needed(dict(sorted(ways.items())), poms, read)


@contextmanager
def _scratch(resolver: Resolver) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="maven-", dir=resolver.cache.temporary) as name:
        yield Path(name)


def _digests(landed: Iterable[Landed]) -> dict[Coordinate, str]:
    return {item.coordinate: digests.of_file(item.file).sha256 for item in landed}


def _check_read(read: Mapping[Coordinate, str], pinned: Mapping[Coordinate, Pinned]) -> None:
    """Raise WorldError when Maven decided by other bytes than those that were pinned."""
    for coordinate, digest in read.items():
        if pinned[coordinate].digests.sha256 != digest:
            raise WorldError(
                f"{coordinate}: upstream gave Maven other bytes than us", "compare with another source"
            )


def _kept(
    entry: MavenEntry,
    resolver: Resolver,
    coordinate: Coordinate,
    pinned: Pinned,
    licence: str,
    way: Sequence[str],
) -> LockedFile:
    """Return the lock's line for a file of a repository, with the SHA-1 that Maven will ask for."""
    sha1 = pinned.digests.by_name.get("sha1") or digests.of_file(pinned.blob, ("sha1",)).by_name["sha1"]
    path = f"{entry.repository}/{coordinate.path}"
    return replace(resolver.locked(path, entry, pinned, licence, way), sha1=sha1)


def choose(entry: str, artifacts: Iterable[Artifact], resolver: Resolver) -> list[Chosen]:
    """Return for each artifact the first of its versions that is published.

    Raises NotPublishedError naming every artifact that has none.
    """
    repositories = resolver.upstreams.repositories()
    wanted = list(artifacts)
    found = in_parallel(lambda item: _first(item, repositories, resolver), wanted, resolver.fetcher.stop)
    missing = [
        Missing(entry, item.label, item.versions)
        for item, chosen in zip(wanted, found, strict=True)
        if chosen is None
    ]
    if missing:
        raise NotPublishedError(missing)
    return [item for item in found if item is not None]


def pin_all(
    entry: Entry, coordinates: Sequence[Coordinate], resolver: Resolver, instead: dict[Coordinate, str]
) -> dict[Coordinate, Pinned]:
    """Pin the files of ``coordinates``.

    Raises NotPublishedError for those that nobody has, SignersChangedError for those that claim to be
    signed by somebody whom the entry does not name, all of them in one table.
    """
    repositories = resolver.upstreams.repositories()
    changed: list[SignerChangedError] = []

    def pin(item: Coordinate) -> Pinned | None:
        try:
            return _pin(entry, item, repositories, resolver, instead.get(item, ""))
        except SignerChangedError as error:
            changed.append(error)
            return None

    done = in_parallel(pin, coordinates, resolver.fetcher.stop)
    if changed:
        raise evidence.SignersChangedError(entry.name, changed)
    pairs = list(zip(coordinates, done, strict=True))
    missing = [Missing(entry.name, str(item), (item.version,)) for item, pinned in pairs if pinned is None]
    if missing:
        raise NotPublishedError(missing)
    return {item: pinned for item, pinned in pairs if pinned is not None}


def _first(item: Artifact, repositories: Iterable[Repository], resolver: Resolver) -> Chosen | None:
    for version in item.versions:
        coordinate = Coordinate(item.group, item.artifact, version, "jar", item.classifier)
        for repository in repositories:
            if resolver.fetcher.exists(repository.locate(coordinate)):
                return Chosen(coordinate, item.versions[0] if version != item.versions[0] else "")
    return None


def _pin(
    entry: Entry,
    item: Coordinate,
    repositories: Iterable[Repository],
    resolver: Resolver,
    instead_of: str,
) -> Pinned | None:
    source = {"kind": "maven", "coordinate": str(item)}
    if instead_of:
        source["instead_of"] = instead_of
    for repository in repositories:
        location = repository.locate(item)
        if resolver.fetcher.exists(location):
            return resolver.pinner.pin(
                str(item),
                source,
                location,
                resolver.pinner.sidecars(item.file, [location]),
                signatures=resolver.pinner.signatures([location]),
                signers=entry.signing.of(source),
            )
    return None


def _poms(
    entry: Entry, poms: Iterable[Coordinate], resolver: Resolver
) -> dict[Coordinate, tuple[Pinned, PomFacts]]:
    """Pin ``poms`` and, step by step, all of their parents."""
    found: dict[Coordinate, tuple[Pinned, PomFacts]] = {}
    waiting = set(poms)
    for _ in range(_MAX_PARENTS):
        if not waiting:
            break
        for coordinate, pinned in pin_all(entry, sorted(waiting), resolver, {}).items():
            found[coordinate] = (pinned, pom_facts(pinned.blob.read_bytes(), str(coordinate)))
        parents = {facts.parent for _, facts in found.values() if facts.parent is not None}
        waiting = parents - set(found)
    return found


def _ways_to_poms(
    ways: dict[Coordinate, tuple[str, ...]], poms: dict[Coordinate, tuple[Pinned, PomFacts]]
) -> dict[Coordinate, tuple[str, ...]]:
    """Return the way to each pom: by its jar, or by the pom whose parent it is."""
    found = {item.pom: (*via, str(item)) for item, via in ways.items()}
    waiting = sorted(found)
    while waiting:
        pom = waiting.pop(0)
        parent = poms[pom][1].parent
        if parent is not None and parent not in found:
            found[parent] = (*found[pom], str(pom))
            waiting.append(parent)
    return found


def _licence(pom: Coordinate, poms: dict[Coordinate, tuple[Pinned, PomFacts]]) -> str:
    """Return the licences that the pom states, or its nearest ancestor; "" if none does."""
    current: Coordinate | None = pom
    for _ in range(_MAX_PARENTS):
        if current is None or current not in poms:
            break
        facts = poms[current][1]
        if facts.licences:
            return " or ".join(facts.licences)
        current = facts.parent
    return ""


def _check_only(entry: MavenEntry, coordinates: Iterable[Coordinate]) -> None:
    names = {coordinate.artifact for coordinate in coordinates}
    missing = [
        Missing(entry.name, f"{name} (named under copies, but not in the closure)", ())
        for copies in entry.copies
        for name in copies.only
        if name not in names
    ]
    if missing:
        raise NotPublishedError(missing)

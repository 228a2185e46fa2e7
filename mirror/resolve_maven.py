"""Lock Maven entries: choose versions, let Maven resolve the closure, pin jars, poms and parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core import console
from mirror import maven
from mirror.catalogue import Artifact, Entry, MavenEntry
from mirror.lockfile import LockedFile
from mirror.maven import Coordinate, PomFacts, Repository
from mirror.pin import Pinned, in_parallel
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
    instead = {item.coordinate: item.instead_of for item in chosen}
    ways: dict[Coordinate, tuple[str, ...]] = dict.fromkeys(sorted(instead), ())
    if entry.closure:
        console.say(f"   {entry.name}: Maven resolves the closure of {len(ways)} artifacts")
        ways = maven.closure(ways)
    coordinates = tuple(ways)
    jars = pin_all(entry, coordinates, resolver, instead)
    poms = _poms(entry, coordinates, resolver)
    licences = {coordinate: _licence(coordinate.pom, poms) for coordinate in coordinates}
    files = []
    for copies in entry.copies:
        for coordinate, pinned in jars.items():
            if not copies.only or coordinate.artifact in copies.only:
                path = f"{copies.into}/{coordinate.file}"
                files.append(resolver.locked(path, entry, pinned, licences[coordinate], ways[coordinate]))
    if entry.repository:
        for coordinate, pinned in jars.items():
            path = f"{entry.repository}/{coordinate.path}"
            files.append(resolver.locked(path, entry, pinned, licences[coordinate], ways[coordinate]))
        above = _ways_to_poms(ways, poms)
        for coordinate, (pinned, _) in poms.items():
            path = f"{entry.repository}/{coordinate.path}"
            licence = _licence(coordinate, poms)
            files.append(resolver.locked(path, entry, pinned, licence, above.get(coordinate, ())))
    _check_only(entry, coordinates)
    return files


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
    """Pin the files of ``coordinates``; raises NotPublishedError for those that nobody has."""
    repositories = resolver.upstreams.repositories()
    done = in_parallel(
        lambda item: _pin(entry, item, repositories, resolver, instead.get(item, "")),
        coordinates,
        resolver.fetcher.stop,
    )
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
                signers=entry.signing.signers,
            )
    return None


def _poms(
    entry: Entry, coordinates: Iterable[Coordinate], resolver: Resolver
) -> dict[Coordinate, tuple[Pinned, PomFacts]]:
    """Pin the poms of ``coordinates`` and, step by step, all of their parents."""
    found: dict[Coordinate, tuple[Pinned, PomFacts]] = {}
    waiting = {coordinate.pom for coordinate in coordinates}
    for _ in range(_MAX_PARENTS):
        if not waiting:
            break
        for coordinate, pinned in pin_all(entry, sorted(waiting), resolver, {}).items():
            found[coordinate] = (pinned, maven.pom_facts(pinned.blob.read_bytes(), str(coordinate)))
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

"""Lock file entries and assemblies: single addresses, the Apache distribution, Flink's archive."""

from __future__ import annotations

import tempfile
from pathlib import Path

from packaging.version import Version

from core import console
from core.errors import WorldError
from mirror import resolve_maven, resolve_python
from mirror.catalogue import AssemblyEntry, Entry, FileEntry
from mirror.derived import assembled
from mirror.locations import Location
from mirror.lockfile import LockedFile
from mirror.manners import apache_bytes, apache_trusted
from mirror.pin import Pinned
from mirror.resolving import Missing, NotPublishedError, Resolver
from mirror.states import MADE_HERE
from mirror.wheel_tags import best_wheel


def resolve_file(entry: FileEntry, resolver: Resolver) -> list[LockedFile]:
    """Return the one file of ``entry``, of the first version that is published."""
    versions = entry.versions or ("",)
    for version in versions:
        instead_of = versions[0] if version != versions[0] else ""
        if entry.apache:
            pinned = _pin_apache(entry, entry.apache.replace("{version}", version), resolver, instead_of)
        else:
            pinned = _pin_url(entry, entry.url.replace("{version}", version), resolver, instead_of)
        if pinned is not None:
            path = entry.path.replace("{version}", version)
            return [resolver.locked(path, entry, pinned, "Apache-2.0" if entry.apache else "")]
    raise NotPublishedError([Missing(entry.name, entry.apache or entry.path, entry.versions)])


def resolve_assembly(entry: AssemblyEntry, resolver: Resolver) -> tuple[list[LockedFile], list[LockedFile]]:
    """Return the archive of ``entry`` and the inputs that it is assembled from."""
    if entry.origin == "apache":
        path = f"flink/flink-{entry.version}/flink-{entry.version}-bin-scala_{entry.scala}.tgz"
        pinned = _pin_apache(entry, path, resolver, "")
        if pinned is None:
            raise NotPublishedError([Missing(entry.name, path, (entry.version,))])
        return [resolver.locked(entry.path, entry, pinned, "Apache-2.0")], []
    distribution = _flink_package(entry, "apache-flink", resolver)
    libraries = _flink_package(entry, "apache-flink-libraries", resolver)
    inputs, additions = [distribution, libraries], {}
    chosen = resolve_maven.choose(entry.name, [item.artifact for item in entry.additions], resolver)
    instead = {item.coordinate: item.instead_of for item in chosen}
    jars = resolve_maven.pin_all(entry, [item.coordinate for item in chosen], resolver, instead)
    for addition, item in zip(entry.additions, chosen, strict=True):
        name = f"maven/{item.coordinate.path}"
        inputs.append(resolver.locked(name, entry, jars[item.coordinate], "Apache-2.0"))
        additions[f"{addition.into}/{addition.name or item.coordinate.file}"] = name
    source = {
        "kind": "assembly", "origin": "assembled", "recipe": "flink", "version": entry.version,
        "distribution": distribution.path, "libraries": libraries.path, "additions": additions,
    }  # fmt: skip
    console.say(f"   {entry.name}: assembling {entry.path}")
    blobs = {item.path: resolver.cache.path(item.sha256) for item in inputs}
    with tempfile.TemporaryDirectory(prefix="assembly-", dir=resolver.cache.temporary) as scratch:
        archive, found = assembled(source, blobs, Path(scratch))
        resolver.cache.add(archive, found.sha256)
    evidence = {"agreed": [], "signature": MADE_HERE}
    return [resolver.made(entry.path, entry, found, source, "Apache-2.0", evidence)], inputs


def _flink_package(entry: AssemblyEntry, project: str, resolver: Resolver) -> LockedFile:
    files = resolver.upstreams.project(project)
    best = best_wheel((item.filename for item in files), Version(entry.version), entry.target)
    wheel = next((item for item in files if item.filename == best), None)
    listed = wheel or resolve_python.find_sdist(files, entry.version)
    if listed is None:
        what = f"{project} for {entry.target.name}"
        raise NotPublishedError([Missing(entry.name, what, (entry.version,))])
    pinned = resolve_python.pin_index_file(resolver, project, listed)
    return resolver.locked(f"python/{listed.filename}", entry, pinned, "Apache-2.0")


def _pin_url(entry: Entry, url: str, resolver: Resolver, instead_of: str) -> Pinned | None:
    location = Location(url)
    if not resolver.fetcher.exists(location):
        return None
    name = location.name
    source = {"kind": "url", "url": url} | ({"instead_of": instead_of} if instead_of else {})
    return resolver.pinner.pin(
        name,
        source,
        location,
        resolver.pinner.sidecars(name, [location]),
        signatures=resolver.pinner.signatures([location]),
        signers=entry.signing.signers,
    )


def _pin_apache(entry: Entry, path: str, resolver: Resolver, instead_of: str) -> Pinned | None:
    """Pin a file of the Apache distribution: bytes from anywhere, checksum and signature from the trusted."""
    name = path.rsplit("/", 1)[-1]
    places = [Location(f"{base}/{path}") for base in apache_bytes()]
    location = next((place for place in places if resolver.fetcher.exists(place)), None)
    if location is None:
        return None
    trusted = [Location(f"{base}/{path}") for base in apache_trusted()]
    published = resolver.pinner.sidecars(name, trusted)
    signatures = resolver.pinner.signatures(trusted)
    if not published.keys() & {"sha512", "sha256"} or not signatures:
        raise WorldError(
            f"{entry.name}: {name} lacks a .sha512 or an .asc at Apache, which every release must have",
            "do not use it; look at the project's download page",
        )
    source = {"kind": "apache", "origin": "apache", "path": path}
    if instead_of:
        source["instead_of"] = instead_of
    return resolver.pinner.pin(
        name, source, location, published, signatures=signatures, signers=entry.signing.signers
    )

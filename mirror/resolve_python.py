"""Lock Python entries: pip resolves per target, the index's files are pinned, sources are built."""

from __future__ import annotations

import email
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import Version

from core import console
from core.errors import UsageError, WorldError
from mirror import digests
from mirror.archives import open_zip, read_member
from mirror.catalogue import PythonEntry
from mirror.digests import Digests
from mirror.lanes import in_parallel
from mirror.licence_names import expression
from mirror.lockfile import LockedFile
from mirror.pin import Pinned
from mirror.python_index import IndexFile
from mirror.python_solver import Chosen, ask
from mirror.resolving import Missing, NotPublishedError, Resolver
from mirror.states import MADE_HERE
from mirror.wheels import build_wheel, empty_wheel

_MAX_METADATA = 16 << 20


@dataclass(frozen=True)
class _Built:
    """A wheel that we built: its file, digests, and the source it came from."""

    wheel: Path
    project: str
    digests: Digests
    source: LockedFile


def resolve(entry: PythonEntry, resolver: Resolver) -> tuple[list[LockedFile], list[LockedFile]]:
    """Return the files and the inputs of ``entry``. Raises NotPublishedError, WorldError, UsageError."""
    with tempfile.TemporaryDirectory(prefix="python-", dir=resolver.cache.temporary) as name:
        scratch = Path(name)
        links = scratch / "links"
        links.mkdir()
        for pinned in entry.provided:
            project, version = pinned.split("==")
            empty_wheel(project, version, links)
        built = {item.wheel.name: item for item in _build_all(entry, resolver, scratch, links)}
        chosen: dict[str, Chosen] = {}
        missing: list[Missing] = []
        for target in entry.targets:
            try:
                found = ask(entry, target, links, scratch, resolver.upstreams)
            except NotPublishedError as error:
                missing += error.missing
                continue
            for item in found:
                chosen.setdefault(item.filename, item)
        if missing:
            raise NotPublishedError(missing)
        unused = sorted(made.project for made in built.values() if made.wheel.name not in chosen)
        if unused:
            raise UsageError(
                f"{entry.name}: `build:` names {', '.join(unused)}, which the requirements do not need",
                "take them out of the catalogue",
            )
        files = _lock_wheels(entry, resolver, [i for i in chosen.values() if i.filename not in built])
        for made in built.values():
            files.append(_lock_built(entry, resolver, made, chosen[made.wheel.name].via))
    return files, [made.source for made in built.values()]


def find_sdist(files: Iterable[IndexFile], version: str) -> IndexFile | None:
    """Return the source archive (``.tar.gz``) of ``version`` among an index's files."""
    for item in files:
        try:
            found = parse_sdist_filename(item.filename)[1]
        except InvalidSdistFilename:
            continue
        if found == Version(version) and item.filename.endswith(".tar.gz"):
            return item
    return None


def pin_index_file(resolver: Resolver, project: str, item: IndexFile) -> Pinned:
    """Pin a file that an index lists; the index's SHA-256 must agree, and there must be one."""
    if not item.sha256:
        raise WorldError(
            f"{item.filename}: the Python index gives no SHA-256 for it", "use an index that does (PEP 503)"
        )
    source = {
        "kind": "python", "project": canonicalize_name(project), "filename": item.filename,
        "requires_python": item.requires_python,
    }  # fmt: skip
    return resolver.pinner.pin(
        item.filename,
        source,
        item.location,
        {"sha256": item.sha256},
        size=item.size,
    )


def _build_all(entry: PythonEntry, resolver: Resolver, scratch: Path, links: Path) -> list[_Built]:
    missing, built = [], []
    for pinned in entry.build:
        project, version = pinned.split("==")
        listed = find_sdist(resolver.upstreams.project(project), version)
        if listed is None:
            missing.append(Missing(entry.name, f"{project} (a source archive)", (version,)))
            continue
        sdist = pin_index_file(resolver, project, listed)
        console.say(f"   {entry.name}: building {listed.filename} without network")
        folder = scratch / f"build-{project}"
        folder.mkdir()
        made = build_wheel(sdist.blob, listed.filename, folder)
        wheel = made.rename(links / made.name)
        source = resolver.locked(f"python/{listed.filename}", entry, sdist, "")
        built.append(_Built(wheel, canonicalize_name(project), digests.of_file(wheel), source))
    if missing:
        raise NotPublishedError(missing)
    return built


def licence_in(wheel: Path, name: str) -> str:
    """Return the licence that the wheel called ``name`` states: an expression, or its most exact name.

    Raises WorldError when the file is no readable wheel, or one with hostile members.
    """
    with open_zip(wheel, name) as opened:
        # Only the wheel's own: vendored packages bring theirs further down.
        names = [name for name in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        if len(names) != 1:
            raise WorldError(f"{name}: not a wheel (no METADATA)", "do not use this file")
        metadata = email.message_from_bytes(read_member(opened, names[0], _MAX_METADATA))
    stated = str(metadata.get("License-Expression") or "").strip()
    if stated:
        return stated
    classes = [str(line) for line in metadata.get_all("Classifier", [])]
    named = [
        line.rsplit(" :: ", 1)[-1]
        for line in classes
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    first = str(metadata.get("License") or "").strip().splitlines()
    words = [" or ".join(named), first[0].strip()[:120] if first else ""]
    # Classifiers such as "BSD License" do not say which one; the other field often does.
    return next(filter(expression, words), words[0] or words[1])


def _lock_wheels(entry: PythonEntry, resolver: Resolver, chosen: list[Chosen]) -> list[LockedFile]:
    listed = [resolver.upstreams.index_file(item.project, item.filename) for item in chosen]
    missing = [
        Missing(entry.name, item.filename, ())
        for item, found in zip(chosen, listed, strict=True)
        if found is None
    ]
    if missing:
        raise NotPublishedError(missing)
    pairs = [(item, found) for item, found in zip(chosen, listed, strict=True) if found is not None]
    pins = in_parallel(
        lambda pair: pin_index_file(resolver, pair[0].project, pair[1]), pairs, resolver.fetcher.stop
    )
    return [
        resolver.locked(
            f"{entry.into}/packages/{item.filename}",
            entry,
            pinned,
            licence_in(pinned.blob, item.filename),
            item.via,
        )
        for (item, _), pinned in zip(pairs, pins, strict=True)
    ]


def _lock_built(entry: PythonEntry, resolver: Resolver, item: _Built, via: tuple[str, ...]) -> LockedFile:
    filename = item.wheel.name
    source = {
        "kind": "built", "project": item.project, "filename": filename, "input": item.source.path,
        "requires_python": "",
    }  # fmt: skip
    licence = licence_in(item.wheel, filename)
    resolver.cache.add(item.wheel, item.digests.sha256)
    return resolver.made(
        f"{entry.into}/packages/{filename}",
        entry,
        item.digests,
        source,
        licence,
        {"agreed": [], "signature": MADE_HERE},
        via,
    )

"""The kept resolution of Debian packages: which bytes, until somebody asks for newer ones.

Debian drops superseded packages from its pool, so a resolution in git would go stale by itself.
It is made by the first build that needs it, kept under the mirror's root until it is published, and
then in the release; later builds take the published one. It has the form of a lock: packages are
its files, the signed indexes that vouch for them its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from core import console
from core.errors import UsageError
from core.files import writing
from mirror import lockfile
from mirror.deb_repository import FOLDER, KIND, SUITE_KIND, repository
from mirror.entries import DebEntry, Entry
from mirror.lockfile import Lock, LockedEntry, LockedFile

NAME = "debian.lock"
_SETTLED = "debian.lock.published"
IN_RELEASE = f"{FOLDER}/{NAME}"


def files(lock: Lock, entries: Iterable[str]) -> dict[str, bytes]:
    """Return what a release of ``entries`` holds for its Debian packages: apt's indexes, the resolution.

    ``lock`` is one that the resolution was merged into. Raises UsageError for a damaged resolution.
    """
    chosen = dict.fromkeys(entries)
    packages = _narrowed((item for item in lock.files if item.source["kind"] == KIND), chosen)
    if not packages:
        return {}
    suites = _narrowed((item for item in lock.inputs if item.source["kind"] == SUITE_KIND), chosen)
    named = sorted({name for item in packages for name in item.entries})
    text = lockfile.dumps({name: lock.entry_table[name] for name in named}, packages, suites)
    return {**repository(packages, suites), IN_RELEASE: text.encode()}


def merged(lock: Lock, kept: Lock | None) -> Lock:
    """Return ``lock`` with what ``kept`` resolves its entries to; its digest stays the lock's own."""
    if kept is None:
        return lock
    table = lock.entry_table
    current = [name for name in table if _holds(kept, name, table[name].digest)]
    both = (
        (*lock.files, *_grouped(_narrowed(kept.files, current), lock)),
        (*lock.inputs, *_grouped(_narrowed(kept.inputs, current), lock)),
    )
    files, inputs = (tuple(sorted(items, key=lambda item: item.path)) for items in both)
    return Lock(lock.path, lock.digest, table, files, inputs)


def pending(lock: Lock, kept: Lock | None, entries: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``entries`` that the lock leaves to the build and that ``kept`` does not resolve.

    ``lock`` is the catalogue's own: of all kinds only Debian packages are locked without a file.
    """
    served = {name for item in lock.files for name in item.entries}
    return tuple(
        name
        for name in entries
        if name not in served and not _holds(kept, name, lock.entry_table[name].digest)
    )


def _holds(kept: Lock | None, name: str, digest: str) -> bool:
    return kept is not None and name in kept.entry_table and kept.entry_table[name].digest == digest


def _narrowed(items: Iterable[LockedFile], entries: Iterable[str]) -> list[LockedFile]:
    """Return those of ``items`` that one of ``entries`` brings in, as if there were no other entries."""
    chosen = set(entries)
    found = []
    for item in items:
        names = tuple(name for name in item.entries if name in chosen)
        if names:
            way = {name: steps for name, steps in item.via.items() if name in chosen}
            found.append(replace(item, entries=names, via=way))
    return found


def _grouped(items: Iterable[LockedFile], lock: Lock) -> list[LockedFile]:
    return [
        replace(
            item,
            groups=tuple(sorted({group for name in item.entries for group in lock.entry_table[name].groups})),
        )
        for item in items
    ]


def load(root: Path) -> Lock | None:
    """Return the resolution for a build of ``root``: one that is not published yet, else the published one.

    None where there is neither. Raises UsageError for one that is damaged.
    """
    for path in (root / NAME, root / "current" / IN_RELEASE):
        if path.is_file():
            try:
                return lockfile.load(path)
            except UsageError as error:
                cure = f"remove {path}: the next build takes the published one, or resolves anew"
                unpublished = path == root / NAME
                raise UsageError(error.message, cure if unpublished else "run ./inv mirror.repair") from error
    return None


def settle(root: Path) -> None:
    """Set the resolution kept under ``root`` aside: a release has it. It is there for repairs only."""
    path = root / NAME
    if path.exists():
        with writing(path):
            path.replace(root / _SETTLED)


def copies(root: Path, release: Path) -> tuple[Path, ...]:
    """Return where a copy of the resolution of the release in the folder ``release`` may lie."""
    return release / IN_RELEASE, root / _SETTLED, root / NAME


def loaded(lock: Path, root: Path) -> Lock:
    """Return the lock at ``lock`` with what is resolved under ``root``; what is not resolved has no files.

    Raises UsageError when either is damaged.
    """
    return merged(lockfile.load(lock), load(root))


def of_release(folder: Path) -> Lock:
    """Return the whole lock of the release in ``folder``: its catalogue's, with its Debian packages.

    Raises UsageError when either file is damaged.
    """
    lock = lockfile.load(folder / "catalogue.lock")
    path = folder / IN_RELEASE
    return merged(lock, lockfile.load(path) if path.is_file() else None)


def resolve(
    root: Path, kept: Lock | None, known: Sequence[Entry], wanted: Iterable[str]
) -> tuple[Lock, int, int]:
    """Resolve the entries ``wanted`` anew; return the resolution, the bytes fetched and the requests made.

    ``known`` are the catalogue's entries. All that ``kept`` has of the same suites is resolved anew
    too, and the rest stays: packages of one suite must come from one state of it. The resolution is
    kept under ``root``, whole or not at all. Raises as :func:`mirror.resolve_deb.resolve` does.
    """
    from mirror.cache import Cache
    from mirror.fetch import Fetcher
    from mirror.resolve_deb import resolve as ask

    cache = Cache()
    fetcher = Fetcher(cache.temporary)
    table = dict(kept.entry_table) if kept else {}
    debs = {entry.name: entry for entry in known if isinstance(entry, DebEntry)}
    chosen = set(wanted)
    suites = sorted({debs[name].suite for name in chosen})
    again = [
        entry
        for entry in debs.values()
        if entry.suite in suites and (entry.name in chosen or entry.name in table)
    ]
    stay = {name: table[name] for name in debs if name in table and debs[name] not in again}
    files = _narrowed(kept.files, stay) if kept else []
    inputs = _narrowed(kept.inputs, stay) if kept else []
    for suite in suites:
        members = [entry for entry in again if entry.suite == suite]
        console.say(f"   resolving Debian packages of {', '.join(entry.name for entry in members)}")
        found = ask(members, cache, fetcher)
        files += found.files
        inputs += found.suites
        stay |= {entry.name: LockedEntry(entry.groups, entry.digest) for entry in members}
    root.mkdir(parents=True, exist_ok=True)
    lock = lockfile.save(root / NAME, stay, files, inputs)
    return lock, fetcher.fetched_bytes, fetcher.requests

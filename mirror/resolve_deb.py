"""Resolve Debian packages: apt chooses them by a suite's signed indexes, and each is pinned by its bytes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core import console
from core.errors import WorldError
from mirror import apt_machine, debian_control, debian_licence, digests
from mirror.apt_machine import Repository
from mirror.apt_root import AptRoot, Chosen
from mirror.cache import Cache, Need, require_space
from mirror.deb_repository import FOLDER, KIND, SUITE_KIND, pool_path
from mirror.debian_control import Package, Release
from mirror.digests import Digests
from mirror.entries import DebEntry
from mirror.fetch import Fetcher, Wanted
from mirror.gpg import Keyring
from mirror.lanes import in_parallel
from mirror.lock_model import LockedFile
from mirror.locking import merge
from mirror.states import NOT_HELD, VERIFIED

# Of a package that is taken for installed, what decides whether others can be.
ASSUMED = ("Package", "Version", "Architecture", "Multi-Arch", "Provides", "Essential")


@dataclass(frozen=True)
class Resolution:
    """What resolving came to: rows of packages, and of the signed indexes that vouch for them."""

    files: tuple[LockedFile, ...]
    suites: tuple[LockedFile, ...]


@dataclass(frozen=True)
class _Signed:
    """A suite's index as apt verified it: its bytes, what it says, and who signed it."""

    repository: Repository
    data: bytes
    release: Release
    signers: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """A package, the suite whose index has it, the entry that wants it, and the way to it."""

    package: Package
    suite: str
    entry: DebEntry
    via: tuple[str, ...]


def resolve(entries: Sequence[DebEntry], cache: Cache, fetcher: Fetcher) -> Resolution:
    """Return the packages of ``entries``, all of one suite, by one state of its indexes.

    Every package is in ``cache`` then. Raises UsageError when apt's sources lack a suite, WorldError
    when an index is not to be believed or dependencies cannot be satisfied, NotPublishedError for
    unknown packages, UpstreamError when something cannot be had.
    """
    first = entries[0]
    repositories = apt_machine.repositories(first.suites, first.components)
    settings = apt_machine.Settings()
    architectures = sorted({name for entry in entries for name in entry.architectures})
    with tempfile.TemporaryDirectory(prefix="apt-") as folder:
        root = AptRoot(Path(folder).resolve(), repositories, architectures)
        with console.step(f"asking apt for {', '.join(first.suites)}"):
            root.update()
        signed = _signed(root, first, settings)
        root.use([item.repository for item in signed])
        found = [item for entry in entries for item in _choose(root, entry)]
        assumed = {entry.name: _assumed(root, entry) for entry in entries}
    pinned = _pin(found, [item.repository for item in signed], settings, cache, fetcher)
    licences = _licences(found, cache)
    rows = [_row(item, pinned[item.package.digests["sha256"]], signed, licences) for item in found]
    suites = [_suite_row(item, first.suite, entries, architectures, assumed) for item in signed]
    # Two places may have one suite; the first of them is enough to tell who signed it.
    by_path = {row.path: row for row in reversed(suites)}
    return Resolution(tuple(merge(rows)), tuple(by_path.values()))


def newest(entries: Sequence[DebEntry]) -> dict[tuple[str, str], str]:
    """Return by entry and named package the version that ``entries``, all of one suite, would get now."""
    first = entries[0]
    repositories = apt_machine.repositories(first.suites, first.components)
    settings = apt_machine.Settings()
    architectures = sorted({name for entry in entries for name in entry.architectures})
    versions: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory(prefix="apt-") as folder:
        root = AptRoot(Path(folder).resolve(), repositories, architectures)
        root.update()
        root.use([item.repository for item in _signed(root, first, settings)])
        for entry in entries:
            names = [text.partition("=")[0] for text in entry.packages]
            chosen = root.choose(
                names, entry.architectures[0], root.folder / "empty", closure=False, entry=entry.name
            )
            versions |= {(entry.name, item.name): item.version for item in chosen if item.name in names}
    return versions


def _signed(root: AptRoot, entry: DebEntry, settings: apt_machine.Settings) -> list[_Signed]:
    """Return the verified indexes of those repositories that are of the entry's origin."""
    found, others = [], set()
    for repository in root.repositories:
        data = root.signed_release(repository)
        keys = _keys(repository, settings)
        with Keyring(keys) as ring:
            judged, inside = ring.judge_clear(f"{repository} InRelease", data)
        if judged.state == NOT_HELD:
            raise WorldError(
                f"{repository}: its InRelease is signed by nobody whom apt trusts, but by "
                f"{', '.join(judged.signers)}",
                "check the keyring that apt's source names (Signed-By)",
            )
        release = debian_control.release(inside.decode("utf-8", "replace"), str(repository))
        if release.origin == entry.origin:
            found.append(_Signed(repository, data, release, judged.signers))
        else:
            others.add(release.origin)
    for suite in entry.suites:
        if suite not in {item.repository.suite for item in found}:
            raise WorldError(
                f"{entry.name}: apt's sources have {suite} of {', '.join(sorted(others)) or 'nobody'}, "
                f"not of {entry.origin}",
                "mend apt's sources, or write `origin` into the catalogue's entry",
            )
    return found


def _keys(repository: Repository, settings: apt_machine.Settings) -> list[Path | bytes]:
    text = repository.signed_by
    if "BEGIN PGP" in text:
        lines = [line.strip() for line in text.strip().splitlines()]
        return ["\n".join("" if line == "." else line for line in lines).encode() + b"\n"]
    named = [Path(word) for word in text.replace(",", " ").split() if word.startswith("/")]
    return [*(named or settings.key_files())]


def _choose(root: AptRoot, entry: DebEntry) -> list[_Found]:
    names = [text.partition("=")[0] for text in entry.packages]
    found: list[_Found] = []
    for architecture in entry.architectures:
        status = root.base(architecture, entry.minbase, entry.base)
        chosen = root.choose(
            entry.packages, architecture, status, closure=entry.closure, recommends=entry.recommends,
            entry=entry.name,
        )  # fmt: skip
        described = _described(root, chosen, entry)
        ways = debian_control.ways([package for package, _ in described], names)
        found += [_Found(package, suite, entry, ways.get(package.name, ())) for package, suite in described]
    return found


def _described(root: AptRoot, chosen: Sequence[Chosen], entry: DebEntry) -> list[tuple[Package, str]]:
    """Return what the indexes say of ``chosen``, and the suite that says it."""
    if not chosen:
        return []
    where = f"{entry.name}: the index of {', '.join(entry.suites)}"
    described: dict[Chosen, Package] = {}
    for package in debian_control.packages(root.stanzas(chosen), where):
        key = Chosen(package.name, package.version, package.architecture)
        if described.setdefault(key, package).digests != package.digests:
            raise WorldError(
                f"{where}: {key.asked} is there twice, with different bytes",
                "find out which of apt's sources is wrong",
            )
    origins = root.origins(chosen)
    result = []
    for key in chosen:
        suites = origins.get((key.name, key.version), [])
        if key not in described or not suites:
            raise WorldError(
                f"{where}: nothing is said of {key.asked}", "run it again; the suite may have changed"
            )
        result.append((described[key], next((name for name in entry.suites if name in suites), suites[0])))
    return result


def _pin(
    found: Sequence[_Found], repositories: Sequence[Repository], settings: apt_machine.Settings, cache: Cache,
    fetcher: Fetcher,
) -> dict[str, Digests]:  # fmt: skip
    """Bring every package into ``cache``; return, by SHA-256, digests that all published ones agree with."""
    unique = {item.package.digests["sha256"]: item for item in found}
    absent = [item for sha256, item in unique.items() if not cache.has(sha256, item.package.size)]
    total = sum(item.package.size for item in absent)
    require_space(Need(cache.temporary, total, "the cache of verified files"))

    def pin(item: _Found) -> Digests:
        package = item.package
        blob = cache.path(package.digests["sha256"])
        if cache.has(package.digests["sha256"], package.size):
            present = digests.of_file(blob, package.digests)
            if not digests.disagreements(present, package.digests, package.size):
                return present
            cache.drop(package.digests["sha256"])
        places = [
            settings.location(repository.uri + package.filename)
            for repository in repositories
            if repository.suite == item.suite
        ]
        wanted = Wanted(package.file, places, package.size, package.digests, gone=_GONE)
        fetched = fetcher.download(wanted)
        cache.add(fetched.path, fetched.digests.sha256)
        return fetched.digests

    with (
        console.step(f"fetching {len(absent)} packages, {total / 1e6:.0f} MB"),
        console.Meter("fetched", total) as meter,
    ):
        fetcher.progress = meter.advance
        results = in_parallel(pin, unique.values(), fetcher.stop)
    return dict(zip(unique, results, strict=True))


_GONE = "the index names it, and it is not there: the mirror that apt uses is being updated; try again later"


def _licences(found: Sequence[_Found], cache: Cache) -> dict[str, str]:
    """Return by package the licences that it states, or that another package of its source states."""
    packages = {item.package.name: item.package for item in found}
    with console.step(f"reading the licences of {len(packages)} packages"):
        own = {
            name: debian_licence.of_package(cache.path(package.digests["sha256"]), name)
            for name, package in sorted(packages.items())
        }
    # One package of a source may link its documents to those of another, which it depends on.
    shared = {packages[name].source: licence for name, licence in own.items() if licence}
    return {name: licence or shared.get(packages[name].source, "") for name, licence in own.items()}


def _row(item: _Found, pinned: Digests, signed: Sequence[_Signed], licences: Mapping[str, str]) -> LockedFile:
    package, entry = item.package, item.entry
    index = next(one for one in signed if one.repository.suite == item.suite)
    source = {
        "kind": KIND, "package": package.name, "version": package.version,
        "architecture": package.architecture, "suite": item.suite,
        "components": list(index.repository.components), "filename": package.filename,
        "control": dict(package.control),
    }  # fmt: skip
    evidence = {
        "agreed": sorted(package.digests), "signature": VERIFIED, "signers": list(index.signers),
        "index": {"suite": item.suite, "sha256": hashlib.sha256(index.data).hexdigest()},
    }  # fmt: skip
    return LockedFile(
        pool_path(entry.suite, package.file), pinned.size, pinned.sha256, pinned.sha512, (entry.name,),
        source, licences[package.name], evidence, entry.groups,
        {entry.name: item.via} if item.via else {},
    )  # fmt: skip


def _assumed(root: AptRoot, entry: DebEntry) -> dict[str, list[dict[str, str]]]:
    """Return by architecture what ``entry`` takes for installed: of each package what apt needs to know."""
    found = {}
    for architecture in entry.architectures:
        text = root.base(architecture, entry.minbase, entry.base).read_text(encoding="utf-8")
        stanzas = debian_control.paragraphs(text)
        rows = [{name: stanza[name] for name in ASSUMED if name in stanza} for stanza in stanzas]
        found[architecture] = sorted(rows, key=lambda row: row["Package"])
    return found


def _suite_row(
    item: _Signed,
    into: str,
    entries: Sequence[DebEntry],
    architectures: Sequence[str],
    assumed: Mapping[str, Mapping[str, Sequence[Mapping[str, str]]]],
) -> LockedFile:
    repository, release = item.repository, item.release
    source = {
        "kind": SUITE_KIND, "suite": repository.suite, "into": into, "origin": release.origin,
        "codename": release.codename, "date": release.date.isoformat(), "architectures": list(architectures),
        "components": list(repository.components),
        **({"assumed": assumed} if repository.suite == into else {}),
    }  # fmt: skip
    return LockedFile(
        f"{FOLDER}/{into}/{repository.suite}/InRelease", len(item.data),
        hashlib.sha256(item.data).hexdigest(), hashlib.sha512(item.data).hexdigest(),
        tuple(sorted(entry.name for entry in entries)), source, "",
        {"agreed": [], "signature": VERIFIED, "signers": list(item.signers)},
    )  # fmt: skip

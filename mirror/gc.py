"""Give space back: drop old releases, and the blobs that nobody needs any more."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.files import sync_directory, writing
from mirror import trees
from mirror.ownership import builder_lock
from mirror.release import Listed, Releases
from mirror.store import Store

GRACE = 3600


@dataclass(frozen=True)
class GcReport:
    """What was removed (or would be): serials, blobs, files of the quarantine, and bytes given back.

    ``kept`` are the serials that stay; ``waiting`` those among them that only stay because they were
    published less than the grace ago. Bytes that another tree's links still hold are not counted.
    """

    dropped: tuple[int, ...]
    kept: tuple[int, ...]
    waiting: tuple[int, ...]
    blobs: int
    quarantined: int
    bytes: int


@dataclass(frozen=True)
class _Plan:
    drop: tuple[Listed, ...]
    kept: tuple[int, ...]
    waiting: tuple[int, ...]
    blobs: tuple[Path, ...]
    quarantined: tuple[Path, ...]
    bytes: int


def collect(
    root: Path,
    keep: int = 0,
    drop: Collection[int] = (),
    grace: float = GRACE,
    quarantine: bool = False,
    dry_run: bool = False,
) -> GcReport:
    """Drop all but the ``keep`` newest releases (0: none by age) and those named in ``drop``.

    The current release stays always, and one that was current less than ``grace`` seconds ago stays
    for those who still read it; so do blobs that came in since and are of no release yet. The
    quarantine is emptied only when ``quarantine`` says so. Raises UsageError for a release that must
    not be dropped or is not there, BusyError when a builder is at work.
    """
    releases, store = Releases(root), Store(root)
    releases.require()  # before a lock file is made in what may be no mirror at all
    with nullcontext() if dry_run else builder_lock(root):
        if not dry_run:
            releases.sweep()
            store.prepare()
        planned = _plan(releases, store, keep, drop, grace, quarantine)
        if not dry_run:
            _carry_out(releases, planned)
    return GcReport(
        tuple(item.serial for item in planned.drop), planned.kept, planned.waiting, len(planned.blobs),
        len(planned.quarantined), planned.bytes,
    )  # fmt: skip


def _plan(
    releases: Releases, store: Store, keep: int, drop: Collection[int], grace: float, quarantine: bool
) -> _Plan:
    there, current = releases.all(), int(releases.require()[0].name)
    now = time.time()
    young = {item.serial for item in there if now - _replaced(releases, there, item) < grace} - {current}
    for serial in drop:
        _refuse(releases, serial, current, young)
    newest = {item.serial for item in there[-keep:]} if keep else {item.serial for item in there}
    aged = {item.serial for item in there} - newest - {current}
    going = (aged - young) | set(drop)
    dropped = tuple(item for item in there if item.serial in going)
    staying = tuple(item for item in there if item.serial not in going)
    unused, freed = _unused(store, dropped, staying, now - grace)
    aside = tuple(sorted(store.quarantine.iterdir())) if quarantine and store.quarantine.is_dir() else ()
    return _Plan(
        dropped, tuple(item.serial for item in staying), tuple(sorted(aged & young - set(drop))), unused,
        aside, freed + sum(path.lstat().st_size for path in aside),
    )  # fmt: skip


def _refuse(releases: Releases, serial: int, current: int, young: Collection[int]) -> None:
    if not (releases.folder / str(serial)).is_dir():
        releases.get(serial)  # says which are there
    if serial == current:
        raise UsageError(
            f"{releases.root}: the release {serial} is served now: `current` points to it",
            "publish another one first (./inv mirror.build or mirror.rollback), then drop it",
        )
    if serial in young:
        raise UsageError(
            f"{releases.root}: the release {serial} was served a short while ago, and may still be read",
            "wait, or say that nobody reads it any more with --grace 0",
        )


def _replaced(releases: Releases, there: Iterable[Listed], item: Listed) -> float:
    """Return when ``item`` ceased to be current, in seconds since 1970: when the next one was made."""
    later = [other.folder for other in there if other.serial > item.serial]
    return (later[0] if later else releases.current).lstat().st_mtime


def _unused(
    store: Store, dropped: Iterable[Listed], staying: Iterable[Listed], since: float
) -> tuple[tuple[Path, ...], int]:
    """Return the blobs that no release of ``staying`` links to, and the bytes that removing them frees."""
    needed = {inode for item in staying for inode in _inodes(item)}
    links = Counter(inode for item in dropped for inode in _inodes(item))
    unused, freed = [], 0
    for path in sorted((store.folder / "sha256").glob("*/*")):
        status = path.lstat()
        inode = (status.st_dev, status.st_ino)
        # Of no release, and new: of a build or an import that broke off and will go on.
        unfinished = status.st_nlink == 1 and status.st_ctime > since
        if inode not in needed and not unfinished:
            unused.append(path)
            freed += status.st_size if status.st_nlink == 1 + links[inode] else 0
    return tuple(unused), freed


def _inodes(item: Listed) -> Iterable[tuple[int, int]]:
    return [(status.st_dev, status.st_ino) for _, status in trees.files(item.folder)]


def _carry_out(releases: Releases, planned: _Plan) -> None:
    # Out of sight first, and durably, so that no release is ever seen with half of its blobs.
    gone = []
    for item in planned.drop:
        aside = item.folder.with_name(f".{item.serial}.dropped")
        with writing(item.folder):
            item.folder.rename(aside)
        gone.append(aside)
    with writing(releases.folder):
        sync_directory(releases.folder)
    for folder in gone:
        with writing(folder):
            shutil.rmtree(folder)
    for path in (*planned.blobs, *planned.quarantined):
        with writing(path):
            os.unlink(path)  # noqa: PTH108 - tens of thousands of them

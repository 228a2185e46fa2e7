"""Put the published release into a document root that is not ours, and take our old files out again.

Nothing of others is replaced, removed or merged. A killed run leaves whole files and a list of what
may be ours; the next run goes on from there.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.errors import DiskError, UsageError, WorldError
from core.files import CHUNK, sha256_of, sync_directory, writing
from core.locks import held
from mirror import docroot_manifest
from mirror.docroot_layout import OURS
from mirror.docroot_manifest import Manifest
from mirror.docroot_plan import Item, Plan, plan
from mirror.ownership import builder_lock
from mirror.release import Releases
from mirror.store import Store, blob_date

_LOCK = f"{OURS}/.publish.lock"


@dataclass(frozen=True)
class PublishReport:
    """What was done, or would be, in the document root: paths relative to it.

    ``put`` are new, ``replaced`` were ours before, ``removed`` were ours and are no longer in the
    release; ``theirs`` were there with the same bytes and stay theirs; ``left`` were ours and have
    been changed by others since, so they stay. ``copied`` is in bytes; the rest are hard links.
    """

    serial: int
    root_digest: str
    put: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    theirs: tuple[str, ...]
    left: tuple[str, ...]
    copied: int


def publish_into(root: Path, into: Path, copy: bool = False, dry_run: bool = False) -> PublishReport:
    """Make the document root ``into`` hold the published release under ``root`` besides what it holds.

    Files are hard links into the store where both are on one file system, unless ``copy``. Raises
    WorldError naming every file there that is not ours and differs (then nothing is touched),
    UsageError when ``into`` is no folder or one of ours, BusyError when a builder or another
    publication is at work, DiskError when there is no space.
    """
    _check_folder(root, into)
    Releases(root).require()  # before a lock file is made in what may be no mirror at all
    with ExitStack() as locks:
        if not dry_run:
            locks.enter_context(builder_lock(root))
            locks.enter_context(held(into / _LOCK, f"publication into {into}"))
        store = Store(root)
        planned = plan(root, into, store)
        linking = not copy and _can_link(store, into)
        copied = _to_copy(planned, linking)
        if not dry_run:
            _check_space(into, copied)
            _carry_out(into, planned, linking)
    return PublishReport(
        planned.record.serial, planned.record.root_digest, planned.put, planned.replaced, planned.removed,
        planned.theirs, planned.left, copied,
    )  # fmt: skip


def _check_folder(root: Path, into: Path) -> None:
    if not into.is_dir():
        raise UsageError(f"{into}: there is no such folder", "name the document root of the other mirror")
    ours, theirs = root.resolve(), into.resolve()
    if theirs.is_relative_to(ours):
        raise UsageError(
            f"{into}: it lies inside this mirror ({root})", "name the document root of another mirror"
        )


def _can_link(store: Store, into: Path) -> bool:
    return store.folder.stat().st_dev == into.stat().st_dev


def _to_copy(planned: Plan, linking: bool) -> int:
    items = [planned.wanted[path] for path in (*planned.put, *planned.replaced)]
    return sum(item.size for item in items if isinstance(item.source, bytes) or not linking)


def _check_space(into: Path, wanted: int) -> None:
    there = os.statvfs(into)
    free = there.f_bavail * there.f_frsize
    if wanted > free:
        raise DiskError(
            f"{into}: {wanted / 1e6:.0f} MB are to be copied, and {free / 1e6:.0f} MB are free",
            "free space there, then run the same command again",
        )


def _carry_out(into: Path, planned: Plan, linking: bool) -> None:
    old, wanted = planned.old, planned.wanted
    mine = {path: wanted[path].sha256 for path in wanted if path not in planned.theirs}
    done = Manifest(
        planned.record.serial,
        planned.record.root_digest,
        True,
        {p: (d,) for p, d in mine.items()},
        planned.folders,
    )
    if not (planned.put or planned.replaced or planned.removed) and _same(old, done):
        return
    # What may be ours from now on, whenever this process ends.
    both = {
        path: tuple(dict.fromkeys((*old.files.get(path, ()), *((mine[path],) if path in mine else ()))))
        for path in old.files.keys() | mine.keys()
    }
    docroot_manifest.save(into, Manifest(old.serial, old.root_digest, False, both, planned.folders))
    for path in both:
        _temporary(into / path).unlink(missing_ok=True)
    touched = set()
    for folder in sorted(planned.folders):
        with writing(into / folder):
            if not (into / folder).is_dir():
                (into / folder).mkdir()
                (into / folder).chmod(0o755)  # the web server must read it, whatever the umask is
                touched.add((into / folder).parent)
    for path in (*planned.put, *planned.replaced):
        _put(into / path, wanted[path], linking)
        touched.add((into / path).parent)
    _sync(touched)
    for path in planned.removed:
        with writing(into / path):
            (into / path).unlink(missing_ok=True)
    kept = _remove_empty(into, planned.folders)
    _sync({(into / path).parent for path in planned.removed})
    docroot_manifest.save(into, Manifest(done.serial, done.root_digest, True, done.files, kept))


def _same(old: Manifest, done: Manifest) -> bool:
    return old.complete and (old.serial, old.root_digest, dict(old.files)) == (
        done.serial, done.root_digest, dict(done.files),
    )  # fmt: skip


def _put(target: Path, item: Item, linking: bool) -> None:
    temporary = _temporary(target)
    try:
        with writing(target):
            if isinstance(item.source, Path) and linking and _linked(item.source, temporary):
                pass
            elif isinstance(item.source, Path):
                _copy(item.source, temporary, item.sha256)
            else:
                _write(temporary, lambda stream: stream.write(item.source))
            temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False  # a file system under a folder there, or one without links: it is copied
        raise
    return True


def _copy(source: Path, target: Path, sha256: str) -> None:
    with source.open("rb") as stream:
        _write(target, lambda out: shutil.copyfileobj(stream, out, CHUNK))
    if sha256_of(target) != sha256:
        raise WorldError(
            f"{source}: its bytes are not what its name says", "run ./inv mirror.repair, then publish again"
        )
    os.utime(target, (blob_date(sha256), blob_date(sha256)))


def _write(target: Path, fill: Callable[..., object]) -> None:
    with target.open("wb") as stream:
        fill(stream)
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.flink-new")


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir():
            with writing(folder):
                sync_directory(folder)


def _remove_empty(into: Path, folders: frozenset[str]) -> frozenset[str]:
    """Remove those of our ``folders`` that hold nothing any more; return the others."""
    kept = set()
    for folder in sorted(folders, reverse=True):
        try:
            (into / folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            kept.add(folder)  # something is in it: of ours, or of somebody else's
    return frozenset(kept)

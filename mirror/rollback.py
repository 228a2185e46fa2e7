"""Go back: an older release's content is published again, under a new serial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError, WorldError
from mirror import trees
from mirror.contents import Content
from mirror.ownership import builder_lock
from mirror.record import Record
from mirror.release import Releases
from mirror.sealing import refuse_to_unsign
from mirror.store import Store

if TYPE_CHECKING:
    from mirror.signing import Signer


@dataclass(frozen=True)
class RollbackReport:
    """What a rollback did: the record that was current, that of the older release, and the new one.

    ``added``, ``removed`` and ``changed`` are release-relative paths, seen from what was current.
    """

    before: Record
    target: Record
    release: Path
    record: Record
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def rollback(
    root: Path, to: int = 0, signers: Sequence[Signer] = (), unsigned: bool = False
) -> RollbackReport:
    """Publish the content of the release ``to`` again; 0: the newest that differs from the present one.

    The old tree must be whole by its links, dates, sizes and root digest. Raises UsageError when
    there is no such release or it is what is published already, WorldError when its tree is not
    whole, BusyError when a builder is at work; what is published then stays.
    """
    store, releases = Store(root), Releases(root)
    releases.require()  # before a lock file is made in what may be no mirror at all
    with builder_lock(root):
        present = releases.require()
        releases.sweep()
        before = present[1]
        folder, target = releases.get(to) if to else _previous(releases, before)
        if target.root_digest == before.root_digest:
            raise UsageError(
                f"{root}: the release {target.serial} has the content that is published already "
                f"(release {before.serial})",
                "choose another one with --to (./inv mirror.releases lists them)",
            )
        refuse_to_unsign(before, signers, unsigned)
        found = trees.content(folder, target, store)
        old = _content(present[0], before, store)
        record = replace(target, same_tree_as=target.serial, rollback_of=before.serial)
        release, published = releases.publish_record(store, found, record, signers)
    return RollbackReport(
        before,
        target,
        release,
        published,
        tuple(sorted(found.keys() - old.keys())),
        tuple(sorted(old.keys() - found.keys())),
        tuple(sorted(path for path in found.keys() & old.keys() if found[path].sha256 != old[path].sha256)),
    )


def _previous(releases: Releases, present: Record) -> tuple[Path, Record]:
    for item in reversed(releases.all()):
        older = item.serial < present.serial
        if older and item.record and item.record.root_digest != present.root_digest:
            return item.folder, item.record
    raise UsageError(
        f"{releases.root}: no older release with other content is there",
        "./inv mirror.releases lists what is there; a build from an older lock brings its content back",
    )


def _content(folder: Path, record: Record, store: Store) -> Mapping[str, Content]:
    """Return what the present release holds; going back from a damaged one must be possible."""
    try:
        return trees.content(folder, record, store)
    except WorldError:
        return trees.as_linked(folder, store)

# SPDX-License-Identifier: Apache-2.0
"""Archives of finished jobs: those too old, and those over the number that the history server keeps.

Layouts: a file JOB (Flink 1.x), and CLUSTER/applications/APPLICATION/{application-summary,jobs/JOB}
(Flink 2.3), every name of 32 hex digits. As in the history server, the number is one of files JOB and one
of APPLICATIONs.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from pnda_housekeeping.base import PartReport
from pnda_housekeeping.storage import UNUSUAL, Entry, Parts, Storage, StorageError

_ID = re.compile("[0-9a-f]{32}")
APPLICATIONS = "applications"


@dataclass(frozen=True)
class Limits:
    """What goes: older than ``oldest``, or not among the ``most`` newest of its layout.

    Nothing goes that is not older than ``youngest``: it may still be written. Times in seconds since 1970.
    """

    oldest: float
    youngest: float
    most: int


def clean(storage: Storage, limits: Limits, dry: bool, report: PartReport) -> None:
    """Remove archives from ``storage`` by ``limits``. Two passes, so that memory stays small."""
    try:
        owner = storage.owner(())
        left = storage.leftovers((), owner, dry, report.problem)
        if left:
            report.delete(f"{storage.label}: {left} that an earlier run had begun with")
        over = _before_the_newest(storage, owner, limits.most)
        for parts, entry in _archives(storage, owner, report):
            limit = min(max(limits.oldest, over[bool(parts)]), limits.youngest)
            if entry.modified >= limit:
                report.keep("young enough, and among the newest")
            else:
                _remove(storage, parts, entry, owner, limit, dry, report)
        if not dry:
            _remove_empty(storage, owner, limits.youngest)
    except (OSError, StorageError) as error:
        report.problem(f"{storage.label}: {error}")


def _before_the_newest(storage: Storage, owner: str, most: int) -> tuple[float, float]:
    """Return the time of the oldest of the ``most`` newest in each layout; 0 where there are not more."""
    times = array("d"), array("d")
    for parts, entry in _archives(storage, owner, None):
        times[bool(parts)].append(entry.modified)
    return _oldest_kept(times[0], most), _oldest_kept(times[1], most)


def _oldest_kept(times: array[float], most: int) -> float:
    return sorted(times)[-most] if len(times) > most else 0.0


def _archives(storage: Storage, owner: str, report: PartReport | None) -> Iterator[tuple[Parts, Entry]]:
    """Yield each archive with the folder that it is in."""
    for entry in storage.entries((), owner):
        if _ID.fullmatch(entry.name) and entry.kind == "file":
            yield (), entry
        elif _ID.fullmatch(entry.name) and entry.kind == "folder":
            yield from _applications(storage, entry, report)
        elif report and not entry.name.startswith(".pnda-removing-"):
            report.keep("not an archive by its name")


def _applications(
    storage: Storage, cluster: Entry, report: PartReport | None
) -> Iterator[tuple[Parts, Entry]]:
    parts = (cluster.name, APPLICATIONS)
    try:
        for entry in storage.entries(parts, cluster.owner):
            if _ID.fullmatch(entry.name) and entry.kind == "folder":
                yield parts, entry
            elif report:
                report.keep("not an archive by its name")
    except OSError as error:
        # Whoever may write archives may put such a thing here: that must not fail each run.
        if report and error.errno in UNUSUAL:
            report.keep("not an archive by its form")
        elif report:
            report.problem(f"{storage.label}/{'/'.join(parts)}: {error}")


def _remove(
    storage: Storage, parts: Parts, entry: Entry, owner: str, limit: float, dry: bool, report: PartReport
) -> None:
    path = "/".join((storage.label, *parts, entry.name))
    try:
        size = entry.size
        if entry.kind == "folder":
            newest, size = _inside(storage, (*parts, entry.name), entry.owner)
            if newest >= limit:
                report.keep("young enough, and among the newest")
                return
        # Who owns a folder with the sticky bit may remove what is in it; so may who owns an archive.
        user = owner if not parts else entry.owner
        if not dry and not storage.remove(parts, entry, user, ()):
            report.keep("changed meanwhile")
            return
    except (OSError, StorageError) as error:
        report.problem(f"{path}: {error}")
        return
    report.delete(path, size)


def _inside(storage: Storage, parts: Parts, user: str) -> tuple[float, int]:
    """Return when anything in an APPLICATION was last changed, and the bytes of it all."""
    newest, size = 0.0, 0
    for entry in storage.entries(parts, user):
        newest = max(newest, entry.modified)
        if entry.kind != "folder":
            size += entry.size
        else:
            for job in storage.entries((*parts, entry.name), user):
                newest, size = max(newest, job.modified), size + job.size
    return newest, size


def _remove_empty(storage: Storage, owner: str, youngest: float) -> None:
    """Remove the folders of clusters without an application, if they have not just been made."""
    for cluster in list(_clusters(storage, owner)):
        inside = list(storage.entries((cluster.name,), cluster.owner))
        applications = next((entry for entry in inside if entry.name == APPLICATIONS), None)
        if applications and len(inside) == 1 and applications.modified < youngest:
            storage.remove_empty((cluster.name, APPLICATIONS), cluster.owner)
            storage.remove_empty((cluster.name,), owner)
        elif not inside and cluster.modified < youngest:
            storage.remove_empty((cluster.name,), owner)


def _clusters(storage: Storage, owner: str) -> Iterator[Entry]:
    for entry in storage.entries((), owner):
        if _ID.fullmatch(entry.name) and entry.kind == "folder":
            yield entry

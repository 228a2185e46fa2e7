# SPDX-License-Identifier: Apache-2.0
"""Staging folders (HOMES/USER/.flink/application_*) of applications that have ended.

Flink removes them itself, but not where the application was killed or its first process died. What YARN
does not know has not ended: a ResourceManager that was restarted forgets. Such a folder goes only when an
earlier run was told of the application's end, and nothing in it has changed for long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pnda_housekeeping import hadoop
from pnda_housekeeping.base import PartReport, Seen
from pnda_housekeeping.hadoop import AnswerError
from pnda_housekeeping.storage import UNUSUAL, Entry, Parts, Storage, StorageError

_NAME = re.compile(r"application_[0-9]{10,16}_[0-9]{4,10}")
FOLDER = ".flink"


@dataclass(frozen=True)
class Limits:
    """Before when something must have happened, in seconds since 1970.

    ``ended``: an application's end, so that it has had the time to clean up. ``unknown``: the last change in
    the folder of one that YARN has forgotten.
    """

    ended: float
    unknown: float


def clean(
    storage: Storage, managers: Sequence[str], limits: Limits, seen: Seen, dry: bool, report: PartReport
) -> None:
    """Remove staging folders from ``storage``; nothing where YARN's answer leaves a doubt."""
    asked = _Yarn(managers, report)
    met: set[str] = set()
    whole = True
    try:
        for home in storage.entries((), storage.owner(())):
            if home.kind != "folder":
                continue
            parts = (home.name, FOLDER)
            try:
                # Its own folder is read with its own rights, so that it may be closed to all others.
                left = storage.leftovers(parts, home.owner, dry, report.problem)
                if left:
                    report.delete(f"{storage.label}/{home.name}: {left} that an earlier run had begun with")
                for entry in storage.entries(parts, home.owner):
                    if entry.kind == "folder" and _NAME.fullmatch(entry.name):
                        met.add(entry.name)
                        _one(storage, parts, entry, home.owner, asked, limits, seen, dry, report)
            except (OSError, StorageError) as error:
                whole = False
                if isinstance(error, OSError) and error.errno in UNUSUAL:
                    report.keep("not a folder that its user can read")
                else:
                    report.problem(f"{storage.label}/{home.name}: {error}")
    except (OSError, StorageError) as error:
        whole = False
        report.problem(f"{storage.label}: {error}")
    if whole:
        seen.ended = {name: at for name, at in seen.ended.items() if name in met}


def _one(
    storage: Storage,
    parts: Parts,
    entry: Entry,
    user: str,
    asked: _Yarn,
    limits: Limits,
    seen: Seen,
    dry: bool,
    report: PartReport,
) -> None:
    found = asked.application(entry.name)
    if found is None:
        report.keep("YARN did not answer")
        return
    if found.state == "ended" and found.ended_at:
        seen.ended[entry.name] = found.ended_at
    reason = _kept(entry, found, limits, seen)
    if reason:
        report.keep(reason)
        return
    if not dry and not storage.remove(parts, entry, user, parts):
        report.keep("changed meanwhile")
        return
    report.delete("/".join((storage.label, *parts, entry.name)))


def _kept(entry: Entry, found: hadoop.Application, limits: Limits, seen: Seen) -> str:
    """Return why ``entry`` stays; empty where it goes."""
    if found.state == "living":
        return "has not ended"
    if found.state == "unknown":
        if entry.name not in seen.ended:
            return "unknown to YARN, and its end was never seen"
        return "" if entry.modified < limits.unknown else "unknown to YARN, and changed not long ago"
    if not found.ended_at:
        return "ended, but YARN does not say when"
    return "" if max(found.ended_at, entry.modified) < limits.ended else "ended not long ago"


class _Yarn:
    """Asks the active ResourceManager, and stops asking after the first answer that cannot be believed."""

    def __init__(self, managers: Sequence[str], report: PartReport) -> None:
        self._managers, self._report = managers, report
        self._active, self._silent = "", False

    def application(self, name: str) -> hadoop.Application | None:
        """Return what YARN says of ``name``; None where it says nothing, which is told once."""
        if self._silent:
            return None
        try:
            self._active = self._active or hadoop.active(self._managers)
            return hadoop.application(self._active, name)
        except AnswerError as error:
            self._silent = True
            self._report.problem(f"YARN: {error}")
            return None

"""Prove that a release is complete: real clients work from it where there is nothing else to work from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core import bootstrap, console, debian, namespace
from core.errors import InternalError, UpstreamError, UsageError, WorldError
from core.files import writing
from mirror import catalogue
from mirror.cache import Cache
from mirror.entries import Entry, MavenEntry
from mirror.kept_debs import of_release
from mirror.lockfile import Lock
from mirror.proofs.model import Proof
from mirror.release import Releases

_SECONDS = 7200.0


@dataclass(frozen=True)
class ProveRequest:
    """What to prove: the release ``serial`` under ``root`` (None: the published one).

    ``groups``: group or entry names, none for all that the release holds. ``trust`` is the file of the
    public keys that clients believe; None takes the one that lies in the release.
    """

    catalogue: Path
    root: Path
    groups: tuple[str, ...] = ()
    serial: int | None = None
    trust: Path | None = None


@dataclass(frozen=True)
class ProveReport:
    """What was proven of which release."""

    serial: int
    entries: tuple[str, ...]
    proofs: tuple[Proof, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Return a line for each thing that is missing or wrong."""
        return tuple(
            f"{proof.client}, {proof.subject}: {fault}" for proof in self.proofs for fault in proof.faults
        )


def prove(request: ProveRequest) -> ProveReport:
    """Run the clients, cut off from the network, and return what they found.

    Raises WorldError when nothing is published, UsageError for an unknown group, a catalogue that the
    release is not of, or a machine that cannot cut a process off; UpstreamError when what the clients
    themselves need cannot be installed.
    """
    releases = Releases(request.root)
    if request.serial is not None:
        folder, record = releases.get(request.serial)
    else:
        published = releases.published()
        if published is None:
            raise WorldError(f"{request.root}: nothing is published there", "run ./inv mirror.build")
        folder, record = published
    lock = of_release(folder)
    chosen = _chosen(request, lock, record.entries)
    words = namespace.command()
    _provide_clients(chosen)
    with (
        writing(Cache().temporary),
        tempfile.TemporaryDirectory(prefix="prove-", dir=Cache().temporary) as name,
    ):
        scratch = Path(name)
        scratch.chmod(0o755)  # apt reads as a user of its own
        proofs = _run(
            words, request, record.serial, folder, [entry.name for entry in chosen], record.entries, scratch
        )
    return ProveReport(record.serial, tuple(entry.name for entry in chosen), proofs)


def _chosen(request: ProveRequest, lock: Lock, held: Sequence[str]) -> tuple[Entry, ...]:
    loaded = catalogue.load(request.catalogue)
    picked = loaded.select(request.groups)
    for entry in picked:
        known = lock.entry_table.get(entry.name)
        if entry.name in held and (known is None or known.digest != entry.digest):
            raise UsageError(
                f"{request.catalogue}: the entry {entry.name} is not as it was when the release was locked",
                "give the catalogue that the release was made from, or build a release anew",
            )
    chosen = tuple(entry for entry in picked if entry.name in held)
    absent = [entry.name for entry in picked if entry.name not in held]
    if absent and request.groups:
        raise WorldError(
            f"the release does not hold {', '.join(absent)}", "build it with these groups, or leave them out"
        )
    if not chosen:
        raise UsageError(
            f"{request.catalogue}: none of its entries is in the release",
            "give the catalogue that the release was made from",
        )
    if absent:
        console.say(f"   not in this release, and not looked at: {', '.join(absent)}")
    return chosen


def _provide_clients(chosen: Sequence[Entry]) -> None:
    """Install what the clients are, while there still is a network."""
    needed = ["curl", "ca-certificates"]
    if any(isinstance(entry, MavenEntry) for entry in chosen):
        needed.append("maven")
    debian.require([name for name in needed if not _there(name)], "proving a mirror needs")
    try:
        bootstrap.ensure("salt")
    except bootstrap.BootstrapError as error:
        raise UpstreamError(f"Salt's environment cannot be made: {error}", "see above") from error


def _there(package: str) -> bool:
    import shutil

    return shutil.which({"maven": "mvn", "ca-certificates": "true"}.get(package, package)) is not None


def _run(
    words: Sequence[str],
    request: ProveRequest,
    serial: int,
    folder: Path,
    entries: Sequence[str],
    held: Sequence[str],
    scratch: Path,
) -> tuple[Proof, ...]:
    trust = request.trust or folder / "mirror_keys" / "site.asc"
    order = {
        "root": str(request.root.absolute()), "serial": serial, "release": str(folder.absolute()),
        "catalogue": str(request.catalogue.absolute()), "entries": list(entries), "held": list(held),
        "scratch": str(scratch),
        "trust": str(trust.absolute()) if trust.is_file() else "", "report": str(scratch / "report.json"),
        "quiet": console.settings.quiet, "json": console.settings.json,
    }  # fmt: skip
    code = _watched([*words, sys.executable, "-P", "-m", "mirror.proofs.inside", json.dumps(order)])
    report = scratch / "report.json"
    if code != 0 or not report.is_file():
        raise InternalError(f"the clients' side of the proof ended with {code}, see above")
    found = json.loads(report.read_text(encoding="utf-8"))
    return tuple(Proof(row["client"], row["subject"], tuple(row["faults"])) for row in found)


def _watched(words: Sequence[str]) -> int:
    """Run ``words`` with our own output streams; whatever ends us ends all of its children."""
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
    try:
        return process.wait(timeout=_SECONDS)
    finally:
        if process.poll() is None:
            _end(process.pid)
            process.wait()


def _end(group: int) -> None:
    kill: Callable[[int, int], None] = os.killpg
    with suppress(ProcessLookupError):
        kill(group, 9)

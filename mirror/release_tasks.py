"""The tasks of an operator who lives with releases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from core import console
from core.errors import UsageError

if TYPE_CHECKING:
    from mirror.release import Listed

HELP_SIGNING = {
    "sign-key": "Files with OpenPGP secret keys that sign, separated by commas; or $PNDA_MIRROR_SIGN_KEY.",
    "sign-passphrase-file": "A file of their passphrases, one a line; or $PNDA_MIRROR_SIGN_PASSPHRASE_FILE.",
    "unsigned": "Let an unsigned release follow a signed one.",
}
_HELP_ROOT = "The mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror."
_SHOWN = 20


def _root(given: str) -> Path:
    return Path(given or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")


@task(name="releases", help={"root": _HELP_ROOT})
def list_releases(_: Context, root: str = "") -> None:
    """List the releases that are there: serial, date, content, size, groups, signers, what is current."""
    from mirror.release import Releases

    releases = Releases(_root(root))
    current = releases.current.readlink().name if releases.current.is_symlink() else ""
    rows = [_row(item, current) for item in releases.all()]
    lines = [_line(row) for row in rows] or [f"{releases.root}: no release is there"]
    console.result(rows, "\n".join(lines))


def _row(item: Listed, current: str) -> dict[str, Any]:
    found = {"serial": item.serial, "release": str(item.folder), "current": str(item.serial) == current}
    if item.record is None:
        return {**found, "fault": item.fault}
    return {**found, **vars(item.record)}


def _line(row: dict[str, Any]) -> str:
    mark = "*" if row["current"] else " "
    if "fault" in row:
        return f"{mark} {row['serial']:>4}  {row['fault']}"
    said = []
    if row["rollback_of"]:
        said.append(f"went back from {row['rollback_of']}")
    if row["same_tree_as"]:
        said.append(f"content of {row['same_tree_as']}")
    size = f"{row['bytes'] / 1e6:.0f} MB" if row["bytes"] else "-"  # not recorded, in old releases
    signers = ", ".join(signer[-16:] for signer in row["signers"]) or "nobody"
    return (
        f"{mark} {row['serial']:>4}  {row['date'][:16].replace('T', ' ')}  {row['root_digest'][:12]}  "
        f"{row['files']:>6} files {size:>8}  signed by {signers}  "
        f"[{', '.join(row['groups'])}]" + (f"  ({', '.join(said)})" if said else "")
    )


@task(
    help={
        "root": _HELP_ROOT,
        "to": "The serial to go back to; default: the newest release with other content.",
        **HELP_SIGNING,
    }
)
def rollback(
    _: Context,
    root: str = "",
    to: int = 0,
    sign_key: str = "",
    sign_passphrase_file: str = "",
    unsigned: bool = False,
) -> None:
    """Publish an older release's content again, under a new serial, and say what changed by it."""
    from mirror.rollback import rollback as run_rollback
    from mirror.signing import load_signers

    signers = load_signers(sign_key, sign_passphrase_file)
    report = run_rollback(_root(root), to, signers, unsigned)
    kinds = {"added": report.added, "removed": report.removed, "changed": report.changed}
    document = {
        "release": str(report.release), "serial": report.record.serial, "content_of": report.target.serial,
        "rollback_of": report.before.serial, "root_digest": report.record.root_digest,
        "signers": list(report.record.signers), **{kind: list(paths) for kind, paths in kinds.items()},
    }  # fmt: skip
    lines = [
        f"release {report.record.serial} published: the content of {report.target.serial} "
        f"({report.target.date[:10]}), back from {report.before.serial}: {report.release}",
        f"root digest {report.record.root_digest}",
        f"signed by {', '.join(report.record.signers) or 'nobody'}",
    ]
    for kind, paths in kinds.items():
        lines += [f"  {kind}: {path}" for path in paths[:_SHOWN]]
        if len(paths) > _SHOWN:
            lines.append(f"  {kind}: {len(paths) - _SHOWN} more (--json lists all)")
    console.result(document, "\n".join(lines))


@task(
    help={
        "root": _HELP_ROOT,
        "keep": "How many of the newest releases stay (the current one stays always).",
        "drop": "Serials to drop, separated by commas.",
        "grace": "Seconds that a release stays after it was replaced, for those who still read it.",
        "quarantine": "Remove the damaged files that builds and repairs set aside, too.",
        "dry-run": "Only say what would be removed.",
    }
)
def gc(
    _: Context,
    root: str = "",
    keep: int = 0,
    drop: str = "",
    grace: int = 3600,
    quarantine: bool = False,
    dry_run: bool = False,
) -> None:
    """Drop old releases, and the files in the store that no release needs any more."""
    from mirror.gc import collect

    if keep < 0 or grace < 0:
        raise UsageError("--keep and --grace are numbers from 0 up", "for instance --keep 3")
    serials = _serials(drop)
    if not keep and not serials and not quarantine:
        raise UsageError("what is to be removed?", "say --keep N, --drop N or --quarantine")
    report = collect(_root(root), keep, serials, grace, quarantine, dry_run)
    would = "would drop" if dry_run else "dropped"
    lines = [f"{would} the releases {', '.join(map(str, report.dropped))}" if report.dropped else ""]
    lines += [f"release {serial} stays: it was replaced a short while ago" for serial in report.waiting]
    lines.append(
        f"{would} {report.blobs} files of the store and {report.quarantined} of the quarantine: "
        f"{report.bytes / 1e6:.1f} MB"
    )
    lines.append(f"releases that stay: {', '.join(map(str, report.kept))}")
    document = {**vars(report), "dry_run": dry_run}
    console.result(document, "\n".join(line for line in lines if line))


@task(
    help={
        "into": "The document root of the other mirror.",
        "root": _HELP_ROOT,
        "copy": "Copy the files; default: hard links where both are on one file system.",
        "dry-run": "Only say what would be done.",
    }
)
def publish(_: Context, into: str = "", root: str = "", copy: bool = False, dry_run: bool = False) -> None:
    """Put the published release into the document root of a PNDA mirror; touch nothing else there."""
    from mirror.docroot import publish_into

    if not into:
        raise UsageError("where is the release to go?", "say --into FOLDER: the other mirror's document root")
    report = publish_into(_root(root), Path(into), copy, dry_run)
    document = {**vars(report), "into": into, "dry_run": dry_run}
    counts = {kind: len(getattr(report, kind)) for kind in ("put", "replaced", "removed")}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    lines = [
        f"release {report.serial} in {into}: {said}; {report.copied / 1e6:.1f} MB copied"
        + (" (nothing was done: --dry-run)" if dry_run else "")
    ]
    lines += [f"  left, others have changed it: {path}" for path in report.left]
    if report.theirs:
        lines.append(f"  {len(report.theirs)} files were there with the same bytes, and stay theirs")
    console.result(document, "\n".join(lines))


@task(
    positional=["a", "b"],
    help={
        "a": "A serial, `current`, a lock's file, a release's folder, or another mirror's root.",
        "b": "The same.",
        "root": _HELP_ROOT,
        "markdown": "Print a document in Markdown.",
    },
)
def diff(_: Context, a: str, b: str, root: str = "", markdown: bool = False) -> None:
    """Say what differs in B, seen from A: files, versions, signers, licences, bytes to fetch; 1 if any."""
    from mirror import diff as comparing
    from mirror.diff_sides import load

    found = comparing.diff(load(a, _root(root)), load(b, _root(root)))
    lines = (comparing.markdown if markdown else comparing.text)(found)
    console.result(comparing.document(found), "\n".join(lines))
    if not found.same:
        raise Exit(code=1)


def _serials(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isascii() and word.isdigit()):
            raise UsageError(f"{word!r} is no serial of a release", "./inv mirror.releases lists them")
    return tuple(map(int, words))


RELEASE_TASKS = (list_releases, rollback, gc, publish, diff)

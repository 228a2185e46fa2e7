"""The tasks that explain a lock: keys, evidence, why a file is there, what is newer upstream."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from core import console

_LOCK, _KEYS = "mirror/catalogue.lock", "mirror/keys"
HELP_KEYS = "The folder of key snapshots."
_HELP_NAME = (
    "A path in the release, a file's name, a Maven coordinate or artifact, a Python or Debian package."
)
_HELP_LOCK = "The lock (exactly which bytes)."
_HELP_ROOT = "The mirror whose resolved Debian packages count: $PNDA_MIRROR_ROOT or build/mirror."


@task(help={"name": _HELP_NAME, "lock": _HELP_LOCK, "root": _HELP_ROOT})
def evidence(_: Context, name: str, lock: str = _LOCK, root: str = "") -> None:
    """Show what a locked file is believed for: checksums, signature, source, and that of its parts."""
    from mirror import explain, kept_debs

    loaded = kept_debs.loaded(Path(lock), _root(root))
    found = explain.find(loaded, name)
    lines = [line for item in found for line in explain.evidence_text(loaded, item)]
    console.result([explain.evidence(loaded, item) for item in found], "\n".join(lines))


@task(help={"name": _HELP_NAME, "lock": _HELP_LOCK, "root": _HELP_ROOT})
def why(_: Context, name: str, lock: str = _LOCK, root: str = "") -> None:
    """Say which entries bring a file in, and by which dependencies."""
    from mirror import explain, kept_debs

    loaded = kept_debs.loaded(Path(lock), _root(root))
    rows, lines = [], []
    for item in explain.find(loaded, name):
        reasons = explain.why(loaded, item)
        rows += reasons
        lines += [item.path, *(explain.why_text(reason) for reason in reasons)]
    console.result(rows, "\n".join(lines))


@task(
    help={
        "catalogue": "The catalogue (what to mirror).",
        "lock": _HELP_LOCK,
        "root": _HELP_ROOT,
        "only": "Groups or entries, separated by commas; default: all.",
        "same-line": "Only versions with the same first two numbers, such as 1.20.",
    }
)
def outdated(
    _: Context,
    catalogue: str = "mirror/catalogue.yml",
    lock: str = _LOCK,
    root: str = "",
    only: str = "",
    same_line: bool = False,
) -> None:
    """List what is published in a newer version than the locked one; exit 1 if anything is."""
    from core.errors import WorldError
    from mirror.outdated import outdated as find

    groups = tuple(word.strip() for word in only.split(",") if word.strip())
    ages = find(Path(catalogue), Path(lock), groups, same_line, _root(root))
    newer = [age for age in ages if age.newest]
    lines = [f"  {age.entry}: {age.what} {age.locked}, published: {age.newest}" for age in newer]
    lines += [f"  {age.entry}: {age.what}: not known, {age.unknown}" for age in ages if age.unknown]
    document = {"outdated": len(newer), "artifacts": [vars(age) for age in ages]}
    if not newer:
        console.result(document, "\n".join([*lines, f"{len(ages)} artifacts asked for, none is newer"]))
        return
    if console.settings.json:
        console.result(document, "")
    raise WorldError(
        "\n".join([f"{len(newer)} of {len(ages)} artifacts are published in a newer version", *lines]),
        "write the versions that you want into the catalogue, then run ./inv mirror.lock (Debian "
        "packages: ./inv mirror.build --refresh-debs)",
    )


@task(
    help={
        "keys": HELP_KEYS,
        "import": "A KEYS file (public keys, with prose around them) to take a snapshot of.",
        "name": "The snapshot's name, such as flink.",
    }
)
def keys(_: Context, keys: str = _KEYS, import_: str = "", name: str = "") -> None:
    """List the keys that signatures are judged by, or import a KEYS file and say what changed."""
    from core.errors import UsageError

    if bool(import_) != bool(name):
        raise UsageError("--import and --name belong together", "write --import KEYS --name flink")
    if import_:
        _import_keys(Path(import_), Path(keys), name)
        return
    from mirror.keys import held

    snapshots = held(Path(keys))
    rows = [{"snapshot": name, **_row(key)} for name, found in snapshots.items() for key in found]
    lines = [f"{row['fingerprint']}  {row['snapshot']}  {row['state']}  {row['users'][0]}" for row in rows]
    lines.append(f"{len(rows)} keys in {len(snapshots)} snapshots")
    console.result(rows, "\n".join(lines))


def _import_keys(source: Path, folder: Path, name: str) -> None:
    from mirror.keys import import_keys

    report = import_keys(source, folder, name)
    for line, reason in report.unusable:
        console.warn(f"{source}:{line}: this block is left out: {reason}")
    signs = (("+", report.added), ("-", report.removed))
    lines = [f"{sign} {_said(key)}" for sign, found in signs for key in found]
    lines += [f"~ {fingerprint}: {what}" for fingerprint, what in report.changed.items()]
    lines.append(f"{report.path}: {len(report.keys)} keys")
    document = {
        "path": str(report.path),
        "keys": len(report.keys),
        "added": [_row(key) for key in report.added],
        "removed": [_row(key) for key in report.removed],
        "changed": dict(report.changed),
        "unusable": [{"line": line, "reason": reason} for line, reason in report.unusable],
    }
    console.result(document, "\n".join(lines))


def _root(given: str) -> Path:
    return Path(given or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")


def _row(key: Any) -> dict[str, Any]:
    return {"fingerprint": key.fingerprint, "state": key.state, "users": list(key.users) or [""]}


def _said(key: Any) -> str:
    return f"{key.fingerprint}  {key.state}  {', '.join(key.users)}"

"""The tasks of the mirror: they parse, call and print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from core import console
from core.errors import UsageError, WorldError
from mirror.bundle_tasks import export_bundle, have, import_bundle
from mirror.evidence_tasks import evidence, keys, outdated, why
from mirror.licence_tasks import licences
from mirror.prove_tasks import prove
from mirror.release_tasks import HELP_SIGNING, RELEASE_TASKS
from mirror.serve_tasks import certificate, client_config, serve

if TYPE_CHECKING:
    from mirror.build import BuildRequest
    from mirror.locking import LockRequest

_HELP = {
    "catalogue": "The catalogue (what to mirror).",
    "lock": "The lock (exactly which bytes).",
    "root": "The mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror.",
    "only": "Groups or entries, separated by commas; default: all.",
    "keys": "The folder of key snapshots; default: `keys` beside the catalogue.",
}
_CATALOGUE, _LOCK = "mirror/catalogue.yml", "mirror/catalogue.lock"


def _root(given: str) -> Path:
    return Path(given or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")


def _groups(only: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in only.split(",") if word.strip())


@task(
    name="lock",
    help={
        **{key: _HELP[key] for key in ("catalogue", "lock", "only", "keys")},
        "check": "Write nothing, ask nobody: does the lock follow from the catalogue? Exit 1 if not.",
        "upstream": "Write nothing: would the lock be the same now? Exit 1 with the difference if not.",
    },
)
def write(
    _: Context,
    catalogue: str = _CATALOGUE,
    lock: str = _LOCK,
    only: str = "",
    keys: str = "",
    check: bool = False,
    upstream: bool = False,
) -> None:
    """Resolve the catalogue to exact files and write the lock (with --only: those entries anew)."""
    if check and (upstream or only):
        raise UsageError("--check looks at the whole lock, and asks nobody", "leave the other options out")
    if check:
        _check(Path(catalogue), Path(lock))
        return
    from mirror.locking import LockRequest, write_lock

    request = LockRequest(Path(catalogue), Path(lock), _groups(only), Path(keys) if keys else None)
    if upstream:
        _compare(request)
        return
    report = write_lock(request)
    lines = [f"{lock}: {len(report.lock.files)} files, {len(report.lock.inputs)} inputs"]
    lines += [f"  {what} stands in for {wanted}" for what, wanted in report.substituted]
    document = {
        "lock": lock,
        "digest": report.lock.digest,
        "files": len(report.lock.files),
        "inputs": len(report.lock.inputs),
        "substituted": [{"found": what, "wanted": wanted} for what, wanted in report.substituted],
        "requests": report.requests,
        "fetched_bytes": report.fetched_bytes,
    }
    console.result(document, "\n".join(lines))


def _check(catalogue: Path, lock: Path) -> None:
    from mirror.comparing import check

    faults = check(catalogue, lock)
    document = {"same": not faults, "faults": [vars(fault) for fault in faults]}
    lines = [f"  {fault.entry}: {fault.reason}" for fault in faults]
    _same_or_not(
        document, f"{lock} follows from {catalogue}", f"{lock} does not follow from {catalogue}", lines
    )


def _compare(request: LockRequest) -> None:
    from mirror.comparing import differences
    from mirror.lockfile import load
    from mirror.locking import resolve

    old = load(request.lock)
    new = resolve(request)
    found = differences(old, new.entries, new.files, new.inputs)
    document = {"same": not found, "differences": [vars(item) for item in found]}
    lines = [f"  {item.path} [{', '.join(item.entries)}]: {item.how}" for item in found]
    text = f"{request.lock} is what locking would write now"
    _same_or_not(document, text, f"locking now would change {request.lock}", lines)


def _same_or_not(document: dict[str, object], same: str, different: str, lines: list[str]) -> None:
    if document["same"]:
        console.result(document, same)
        return
    if console.settings.json:
        console.result(document, "")
    raise WorldError(
        "\n".join([different, *lines]), "run ./inv mirror.lock, look at what changed, and commit it"
    )


@task(
    help={
        **{key: _HELP[key] for key in ("catalogue", "lock", "root", "only")},
        "dry-run": "Only say what would be fetched.",
        "keep": "Keep what the published release holds besides --only.",
        "allow-shrink": "Let the new release hold less than the published one.",
        "verify": "Re-hash what is in the store even if nothing seems to have changed.",
        "refresh-debs": "Take Debian packages in the versions that their suites have now.",
        **HELP_SIGNING,
    }
)
def build(
    _: Context,
    catalogue: str = _CATALOGUE,
    lock: str = _LOCK,
    root: str = "",
    only: str = "",
    dry_run: bool = False,
    keep: bool = False,
    allow_shrink: bool = False,
    verify: bool = False,
    sign_key: str = "",
    sign_passphrase_file: str = "",
    unsigned: bool = False,
    refresh_debs: bool = False,
) -> None:
    """Bring what the lock names into the mirror and publish it as a release."""
    from mirror.build import BuildRequest
    from mirror.build import build as run_build
    from mirror.signing import load_signers

    request = BuildRequest(
        Path(catalogue), Path(lock), _root(root), _groups(only), keep, allow_shrink, verify,
        load_signers(sign_key, sign_passphrase_file), unsigned, refresh_debs,
    )  # fmt: skip
    if dry_run:
        _say_plan(request)
        return
    report = run_build(request)
    state = "published" if report.published else "is published already, nothing to do"
    text = (
        f"release {report.serial} {state}: {report.files} files, {report.release}\n"
        f"root digest {report.root_digest}\n"
        f"signed by {', '.join(report.signers) or 'nobody'}\n"
        f"fetched {report.fetched_bytes / 1e6:.1f} MB in {report.requests} requests"
    )
    console.result({**vars(report), "release": str(report.release)}, text)


def _say_plan(request: BuildRequest) -> None:
    from mirror.build import plan

    planned = plan(request)
    size = sum(item.size for item in planned.missing)
    lines = [f"  {item.size:>12}  {item.path}" for item in planned.missing]
    would = "would be published" if planned.publishes else "is published already"
    lines.append(f"{len(planned.missing)} files, {size / 1e6:.1f} MB are not in the store; a release {would}")
    before = f" ({planned.kept_bytes / 1e6:.1f} MB are there already)" if planned.kept_bytes else ""
    lines.append(
        f"{len(planned.fetched)} files, {planned.fetched_bytes / 1e6:.1f} MB would be fetched{before}, "
        f"{len(planned.made)} made here; the cache has the rest"
    )
    if planned.pending:
        lines.append(f"and the Debian packages of {', '.join(planned.pending)}, which the build resolves")
    document = {
        "missing": [{"path": item.path, "size": item.size} for item in planned.missing],
        "bytes": size,
        "fetched": [{"path": item.path, "size": item.size} for item in planned.fetched],
        "fetched_bytes": planned.fetched_bytes,
        "kept_bytes": planned.kept_bytes,
        "made": [item.path for item in planned.made],
        "publishes": planned.publishes,
        "files": planned.files,
        "pending": list(planned.pending),
    }
    console.result(document, "\n".join(lines))


@task(
    help={
        **{key: _HELP[key] for key in ("lock", "root")},
        "trust": "Public keys: the release must be signed, whole, by one of them.",
        "at-least": "The lowest serial that is right: an older release is refused.",
    }
)
def audit(_: Context, lock: str = _LOCK, root: str = "", trust: str = "", at_least: int = 0) -> None:
    """Re-hash the published release and the store; exit 1 naming what is missing, changed or extra."""
    from mirror.audit import audit as run_audit
    from mirror.signing import load_trusted

    keyring = load_trusted(Path(trust)) if trust else None
    report = run_audit(_root(root), Path(lock), keyring, at_least)
    kinds = ("missing", "changed", "extra", "store")
    names = {kind: list(getattr(report, kind)) for kind in kinds}
    document = {
        "release": str(report.release), "files": report.files, "bytes": report.bytes, **names,
        "clean": report.clean, "follows_lock": report.follows_lock,
        "serial": report.serial, "signed_by": list(report.signed_by),
    }  # fmt: skip
    words = {**{kind: kind for kind in kinds}, "store": "changed in the store"}
    faults = [f"  {words[kind]}: {name}" for kind in kinds for name in names[kind]]
    text = f"{report.files} files, {report.bytes / 1e6:.0f} MB re-hashed in {report.release}"
    if not report.follows_lock:
        console.warn(f"the release was built from another lock than {lock}")
    if report.clean:
        by = f", signed by {', '.join(report.signed_by)}" if trust else ""
        console.result(document, f"{text}: all as locked{by}")
        return
    if console.settings.json:
        console.result(document, "")
    raise WorldError(
        f"{text}\n" + "\n".join(faults),
        "run ./inv mirror.build --verify: it takes right copies from the cache or from upstream",
    )


@task(name="list", help={key: _HELP[key] for key in ("lock", "root", "only")})
def list_files(_: Context, lock: str = _LOCK, root: str = "", only: str = "") -> None:
    """List what the lock pins, and the resolved Debian packages: path, size, licence and evidence."""
    from mirror import kept_debs
    from mirror.evidence import describe

    loaded = kept_debs.loaded(Path(lock), _root(root))
    files = loaded.files_of(loaded.select(_groups(only))) if only else loaded.files
    rows = [
        {
            "path": item.path, "size": item.size, "sha256": item.sha256, "entries": list(item.entries),
            "licence": item.licence, "evidence": dict(item.evidence), "source": dict(item.source),
        }
        for item in files
    ]  # fmt: skip
    lines = [
        f"{item.size:>12}  {item.path}  [{item.licence or 'no licence stated'}]"
        f"  {'+'.join(item.evidence.get('agreed', [])) or 'no checksum published'}"
        f"; signature {describe(item)}"
        for item in files
    ]
    lines.append(f"{len(files)} files, {sum(item.size for item in files) / 1e6:.0f} MB")
    console.result(rows, "\n".join(lines))


ns = Collection("mirror", write, build, audit, list_files, keys, evidence, why, outdated, licences)
for one in (
    serve,
    certificate,
    client_config,
    export_bundle,
    import_bundle,
    have,
    *RELEASE_TASKS,
    prove,
):
    ns.add_task(one)

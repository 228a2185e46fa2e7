"""The tasks that carry a release to a site with no way out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from core import console
from core.errors import UsageError
from mirror.release_tasks import HELP_SIGNING

if TYPE_CHECKING:
    from mirror.signing import Signer

_HELP = {
    "root": "The mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror.",
    **{key: HELP_SIGNING[key] for key in ("sign-key", "sign-passphrase-file")},
    "into": "The file to write.",
}
_SIZE = re.compile(r"([1-9][0-9]{0,14})([KMG]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _root(given: str) -> Path:
    return Path(given or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")


def _signers(sign_key: str, passphrase_file: str) -> tuple[Signer, ...]:
    from mirror.signing import load_signers

    found = load_signers(sign_key, passphrase_file)
    if not found:
        raise UsageError(
            "a bundle is signed, and no secret key was given",
            "give --sign-key FILE: what `gpg --armor --export-secret-keys NAME` writes",
        )
    return found


def _given(value: str, option: str, what: str) -> Path:
    if not value:
        raise UsageError(f"{option} is missing", f"give {option} FILE: {what}")
    return Path(value)


def _bytes(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    if text and not found:
        raise UsageError(f"--split {text}: is not a size", "write bytes, or a number with K, M or G: 4095M")
    return int(found[1]) * _UNITS[found[2]] if found else None


@task(
    name="export",
    auto_shortflags=False,  # -h is for help
    help={
        **{key: _HELP[key] for key in ("root", "sign-key", "sign-passphrase-file", "into")},
        "release": "Serial of the release; default: the published one.",
        "have": "The receiver's have-list (mirror.have): leave out what is there already.",
        "trust": "Public keys of the receiver: the have-list must be signed by one of them.",
        "split": "Write parts of at most this size, such as 4095M for a FAT medium.",
        "dry-run": "Only say what would be written.",
    },
)
def export_bundle(
    _: Context,
    into: str = "",
    root: str = "",
    release: int = 0,
    have: str = "",
    trust: str = "",
    split: str = "",
    sign_key: str = "",
    sign_passphrase_file: str = "",
    dry_run: bool = False,
) -> None:
    """Write a release, or what a receiver lacks of it, into one signed file for a site with no way out."""
    from mirror import have as have_lists
    from mirror.bundle_export import export, part_path
    from mirror.bundle_plan import plan
    from mirror.signing import load_trusted

    target = _given(into, "--into", "the file to write")
    keyring = load_trusted(Path(trust)) if trust else None
    known = have_lists.load(Path(have), keyring) if have else None
    shipment = plan(_root(root), release or None, known, _bytes(split))
    first, count = shipment.manifests[0], len(shipment.manifests)
    if known and first.serial < known.serial:
        console.warn(
            f"the receiver has release {known.serial}: it will take {first.serial} with --allow-older only"
        )
    document = {
        "serial": first.serial, "root_digest": first.root_digest, "files": len(first.files),
        "blobs": shipment.missing, "blob_bytes": shipment.missing_bytes, "bytes": shipment.bytes,
        "have": first.have,
    }  # fmt: skip
    blobs = f"{shipment.missing} of {len(first.sizes)} blobs"
    what = f"release {first.serial}: {blobs}, {shipment.bytes / 1e6:.1f} MB"
    if dry_run:
        paths = [part_path(target, number + 1, count) for number in range(count)]
        console.result({**document, "paths": list(map(str, paths))}, f"{what} would be in {_listed(paths)}")
        return
    signers = _signers(sign_key, sign_passphrase_file)
    written = export(shipment, target, signers)
    paths = [one.path for one in written]
    found = sum(one.found for one in written)
    lines = [f"{what} in {_listed(paths)}", f"root digest {first.root_digest}"]
    lines += [f"signed by   {signer.fingerprint}" for signer in signers]
    lines += [f"{found / 1e6:.1f} MB of it were there already"] if found else []
    document |= {"paths": list(map(str, paths)), "found_bytes": found}
    console.result({**document, "signers": [signer.fingerprint for signer in signers]}, "\n".join(lines))


def _listed(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}"


@task(
    name="import",
    positional=["bundle"],
    help={
        "bundle": "What mirror.export wrote; of parts: several (a,b), or the name without `.part1of3`.",
        "root": _HELP["root"],
        "trust": "Public keys that are trusted to sign bundles.",
        "allow-older": "Publish a release older than the published one.",
    },
)
def import_bundle(
    _: Context, bundle: str, trust: str = "", root: str = "", allow_older: bool = False
) -> None:
    """Check a bundle, take its blobs in, and publish its release as the sender made it."""
    from mirror.bundle_import import import_bundle as run_import
    from mirror.signing import load_trusted

    paths = _parts(bundle)
    trusted = _given(trust, "--trust", "the public keys that may sign bundles")
    report = run_import(paths, _root(root), load_trusted(trusted), allow_older=allow_older)
    state = "published" if report.published else "is published already, nothing to do"
    text = (
        f"release {report.serial} {state}: {report.release}\n"
        f"root digest {report.root_digest}\n"
        f"signed by   {report.signer}\n"
        f"{report.taken} blobs, {report.taken_bytes / 1e6:.1f} MB came out of the bundle"
    )
    if report.healed:
        text += f"\n{report.healed} files of it were damaged here, and are right now"
    console.result({**vars(report), "release": str(report.release)}, text)


def _parts(given: str) -> list[Path]:
    """Return the files of the bundle: those named, or all parts of the one name."""
    paths = [Path(word.strip()) for word in given.split(",") if word.strip()]
    if len(paths) == 1 and not paths[0].exists():
        found = re.compile(re.escape(paths[0].name) + r"\.part(\d+)of\d+")
        there = {path: found.fullmatch(path.name) for path in paths[0].parent.glob("*")}
        parts = {path: int(match[1]) for path, match in there.items() if match}
        paths = sorted(parts, key=lambda path: parts[path]) or paths
    if not paths:
        raise UsageError("no bundle was named", "name the file that mirror.export wrote")
    return paths


@task(
    auto_shortflags=False,
    help={
        **{key: _HELP[key] for key in ("root", "sign-key", "sign-passphrase-file")},
        "into": "The file to write; signed, the signature lies beside it (.asc).",
    },
)
def have(
    _: Context,
    into: str = "",
    root: str = "",
    sign_key: str = "",
    sign_passphrase_file: str = "",
) -> None:
    """Write down what this mirror has, so that mirror.export can leave it out."""
    from mirror import have as have_lists
    from mirror.signing import load_signers, signed_by_all

    target = _given(into, "--into", "the file to write")
    signers = load_signers(sign_key, sign_passphrase_file)
    found = have_lists.have_list(_root(root))
    signature = signed_by_all(signers, found.dumps()) if signers else None
    have_lists.save(found, target, signature)
    release = f"release {found.serial}" if found.serial else "nothing published"
    document = {
        "path": into, "blobs": len(found.blobs), "serial": found.serial, "root_digest": found.root_digest,
        "digest": found.digest, "signers": [signer.fingerprint for signer in signers],
    }  # fmt: skip
    console.result(document, f"{into}: {len(found.blobs)} blobs, {release}\ndigest {found.digest}")

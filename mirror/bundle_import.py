"""Import: take a bundle's blobs into the store and publish its release, as its sender made it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core import console
from core.errors import UsageError, WorldError
from mirror import record as records
from mirror.bundle_format import Item, Manifest, Member
from mirror.bundle_read import Bundle, opened
from mirror.bundle_source import taking_in
from mirror.cache import Need, require_space
from mirror.contents import RECORD, Content, unsigned
from mirror.healing import heal, is_whole
from mirror.ownership import builder_lock
from mirror.release import Releases
from mirror.signing import verify_detached
from mirror.store import Store, seems_whole

_ANOTHER = "take another copy of it, or have it made again by ./inv mirror.export"
_SHOWN = 10


@dataclass(frozen=True)
class ImportReport:
    """What an import did. ``taken`` blobs of ``taken_bytes`` came out of the bundle, the rest was here.

    ``signer`` is the primary fingerprint behind the bundle's signature. ``published`` is False when
    this release was the published one already, and whole; ``healed`` counts the files that were put
    right in a release that was here and damaged.
    """

    release: Path
    serial: int
    root_digest: str
    signer: str
    taken: int
    taken_bytes: int
    healed: int
    published: bool


@dataclass(frozen=True)
class Trusted:
    """A bundle whose signature is good: its list, who signed, its whole blobs, and the bytes it lacks."""

    bundle: Bundle
    manifest: Manifest
    signer: str
    members: tuple[Member, ...]
    cut_off: int


def import_bundle(paths: Sequence[Path], root: Path, keyring: bytes, *, allow_older: bool) -> ImportReport:
    """Import the bundle at ``paths`` (its one file, or parts of it) into the mirror under ``root``.

    ``keyring``: the public keys that are trusted. Nothing is written before the signature is found
    good and everything around the blobs as the list says. Each blob is hashed on its way into the
    store and stays there, whatever comes after it. Raises WorldError for a bundle that is not what
    it should be (naming what), UsageError for a wrong call, BusyError when a builder is at work,
    DiskError; the published release stays as it was then.
    """
    with ExitStack() as stack:
        bundles = [trust(stack.enter_context(opened(path)), keyring) for path in paths]
        _belong_together(bundles)
        manifest, signer = bundles[0].manifest, bundles[0].signer
        outside = _outside(bundles)
        with builder_lock(root):
            store, releases = Store(root), Releases(root)
            present = _not_older(releases, manifest, allow_older=allow_older)
            store.prepare()
            releases.sweep()
            same = _same(releases, manifest, outside)
            found = {item.path: Content(item.sha256, item.size) for item in manifest.files}
            here = _here(store, manifest)
            if same and same == present and is_whole(same, found, outside, store):
                return ImportReport(
                    same, manifest.serial, manifest.root_digest, signer, 0, 0, 0, published=False
                )
            _refuse_baseless(manifest, here, root)
            taken = _take(bundles, here, store)
            _put_outside(outside, manifest, store)
            store.flush()
            _complete(bundles, store)
            healed = heal(same, found, outside, store) if same else 0
            folder = same or releases.adopt(store, found, outside, manifest.serial)
            if folder != releases.root / releases.current.readlink():
                releases.point_to(folder)
    return ImportReport(
        folder, manifest.serial, manifest.root_digest, signer, len(taken),
        sum(member.size for member in taken), healed, published=True,
    )  # fmt: skip


def trust(bundle: Bundle, keyring: bytes) -> Trusted:
    """Check the signature, then everything but the blobs' bytes. Raises WorldError."""
    envelope = bundle.envelope()
    signer = verify_detached(envelope.raw, envelope.signature, keyring, f"the list of {bundle.path}")
    manifest = bundle.manifest(envelope)
    strange = [item.path for item in manifest.files if not unsigned(item.path)]
    strange += [item.path for item in manifest.outside if unsigned(item.path)]
    if strange:
        raise WorldError(
            f"{bundle.path}: {strange[0]} is on the wrong side of the root digest",
            "use the program's release that made the bundle",
        )
    return Trusted(
        bundle, manifest, signer, bundle.members(envelope, manifest), bundle.cut_off(envelope, manifest)
    )


def _belong_together(bundles: Sequence[Trusted]) -> None:
    first = bundles[0].manifest
    for other in bundles[1:]:
        one, two = first, other.manifest
        if (one.serial, one.parts, one.outside, one.files) != (two.serial, two.parts, two.outside, two.files):
            raise UsageError(
                f"{other.bundle.path}: is of another bundle than {bundles[0].bundle.path}",
                "import parts of one export together",
            )


def _outside(bundles: Sequence[Trusted]) -> dict[str, bytes]:
    """Return what the root digest does not cover, by path; it is small, and in every part."""
    bundle, manifest = bundles[0].bundle, bundles[0].manifest
    whole = {member.sha256: member for member in bundles[0].members}
    found = {}
    for item in manifest.outside:
        buffer = io.BytesIO()
        if item.sha256 not in whole:
            raise _truncated(bundles[0])
        if not bundle.copy(whole[item.sha256], buffer):
            raise WorldError(f"{bundle.path}: {item.path} is not what the signed list says", _ANOTHER)
        found[item.path] = buffer.getvalue()
    record = records.loads(found.get(RECORD, b""), f"{bundle.path}: {RECORD}")
    if (record.serial, record.root_digest) != (manifest.serial, manifest.root_digest):
        raise WorldError(f"{bundle.path}: its {RECORD} is of another release than its list", _ANOTHER)
    return found


def _not_older(releases: Releases, manifest: Manifest, *, allow_older: bool) -> Path | None:
    """Return the folder of the published release. Raises WorldError if the bundle's is older."""
    present = releases.published()
    if present and manifest.serial < present[1].serial and not allow_older:
        raise WorldError(
            f"the bundle has release {manifest.serial}, which is older than the published one "
            f"({present[1].serial})",
            "ask the sender for the newest; if you want the older one, say --allow-older",
        )
    return present[0] if present else None


def _same(releases: Releases, manifest: Manifest, outside: Mapping[str, bytes]) -> Path | None:
    """Return the folder of this very release, if it is here. Raises WorldError if that is another one."""
    folder = releases.folder / str(manifest.serial)
    if not folder.is_dir():
        return None
    record = folder / RECORD
    if not record.is_file() or record.read_bytes() != outside[RECORD]:
        raise WorldError(
            f"there is another release {manifest.serial} here already than the bundle's "
            f"({manifest.root_digest})",
            "a root takes releases of one sender: import into another --root, or have a newer one exported",
        )
    return folder


def _here(store: Store, manifest: Manifest) -> set[str]:
    """Return the blobs of the release that the store has, having hashed them; damaged ones are set aside."""
    seen = {
        item.sha256 for item in manifest.files if seems_whole(store.path(item.sha256), item.sha256, item.size)
    }
    bad = store.damaged(sorted({item.sha256 for item in manifest.files}))
    for sha256 in bad:
        kept = store.set_aside(sha256)
        console.warn(f"{manifest.paths[sha256]}: its bytes in the store have changed; kept as {kept}")
    return seen.difference(bad)


def _refuse_baseless(manifest: Manifest, here: set[str], root: Path) -> None:
    """Raise WorldError for a delta whose base this root does not have."""
    inside = {sha256 for part in manifest.parts for sha256 in part} | {
        item.sha256 for item in manifest.outside
    }
    lacking = sorted({item.sha256 for item in manifest.files} - inside - here, key=manifest.paths.__getitem__)
    if lacking:
        raise WorldError(
            f"the bundle leaves out {len(lacking)} files that {root} does not have:\n"
            + _shown(manifest.paths[sha256] for sha256 in lacking),
            "run ./inv mirror.have here and export with that list (--have), or export without --have",
        )


def _take(bundles: Sequence[Trusted], here: set[str], store: Store) -> list[Member]:
    """Bring the blobs that the store lacks into it; return them. Raises WorldError, naming damaged ones."""
    work = [
        (one, member)
        for one in bundles
        for member in one.members
        if member.sha256 not in here and not _is_outside(one.manifest, member)
    ]
    total = sum(member.size for _, member in work)
    require_space(Need(store.temporary, total, "the mirror's store"))
    bad = []
    with console.Meter("into the store", total) as meter, taking_in(store) as take:
        for one, member in work:
            if not take(one.bundle, member):
                bad.append(f"{one.manifest.paths[member.sha256]} ({one.bundle.path}, byte {member.data})")
            meter.advance(member.size)
    if bad:
        store.flush()
        raise WorldError(
            f"{len(bad)} files in the bundle are not what its signed list says:\n" + _shown(bad),
            f"{_ANOTHER}; the other files are kept, and not read again",
        )
    return [member for _, member in work]


def _is_outside(manifest: Manifest, member: Member) -> bool:
    return any(item.sha256 == member.sha256 for item in manifest.outside)


def _put_outside(outside: Mapping[str, bytes], manifest: Manifest, store: Store) -> None:
    """Give the store what happens to be content, too (a key that is served as a file, say)."""
    content = {item.sha256 for item in manifest.files}
    for item in manifest.outside:
        if item.sha256 in content:
            store.put_bytes(outside[item.path], item.sha256)


def _complete(bundles: Sequence[Trusted], store: Store) -> None:
    """Raise WorldError unless the bundle was whole and every blob of the release is in the store."""
    manifest = bundles[0].manifest
    for one in bundles:
        if one.cut_off:
            raise _truncated(one)
    lacking = {item.sha256 for item in manifest.files if not _is_here(store, item)}
    if not lacking:
        return
    count = len(manifest.parts)
    parts = [str(number + 1) for number, part in enumerate(manifest.parts) if lacking.intersection(part)]
    raise WorldError(
        f"{len(lacking)} files are in other parts of the bundle: {', '.join(parts)} (of {count})",
        "import those too; what was taken in now is kept",
    )


def _truncated(one: Trusted) -> WorldError:
    size = one.bundle.size
    whole = one.members[-1].end if one.members else 0
    return WorldError(
        f"{one.bundle.path}: is cut off: {size} of {size + one.cut_off} bytes are there, and "
        f"{len(one.members)} of {len(one.manifest.inside)} blobs, up to byte {min(whole, size)}",
        "copy it again, then import it again: what was whole is kept, and not read again",
    )


def _is_here(store: Store, item: Item) -> bool:
    return seems_whole(store.path(item.sha256), item.sha256, item.size)


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    more = [f"and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
    return "\n".join(f"  {line}" for line in [*listed[:_SHOWN], *more])

"""Export: write a release, or what a receiver lacks of it, into one signed file (or several parts)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core import console
from core.errors import BusyError, DiskError, UsageError, WorldError
from core.files import CHUNK, sync_directory, writing
from mirror.bundle_format import BLOCK, END, LIST, Manifest, Member, head, head_size, header, padded
from mirror.bundle_plan import Shipment, file_size, refuse_fat
from mirror.bundle_read import Bundle, opened
from mirror.cache import Need, require_space
from mirror.signing import Signer, signed_by_all, verify_detached


@dataclass(frozen=True)
class Written:
    """A bundle on the disk: its length, and how much of that an earlier export had left there (bytes)."""

    path: Path
    size: int
    found: int


def export(shipment: Shipment, into: Path, signers: Sequence[Signer]) -> tuple[Written, ...]:
    """Write the bundle to ``into``, or its parts to ``into.part1of3``, ...

    The bytes follow from the release and the have-list, but for the signature. What an export that
    was ended midway left is read, compared, and continued. Raises UsageError for a target that is
    not ours to replace, WorldError for a damaged store, BusyError when somebody else writes the
    same file, DiskError without room; under the final name there is a whole bundle or what was
    there before.
    """
    count = len(shipment.manifests)
    targets = [part_path(into, number + 1, count) for number in range(count)]
    with writing(into):
        into.parent.mkdir(parents=True, exist_ok=True)
    work = list(zip(targets, shipment.manifests, strict=True))
    for target, manifest in work:
        _refuse_foreign(target)
        refuse_fat(target.parent, file_size(manifest))
    done = {target for target, manifest in work if _is_there(target, manifest, signers)}
    left = [(target, manifest) for target, manifest in work if target not in done]
    # Before the first byte.
    require_space(
        *(Need(one.parent, max(0, file_size(it) - _length(_partial(one))), one.name) for one, it in left)
    )
    with console.Meter("into the bundle", sum(file_size(manifest) for _, manifest in left)) as meter:
        found = {target: _write(target, one, shipment.folder, signers, meter) for target, one in left}
    return tuple(found.get(target) or _whole(target, manifest) for target, manifest in work)


def part_path(into: Path, part: int, parts: int) -> Path:
    """Return the file of a part; it tells which of how many it is."""
    return into if parts == 1 else into.with_name(f"{into.name}.part{part}of{parts}")


def _write(
    target: Path, manifest: Manifest, folder: Path, signers: Sequence[Signer], meter: console.Meter
) -> Written:
    raw = manifest.dumps()
    start = head_size(len(raw))
    size = start + manifest.body
    members = manifest.members(start)
    partial = _partial(target)
    with _claimed(partial) as stream, _limits(partial):
        found = _right_so_far(Bundle(partial, stream), raw, members)
        stream.truncate(found)
        stream.seek(0)
        stream.write(head(raw, signed_by_all(signers, raw)))
        meter.advance(max(found, start))
        for member in members:
            if member.end > found:
                _append(stream, member, folder / manifest.paths[member.sha256], meter)
        stream.seek(size - END)
        stream.write(bytes(END))
        stream.flush()
        os.fsync(stream.fileno())
        partial.rename(target)
        sync_directory(target.parent)
    return Written(target, size, found)


def _whole(target: Path, manifest: Manifest) -> Written:
    return Written(target, file_size(manifest), file_size(manifest))


def _is_there(target: Path, manifest: Manifest, signers: Sequence[Signer]) -> bool:
    """Tell whether ``target`` is this very bundle, signed by the same signer."""
    if not target.exists():
        return False
    raw = manifest.dumps()
    start = head_size(len(raw))
    with opened(target) as there:
        if there.size != start + manifest.body:
            return False
        if _right_so_far(there, raw, manifest.members(start)) != there.size - END:
            return False
        envelope = there.envelope()
        try:
            there.members(envelope, manifest)
            for signer in signers:
                verify_detached(raw, envelope.signature, signer.public_key())
        except WorldError:
            return False  # the end has changed, or somebody else signed it: it is written anew
    return True


def _append(stream: BinaryIO, member: Member, source: Path, meter: console.Meter) -> None:
    stream.seek(member.start)
    stream.write(header(member.name, member.size))
    digest, copied = hashlib.sha256(), 0
    try:
        reader = source.open("rb")
    except FileNotFoundError as error:
        raise WorldError(
            f"{source}: is gone since this export began", "was the release removed? Export again"
        ) from error
    with reader:
        while chunk := reader.read(min(CHUNK, member.size + 1 - copied)):
            digest.update(chunk)
            stream.write(chunk)
            meter.advance(len(chunk))
            copied += len(chunk)
    if copied != member.size or digest.hexdigest() != member.sha256:
        raise WorldError(
            f"{source}: its bytes are not those of its name in the store",
            "run ./inv mirror.repair, then the same export again: it goes on where it was",
        )
    stream.write(bytes(padded(member.size) - member.size))


def _right_so_far(there: Bundle, raw: bytes, members: tuple[Member, ...]) -> int:
    """Return how many bytes of an earlier export are this bundle's, hashing every blob; 0: none."""
    if there.size < head_size(len(raw)):
        return 0
    try:
        if there.envelope().raw != raw:
            return 0
        right = head_size(len(raw))
        for member in members:
            if member.end > there.size or not there.is_right(member):
                break
            right = member.end
    except WorldError:
        return 0  # not readable as a bundle: written anew from the start
    return right


@contextmanager
def _claimed(partial: Path) -> Iterator[BinaryIO]:
    """Open the unfinished file for this process alone."""
    with writing(partial):
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "r+b") as stream:
        busy = BusyError(f"{partial}: another export is writing it", "wait for its end, then try again")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
        # Between opening and claiming it the other one may have finished.
        if not partial.exists() or not os.path.samestat(os.fstat(handle), partial.stat()):
            raise busy
        yield stream


@contextmanager
def _limits(partial: Path) -> Iterator[None]:
    """Tell what is left when the disk ends, or when its file system cannot hold so long a file."""
    try:
        with writing(partial):
            yield
    except DiskError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EFBIG:
            raise DiskError(error.message, "export with --split 4095M") from error
        raise DiskError(
            error.message, f"{error.cure} (what is written stays in {partial}, and is continued)"
        ) from error


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _refuse_foreign(target: Path) -> None:
    """Raise UsageError if something lies at ``target`` that no export has made."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode):
        with target.open("rb") as stream:
            first = stream.read(BLOCK)
        if not first or first.startswith(LIST.encode() + b"\0"):
            return
    raise UsageError(f"{target}: is there already, and is no bundle", "give another file with --into")

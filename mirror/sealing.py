"""What stands outside a release's root digest: its record, and signatures over it and over the content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError, WorldError
from mirror import record as records
from mirror.contents import RECORD, SIGNATURE, SITE_KEY, SUMS
from mirror.record import Record

if TYPE_CHECKING:
    from mirror.signing import Signer

_RELEASE = re.compile(r"mirror_deb/dists/[^/]+/Release")


@dataclass(frozen=True)
class Seal:
    """A release whose signatures were judged: its record, and who of the trusted signed its parts."""

    record: Record
    signers: tuple[str, ...]


def outside_of(record: Record, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that a release with ``record`` and the content ``paths`` has besides its content."""
    if not record.signers:
        return (RECORD,)
    apt = [name for path in sorted(paths) if _RELEASE.fullmatch(path) for name in _apt(path)]
    return (RECORD, RECORD + SIGNATURE, SUMS + SIGNATURE, SITE_KEY, *apt)


def seal(
    record: Record, paths: Iterable[str], read: Callable[[str], bytes], signers: Sequence[Signer]
) -> dict[str, bytes]:
    """Return the files that stand outside the root digest, by path: for ``signers`` with signatures.

    ``paths`` is the content, ``read`` returns the bytes of one of them.
    """
    text = records.dumps(record)
    if not signers:
        return {RECORD: text}
    from mirror.signing import clearsigned_by_all, public_keys, signed_by_all  # loads what only signers need

    found = {
        RECORD: text,
        RECORD + SIGNATURE: signed_by_all(signers, text),
        SUMS + SIGNATURE: signed_by_all(signers, read(SUMS)),
        SITE_KEY: public_keys(signers),
    }
    for path in sorted(paths):
        if _RELEASE.fullmatch(path):
            inline, beside = _apt(path)
            data = read(path)
            found[inline] = clearsigned_by_all(signers, data)
            found[beside] = signed_by_all(signers, data)
    return found


def verify(folder: Path, keyring: bytes) -> Seal:
    """Judge every signature of the release in ``folder`` by the public keys in ``keyring``.

    That the content is what the signed record names is for an audit to say. Raises WorldError when
    a signature is absent, or is not of these bytes, or of nobody in ``keyring``.
    """
    from mirror.signing import verify_clearsigned, verify_detached  # loads what only judging needs

    # Parsed from the very bytes that are judged: nothing may slip in between.
    text = {name: _bytes(folder, name) for name in (RECORD, SUMS)}
    record = records.loads(text[RECORD], str(folder / RECORD))
    if not record.signers:
        raise WorldError(
            f"{folder}: the release is not signed",
            "publish it anew with a key (./inv mirror.build --sign-key FILE)",
        )
    by = [
        verify_detached(data, _bytes(folder, name + SIGNATURE), keyring, str(folder / name))
        for name, data in text.items()
    ]
    dists = [path.relative_to(folder).as_posix() for path in folder.glob("mirror_deb/dists/*/Release")]
    for path in sorted(dists):
        inline, beside = _apt(path)
        data = _bytes(folder, path)
        by.append(verify_detached(data, _bytes(folder, beside), keyring, str(folder / path)))
        signer, inside = verify_clearsigned(_bytes(folder, inline), keyring, str(folder / inline))
        if inside != data:
            raise WorldError(
                f"{folder / inline}: what it signs is not the Release beside it",
                "somebody changed one of them: run ./inv mirror.build --verify",
            )
        by.append(signer)
    return Seal(record, tuple(dict.fromkeys(by)))


def refuse_to_unsign(record: Record, signers: Sequence[Signer], unsigned: bool) -> None:
    """Raise UsageError when an unsigned release would follow the signed one of ``record`` unasked."""
    if record.signers and not signers and not unsigned:
        raise UsageError(
            f"the published release {record.serial} is signed (by {', '.join(record.signers)}), and this one "
            "would not be: clients that check signatures would refuse it",
            "give the key (--sign-key FILE), or say --unsigned",
        )


def signed_as_asked(record: Record, signers: Sequence[Signer], unsigned: bool) -> bool:
    """Tell whether the release of ``record`` is signed by exactly ``signers``; any will do for none."""
    if not signers and not unsigned:
        return True
    return set(record.signers) == {signer.fingerprint for signer in signers}


def _apt(release: str) -> tuple[str, str]:
    folder = release.removesuffix("Release")
    return f"{folder}InRelease", f"{folder}Release.gpg"


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise WorldError(
            f"{folder / name}: cannot be read: {error.strerror}",
            "publish it anew with a key (./inv mirror.build --sign-key FILE)",
        ) from error

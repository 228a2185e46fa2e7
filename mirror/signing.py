"""Sign what a release says of itself, and judge such signatures.

Signing is done in this process, by Sequoia: no agent is started, and no key is written anywhere.
Judging is gpg's work, by its status lines (:mod:`mirror.gpg`), as it is for upstream's signatures.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import console
from core.errors import InternalError, UsageError, WorldError
from mirror import openpgp
from mirror.gpg import Keyring
from mirror.states import NOT_HELD

KEY_VARIABLE = "PNDA_MIRROR_SIGN_KEY"
PASSPHRASE_VARIABLE = "PNDA_MIRROR_SIGN_PASSPHRASE_FILE"  # noqa: S105 - the name of a file is no secret
_SECRET_KEY = 5  # RFC 9580, section 5: the packet that a secret key begins with
_SIGNATURE, _PUBLIC = "SIGNATURE", "PUBLIC KEY BLOCK"
_MAX_BYTES = 1 << 20
_KEY_CURE = "give the file that `gpg --armor --export-secret-keys NAME` writes for one usable signing key"


class Signer:
    """One OpenPGP key that may sign. ``fingerprint`` is its primary key's, in upper-case hex.

    ``source`` is named in messages; ``passphrases`` are tried in turn if the key is locked. Raises
    UsageError when ``key`` is no secret key, is revoked, has expired, or cannot be unlocked.
    """

    def __init__(self, key: bytes, source: str, passphrases: Sequence[str] = ()) -> None:
        import pysequoia  # loaded by those who sign only

        self._library: Any = pysequoia
        try:
            secret = pysequoia.Tsk.from_bytes(key)
        except RuntimeError as error:
            raise UsageError(f"{source}: it holds no OpenPGP key ({_first_line(error)})", _KEY_CURE) from None
        held = secret.extract_certificate()
        self.fingerprint = held.fingerprint.upper()
        self._public = bytes(held)
        if not _is_secret(key):
            raise UsageError(f"{source}: it holds a public key only ({self.fingerprint})", _KEY_CURE)
        if held.is_revoked:
            raise UsageError(f"{source}: the key {self.fingerprint} is revoked", "sign with another key")
        if held.expiration and held.expiration <= datetime.now(UTC):
            raise UsageError(
                f"{source}: the key {self.fingerprint} has expired ({held.expiration:%Y-%m-%d})",
                "make its end later (gpg --quick-set-expire) and export it again, or sign with another key",
            )
        if len(self.fingerprint) != 40:
            raise UsageError(
                f"{source}: {self.fingerprint} is a key of a kind that Debian's gpg and apt cannot read",
                "sign with an OpenPGP key of version 4",
            )
        self._signer = self._unlock(secret, source, passphrases)

    def _unlock(self, key: Any, source: str, passphrases: Sequence[str]) -> Any:
        reasons = []
        for words in ((), *((phrase,) for phrase in passphrases)):
            try:
                signer = key.signer(*words)
                # A wrong passphrase shows only when the key is used.
                self._library.sign(signer, b"", mode=self._library.SignatureMode.DETACHED)
                return signer
            except RuntimeError as error:
                reasons.append(_first_line(error))
        if "encrypted" in reasons[0]:
            how = "none of the passphrases given unlocks it" if passphrases else "no passphrase was given"
            raise UsageError(
                f"{source}: the key {self.fingerprint} is locked, and {how}",
                "give a file with its passphrase (--sign-passphrase-file)",
            )
        raise UsageError(f"{source}: {self.fingerprint} cannot sign ({reasons[0]})", _KEY_CURE)

    def detached(self, data: bytes) -> bytes:
        """Return an armoured detached signature over ``data``."""
        return self._sign(data, self._library.SignatureMode.DETACHED)

    def clearsigned(self, data: bytes) -> bytes:
        """Return ``data`` (text) with its signature around it, as apt reads ``InRelease``."""
        # The last line's end stands before the signature and is not signed: as gpg does it.
        return self._sign(data.removesuffix(b"\n"), self._library.SignatureMode.CLEAR)

    def public_key(self) -> bytes:
        """Return the public key, armoured."""
        return openpgp.armour(_PUBLIC, self._public).encode()

    def _sign(self, data: bytes, mode: Any) -> bytes:
        return bytes(self._library.sign(self._signer, data, mode=mode))


def load_signers(given: str = "", passphrase_file: str = "") -> tuple[Signer, ...]:
    """Return the signers in the files ``given`` (separated by commas), sorted by fingerprint.

    Where nothing is given the environment is asked (``PNDA_MIRROR_SIGN_KEY`` and
    ``PNDA_MIRROR_SIGN_PASSPHRASE_FILE``); with nothing there either, nobody signs. Each line of the
    passphrase file is tried for each locked key. Raises UsageError for what is no usable key.
    """
    given = given or os.environ.get(KEY_VARIABLE, "")
    passphrase_file = passphrase_file or os.environ.get(PASSPHRASE_VARIABLE, "")
    phrases: tuple[str, ...] = ()
    if given and passphrase_file:
        phrases = tuple(_read(Path(passphrase_file), "passphrase").decode("utf-8", "replace").splitlines())
    signers = []
    for name in dict.fromkeys(word.strip() for word in given.split(",") if word.strip()):
        path = Path(name)
        signers.append(Signer(_read(path, "secret key"), name, phrases))
        if path.stat().st_mode & 0o077:
            console.warn(f"{name}: others on this machine may read this secret key (chmod 600 {name})")
    signers.sort(key=lambda signer: signer.fingerprint)
    for before, after in itertools.pairwise(signers):
        if before.fingerprint == after.fingerprint:
            raise UsageError(f"the key {after.fingerprint} is given twice", "give each key once")
    return tuple(signers)


def load_trusted(path: Path) -> bytes:
    """Return the public keys in ``path``, for :func:`verify_detached`.

    Raises UsageError when it cannot be read, holds no usable public key, or holds a private one.
    """
    raw = _read(path, "public key")
    text = raw.decode("ascii", "replace")
    if "PRIVATE KEY BLOCK" in text:
        raise UsageError(f"{path}: a private key", "never hand it on; give the public keys only")
    with Keyring([raw]) as ring:
        if not ring.listed():
            raise UsageError(
                f"{path}: it holds no public key that gpg can use",
                "give the keys that `gpg --armor --export FINGERPRINT` writes",
            )
    return raw


def signed_by_all(signers: Sequence[Signer], data: bytes) -> bytes:
    """Return one armoured block of detached signatures over ``data``, one of each of ``signers``.

    Who trusts any of them accepts it: that is how a new key takes over from an old one.
    """
    parts = [openpgp.signatures(signer.detached(data).decode())[0] for signer in signers]
    return openpgp.armour(_SIGNATURE, b"".join(parts)).encode()


def clearsigned_by_all(signers: Sequence[Signer], data: bytes) -> bytes:
    """Return ``data`` (text) clear-signed by each of ``signers``."""
    texts = [signer.clearsigned(data).decode() for signer in signers]
    heads = {text.partition("-----BEGIN PGP SIGNATURE-----")[0] for text in texts}
    if len(heads) != 1:
        raise InternalError("these keys sign text in different ways")
    parts = [block.data for text in texts for block in openpgp.blocks(text) if block.kind == _SIGNATURE]
    return (heads.pop() + openpgp.armour(_SIGNATURE, b"".join(parts))).encode()


def public_keys(signers: Sequence[Signer]) -> bytes:
    """Return the public keys of ``signers``, armoured one after the other."""
    return b"".join(signer.public_key() for signer in signers)


def verify_detached(data: bytes, signature: bytes, keyring: bytes, name: str = "the data") -> str:
    """Return the primary fingerprint, among the public keys in ``keyring``, that signed ``data``.

    ``name`` is what messages call the data. Raises WorldError when ``signature`` is no armoured
    signature, when one in it speaks against these bytes or is of a revoked or expired key, and
    when nobody in ``keyring`` made any of them.
    """
    with tempfile.NamedTemporaryFile(prefix="signed-") as stream, Keyring([keyring]) as ring:
        stream.write(data)
        stream.flush()
        found = ring.judge(name, signature.decode("ascii", "replace"), Path(stream.name), ())
    if found.state == NOT_HELD:
        raise _strangers(name, found.signers)
    return found.signers[0]


def verify_clearsigned(text: bytes, keyring: bytes, name: str) -> tuple[str, bytes]:
    """Return who in ``keyring`` clear-signed ``text``, and the bytes inside; raises as the other does."""
    with Keyring([keyring]) as ring:
        found, inside = ring.judge_clear(name, text)
    if found.state == NOT_HELD:
        raise _strangers(name, found.signers)
    return found.signers[0], inside


def _strangers(name: str, signers: Sequence[str]) -> WorldError:
    return WorldError(
        f"{name}: it is signed by {', '.join(signers)}, whom you do not trust",
        "find out whose key that is, and only then add it to the keys that you trust",
    )


def _read(path: Path, what: str) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: larger than 1 MiB", f"this cannot be a {what}")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the {what} cannot be read: {error.strerror}", "check the name") from error


def _is_secret(key: bytes) -> bool:
    """Tell whether ``key``, which Sequoia could read, is a secret key: in armour or without."""
    blocks = list(openpgp.blocks(key.decode("ascii", "replace")))
    raw = blocks[0].data if blocks else key
    return next(openpgp.packets(raw))[0] == _SECRET_KEY


def _first_line(error: RuntimeError) -> str:
    return str(error).partition("\n")[0]

"""Signatures judged by gpg, in a home of our own, from its status lines and never from its exit code.

gpg ends with 0 for revoked keys and for SHA-1, and with 2 for one unknown signer among several; what
its status lines mean is described in GnuPG's doc/DETAILS.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core import debian
from core.errors import InternalError, WorldError
from core.process import Finished, run
from mirror import openpgp
from mirror.states import NOT_HELD, UNPINNED, VERIFIED

_NO_PUBKEY = "9"
_OUTCOMES = ("GOODSIG", "EXPKEYSIG", "REVKEYSIG", "EXPSIG", "BADSIG", "ERRSIG")
_TIMEOUT = 600.0
_REVOKED = "r"


@dataclass(frozen=True)
class Key:
    """A key as gpg lists it: primary fingerprint, user ids, and dates (seconds since 1970; 0 for never).

    ``expiry`` maps the long key id of the primary key and of each subkey to its date; ``withdrawn``
    are those of them that are revoked.
    """

    fingerprint: str
    users: tuple[str, ...]
    created: int
    expires: int
    revoked: bool
    expiry: Mapping[str, int]
    withdrawn: frozenset[str]

    @property
    def state(self) -> str:
        """Return what a person wants to know first: usable, or why not, and until when."""
        if self.revoked:
            return "revoked"
        if not self.expires:
            return "does not expire"
        day = datetime.fromtimestamp(self.expires, UTC).date()
        return f"expire{'d' if self.expires < datetime.now(UTC).timestamp() else 's'} {day}"


@dataclass(frozen=True)
class Judgement:
    """What may be said of a file's signatures: a state, and who made them (fingerprints or key ids)."""

    state: str
    signers: tuple[str, ...]
    hashes: tuple[str, ...]


class SignatureRefusedError(WorldError):
    """A signature is there, and speaks against its file."""

    def __init__(self, name: str, reason: str, cure: str) -> None:
        super().__init__(f"{name}: its signature is refused: {reason}", cure)


class SignerChangedError(SignatureRefusedError):
    """A signature by a key that is not held names somebody who is not pinned; ``was`` and ``now`` say who."""

    def __init__(self, name: str, was: Sequence[str], now: Sequence[str]) -> None:
        self.name, self.was, self.now = name, tuple(was), tuple(now)
        super().__init__(
            name,
            f"signer changed: was {' or '.join(was)}, now {', '.join(now) or 'nobody'}",
            "find out whether that person may sign it, and only then change the entry's `signers`",
        )


class Keyring:
    """A gpg home in a temporary folder, with the keys of ``files`` (or in bytes). Use as a context manager.

    Verification only reads the home, so several threads may verify at once.
    """

    def __init__(self, files: Iterable[Path | bytes] = ()) -> None:
        self._files = tuple(files)

    def __enter__(self) -> Keyring:
        if shutil.which("gpg") is None:
            debian.require(("gpg",), "judging signatures needs")
        self._home = tempfile.TemporaryDirectory(prefix="gpg-")  # private: mode 0700
        for item in self._files:
            self.add(item if isinstance(item, bytes) else item.read_bytes())
        self._keys = {key.fingerprint: key for key in self.listed()}
        return self

    def __exit__(self, *_: object) -> None:
        self._home.cleanup()

    def add(self, keys: bytes) -> None:
        """Import public keys; what is not usable is left out by gpg (compare :meth:`listed`)."""
        self._gpg("--import", stdin=keys)

    def listed(self) -> tuple[Key, ...]:
        """Return the keys held, sorted by fingerprint."""
        done = self._gpg("--with-colons", "--fixed-list-mode", "--fingerprint", "--list-keys")
        return parse_keys(done.stdout)

    def export(self, fingerprint: str) -> bytes:
        """Return a key without the signatures that others made on it (they prove nothing here)."""
        done = self._gpg(
            "--armor", "--export-options", "export-minimal", "--export", fingerprint, "--no-emit-version"
        )
        found = [block.data for block in openpgp.blocks(done.stdout) if not block.fault]
        if not found:
            raise InternalError(f"gpg exports nothing for {fingerprint}: {done.tail()}")
        return b"".join(found)

    def judge(self, name: str, text: str, file: Path, pinned: Sequence[str]) -> Judgement:
        """Return what the detached signatures ``text`` (an ``.asc``) say of ``file``, called ``name``.

        ``pinned`` are the primary fingerprints of those who may sign it. Raises
        SignatureRefusedError when a signature is no signature, does not fit, is of a revoked key,
        was made after its key's end, uses a broken hash, or is good but nobody's who is pinned. Where
        no key is held, that a signature claims to be somebody's else than is pinned is all that can be
        known, and refused too (SignerChangedError).
        """
        try:
            raw, claims = openpgp.signatures(text)
        except openpgp.FormatError as error:
            raise SignatureRefusedError(name, str(error), "compare with another source") from error
        with tempfile.NamedTemporaryFile(dir=self._home.name, suffix=".sig") as stream:
            stream.write(raw)
            stream.flush()
            done = self._gpg("--status-fd", "1", "--verify", stream.name, str(file.resolve()))
        return self._judgement(name, done, claims, pinned)

    def judge_clear(self, name: str, text: bytes) -> tuple[Judgement, bytes]:
        """Judge a clear-signed ``text`` as :meth:`judge` does, nobody pinned; return what is inside too."""
        raw = text.decode("utf-8", "replace")
        found = [block for block in openpgp.blocks(raw) if block.kind == "SIGNATURE"]
        if not raw.startswith("-----BEGIN PGP SIGNED MESSAGE-----\n") or len(found) != 1:
            raise SignatureRefusedError(name, "it is no clear-signed text", "compare with another source")
        inside = Path(self._home.name, "inside")
        try:
            _, claims = openpgp.signatures(openpgp.armour("SIGNATURE", found[0].data))
            done = self._gpg("--status-fd", "1", "--output", str(inside), "--decrypt", stdin=text)
            return self._judgement(name, done, claims, ()), inside.read_bytes()
        except (openpgp.FormatError, FileNotFoundError) as error:
            reason = str(error) if isinstance(error, openpgp.FormatError) else "gpg cannot read it"
            raise SignatureRefusedError(name, reason, "compare with another source") from error
        finally:
            inside.unlink(missing_ok=True)

    def _judgement(
        self, name: str, done: Finished, claims: Sequence[openpgp.SignatureFacts], pinned: Sequence[str]
    ) -> Judgement:
        parts = signature_parts(done.stdout)
        if len(parts) != len(claims):
            raise SignatureRefusedError(
                name, f"gpg judged {len(parts)} of {len(claims)}: {done.stderr.strip()[-300:]}",
                "compare with another source",
            )  # fmt: skip
        verdicts = [self._verdict(name, part) for part in parts]
        good = tuple(dict.fromkeys(signer for signer in verdicts if signer))
        hashes = tuple(dict.fromkeys(claim.hash for claim in claims))
        if not good:
            claimed = tuple(dict.fromkeys(claim.signer for claim in claims if claim.signer))
            if pinned and not any(may_be(claim, pin) for claim in claimed for pin in pinned):
                raise SignerChangedError(name, pinned, claimed)
            return Judgement(NOT_HELD, claimed, hashes)
        if not pinned:
            return Judgement(UNPINNED, good, hashes)
        trusted = tuple(signer for signer in good if signer in pinned)
        if not trusted:
            raise SignatureRefusedError(
                name,
                f"it is good, but by {', '.join(good)}, who is not among the entry's signers",
                "find out whether that person may sign it, and only then add the fingerprint to `signers`",
            )
        return Judgement(VERIFIED, trusted, hashes)

    def _verdict(self, name: str, part: Mapping[str, Sequence[str]]) -> str:
        """Return the primary fingerprint behind one good signature, "" for an unknown key; else raise."""
        cure = "compare with another source, and do not lock it before you know why"
        outcomes = [word for word in _OUTCOMES if word in part]
        if len(outcomes) != 1:
            raise SignatureRefusedError(name, f"gpg says {' and '.join(part) or 'nothing'}", cure)
        outcome = outcomes[0]
        fields = part[outcome]
        by = fields[0] if fields else "nobody"
        if outcome == "ERRSIG":
            if len(fields) > 5 and fields[5] == _NO_PUBKEY:
                return ""
            raise SignatureRefusedError(name, f"gpg cannot check what {by} signed (weak or unknown)", cure)
        reasons = {
            "BADSIG": f"it is not of these bytes (key {by})",
            "REVKEYSIG": f"the key {by} is revoked",
            "EXPSIG": f"the signature by {by} has expired",
        }
        if outcome in reasons:
            raise SignatureRefusedError(name, reasons[outcome], cure)
        valid = part.get("VALIDSIG", ())
        if len(valid) < 10:
            raise SignatureRefusedError(name, f"gpg does not call the signature by {by} valid", cure)
        hash_name = openpgp.HASHES.get(int(valid[7]), f"hash {valid[7]}")
        if hash_name in openpgp.WEAK_HASHES:
            raise SignatureRefusedError(name, f"it rests on {hash_name}, which can be forged", cure)
        made, signing, primary = int(valid[2]), valid[0], valid[9]
        key = self._keys.get(primary)
        if key is None:
            raise SignatureRefusedError(name, f"gpg names a key that it does not list ({primary})", cure)
        for part_id in (primary[-16:], signing[-16:]):
            if part_id in key.withdrawn:
                # Of a key that has expired as well gpg says only that.
                raise SignatureRefusedError(name, f"the key {part_id} is revoked", cure)
            end = key.expiry.get(part_id)
            if end is None or (end and made >= end):
                raise SignatureRefusedError(name, f"it was made after the key {part_id} had expired", cure)
        return primary

    def _gpg(self, *words: str, stdin: bytes | None = None) -> Finished:
        return run(
            [
                "gpg", "--homedir", self._home.name, "--no-options", "--batch", "--no-tty", "--no-autostart",
                "--disable-dirmngr", "--no-auto-key-retrieve", "--no-auto-check-trustdb", "--lock-never",
                "--trust-model", "always", *words,
            ],
            timeout=_TIMEOUT,
            env={"LC_ALL": "C.UTF-8"},
            stdin=stdin,
            check=False,  # the exit code says little and sometimes lies
            what="gpg",
        )  # fmt: skip


def may_be(claim: str, pin: str) -> bool:
    """Tell whether two of fingerprint and key id (its last 16 digits) may be of one key.

    >>> may_be("D3360B139CE19FE8", "C86916A824E92CBDB46CF1E7D3360B139CE19FE8")
    True
    """
    return claim.endswith(pin) or pin.endswith(claim)


def signature_parts(status: str) -> list[dict[str, list[str]]]:
    """Return per signature the status words that gpg wrote about it, with their fields."""
    parts: list[dict[str, list[str]]] = []
    for line in status.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "[GNUPG:]":
            continue
        word, *fields = words[1:]
        if word == "NEWSIG":
            parts.append({})
        elif parts:
            parts[-1][word] = fields
    return parts


def parse_keys(colons: str) -> tuple[Key, ...]:
    """Return the keys of a ``--with-colons`` listing (GnuPG, doc/DETAILS), sorted by fingerprint."""
    found: list[Key] = []
    rows: list[list[str]] = []
    for line in [*colons.splitlines(), "pub:"]:
        fields = line.split(":")
        if fields[0] == "pub" and rows:
            found.append(_key(rows))
            rows = []
        if fields[0] in ("pub", "sub", "fpr", "uid") and len(fields) > 9:
            rows.append(fields)
    return tuple(sorted(found, key=lambda key: key.fingerprint))


def _key(rows: list[list[str]]) -> Key:
    public = rows[0]
    fingerprint = next(row[9] for row in rows if row[0] == "fpr")
    users = tuple(_unescape(row[9]) for row in rows if row[0] == "uid")
    expiry = {row[4]: int(row[6] or 0) for row in rows if row[0] in ("pub", "sub")}
    withdrawn = frozenset(row[4] for row in rows if row[0] in ("pub", "sub") and row[1] == _REVOKED)
    revoked = public[1] == _REVOKED
    return Key(fingerprint, users, int(public[5] or 0), int(public[6] or 0), revoked, expiry, withdrawn)


def _unescape(text: str) -> str:
    """Return a user id as people read it: gpg's escapes undone, control characters shown as ``?``."""
    plain = text.replace("\\x3a", ":").replace("\\x5c", "\\")
    return "".join(char if char.isprintable() else "?" for char in plain)

"""Snapshots of public keys: an Apache ``KEYS`` file, read once, kept in git, compared when read again.

A snapshot is one armoured block per key, sorted by fingerprint, without the signatures that others
made on it, so that a change of one key is a change of one block in git.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import UsageError, in_file
from core.files import write_atomic
from mirror import openpgp
from mirror.gpg import Key, Keyring

SUFFIX = ".asc"
_PUBLIC, _PRIVATE = "PUBLIC KEY BLOCK", "PRIVATE KEY BLOCK"
_MAX_BYTES = 64 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class ImportReport:
    """What an import changed in the snapshot at ``path``.

    ``added`` and ``removed`` are keys; ``changed`` maps a fingerprint to what is different;
    ``unusable`` are (line, reason) of blocks of the given file that no key could be read from.
    """

    path: Path
    keys: tuple[Key, ...]
    added: tuple[Key, ...]
    removed: tuple[Key, ...]
    changed: Mapping[str, str]
    unusable: tuple[tuple[int, str], ...]


def snapshots(folder: Path) -> tuple[Path, ...]:
    """Return the snapshots in ``folder``, sorted; none when there is no such folder."""
    return tuple(sorted(folder.glob(f"*{SUFFIX}")))


def import_keys(source: Path, folder: Path, name: str) -> ImportReport:
    """Make the snapshot ``name`` in ``folder`` hold exactly the keys of ``source`` (armour amid prose).

    Raises UsageError when the file holds no usable public key, or a private one.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a snapshot of keys", "use a-z, 0-9, . _ and -")
    given, unusable = _read(source)
    path = folder / f"{name}{SUFFIX}"
    old = _parts(path) if path.exists() else {}
    new: dict[str, tuple[Key, bytes]] = {}
    for block in given:
        with Keyring() as ring:
            ring.add(block.data)
            found = {key.fingerprint: (key, ring.export(key.fingerprint)) for key in ring.listed()}
        if not found:
            unusable.append((block.line, "gpg reads no usable key from it"))
        new |= found
    if not new:
        reasons = "; ".join(f"line {line}: {reason}" for line, reason in unusable[:5]) or "no armoured block"
        raise UsageError(f"{source}: no usable public key ({reasons})", "give it a KEYS file")
    write_atomic(path, "".join(_text(key, data) for _, (key, data) in sorted(new.items())))
    return ImportReport(
        path,
        tuple(key for _, (key, _) in sorted(new.items())),
        tuple(new[item][0] for item in sorted(new.keys() - old.keys())),
        tuple(old[item][0] for item in sorted(old.keys() - new.keys())),
        {
            item: _difference(old[item][0], new[item][0])
            for item in sorted(new.keys() & old.keys())
            if old[item][1] != new[item][1]
        },
        tuple(sorted(unusable)),
    )


def held(folder: Path) -> dict[str, tuple[Key, ...]]:
    """Return the keys of each snapshot in ``folder``, by the snapshot's name."""
    result = {}
    for path in snapshots(folder):
        with Keyring([path]) as ring:
            result[path.name.removesuffix(SUFFIX)] = ring.listed()
    return result


def _read(source: Path) -> tuple[list[openpgp.Block], list[tuple[int, str]]]:
    try:
        raw = source.read_bytes() if source.stat().st_size <= _MAX_BYTES else None
    except OSError as error:
        raise UsageError(f"{source}: cannot be read: {error.strerror}", "check the name") from error
    if raw is None:
        raise UsageError(f"{source}: larger than 64 MiB", "this cannot be a KEYS file")
    usable, unusable = [], []
    # Names in old KEYS files are in any encoding; the armour itself is ASCII.
    for block in openpgp.blocks(raw.decode("utf-8", "replace")):
        if block.kind == _PRIVATE:
            raise UsageError(
                in_file(source, block.line, "a private key"), "never hand it on; import the public one only"
            )
        if block.kind != _PUBLIC:
            unusable.append((block.line, f"it is a {block.kind.lower()}, not a public key"))
        elif block.fault:
            unusable.append((block.line, block.fault))
        else:
            usable.append(block)
    return usable, unusable


def _parts(path: Path) -> dict[str, tuple[Key, bytes]]:
    with Keyring([path]) as ring:
        return {key.fingerprint: (key, ring.export(key.fingerprint)) for key in ring.listed()}


def _text(key: Key, data: bytes) -> str:
    """Return a key's part of a snapshot: prose for reviewers, then its block."""
    created = datetime.fromtimestamp(key.created, UTC).date()
    # No word here may depend on the day of the import: the same keys are the same bytes.
    end = f"expires {datetime.fromtimestamp(key.expires, UTC).date()}" if key.expires else "does not expire"
    state = "revoked" if key.revoked else end
    users = "".join(f"#   {user}\n" for user in key.users)
    return f"# {key.fingerprint}, created {created}, {state}\n{users}{openpgp.armour(_PUBLIC, data)}\n"


def _difference(old: Key, new: Key) -> str:
    said = []
    if new.revoked != old.revoked:
        said.append("revoked" if new.revoked else "no longer revoked")
    if new.expires != old.expires:
        said.append(f"now: {new.state}" if not new.revoked else "another end")
    said += [f"user added: {user}" for user in new.users if user not in old.users]
    said += [f"user removed: {user}" for user in old.users if user not in new.users]
    said += [f"subkey added: {part}" for part in new.expiry if part not in old.expiry]
    said += [f"subkey removed: {part}" for part in old.expiry if part not in new.expiry]
    return ", ".join(said) or "its own signatures"

"""The evidence for locked files: what was published about them, who signed, and what a policy demands."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import WorldError
from mirror.catalogue import Entry
from mirror.gpg import SignerChangedError
from mirror.lockfile import LockedFile
from mirror.states import MADE_HERE, VERIFIED

_KEY_ID = 16  # hex digits: all that some signatures name of their key


class SignersChangedError(WorldError):
    """Some files of ``entry`` claim other signers than the catalogue names."""

    def __init__(self, entry: str, changed: Iterable[SignerChangedError]) -> None:
        rows = sorted((one.name, one.was, one.now) for one in changed)
        lines = [
            f"  {name}: was {' or '.join(was)}, now {', '.join(now) or 'nobody'}" for name, was, now in rows
        ]
        super().__init__(
            f"{entry}: the signer of {len(lines)} files changed\n" + "\n".join(lines),
            "find out whether they may sign these files, and only then change the entry's `signers`",
        )


def is_verified(item: LockedFile) -> bool:
    """Tell whether a signature of a pinned signer was verified when the file was locked."""
    return item.evidence.get("signature") == VERIFIED


def unsigned(entry: Entry, files: Iterable[LockedFile]) -> list[LockedFile]:
    """Return those of an entry's ``files`` that its policy refuses; none when it has no policy.

    What is made here has no signature of its own; the inputs that it is made from are judged.
    """
    if not entry.signing.required:
        return []
    return [item for item in files if not _satisfies(entry, item)]


def require(entry: Entry, files: Iterable[LockedFile]) -> None:
    """Raise WorldError with a table of the ``files`` that lack the signature that ``entry`` demands."""
    refused = unsigned(entry, files)
    if refused:
        lines = [f"  {item.path}: {describe(item)}" for item in refused]
        raise WorldError(
            f"{entry.name}: {len(refused)} files lack the signature that the catalogue requires\n"
            + "\n".join(lines),
            "import the signers' keys (./inv mirror.keys --import KEYS --name NAME) and pin those whom you "
            "trust, or take `require` out of the entry",
        )


def describe(item: LockedFile) -> str:
    """Return the state of a file's signature in a line: the state, and by whom."""
    state = str(item.evidence.get("signature", "unknown"))
    signers = item.evidence.get("signers", [])
    said = [f"key id {signer} only" if len(str(signer)) == _KEY_ID else str(signer) for signer in signers]
    return f"{state} ({', '.join(said)})" if said else state


def _satisfies(entry: Entry, item: LockedFile) -> bool:
    if item.evidence.get("signature") == MADE_HERE:
        return True
    signers = set(item.evidence.get("signers", []))
    return is_verified(item) and bool(signers & set(entry.signing.of(item.source)))

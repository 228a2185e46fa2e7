"""Sums beside files, as the standard ``sha512sum`` line with the bare name: for ``sha512sum -c``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mirror.lockfile import LockedFile
from mirror.paths import SIDECAR, wants_sidecar


def files(served: Iterable[LockedFile]) -> dict[str, bytes]:
    """Return a sidecar for each served file that wants one (PNDA's layout), by path."""
    return {
        item.path + SIDECAR: f"{item.sha512}  {item.name}\n".encode()
        for item in served
        if wants_sidecar(item.path)
    }


def sums(sha512: Mapping[str, str]) -> bytes:
    """Return the text of ``SHA512SUMS`` over the SHA-512 of files by path."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sha512.items())).encode()

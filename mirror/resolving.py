"""What the resolvers of all kinds share: their tools, and the table of what is not published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import WorldError
from mirror.cache import Cache
from mirror.catalogue import Entry
from mirror.digests import Digests
from mirror.fetch import Fetcher
from mirror.lockfile import LockedFile
from mirror.pin import Pinned, Pinner
from mirror.upstreams import Upstreams


@dataclass(frozen=True)
class Missing:
    """Something that no upstream publishes: who wants it, what, and which versions were tried."""

    entry: str
    what: str
    versions: tuple[str, ...]


class NotPublishedError(WorldError):
    """Some artefacts are not published; ``missing`` lists them all."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        self.missing = tuple(missing)
        width = max(len(item.entry) for item in missing)
        lines = [
            f"  {item.entry:<{width}}  {item.what}"
            + (f"  (tried {', '.join(item.versions)})" if item.versions else "")
            for item in missing
        ]
        super().__init__(
            f"{len(lines)} artefacts are not published where we look\n" + "\n".join(lines),
            "name other acceptable versions in the catalogue, or take these out of it",
        )


@dataclass(frozen=True)
class Resolver:
    """The tools of one locking run."""

    fetcher: Fetcher
    cache: Cache
    pinner: Pinner
    upstreams: Upstreams

    def locked(
        self, path: str, entry: Entry, pinned: Pinned, licence: str, via: Sequence[str] = ()
    ) -> LockedFile:
        """Return the lock's line for a pinned file at ``path``; ``via``: as in LockedFile, for ``entry``."""
        return self.made(path, entry, pinned.digests, pinned.source, licence, pinned.evidence, via)

    def made(
        self,
        path: str,
        entry: Entry,
        found: Digests,
        source: Mapping[str, Any],
        licence: str,
        evidence: Mapping[str, Any],
        via: Sequence[str] = (),
    ) -> LockedFile:
        """Return the lock's line for a file with these digests at ``path``."""
        return LockedFile(
            path,
            found.size,
            found.sha256,
            found.sha512,
            (entry.name,),
            source,
            licence,
            evidence,
            entry.groups,
            {entry.name: tuple(via)} if via else {},
        )

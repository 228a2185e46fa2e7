"""Pin an upstream file: fetch it once, and let every checksum published beside it agree first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import WorldError
from mirror import digests
from mirror.cache import Cache
from mirror.digests import ChecksumFormatError, Digests
from mirror.fetch import Fetcher, NotTextError, Wanted
from mirror.gpg import Keyring
from mirror.locations import Location
from mirror.states import ABSENT

_SMALL = 1 << 16


@dataclass(frozen=True)
class Pinned:
    """A file whose bytes are in the cache, and the evidence for them."""

    source: Mapping[str, Any]
    digests: Digests
    evidence: Mapping[str, Any]
    blob: Path


class Pinner:
    """Pins files into ``cache`` by ``fetcher``; signatures are judged by the keys in ``keyring``."""

    def __init__(self, fetcher: Fetcher, cache: Cache, keyring: Keyring) -> None:
        self.fetcher, self.cache, self.keyring = fetcher, cache, keyring

    def pin(
        self,
        name: str,
        source: Mapping[str, Any],
        location: Location,
        published: Mapping[str, str],
        *,
        size: int | None = None,
        signatures: Sequence[str] = (),
        signers: Sequence[str] = (),
    ) -> Pinned:
        """Return the pinned file at ``location``, all digests in ``published`` having agreed.

        Bytes that the cache already had under the same source are taken only if at least one
        published digest vouches for them and none disagrees. Each of the ``signatures`` (the texts
        of ``.asc`` files) is judged, with ``signers`` as those who may have made them. Raises as
        Fetcher.download and Keyring.judge do.
        """
        key = json.dumps(source, sort_keys=True)
        blob = self.cache.recall(key) if published else None
        found = digests.of_file(blob, published) if blob else None
        if blob is None or found is None or digests.disagreements(found, published, size):
            fetched = self.fetcher.download(Wanted(name, [location], size, published))
            found = fetched.digests
            blob = self.cache.add(fetched.path, found.sha256)
            self.cache.remember(key, found.sha256)
        evidence = {"agreed": sorted(published), **self._judged(name, signatures, blob, signers)}
        return Pinned(source, found, evidence, blob)

    def _judged(
        self, name: str, signatures: Sequence[str], blob: Path, signers: Sequence[str]
    ) -> dict[str, Any]:
        found = [self.keyring.judge(name, text, blob, signers) for text in signatures]
        if not found:
            return {"signature": ABSENT}
        # All are judged, so that one that speaks against the bytes is heard; the first is told.
        first = found[0]
        return {"signature": first.state, "signers": list(first.signers), "hashes": list(first.hashes)}

    def sidecars(self, name: str, locations: Sequence[Location]) -> dict[str, str]:
        """Return the digests published beside the file called ``name``, by algorithm.

        Raises WorldError when a checksum file is there but cannot be one of this file, or when two
        locations disagree.
        """
        found: dict[str, str] = {}
        for algorithm in digests.HEX_LENGTH:
            for location in locations:
                answer = self.fetcher.text(location.beside(f".{algorithm}"), _SMALL)
                if answer is None:
                    continue
                try:
                    value = digests.parse_checksum(answer[0], name, algorithm)
                except ChecksumFormatError as error:
                    raise WorldError(
                        f"{name}: {location.beside('.' + algorithm)} is no good: {error}",
                        "compare with another source; upstream may have published a broken file",
                    ) from error
                if found.setdefault(algorithm, value) != value:
                    raise WorldError(
                        f"{name}: two sources publish different {algorithm} digests",
                        "find out which of them is wrong before locking",
                    )
        return found

    def signatures(self, locations: Sequence[Location]) -> tuple[str, ...]:
        """Return the texts of the distinct detached signatures (``.asc``) at ``locations``.

        Raises WorldError for one that is no text, or longer than 64 KiB: no signature is.
        """
        try:
            answers = [self.fetcher.text(location.beside(".asc"), _SMALL) for location in locations]
        except NotTextError as error:
            raise WorldError(
                f"{error.message}: no detached signature", "look at what upstream has there"
            ) from error
        return tuple(dict.fromkeys(answer[0] for answer in answers if answer is not None))

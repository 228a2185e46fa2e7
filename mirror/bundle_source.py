"""A bundle as a source of single blobs: whose digest is right is right, whoever made the bundle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core import console
from core.files import writing
from mirror.bundle_format import Member
from mirror.bundle_read import Bundle, opened
from mirror.cache import Need, require_space
from mirror.store import Store


def into_store(bundle: Bundle, member: Member, store: Store) -> bool:
    """Copy a blob into ``store``, hashing it on the way; tell whether it was the right one."""
    with writing(store.temporary):
        handle, name = tempfile.mkstemp(dir=store.temporary, prefix="bundle-")
        with os.fdopen(handle, "wb") as stream:
            right = bundle.copy(member, stream)
    if not right:
        Path(name).unlink()
        return False
    store.put(Path(name), member.sha256)
    return True


def take_from(path: Path, wanted: Mapping[str, int], store: Store) -> int:
    """Bring those of the blobs ``wanted`` (digest: size) that the bundle at ``path`` has into ``store``.

    The signature does not matter here: the digests come from the caller. Returns the bytes taken.
    Raises UsageError when there is no such file, WorldError for what is no bundle, DiskError.
    """
    taken = 0
    with opened(path) as bundle:
        envelope = bundle.envelope()
        members = [
            member
            for member in bundle.members(envelope, bundle.manifest(envelope))
            if wanted.get(member.sha256) == member.size
        ]
        require_space(Need(store.temporary, sum(member.size for member in members), "the mirror's store"))
        for member in members:
            if into_store(bundle, member, store):
                taken += member.size
            else:
                console.warn(f"{path}: {member.name} is not what its name says; taken from elsewhere")
    return taken

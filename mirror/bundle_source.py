"""A bundle as a source of single blobs: whose digest is right is right, whoever made the bundle."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from core import console
from core.files import writing
from mirror.bundle_format import Member
from mirror.bundle_read import Bundle, opened
from mirror.cache import Need, require_space
from mirror.store import Store

_AT_ONCE = 8


@contextmanager
def taking_in(store: Store) -> Iterator[Callable[[Bundle, Member], bool]]:
    """Yield a function that copies a blob into ``store``, hashing it, and tells whether it was the right one.

    What was right is made durable and named by other threads while the next is read: the file
    system writes its journal once for several of them. At the end all is in the store.
    """
    under_way: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def take(bundle: Bundle, member: Member) -> bool:
            with writing(store.temporary):
                handle, name = tempfile.mkstemp(dir=store.temporary, prefix="bundle-")
                with os.fdopen(handle, "wb") as stream:
                    right = bundle.copy(member, stream)
            if not right:
                Path(name).unlink()
                return False
            if len(under_way) >= 2 * _AT_ONCE:
                under_way.popleft().result()
            under_way.append(pool.submit(store.put, Path(name), member.sha256))
            return True

        yield take
        while under_way:
            under_way.popleft().result()


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
        with taking_in(store) as take:
            for member in members:
                if take(bundle, member):
                    taken += member.size
                else:
                    console.warn(f"{path}: {member.name} is not what its name says; taken from elsewhere")
    return taken

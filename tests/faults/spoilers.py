"""Builds that are broken on purpose: what is built to find such faults must find each of these."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _replace(holder: Any, name: str, by: Any) -> None:
    getattr(holder, name)  # a name that is no longer there would break nothing, and prove nothing
    setattr(holder, name, by)


def _point_first() -> None:
    """The release is linked together where readers already look."""
    from mirror.release import Releases

    place = Releases._place

    def point_and_place(self: Any, serial: int, *rest: Any) -> Path:
        (self.folder / str(serial)).mkdir()
        self._point_to(self.folder / str(serial))
        (self.folder / str(serial)).rmdir()
        return place(self, serial, *rest)

    _replace(Releases, "_place", point_and_place)


def _point_in_two_steps() -> None:
    """The link is taken away before the new one is there."""
    from mirror.release import Releases

    def point(self: Any, final: Path) -> None:
        self.current.unlink(missing_ok=True)
        self.current.symlink_to(final.relative_to(self.root))

    _replace(Releases, "_point_to", point)


def _name_before_bytes() -> None:
    """A blob has its name before its bytes are durable; they are synced when all is published."""
    from mirror.store import Store, blob_date

    def put(self: Any, temporary: Path, sha256: str) -> None:
        final = self.path(sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.chmod(0o444)
        os.utime(temporary, (blob_date(sha256), blob_date(sha256)))
        temporary.rename(final)
        self._new.append(final.parent)

    _replace(Store, "put", put)


def _names_not_synced() -> None:
    """The names in the release's folders are not durable when the link points there."""
    from mirror import release

    _replace(release, "sync_directory", lambda _path: None)


SPOILERS: dict[str, Callable[[], None]] = {
    "the link first": _point_first,
    "the link in two steps": _point_in_two_steps,
    "the name before the bytes": _name_before_bytes,
    "names not synced": _names_not_synced,
}


def spoil(name: str) -> None:
    """Break the build in the way called ``name``; "" leaves it as it is."""
    if name:
        SPOILERS[name]()

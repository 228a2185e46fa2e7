"""``curl`` fetches a file with its ``.sha512.txt``, and ``sha512sum -c`` checks it, as an operator would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from core.process import run
from mirror.lockfile import LockedFile
from mirror.paths import SIDECAR, wants_sidecar
from mirror.proofs.model import Task, World

_SECONDS = 600.0
_LARGEST = 100 << 20  # larger ones are checked by Salt, when it unpacks them


def tasks(world: World) -> Iterator[Task]:
    """Yield a proof for each folder that has sidecars."""
    folders: dict[str, list[LockedFile]] = {}
    for item in world.files:
        if wants_sidecar(item.path) and item.size <= _LARGEST:
            folders.setdefault(item.path.rpartition("/")[0], []).append(item)
    for number, (folder, items) in enumerate(sorted(folders.items())):
        into = world.scratch / f"sums-{number}"
        yield Task("sha512sum", folder or "the top folder", partial(_check, world, items, into))


def _check(world: World, items: Sequence[LockedFile], folder: Path) -> list[str]:
    faults = []
    folder.mkdir()
    for item in items:
        for name in (item.path, item.path + SIDECAR):
            done = run(
                ["curl", "--silent", "--show-error", "--fail", "--cacert", world.ca, "--remote-name",
                 f"{world.base}/{name}"],
                timeout=_SECONDS, cwd=folder, check=False,
            )  # fmt: skip
            if done.code != 0:
                faults.append(f"{name}: {done.tail()}")
    if faults:
        return faults
    sidecars = [item.name + SIDECAR for item in items]
    done = run(
        ["sha512sum", "--strict", "--quiet", "--check", *sidecars], timeout=_SECONDS, cwd=folder, check=False
    )
    return done.tail().splitlines() if done.code else []

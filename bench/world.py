"""The files that are measured with: random bytes, their lock, and an upstream that serves them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.bootstrap import ROOT
from mirror import catalogue, lockfile
from mirror.lockfile import LockedEntry, LockedFile

_CATALOGUE = """format: 1
entries:
  files:
    kind: file
    groups: [measured]
    path: mirror_misc/none
    url: http://127.0.0.1/none
"""


@dataclass(frozen=True)
class Case:
    """``count`` files of ``size`` bytes each."""

    name: str
    count: int
    size: int


@dataclass(frozen=True)
class World:
    """A case's files in ``served``, and ``digests`` of each: (sha256, sha512)."""

    case: Case
    folder: Path
    digests: Mapping[str, tuple[str, str]]

    @property
    def served(self) -> Path:
        """Return the folder that the upstream serves."""
        return self.folder / "served"

    @property
    def names(self) -> list[str]:
        """Return the names of the files."""
        return sorted(self.digests)

    @property
    def lock(self) -> Path:
        """Return the path of the lock."""
        return self.folder / "catalogue.lock"

    def write_lock(self, base: str) -> None:
        """Write catalogue and lock for an upstream at ``base``."""
        path = self.folder / "catalogue.yml"
        path.write_text(_CATALOGUE)
        (entry,) = catalogue.load(path).entries
        rows = [
            LockedFile(
                f"mirror_misc/{name}", self.case.size, sha256, sha512, (entry.name,),
                {"kind": "url", "url": f"{base}/{name}"},
            )
            for name, (sha256, sha512) in self.digests.items()
        ]  # fmt: skip
        lockfile.save(self.lock, {entry.name: LockedEntry(entry.groups, entry.digest)}, rows, [])


@contextmanager
def upstream(folder: Path, delay: float) -> Iterator[str]:
    """Serve ``folder`` from another process, ``delay`` seconds late per request; yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.upstream", str(folder), str(delay)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def make_world(case: Case, folder: Path) -> World:
    """Write the case's files (random bytes) below ``folder``."""
    served = folder / "served"
    served.mkdir(parents=True)
    digests = {}
    for number in range(case.count):
        name = f"file{number:04}.bin"
        found = [hashlib.sha256(), hashlib.sha512()]
        with (served / name).open("wb") as stream:
            # In parts: the peak memory of a child would otherwise begin with ours.
            for start in range(0, case.size, 1 << 20):
                data = os.urandom(min(1 << 20, case.size - start))
                stream.write(data)
                for item in found:
                    item.update(data)
        digests[name] = (found[0].hexdigest(), found[1].hexdigest())
    return World(case, folder, digests)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a run of its own in ``folder``: no proxy, no cache but the one there."""
    clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return {**clean, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}


def inv(world: World, task: str, *words: str) -> list[str]:
    """Return the words that run ``mirror.TASK`` on ``world``, in its folder ``run``."""
    root = ["--root", str(world.folder / "run" / "root"), "--lock", str(world.lock)]
    return [sys.executable, "-m", "core.program", f"mirror.{task}", *root, *words]

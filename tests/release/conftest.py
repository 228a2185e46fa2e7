"""One release of the whole catalogue, with the real bytes, signed, in a root of the tests' own."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pysequoia
import pytest

from core.process import run
from tests.release import edge_node
from tests.release.edge_node import EdgeNode

ROOT = Path(__file__).resolve().parents[2]
MIRROR = ROOT / "build" / "tests" / "mirror"
_SECONDS = 1800


@dataclass(frozen=True)
class Built:
    """The mirror's root, the published release, and the public key that it is signed with."""

    root: Path
    release: Path
    trust: Path
    secret: Path

    def lacking(self, folder: Path, *paths: str) -> Path:
        """Return a root under ``folder`` whose only release lacks ``paths``; nothing of ours is touched."""
        root = folder / "root"
        release = root / "releases" / self.release.name
        release.parent.mkdir(parents=True)
        run(["cp", "--archive", "--link", self.release, release], timeout=120)
        for path in paths:
            (release / path).unlink()
        (root / "current").symlink_to(f"releases/{self.release.name}")
        return root


def inv(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``./inv`` with ``words`` as a user does."""
    return subprocess.run(
        [str(ROOT / "inv"), *map(str, words)],
        capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remove what an interrupted run left; a worker of pytest-xdist leaves that to who started it."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(MIRROR, ignore_errors=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the mirror."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(MIRROR, ignore_errors=True)


@pytest.fixture(scope="session")
def built() -> Built:
    secret, trust = MIRROR / "secret.asc", MIRROR / "public.asc"
    MIRROR.mkdir(parents=True, exist_ok=True)
    with (MIRROR / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker builds it
        if not (MIRROR / "current").exists():
            made = pysequoia.Tsk.generate(user_id="Tests <tests@example.org>")
            secret.touch(mode=0o600)
            secret.write_bytes(bytes(made))
            trust.write_bytes(bytes(made.extract_certificate()))
            done = inv("mirror.build", "--root", MIRROR, "--sign-key", secret)
            if done.returncode != 0:
                pytest.fail(f"mirror.build: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return Built(MIRROR, (MIRROR / "current").resolve(), trust, secret)


@pytest.fixture(scope="session")
def edge(built: Built) -> Iterator[EdgeNode]:
    # Other users come here; pytest's own folder is closed to them by each new pytest on the machine.
    with tempfile.TemporaryDirectory(prefix="edge-") as base:
        yield edge_node.provision(Path(base), built.release)

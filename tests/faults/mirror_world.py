"""A small mirror of files on a loopback upstream, driven through the real command line."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror import catalogue, lockfile
from mirror.lockfile import LockedEntry, LockedFile
from tests.faults.upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """``bodies``: what the upstream has, by file name; ``command`` runs a task as a user would."""

    folder: Path
    upstream: Upstream
    bodies: dict[str, bytes]

    @property
    def root(self) -> Any:
        return self.folder / "root"

    @property
    def lock(self) -> Any:
        return self.folder / "catalogue.lock"

    @property
    def catalogue(self) -> Any:
        return self.folder / "catalogue.yml"

    @property
    def environment(self) -> Any:
        clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        return {**clean, "XDG_CACHE_HOME": str(self.folder / "cache"), "PYTHONPATH": str(ROOT)}

    def write(self, bodies: Any) -> None:
        """Write catalogue and lock for ``bodies`` and let the upstream have them."""
        self.bodies = bodies
        lines = ["format: 1", "entries:"]
        for name, body in bodies.items():
            url = self.upstream.set(f"/{name}", body)
            entry = name.replace(".", "-")
            lines += [
                f"  {entry}:",
                "    kind: file",
                "    groups: [all-of-it]",
                f"    path: mirror_misc/{name}",
            ]
            lines += [f"    url: {url}"]
        self.catalogue.write_text("\n".join(lines) + "\n")
        loaded = catalogue.load(self.catalogue)
        table = {entry.name: LockedEntry(entry.groups, entry.digest) for entry in loaded.entries}
        lockfile.save(self.lock, table, [self._row(name) for name in bodies], [])

    def _row(self, name: str) -> Any:
        body = self.bodies[name]
        return LockedFile(
            path=f"mirror_misc/{name}",
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            sha512=hashlib.sha512(body).hexdigest(),
            entries=(name.replace(".", "-"),),
            source={"kind": "url", "url": f"{self.upstream.base}/{name}"},
        )

    def words(self, task: Any, *words: Any) -> Any:
        files = ["--catalogue", self.catalogue] if task in ("build", "lock") else []
        root = ["--root", self.root] if task != "lock" else []
        lock = ["--lock", self.lock] if task not in ("releases", "rollback", "gc", "publish") else []
        return [
            sys.executable,
            "-m",
            "core.program",
            f"mirror.{task}",
            *files,
            *lock,
            *root,
            *words,
        ]

    def command(self, task: Any, *words: Any, timeout: Any = 120) -> Any:
        done = subprocess.run(
            list(map(str, self.words(task, *words))), cwd=ROOT, env=self.environment, capture_output=True,
            text=True, timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, script: Any) -> Any:
        """Start Python with ``script``, which is given the words of a build as arguments."""
        words = [sys.executable, "-c", script, *map(str, self.words("build")[3:])]
        return subprocess.Popen(
            words,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def store_path(self, name: str) -> Any:
        digest = hashlib.sha256(self.bodies[name]).hexdigest()
        return self.root / "store" / "sha256" / digest[:2] / digest

    def cache_path(self, name: str) -> Any:
        digest = hashlib.sha256(self.bodies[name]).hexdigest()
        return self.folder / "cache" / "flink-on-pnda" / "sha256" / digest[:2] / digest

    def current(self) -> Any:
        """The release that readers see now, or None."""
        link = self.root / "current"
        return link.resolve() if link.is_symlink() else None

    def assert_whole(self) -> None:
        """What readers see holds every file with the right bytes."""
        assert self.current() is not None
        for name, body in self.bodies.items():
            assert (self.current() / "mirror_misc" / name).read_bytes() == body

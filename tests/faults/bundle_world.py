"""A sender and a receiver of bundles: real roots, a real key, the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror.bundle_format import Manifest, head, head_size
from mirror.bundle_read import opened
from mirror.signing import Signer as LoadedSigner
from tests.faults.mirror_world import ROOT, World
from tests.unit.mirror.pgp_world import Signer

VERIFIER = ROOT / "programs" / "mirror" / "verify-bundle"


@dataclass
class Sneaker:
    """``world`` sends, ``other`` is the receiver's root; the key files are the sender's."""

    world: World
    signer: Signer

    def __post_init__(self) -> None:
        self.key.write_text(self.signer.secret())
        self.key.chmod(0o600)
        self.trust.write_text(self.signer.public())

    @property
    def key(self) -> Path:
        return self.world.folder / "secret.asc"

    @property
    def trust(self) -> Path:
        return self.world.folder / "trusted.asc"

    @property
    def other(self) -> Path:
        return self.world.folder / "other"

    @property
    def bundle(self) -> Path:
        return self.world.folder / "medium" / "release.bundle"

    def words(self, task: str, *words: Any) -> list[str]:
        return [sys.executable, "-m", "core.program", f"mirror.{task}", *map(str, words)]

    def run(self, task: str, *words: Any, code: int = 0, **options: Any) -> Any:
        """Run a task as a user would; return its document, or what it says when it fails with ``code``."""
        done = subprocess.run(
            self.words(task, *words, "--json"), cwd=ROOT, env=self.world.environment, capture_output=True,
            text=True, timeout=120, stdin=subprocess.DEVNULL, check=False, **options,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stderr)
        return done.stderr if code else json.loads(done.stdout)

    def build(self, bodies: dict[str, bytes], *words: Any) -> None:
        self.world.write(bodies)
        done = self.world.command("build", "--allow-shrink", *words)
        assert done.returncode == 0, done.stderr

    def export(self, *words: Any, code: int = 0, **options: Any) -> Any:
        into = () if "--into" in words else ("--into", self.bundle)
        return self.run(
            "export", "--root", self.world.root, "--sign-key", self.key, *into, *words, code=code, **options
        )

    def take(self, *words: Any, code: int = 0, **options: Any) -> Any:
        bundle = () if words and not str(words[0]).startswith("--") else (self.bundle,)
        return self.run(
            "import", *bundle, *words, "--root", self.other, "--trust", self.trust, code=code, **options
        )

    def verify(self, *words: Any, code: int = 0) -> Any:
        files = words or (self.bundle,)
        done = subprocess.run(
            [sys.executable, VERIFIER, *map(str, files), self.trust, "--json"], capture_output=True,
            text=True, timeout=60, env={"PATH": os.environ["PATH"]}, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stderr)
        return done.stderr if code else json.loads(done.stdout)

    def refused(self, word: str) -> None:
        """Both the importer and the one-file verifier refuse the bundle, naming ``word``."""
        assert word in self.verify(code=1)
        assert word in self.take(code=1)

    def record(self, root: Path) -> Any:
        return json.loads((root / "current" / "release.json").read_text())

    def layout(self) -> tuple[Manifest, int]:
        """The list of the bundle, and where its body starts."""
        with opened(self.bundle) as found:
            envelope = found.envelope()
            return found.manifest(envelope), head_size(len(envelope.raw))

    def sign(self, manifest: Manifest) -> bytes:
        """A head over another list, signed by the sender's key: what only a sender could forge."""
        raw = manifest.dumps()
        return head(raw, LoadedSigner(self.signer.secret().encode(), "key").detached(raw))

    def assert_received(self) -> None:
        """The receiver's published release is the sender's, byte for byte, and audits clean."""
        theirs, ours = self.world.root / "current", self.other / "current"
        names = {path.relative_to(theirs.resolve()) for path in theirs.resolve().rglob("*") if path.is_file()}
        assert names == {
            path.relative_to(ours.resolve()) for path in ours.resolve().rglob("*") if path.is_file()
        }
        assert all((theirs / name).read_bytes() == (ours / name).read_bytes() for name in names)
        audited = self.run("audit", "--root", self.other, "--lock", self.world.lock)
        assert audited["clean"] is True

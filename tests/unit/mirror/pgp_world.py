"""Keys and signatures made by a real gpg, for tests only."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from core import debian

DAY = 86400
NOW = 1_750_000_000  # when keys are made, unless a test says otherwise: June 2025


class Signer:
    """A person with one key. Use as a context manager."""

    def __init__(
        self,
        name: str,
        expire: str = "never",
        made: int = NOW,
        kind: str = "ed25519",
        passphrase: str = "",
        usage: str = "sign",
    ) -> None:
        self.name, self.expire, self.made, self.kind = name, expire, made, kind
        self.passphrase, self.usage = passphrase, usage

    def __enter__(self) -> Signer:
        debian.require(("gpg", "gpg-agent"), "the tests of signatures need")
        self._folder = tempfile.TemporaryDirectory(prefix="gpg-test-")
        self.gpg("--quick-generate-key", f"{self.name} <{self.name}@example.org>", self.kind, self.usage,
                 self.expire, at=self.made)  # fmt: skip
        lines = self.gpg("--with-colons", "--list-keys").decode().splitlines()
        self.fingerprint = next(line.split(":")[9] for line in lines if line.startswith("fpr"))
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["gpgconf", "--homedir", self._folder.name, "--kill", "all"], check=True)
        self._folder.cleanup()

    def gpg(self, *words: str, at: int = 0, data: bytes | None = None) -> bytes:
        when = ["--faked-system-time", str(at)] if at else []
        done = subprocess.run(
            ["gpg", "--homedir", self._folder.name, "--no-options", "--batch", "--yes",
             "--passphrase", self.passphrase, "--pinentry-mode", "loopback", *when, *words],
            input=data, stdin=None if data is not None else subprocess.DEVNULL, capture_output=True,
            timeout=60, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def sign(self, data: bytes, at: int = NOW + DAY, digest: str = "SHA512") -> str:
        """Return an armoured detached signature over ``data``."""
        words = ("--armor", "--digest-algo", digest, "--allow-weak-digest-algos", "--output", "-")
        return self.gpg(*words, "--detach-sign", at=at, data=data).decode()

    def public(self) -> str:
        return self.gpg("--armor", "--export", self.fingerprint).decode()

    def secret(self) -> str:
        return self.gpg("--armor", "--export-secret-keys", self.fingerprint).decode()

    def revoke(self) -> None:
        """Import the revocation that gpg made with the key."""
        (path,) = Path(self._folder.name, "openpgp-revocs.d").glob("*.rev")
        self.gpg("--import", data=path.read_text().replace(":-----BEGIN", "-----BEGIN").encode())

    def extend(self, expire: str, at: int) -> None:
        self.gpg("--quick-set-expire", self.fingerprint, expire, at=at)

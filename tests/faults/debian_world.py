"""A small Debian repository on a loopback upstream, with packages and signatures made by the real tools."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from mirror import catalogue, lockfile
from mirror.lockfile import LockedEntry
from tests.faults.mirror_world import World

CATALOGUE = """\
format: 1
entries:
  tools:
    kind: deb
    groups: [all-of-it]
    suite: stable
    origin: Test
    base: [libbase]
    packages: [app]
"""


@dataclass
class DebianWorld(World):
    """A World whose catalogue brings Debian packages; ``signer`` signs what :meth:`publish` makes."""

    signer: Any = None
    packages: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # path: (paragraph, bytes)

    @property
    def environment(self) -> Any:
        return {**super().environment, "APT_CONFIG": str(self.folder / "apt.conf")}

    def set_up(self, text: str = CATALOGUE, options: str = "") -> None:
        """Write catalogue, lock and apt's configuration (``options`` go into the source's brackets)."""
        self.write_catalogue(text)
        key = self.folder / "archive.asc"
        key.write_text(self.signer.public())
        source = self.folder / "machine.list"
        source.write_text(f"deb [signed-by={key} {options}] {self.upstream.base}/debian stable main\n")
        (self.folder / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{source}";\nDir::Etc::sourceparts "/dev/null";\n'
            'Acquire::http::Proxy::127.0.0.1 "DIRECT";\nAcquire::Retries "0";\n'
            # The key lies in a test's folder, which only its owner can read.
            'APT::Sandbox::User "root";\n'
        )

    def write_catalogue(self, text: str) -> None:
        self.catalogue.write_text(text)
        loaded = catalogue.load(self.catalogue)
        table = {entry.name: LockedEntry(entry.groups, entry.digest) for entry in loaded.entries}
        lockfile.save(self.lock, table, [], [])

    def add(self, name: str, version: str = "1.0", depends: str = "", extra: str = "") -> str:
        """Make a package and let the index have it; return its path below the repository."""
        tree = self.folder / "tree" / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        documents = tree / "usr" / "share" / "doc" / name
        documents.mkdir(parents=True)
        (documents / "copyright").write_text("See /usr/share/common-licenses/Apache-2.0\n")
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <n@example.org>\n"
        )
        control += f"Depends: {depends}\n" * bool(depends) + f"Description: {name}\n for tests\n"
        (tree / "DEBIAN" / "control").write_text(control)
        made = self.folder / f"{name}_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True,
            timeout=60, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        )  # fmt: skip
        body = made.read_bytes()
        path = f"pool/main/{name}/{made.name}"
        digest = hashlib.sha256(body).hexdigest()
        self.packages[path] = (
            f"{control}Filename: {path}\nSize: {len(body)}\nSHA256: {digest}\n{extra}",
            body,
        )
        return path

    def publish(self, valid: Any = None, signed: Any = True, edit: Any = lambda text: text) -> None:
        """Publish index and packages. ``valid``: how long; ``signed``: by whom (True: the signer)."""
        index = edit("\n".join(text for text, _ in self.packages.values())).encode()
        now = datetime.now(UTC)
        lines = [
            "Origin: Test", "Label: Test", "Suite: stable", "Codename: stable", "Components: main",
            "Architectures: amd64 all", f"Date: {format_datetime(now - timedelta(hours=1))}",
        ]  # fmt: skip
        if valid is not None:
            lines.append(f"Valid-Until: {format_datetime(now + valid)}")
        lines += [
            "SHA256:",
            f" {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages",
            "",
        ]
        release = "\n".join(lines).encode()
        suite = "/debian/dists/stable"
        self.upstream.set(f"{suite}/main/binary-amd64/Packages", index)
        self.upstream.set(f"{suite}/Release", release)
        if signed:
            by = self.signer if signed is True else signed
            self.upstream.set(f"{suite}/InRelease", by.gpg("--clearsign", "--output", "-", data=release))
        for path, (_, body) in self.packages.items():
            self.upstream.set(f"/debian/{path}", body)

    def released(self) -> set[str]:
        """Return the names of the packages in the published release."""
        assert self.current() is not None
        return {path.name for path in (self.current() / "mirror_deb" / "pool" / "stable").iterdir()}


def apt_client(folder: Path, uri: str, key: bytes) -> Any:
    """Return a function that runs apt where ``uri`` is the only source and nothing is installed."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "site.asc").write_bytes(key)
    (folder / "ours.sources").write_text(
        f"Types: deb\nURIs: {uri}\nSuites: stable\nComponents: main\nSigned-By: {folder}/site.asc\n"
    )
    (folder / "apt.conf").write_text(
        f'Dir::State "{folder}";\nDir::State::lists "{folder}/lists";\n'
        f'Dir::State::status "{folder}/status";\n'
        f'Dir::Cache "{folder}/cache";\nDir::Etc::sourcelist "{folder}/ours.sources";\n'
        'Dir::Etc::sourceparts "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\nDir::Log "/dev/null";\n'
        "#clear APT::Update;\n#clear DPkg::Post-Invoke;\n"
        'APT::Architecture "amd64";\n#clear APT::Architectures;\nAPT::Architectures { "amd64"; };\n'
        'APT::Update::Error-Mode "any";\nAPT::Sandbox::User "root";\nAcquire::Languages "none";\n'
        'Acquire::http::Proxy "DIRECT";\n'
    )

    def apt(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["apt-get", "-c", folder / "apt.conf", "-q", *words], capture_output=True, text=True, timeout=120,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip

    return apt

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror import catalogue, lockfile, maven_settings
from mirror.locations import Location
from mirror.lockfile import LockedEntry, LockedFile
from mirror.maven_settings import Repository
from mirror.outdated import Age, final_versions, outdated
from tests.faults.upstream import Upstream, file

CATALOGUE = """\
format: 1
targets:
  here: {python: "3.11", machine: x86_64, glibc: "2.36"}
entries:
  archive:
    kind: file
    groups: [misc]
    path: x.tgz
    url: http://127.0.0.1:1/x.tgz
  jars:
    kind: maven
    groups: [kafka]
    repository: mirror_maven
    artifacts:
      - {artifact: "g:a", versions: ["1.2.0"]}
  wheels:
    kind: python
    groups: [py]
    requirements: [x==1.0, "y>1"]
    targets: [here]
    into: mirror_python
"""


@pytest.mark.parametrize(
    ("locked", "same_line", "newer"),
    [
        ("1.20.3", False, ["2.10.0", "2.9", "1.21", "1.20.10", "1.20.5"]),
        ("1.20.3", True, ["1.20.10", "1.20.5"]),
        ("2.10.0", False, []),
        ("2.10", False, []),
        ("3.4.0-1.20", False, ["3.10.0-1.20"]),
    ],
)
def test_newer_final_versions(locked: str, same_line: bool, newer: list[str]) -> None:
    listed = [
        "1.20.5", "1.20.10", "1.20.3", "1.21", "2.9", "2.10.0", "2.11.0-rc1", "2.11rc1", "2.11.dev1",
        "3.10.0-1.20", "3.4.0-1.20", "4.0.0-2.0", "5.0-SNAPSHOT", "", "x",
    ]  # fmt: skip
    assert final_versions(listed, locked, same_line) == newer


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Upstream]:
    server = Upstream()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.base}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    repository = Repository("here", Location(f"{server.base}/maven"))
    monkeypatch.setattr(maven_settings, "repositories", lambda: (repository,))
    yield server
    server.close()


def test_what_is_newer_and_there_is_told_and_what_cannot_be_known_too(
    upstream: Upstream, tmp_path: Path
) -> None:
    path = tmp_path / "catalogue.yml"
    path.write_text(CATALOGUE)
    table = {item.name: LockedEntry(item.groups, item.digest) for item in catalogue.load(path).entries}
    digest = hashlib.sha256(b"").hexdigest()
    source = {"kind": "maven", "coordinate": "g:a:jar:1.2.0"}
    row = LockedFile("mirror_maven/a.jar", 0, digest, "0" * 128, ("jars",), source)
    lockfile.save(tmp_path / "catalogue.lock", table, [row], [])
    versions = "".join(f"<version>{version}</version>" for version in ("1.2.0", "1.3.0", "1.4.0"))
    metadata = f"<metadata><versioning><versions>{versions}</versions></versioning></metadata>"
    upstream.set("/maven/g/a/maven-metadata.xml", metadata.encode())
    upstream.set("/maven/g/a/1.3.0/a-1.3.0.jar", b"")  # 1.4.0 is listed, and not there
    rows: list[dict[str, object]] = [
        {"filename": name, "url": name, "hashes": {}, "yanked": name.startswith("x-3")}
        for name in ("x-1.0.tar.gz", "x-2.0-py3-none-any.whl", "x-3.0.tar.gz", "x-4.0rc1.tar.gz")
    ]
    page = file(json.dumps({"files": rows}).encode(), {"Content-Type": "application/vnd.pypi.simple.v1+json"})
    upstream.set("/simple/x/", page)
    found = outdated(path, tmp_path / "catalogue.lock")
    assert found == (
        Age("archive", "x.tgz", "", "", "a single address has no list of versions"),
        Age("jars", "g:a", "1.2.0", "1.3.0"),
        Age("wheels", "x", "1.0", "2.0"),
        Age("wheels", "y>1", "", "", "no version is pinned"),
    )
    assert outdated(path, tmp_path / "catalogue.lock", ["kafka"], same_line=True) == (
        Age("jars", "g:a", "1.2.0", ""),
    )

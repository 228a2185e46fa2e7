"""Real clients, with what ``mirror.client-config`` writes and nothing else, over TLS."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from core import bootstrap
from core.process import Finished, run
from mirror import client_config
from mirror.certificates import CertificateRequest, issue
from mirror.client_config import CLIENTS, Site, files
from mirror.contents import contents
from mirror.tls import server_context
from mirror.wheels import empty_wheel
from tests.unit.mirror.pgp_world import Signer
from tests.unit.mirror.served import publish, running
from tests.unit.mirror.test_contents_and_serve import locked, make_lock

ROOT = Path(__file__).resolve().parents[2]
PARENT = """<project><modelVersion>4.0.0</modelVersion><groupId>site</groupId><artifactId>parent</artifactId>
<version>1</version><packaging>pom</packaging></project>
"""
CHILD = """<project><modelVersion>4.0.0</modelVersion>
<parent><groupId>site</groupId><artifactId>parent</artifactId><version>1</version><relativePath/></parent>
<artifactId>child</artifactId><packaging>pom</packaging></project>
"""


@dataclass
class Mirror:
    """A mirror on the wire, and what a client was given."""

    base: str
    root: Path
    given: Path
    requirement: str
    lines: list[str]

    def put(self, path: str, body: bytes) -> None:
        (self.root / "current" / path).write_bytes(body)


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with Signer("site", made=0) as found:
        yield found


@pytest.fixture
def mirror(tmp_path: Path, signer: Signer) -> Iterator[Mirror]:
    issued = issue(CertificateRequest(("127.0.0.1",), tmp_path / "tls"))
    wheel = empty_wheel("some-project", "1", tmp_path)
    item = locked(f"mirror_python/packages/{wheel.name}", wheel.read_bytes(), project="some-project")
    archive = _archive()
    top = locked("flink-1.tar.gz", archive)
    lock = make_lock(tmp_path, [item, top])
    bodies = {item.path: wheel.read_bytes(), top.path: archive}
    tree = {
        path: bodies[path] if content.data is None else content.data
        for path, content in contents(lock, lock.path.read_bytes(), ["one"]).items()
    }
    pom = "mirror_maven/site/parent/1/parent-1.pom"
    tree |= {pom: PARENT.encode(), f"{pom}.sha1": _sha1(PARENT.encode())}
    publish(tmp_path / "root", 1, tree | _apt_repository(tmp_path, signer))
    server = server_context(issued.certificate, issued.key)
    with running(tmp_path / "root", server) as asked:
        base = f"https://127.0.0.1:{asked.server.server_port}"
        given = tmp_path / "given"
        keys = client_config.public_keys(signer.public().encode(), "site.asc")
        site = Site(base, issued.ca.read_bytes(), keys, str(given), "stable", {top.path: top.sha512})
        given.mkdir()
        for name, data in files(site, list(CLIENTS)).items():
            (given / name).write_bytes(data)
        requirement = f"some-project==1+provided --hash=sha256:{item.sha256}\n"
        yield Mirror(base, tmp_path / "root", given, requirement, asked.lines)


def _archive() -> bytes:
    raw = BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        member = tarfile.TarInfo("flink-1/bin/flink")
        member.size = 3
        archive.addfile(member, BytesIO(b"hi\n"))
    return raw.getvalue()


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()


def _apt_repository(folder: Path, signer: Signer) -> dict[str, bytes]:
    control = "Package: hello-pnda\nVersion: 1\nArchitecture: all\nMaintainer: Site <s@example.org>\n"
    control += "Description: says hello\n"
    package = folder / "package"
    (package / "DEBIAN").mkdir(parents=True)
    package.chmod(0o755)
    (package / "DEBIAN").chmod(0o755)
    (package / "DEBIAN" / "control").write_text(control)
    run(["dpkg-deb", "--root-owner-group", "--build", package, folder / "hello.deb"], timeout=60)
    deb = (folder / "hello.deb").read_bytes()
    pool = "pool/stable/hello-pnda_1_all.deb"
    listed = control + f"Filename: {pool}\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
    packages = {"main/binary-amd64/Packages": listed.encode()}
    packages["main/binary-amd64/Packages.gz"] = gzip.compress(listed.encode(), mtime=0)
    sums = "".join(f" {hashlib.sha256(v).hexdigest()} {len(v)} {k}\n" for k, v in packages.items())
    release = f"Suite: stable\nCodename: stable\nDate: {formatdate(usegmt=True)}\nArchitectures: amd64\n"
    release += f"Components: main\nSHA256:\n{sums}"
    signed = signer.gpg("--clearsign", "--digest-algo", "SHA512", "--output", "-", data=release.encode())
    tree = {f"dists/stable/{name}": data for name, data in packages.items()}
    tree |= {pool: deb, "dists/stable/Release": release.encode(), "dists/stable/InRelease": signed}
    return {f"mirror_deb/{path}": data for path, data in tree.items()}


def _clean(**more: Any) -> dict[str, str]:
    """The environment of a client that knows of no other mirror, index, proxy or certificate."""
    gone = ("PIP_", "MAVEN_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "UV_")
    kept = {k: "" for k in os.environ if k.startswith(gone) or "proxy" in k.lower()}
    return {**kept, **{key: str(value) for key, value in more.items()}}


def _commands(mirror: Mirror, client: str) -> list[str]:
    """What README.txt tells to do for a client, line by line."""
    text = (mirror.given / "README.txt").read_text().split(f"\n\n{client}\n")[1]
    return [line.strip() for line in text.split("\n\n")[0].splitlines()]


def _pip(mirror: Mirror, folder: Path, *words: Any) -> Finished:
    # A user's own file and environment name another index and authority, which must not be used.
    (folder / "home" / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    own = "[global]\nextra-index-url = http://127.0.0.1:9/simple/\ntimeout = 2\nretries = 0\n"
    (folder / "home" / ".config" / "pip" / "pip.conf").write_text(own)
    unwanted = ["PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
    environment = [f"HOME={folder}/home", "PATH=/usr/bin:/bin", *(f"{name}=/none" for name in unwanted)]
    venv = folder / "venv"
    if not venv.exists():
        run([bootstrap.system_python(), "-m", "venv", venv], timeout=120)
    *setting, install = _commands(mirror, "pip")
    assert install.startswith("pip install --require-hashes")
    script = "\n".join([*setting, f'exec {venv}/bin/pip "$@"'])
    command = ["env", "-i", *environment, "sh", "-ec", script, "sh", *words]
    return run(command, timeout=120, cwd=folder, check=False)


def test_pip(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(mirror.requirement)
    words = [
        "download",
        "--no-cache-dir",
        "--require-hashes",
        "-d",
        tmp_path / "got",
        "-r",
        "requirements.txt",
    ]
    done = _pip(mirror, tmp_path, *words)
    assert done.code == 0, done.tail()
    assert [path.name for path in (tmp_path / "got").iterdir()] == [
        "some_project-1+provided-py3-none-any.whl"
    ]
    assert "127.0.0.1:9" not in done.stdout + done.stderr
    (tmp_path / "requirements.txt").write_text(f"some-project==1+provided --hash=sha256:{'0' * 64}\n")
    done = _pip(mirror, tmp_path, *words)
    assert done.code != 0
    assert "DO NOT MATCH" in done.stderr


def _maven(mirror: Mirror, folder: Path) -> Finished:
    (folder / "pom.xml").write_text(CHILD)
    setting, build = _commands(mirror, "maven")
    more = f"-B -ntp -Dmaven.repo.local={folder}/repository"
    script = f"{setting}\n{build.removesuffix('package')} {more} validate"
    return run(["sh", "-ec", script], timeout=180, cwd=folder, env=_clean(), check=False)


def test_maven(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    done = _maven(mirror, tmp_path / "project")
    assert done.code == 0, done.tail()
    assert (tmp_path / "project" / "repository" / "site" / "parent" / "1" / "parent-1.pom").exists()


@pytest.mark.parametrize("bad", ["tampered", "no checksum"])
def test_maven_refuses_what_its_checksum_does_not_prove(mirror: Mirror, tmp_path: Path, bad: str) -> None:
    (tmp_path / "project").mkdir()
    pom = "mirror_maven/site/parent/1/parent-1.pom"
    if bad == "tampered":
        mirror.put(pom, PARENT.encode() + b"<!-- -->")
    else:
        (mirror.root / "current" / f"{pom}.sha1").unlink()
    done = _maven(mirror, tmp_path / "project")
    assert done.code != 0
    assert "Checksum validation failed" in done.stdout, done.tail()


def _apt(mirror: Mirror, folder: Path, tool: str, *words: str, ca: bool = True) -> Finished:
    for name in ("sources", "parts", "state/lists/partial", "cache/archives/partial", "trusted"):
        (folder / "apt" / name).mkdir(parents=True, exist_ok=True)
    (folder / "apt" / "status").touch()
    (folder / "apt" / "sources" / "pnda-mirror.sources").write_bytes(
        (mirror.given / "pnda-mirror.sources").read_bytes()
    )
    if ca:
        (folder / "apt" / "parts" / "90pnda-mirror").write_bytes(
            (mirror.given / "90pnda-mirror").read_bytes()
        )
    settings = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": folder / "apt" / "sources",
        "Dir::Etc::Trusted": "/dev/null", "Dir::Etc::TrustedParts": folder / "apt" / "trusted",
        "Dir::State": folder / "apt" / "state", "Dir::State::status": folder / "apt" / "status",
        "Dir::Cache": folder / "apt" / "cache", "APT::Architecture": "amd64", "APT::Sandbox::User": "",
        "APT::Architectures": "amd64", "Acquire::Retries": "0",
    }  # fmt: skip
    (folder / "apt.conf").write_text(
        f'Dir::Etc::Parts "{folder}/apt/parts";\n'
        + "".join(f'{name} "{value}";\n' for name, value in settings.items())
    )
    environment = _clean(APT_CONFIG=folder / "apt.conf", LC_ALL="C")
    return run([tool, "-q", *words], timeout=120, cwd=folder, env=environment, check=False)


def test_apt(mirror: Mirror, tmp_path: Path) -> None:
    done = _apt(mirror, tmp_path, "apt-get", "update", "--error-on=any")
    assert done.code == 0, done.tail()
    assert "/mirror_deb stable InRelease" in done.stdout
    done = _apt(mirror, tmp_path, "apt-get", "download", "hello-pnda")
    assert done.code == 0, done.tail()
    assert (tmp_path / "hello-pnda_1_all.deb").read_bytes() == (tmp_path / "hello.deb").read_bytes()
    again = _apt(mirror, tmp_path, "apt-get", "update", "--error-on=any")
    assert again.stdout.startswith("Hit:"), again.tail()  # it asks with a date, and gets 304


def test_apt_refuses_another_key_and_a_server_it_does_not_know(mirror: Mirror, tmp_path: Path) -> None:
    done = _apt(mirror, tmp_path, "apt-get", "update", "--error-on=any", ca=False)
    assert done.code != 0
    assert "certificate" in done.stderr.lower()
    with Signer("stranger", made=0) as stranger:
        release = (mirror.root / "current" / "mirror_deb/dists/stable/Release").read_bytes()
        forged = stranger.gpg("--clearsign", "--digest-algo", "SHA512", "--output", "-", data=release)
    mirror.put("mirror_deb/dists/stable/InRelease", forged)
    done = _apt(mirror, tmp_path, "apt-get", "update", "--error-on=any")
    assert done.code != 0
    assert "NO_PUBKEY" in done.stderr + done.stdout


def _salt(mirror: Mirror, folder: Path, *words: str) -> Finished:
    tool = bootstrap.ensure("salt") / "bin" / "salt-call"
    (folder / "minion.d").mkdir(exist_ok=True)
    (folder / "minion").write_text(
        f"root_dir: {folder}\nfile_client: local\nfile_roots:\n  base: [{mirror.given}]\nid: test\n"
        f"pki_dir: {folder}/pki\ncachedir: {folder}/cache\nlog_file: {folder}/log\nlog_level_logfile: error\n"
    )
    (folder / "minion.d" / "m.conf").write_bytes((mirror.given / "pnda-mirror.conf").read_bytes())
    command: list[Any] = [tool, "--local", "-c", folder, "--out=json", "--retcode-passthrough", *words]
    return run(command, timeout=180, cwd=folder, env=_clean(), check=False)


def test_salt(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "salt").mkdir()
    name, source = tmp_path / "target", f"{mirror.base}/flink-1.tar.gz"
    words = ["state.single", "archive.extracted", f"name={name}", f"source={source}"]
    done = _salt(mirror, tmp_path / "salt", *words, f"source_hash={source}.sha512.txt")
    assert done.code == 0, done.tail()
    assert (name / "flink-1" / "bin" / "flink").read_text() == "hi\n"
    shown = _salt(mirror, tmp_path / "salt", "state.show_sls", "flink")
    assert f'"source": "{source}"' in shown.stdout, shown.tail()


def test_salt_refuses_other_bytes(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "salt").mkdir()
    mirror.put("flink-1.tar.gz", _archive()[:-8] + b"tampered")
    name, source = tmp_path / "target", f"{mirror.base}/flink-1.tar.gz"
    words = ["state.single", "archive.extracted", f"name={name}", f"source={source}"]
    done = _salt(mirror, tmp_path / "salt", *words, f"source_hash={source}.sha512.txt")
    assert done.code != 0
    assert not name.exists()


def test_curl_and_sha512sum(mirror: Mirror, tmp_path: Path) -> None:
    script = "\n".join(["set -e", *_commands(mirror, "by hand")])
    done = run(["sh", "-c", script], timeout=60, cwd=tmp_path, env=_clean())
    assert done.stdout == "flink-1.tar.gz: OK\n"
    whole = (tmp_path / "flink-1.tar.gz").read_bytes()
    (tmp_path / "flink-1.tar.gz").write_bytes(whole[:50])
    curl: list[Any] = ["curl", "-sf", "--cacert", mirror.given / "ca.pem"]
    run([*curl, "-C", "-", "-O", f"{mirror.base}/flink-1.tar.gz"], timeout=60, cwd=tmp_path, env=_clean())
    assert (tmp_path / "flink-1.tar.gz").read_bytes() == whole
    assert any(" 206 " in line for line in mirror.lines)
    alone = run(["curl", "-s", f"{mirror.base}/"], timeout=60, cwd=tmp_path, env=_clean(), check=False)
    assert alone.code == 60  # the machine's own authorities do not know the site's

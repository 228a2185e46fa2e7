"""Both installers against a mirror with TLS: the site's authority, another one, and certificates gone bad."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.programs import test_install_python, test_install_release
from tests.unit.programs.conftest import Authority, Site, served

ADDRESS = "127.0.0.1"
OTHER = "mirror-2.example.org"


def release(site: Site, base: Path, ca: str) -> subprocess.CompletedProcess[str]:
    case = test_install_release.Case(site, base, test_install_release.archive(test_install_release.GOOD))
    case.release["mirror_ca"] = ca
    return case.run()


def python(site: Site, base: Path, ca: str) -> subprocess.CompletedProcess[str]:
    return test_install_python.Case(site, base).run(ca=ca)


INSTALLERS = pytest.mark.parametrize("install", [release, python])
Install = Callable[[Site, Path, str], subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "site"
    made.mkdir()
    return made


@INSTALLERS
def test_the_sites_authority_is_believed(
    install: Install, authority: Authority, root: Path, tmp_path: Path
) -> None:
    with served(authority.site(root, ADDRESS)) as site:
        done = install(site, tmp_path, str(authority.pem))
    assert done.returncode == 0, done.stderr
    assert "installed" in done.stdout


@INSTALLERS
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("another authority", "unable to get local issuer certificate"),
        ("no authority", "unable to get local issuer certificate"),
        ("ended", "certificate has expired"),
        ("another name", "certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_is_not_to_be_believed_stops_it(
    install: Install, case: str, said: str, authority: Authority, root: Path, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other.pem")
    believed = {"another authority": str(other.pem), "no authority": ""}.get(case, str(authority.pem))
    made = authority.site(root, OTHER if case == "another name" else ADDRESS, ended=case == "ended")
    with served(made) as site:
        done = install(site, tmp_path, believed)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert site.asked == []
    assert [path.name for path in (tmp_path / "opt").iterdir()] == []


def test_the_refusal_says_who_was_asked_and_tries_once(
    authority: Authority, root: Path, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other.pem")
    with served(authority.site(root, ADDRESS)) as site:
        done = release(site, tmp_path, str(other.pem))
    assert "flink-1.20.5.tar.gz: the certificate of https://127.0.0.1:" in done.stderr
    assert f"refused by the authority in {other.pem}" in done.stderr


@INSTALLERS
@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_an_authority_that_cannot_be_read_is_named(
    install: Install, content: Any, authority: Authority, root: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pem"
    if content is not None:
        broken.write_text(content)
    with served(authority.site(root, ADDRESS)) as site:
        done = install(site, tmp_path, str(broken))
    assert done.returncode == 1
    assert str(broken) in done.stderr
    assert [path.name for path in (tmp_path / "opt").iterdir()] == []

"""The mirror's web server on its node: a crowd, TLS by the site's authority, and a bad configuration."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from core.process import run
from lab import network
from lab.containers import execute
from lab.model import CHECKOUT
from provision.apply import ApplyError
from tests.lab.conftest import UpLab
from tests.lab.test_bad_cases import ENGINES, roll_out

CROWD = 500
PATHS = ("/SHA512SUMS", "/mirror_deb/dists/bookworm/main/binary-amd64/Packages.gz")


def address(up_lab: UpLab) -> str:
    return network.addresses(up_lab.lab)["mirror-1"]


def digest(up_lab: UpLab, path: str) -> str:
    return hashlib.sha256((up_lab.lab.mirror_root / "current" / path[1:]).read_bytes()).hexdigest()


def process(up_lab: UpLab) -> str:
    return execute(up_lab.lab, "mirror-1", "systemctl", "show", "-p", "MainPID", "pnda-mirror.service")


def test_five_hundred_clients_at_once(ansible_lab: UpLab) -> None:
    words = [
        sys.executable,
        "-m",
        "tests.faults.crowd",
        f"http://{address(ansible_lab)}:80",
        "-",
        str(CROWD),
        *PATHS,
    ]
    came = json.loads(run(words, timeout=120, cwd=CHECKOUT).stdout)
    assert came["errors"] == {}
    assert came["found"] == {f"{path} {digest(ansible_lab, path)}": CROWD // len(PATHS) for path in PATHS}


def test_tls_is_believed_by_the_sites_authority_alone(ansible_lab: UpLab) -> None:
    curl = ["curl", "--silent", "--show-error", "--fail", "--resolve", f"mirror-1:443:{address(ansible_lab)}"]
    url = "https://mirror-1/release.json"
    found = run([*curl, "--cacert", ansible_lab.lab.site / "tls" / "ca.pem", url], timeout=30)
    assert found.stdout == (ansible_lab.lab.mirror_root / "current" / "release.json").read_text()
    refused = run([*curl, url], timeout=30, check=False)
    assert (refused.code, "certificate" in refused.stderr) == (60, True)


@contextmanager
def added(up_lab: UpLab, text: str) -> Iterator[None]:
    """Have a site's own locations say ``text``."""
    path = "/etc/pnda-mirror/conf.d/site.conf"
    execute(up_lab.lab, "mirror-1", "sh", "-ec", f"cat >{path}", stdin=text)
    try:
        yield
    finally:
        execute(up_lab.lab, "mirror-1", "rm", path)


@ENGINES
def test_a_bad_configuration_is_named_and_what_runs_goes_on(ansible_lab: UpLab, engine: str) -> None:
    before = process(ansible_lab)
    with added(ansible_lab, "location / { no_such_word on; }\n"), pytest.raises(ApplyError) as caught:
        roll_out(ansible_lab, engine)
    assert "mirror-1" in caught.value.message
    assert 'unknown directive "no_such_word"' in caught.value.message
    assert process(ansible_lab) == before
    assert roll_out(ansible_lab, engine)["mirror-1"] == 0
    assert process(ansible_lab) == before

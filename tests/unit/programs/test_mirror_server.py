"""The programs of the mirror's server that need no machine of their own; the others run in the lab."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from provision.manifest import MIRROR_SERVER

PROGRAMS = MIRROR_SERVER.programs


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "releases" / "1").mkdir(parents=True)
    (tmp_path / "releases" / "1" / "release.json").write_text('{"serial": 1}\n')
    (tmp_path / "current").symlink_to("releases/1")
    return tmp_path


@pytest.fixture
def port(root: Path) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(root / "current"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def ready(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(PROGRAMS / "server-ready"), "--seconds=1", *words]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_the_server_is_ready_when_it_serves_the_published_release(root: Path, port: int) -> None:
    assert ready(f"--root={root}", f"--http={port}").returncode == 0


def test_another_release_is_named(root: Path, port: int, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "current").mkdir(parents=True)
    (other / "current" / "release.json").write_text('{"serial": 2}\n')
    done = ready(f"--root={other}", f"--http={port}")
    assert done.returncode == 1
    assert f"port {port}: it serves another release" in done.stderr


def test_a_port_where_nobody_listens_is_named(root: Path) -> None:
    done = ready(f"--root={root}", "--https=1")
    assert done.returncode == 1
    assert "port 1: " in done.stderr
    assert "journalctl" in done.stderr


def test_plain_http_on_the_tls_port_is_not_ready(root: Path, port: int) -> None:
    assert ready(f"--root={root}", f"--https={port}").returncode == 1


def test_nothing_published(tmp_path: Path) -> None:
    done = ready(f"--root={tmp_path}")
    assert done.returncode == 1
    assert "mirror.build" in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--there"], 2),
        (["key", "repository"], 2),
        (["--there", "dpkg", "coreutils"], 0),
        (["--there", "dpkg", "no-such-package-here"], 1),
        (["no-key", "/no/repository", "dpkg"], 0),
    ],
)
def test_what_is_there_is_left_as_it_is(words: list[str], code: int) -> None:
    done = subprocess.run(
        [str(PROGRAMS / "install-packages"), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == ""


def test_a_release_without_packages_is_named(tmp_path: Path) -> None:
    words = [str(PROGRAMS / "install-packages"), "key", str(tmp_path), "no-such-package-here"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "holds no packages" in done.stderr
    (suite := tmp_path / "dists" / "bookworm").mkdir(parents=True)
    (suite / "Release").touch()
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "is not signed" in done.stderr) == (1, True)

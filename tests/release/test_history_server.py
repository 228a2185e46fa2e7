"""Real history servers: what they read, when they are ready, and what is said when they are not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import pytest

from mirror import lockfile
from mirror.certificates import CertificateRequest, issue
from provision.flink_archive import require_java, unpacked
from provision.history_server import TLS
from tests.release.conftest import ROOT, Built
from tests.release.history_world import Server

OLD, NEW = "1.20.5", "2.3.0"


def _wanted(path: PurePosixPath) -> bool:
    return path.parts[0] in ("bin", "conf", "lib") and "table" not in path.name


@pytest.fixture(scope="module")
def homes(built: Built) -> Iterator[dict[str, Path]]:
    lock = lockfile.load(ROOT / "mirror" / "catalogue.lock")
    require_java()
    with ExitStack() as stack:
        found = {}
        for version in (OLD, NEW):
            home = stack.enter_context(unpacked(built.root, lock, version, _wanted))
            home.parent.chmod(0o755)
            for path in (home / "bin").iterdir():
                path.chmod(0o755)
            found[version] = home
        yield found


def server(homes: dict[str, Path], version: str, archives: object, folder: Path, **more: object) -> Server:
    return Server(homes[version], version, f"file://{archives}", folder, **more)  # type: ignore[arg-type]


def test_a_port_that_is_taken(homes: dict[str, Path], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with server(homes, OLD, tmp_path, tmp_path / "server", port=port) as made:
            done = made.ready()
            assert done.returncode == 1
            assert f"port {port} is taken by process" in done.stderr


def test_an_archive_folder_that_is_missing(homes: dict[str, Path], tmp_path: Path) -> None:
    with server(homes, NEW, tmp_path / "none", tmp_path / "server") as made:
        done = made.ready()
        assert done.returncode == 1
        assert f"{tmp_path}/none: there is no such folder" in done.stderr


def test_a_java_home_that_is_none(homes: dict[str, Path], tmp_path: Path) -> None:
    with server(homes, OLD, tmp_path, tmp_path / "server", java_home=tmp_path / "none") as made:
        done = made.ready()
        assert done.returncode == 1
        assert "none/bin/java: there is no such program" in done.stderr


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_file_system_without_its_jars(homes: dict[str, Path], tmp_path: Path, version: str) -> None:
    folder = tmp_path / "server"
    with Server(homes[version], version, "hdfs://namenode/archives", folder) as made:
        done = made.ready()
        assert done.returncode == 1
        assert "the process ended 1 time(s)" in done.stderr
        assert "file system implementation for scheme 'hdfs'" in done.stderr


@pytest.mark.parametrize("version", [OLD, NEW])
def test_tls_from_the_sites_own_files(homes: dict[str, Path], tmp_path: Path, version: str) -> None:
    issued = issue(CertificateRequest(("manager-1",), tmp_path / "site"))
    tls = {
        "certificate": str(issued.certificate),
        "certificate_key": str(issued.key),
        "ca": str(issued.ca),
        "name": "manager-1",
    }
    archives = tmp_path / "archives"
    archives.mkdir()
    folder = tmp_path / "server"
    made = Server(
        homes[version], version, f"file://{archives}", folder, options=TLS, tls=tls, settings={"tls": tls}
    )
    with made:
        done = made.ready()
        assert done.returncode == 0, done.stderr
        context = ssl.create_default_context(cafile=issued.ca)
        context.check_hostname = False
        assert made.get("/config", context)["flink-version"] == version
        # A client of plain HTTP is told so by a broken connection, not by silence.
        with pytest.raises(OSError, match=r"reset|closed|disconnected|BadStatusLine"):
            made.get("/config")
        wrong = made.ready_as({**tls, "name": "manager-2"})
        assert wrong.returncode == 1
        assert "not to be trusted as manager-2" in wrong.stderr
        password = made.password()
        for text in (made.command_line(), *(path.read_text() for path in (folder / "log").glob("*"))):
            assert password not in text
        assert not [path for path in (folder / "conf").iterdir() if password in path.read_text()]

"""Real history servers: what they read, when they are ready, and what is said when they are not."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from mirror import lockfile
from mirror.certificates import CertificateRequest, issue
from provision.flink_archive import require_java, unpacked
from provision.history_server import TLS
from tests.release.conftest import ROOT, Built
from tests.release.history_world import Server, run_job

OLD, NEW = "1.20.5", "2.3.0"
NOBODY = 65534


@dataclass(frozen=True)
class Flink:
    """Both lines unpacked, and the archives of a real job of each: 1.20's as ``old``, 2.3's as ``new``."""

    homes: dict[str, Path]
    archives: Path
    old: str
    new: str


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


@pytest.fixture(scope="module")
def flink(homes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Flink:
    archives = tmp_path_factory.mktemp("archives")
    for version, home in homes.items():
        run_job(home, version, archives, tmp_path_factory.mktemp(f"job-{version}"))
    (old,) = [path.name for path in archives.iterdir() if path.is_file()]
    (new,) = [path.name for path in archives.glob("*/applications/*/jobs/*")]
    return Flink(homes, archives, old, new)


def many(flink: Flink, folder: Path, count: int) -> Path:
    """Write ``count`` archives of 1.20 into ``folder``: the real one under other names."""
    folder.mkdir()
    text = (flink.archives / flink.old).read_text()
    for number in range(count):
        name = f"{number:032x}"
        (folder / name).write_text(text.replace(flink.old, name))
    return folder


def server(flink: Flink, version: str, archives: object, folder: Path, **more: object) -> Server:
    return Server(flink.homes[version], version, f"file://{archives}", folder, **more)  # type: ignore[arg-type]


def test_the_newer_line_reads_the_archives_of_both(flink: Flink, tmp_path: Path) -> None:
    with server(flink, NEW, flink.archives, tmp_path / "new") as made:
        done = made.ready()
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["comment"].endswith(", 2 jobs")
        assert made.jobs(2) == {flink.old, flink.new}
        for job in (flink.old, flink.new):
            assert made.get(f"/jobs/{job}")["state"] == "FINISHED"


def test_the_older_line_does_not_read_the_newer_ones(flink: Flink, tmp_path: Path) -> None:
    """So that a history server never goes back to an older line."""
    with server(flink, OLD, flink.archives, tmp_path / "old") as made:
        assert made.ready().returncode == 0
        assert made.jobs(1) == {flink.old}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_it_is_ready_when_it_has_read_all_of_many_archives(
    flink: Flink, tmp_path: Path, version: str
) -> None:
    archives = many(flink, tmp_path / "archives", 1500)
    with server(flink, version, archives, tmp_path / "server") as made:
        answers = made.ready("--answers")
        assert answers.returncode == 0, answers.stderr
        done = made.ready()
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["comment"].endswith(", 1500 jobs")


def test_of_two_servers_the_first_alone_deletes(flink: Flink, tmp_path: Path) -> None:
    """As the facts of two hosts say: both show the same, each with pages of its own."""
    archives = many(flink, tmp_path / "archives", 4)
    second = server(
        flink, NEW, archives, tmp_path / "second", options={"historyserver.archive.retained-jobs": "-1"}
    )
    with second:
        assert second.ready().returncode == 0
        assert len(second.jobs(4)) == 4
        kept = {"historyserver.archive.retained-jobs": "2"}
        with server(flink, NEW, archives, tmp_path / "first", options=kept) as first:
            assert first.ready().returncode == 0
            both = first.jobs(2)
            assert {path.name for path in archives.iterdir()} == both
            assert second.jobs(2) == both
            log = "".join(path.read_text() for path in (tmp_path / "second" / "log").glob("*.log"))
            assert " ERROR " not in log


def test_a_port_that_is_taken(flink: Flink, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with server(flink, OLD, flink.archives, tmp_path / "server", port=port) as made:
            done = made.ready()
            assert done.returncode == 1
            assert f"port {port} is taken by process" in done.stderr


def test_an_archive_folder_that_is_missing(flink: Flink, tmp_path: Path) -> None:
    with server(flink, NEW, tmp_path / "none", tmp_path / "server") as made:
        done = made.ready()
        assert done.returncode == 1
        assert f"{tmp_path}/none: there is no such folder" in done.stderr


def test_an_archive_folder_that_its_user_cannot_read(flink: Flink, tmp_path: Path) -> None:
    """Upstream says nothing: the list is empty for ever."""
    archives = tmp_path / "archives"
    shutil.copytree(flink.archives, archives)
    archives.chmod(0o700)
    for path in (tmp_path, *list(tmp_path.parents)[:-2]):
        path.chmod(path.stat().st_mode | 0o055)
    with server(flink, OLD, archives, tmp_path / "server", user=NOBODY) as made:
        done = made.ready()
        assert done.returncode == 1
        assert f"{archives}: the user nobody cannot read it" in done.stderr
        archives.chmod(0o755)
        again = made.ready()
        assert again.returncode == 0, again.stderr
        assert made.jobs(1) == {flink.old}


def test_a_java_home_that_is_none(flink: Flink, tmp_path: Path) -> None:
    with server(flink, OLD, flink.archives, tmp_path / "server", java_home=tmp_path / "none") as made:
        done = made.ready()
        assert done.returncode == 1
        assert "none/bin/java: there is no such program" in done.stderr


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_file_system_without_its_jars(flink: Flink, tmp_path: Path, version: str) -> None:
    folder = tmp_path / "server"
    with Server(flink.homes[version], version, "hdfs://namenode/archives", folder) as made:
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

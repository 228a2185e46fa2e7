"""Real history servers: what they read, when they are ready, and what is said when they are not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from mirror import lockfile
from mirror.certificates import CertificateRequest, issue
from provision.flink_archive import require_java, unpacked
from provision.history_server import TLS
from tests.release.conftest import ROOT, Built
from tests.release.history_world import Server, until
from tests.release.session import session

OLD, NEW = "1.20.5", "2.3.0"
NOBODY = 65534
_JOB = "examples/streaming/WordCount.jar"


@dataclass(frozen=True)
class Archives:
    """A folder with the archive of a real job of each line: 1.20's is ``old``, 2.3's ``new``."""

    folder: Path
    old: str
    new: str

    def copies(self, folder: Path, count: int) -> list[str]:
        """Write ``count`` archives of 1.20 into ``folder``, the real one under other names; return these."""
        folder.mkdir(exist_ok=True)
        names = [f"{number:032x}" for number in range(count)]
        for age, name in enumerate(names):
            (folder / name).write_text(self.text(name))
            os.utime(folder / name, (1_700_000_000 + age, 1_700_000_000 + age))
        return names

    def text(self, name: str) -> str:
        """Return the archive of 1.20 as that of a job ``name``."""
        return (self.folder / self.old).read_text().replace(self.old, name)


def _wanted(path: PurePosixPath) -> bool:
    return str(path) == _JOB or (path.parts[0] in ("bin", "conf", "lib") and "table" not in path.name)


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
def archives(homes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Archives:
    folder = tmp_path_factory.mktemp("archives")

    def run_job(version: str) -> None:
        files, home = tmp_path_factory.mktemp(f"session-{version}"), homes[version]
        with session(home, version, files, folder) as cluster:
            words: list[str | Path] = [home / "bin" / "flink", "run", home / _JOB]
            subprocess.run(words, env=cluster.environment, check=True, timeout=600)

    with ThreadPoolExecutor() as pool:
        list(pool.map(run_job, (OLD, NEW)))
    (old,) = [path.name for path in folder.iterdir() if path.is_file()]
    (new,) = [path.name for path in folder.glob("*/applications/*/jobs/*")]
    return Archives(folder, old, new)


def server(homes: dict[str, Path], version: str, archives: object, folder: Path, **more: object) -> Server:
    return Server(homes[version], version, f"file://{archives}", folder, **more)  # type: ignore[arg-type]


def whole(made: Server, job: str) -> bool:
    """Tell whether ``made`` has all pages of ``job``: not one of them without the others."""
    answers = []
    for page in ("", "/config", "/plan", "/exceptions", "/checkpoints"):
        try:
            made.get(f"/jobs/{job}{page}")
            answers.append(True)
        except urllib.error.HTTPError:
            answers.append(False)
    assert len(set(answers)) == 1, f"{job}: {answers}"
    return answers[0]


def logged(made: Server) -> str:
    return "".join(path.read_text() for path in (made.folder / "log").glob("*.log"))


def test_the_newer_line_shows_the_jobs_of_both_and_what_is_damaged_hides_none(
    homes: dict[str, Path], archives: Archives, tmp_path: Path
) -> None:
    folder = tmp_path / "archives"
    shutil.copytree(archives.folder, folder)
    late = "a" * 32
    half = archives.text(late)
    half = half[: len(half) // 2]
    damaged = {late: half, "b" * 32: "", "c" * 32: "\0\1\2", "d" * 32: "[]", "notes.txt": "not an archive"}
    for name, text in damaged.items():
        (folder / name).write_text(text)
    with server(homes, NEW, folder, tmp_path / "server") as made:
        done = made.ready()
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["comment"].endswith(", 2 jobs")
        assert made.jobs(2) == {archives.old, archives.new}
        for job in (archives.old, archives.new):
            assert made.get(f"/jobs/{job}")["state"] == "FINISHED"
        assert not whole(made, late)
        (folder / late).write_text(archives.text(late))  # it was still being written
        assert made.jobs(3) == {archives.old, archives.new, late}
        assert whole(made, late)


def test_the_older_line_does_not_show_the_newer_ones(
    homes: dict[str, Path], archives: Archives, tmp_path: Path
) -> None:
    """So that a history server never goes back to an older line."""
    with server(homes, OLD, archives.folder, tmp_path / "server") as made:
        assert made.ready().returncode == 0
        assert made.jobs(1) == {archives.old}


def test_of_two_servers_the_first_alone_deletes(
    homes: dict[str, Path], archives: Archives, tmp_path: Path
) -> None:
    """As the facts of two hosts say: both show the same, each with pages of its own."""
    folder = tmp_path / "archives"
    names = archives.copies(folder, 6)
    limits = [{"historyserver.archive.retained-jobs": kept} for kept in ("2", "-1")]
    second = server(homes, NEW, folder, tmp_path / "second", options=limits[1])
    first = server(homes, NEW, folder, tmp_path / "first", options=limits[0])
    with second:
        assert second.ready().returncode == 0
        assert second.jobs(6) == set(names)
        with first:
            assert first.ready().returncode == 0
            assert first.jobs(2) == set(names[-2:])  # the youngest
            assert {path.name for path in folder.iterdir()} == set(names[-2:])
            assert second.jobs(2) == set(names[-2:])
            for made in (first, second):
                assert [name for name in names if whole(made, name)] == names[-2:]
                assert " ERROR " not in logged(made)
                before = made.pid
                os.kill(before, signal.SIGKILL)
                until(lambda made=made, before=before: made.pid not in (0, before))  # type: ignore[misc]
                done = made.ready()
                assert done.returncode == 0, done.stderr
                assert made.jobs(2) == set(names[-2:])
                assert " ERROR " not in logged(made)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_an_archive_folder_that_goes_away_under_a_running_server(
    homes: dict[str, Path], archives: Archives, version: str
) -> None:
    """Upstream says nothing, and shows no job any more."""
    with tempfile.TemporaryDirectory(prefix="history-") as base:  # pytest's folder may be closed to others
        Path(base).chmod(0o755)
        folder, away = Path(base) / "archives", Path(base) / "away"
        names = set(archives.copies(folder, 2))
        with server(homes, version, folder, Path(base) / "server", user=NOBODY) as made:
            assert made.ready().returncode == 0
            assert made.jobs(2) == names
            folder.chmod(0o700)
            done = made.ready()
            assert done.returncode == 1
            assert f"{folder}: the user nobody cannot read it" in done.stderr
            folder.chmod(0o755)
            assert made.ready().returncode == 0
            assert made.jobs(2) == names
            folder.rename(away)
            done = made.ready()
            assert done.returncode == 1
            assert f"{folder}: there is no such folder" in done.stderr
            made.jobs(0)
            away.rename(folder)
            done = made.ready()
            assert done.returncode == 0, done.stderr
            assert made.jobs(2) == names


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

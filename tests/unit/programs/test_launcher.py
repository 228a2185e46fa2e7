"""The launcher with a Flink home of recording scripts: what it passes on, and what it sets."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.manifest import FLINK

PROGRAMS = FLINK.programs

RECORDER = """\
#!{python}
import json, os, sys
record = {{
    "script": sys.argv[0], "arguments": [os.fsencode(word).hex() for word in sys.argv[1:]],
    "environment": dict(os.environ), "umask": oct(os.umask(0)), "pid": os.getpid(),
}}
with open(os.environ["RECORD"], "w") as stream:
    json.dump(record, stream)
if os.environ.get("SLEEP"):
    import time; time.sleep(30)
sys.stdout.write(sys.stdin.read().upper() if os.environ.get("READ") else "")
sys.exit(int(os.environ.get("CODE", "0")))
"""
COMMANDS = (
    "flink",
    "yarn-session.sh",
    "sql-client.sh",
    "pyflink-shell.sh",
    "pyflink.sh",
    "start-scala-shell.sh",
)


class Node:
    """A node's layout under a temporary folder."""

    def __init__(self, base: Path) -> None:
        self.base, self.record = base, base / "record.json"
        self.logs, self.tmp = base / "log", base / "tmp"
        for version in ("1.20.5", "2.3.0"):
            home = base / "opt" / f"flink-{version}"
            (home / "bin").mkdir(parents=True)
            for name in COMMANDS[:4]:
                (home / "bin" / name).write_text(RECORDER.format(python=sys.executable))
                (home / "bin" / name).chmod(0o755)
        (base / "opt" / "flink").symlink_to(base / "opt" / "flink-1.20.5")
        (self.logs / "client").mkdir(parents=True)
        (self.logs / "client").chmod(0o1777)
        self.tmp.mkdir()
        self.settings = base / "client.env"
        self.settings.write_text(
            f"PNDA_FLINK_ROOT='{base}/opt/flink'\n"
            f"PNDA_FLINK_LOG_DIRECTORY='{self.logs}'\n"
            "PNDA_FLINK_JAVA_HOME='/opt/java'\n"
            f"PNDA_FLINK_PROGRAM_DIRECTORY='{PROGRAMS}'\n"
            "PNDA_FLINK_HADOOP_CLASSPATH='none'\n"
            f"PNDA_FLINK_HADOOP_CONFIGURATION='{base}/hadoop conf'\n"
        )
        (base / "bin").mkdir()
        for name in (*COMMANDS, "other.sh"):
            (base / "bin" / name).symlink_to(PROGRAMS / "launcher")

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "PNDA_FLINK_SETTINGS": str(self.settings),
            "RECORD": str(self.record),
            "TMPDIR": str(self.tmp),
            **more,
        }

    def run(self, command: str, *arguments: str | bytes, **more: str) -> subprocess.CompletedProcess[bytes]:
        self.record.unlink(missing_ok=True)
        return subprocess.run(
            [self.base / "bin" / command, *arguments],
            env=self.environment(**more),
            capture_output=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def recorded(self) -> tuple[list[bytes], dict[str, str], str]:
        found = json.loads(self.record.read_text())
        return [bytes.fromhex(word) for word in found["arguments"]], found["environment"], found["script"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize("command", COMMANDS[:4])
def test_each_command_starts_its_own_script(node: Node, command: str) -> None:
    done = node.run(command, "run", "-d", "a b", "", "*", "$HOME", "`id`", "-x='y'", "\\", "é")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    arguments, _, script = node.recorded()
    assert script == f"{node.base}/opt/flink-1.20.5/bin/{command}"
    words = ["run", "-d", "a b", "", "*", "$HOME", "`id`", "-x='y'", "\\", "é"]
    assert arguments == [word.encode() for word in words]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.binary(max_size=12).filter(lambda raw: b"\0" not in raw), max_size=6))
def test_arguments_pass_untouched(node: Node, words: list[bytes]) -> None:
    assert node.run("flink", *words).returncode == 0
    assert node.recorded()[0] == words


@pytest.mark.parametrize(
    ("given_", "passed"),
    [
        (["job.py", "a b", "-p"], ["run", "-py", "job.py", "a b", "-p"]),
        (["-p", "4", "-py", "job.py"], ["run", "-p", "4", "-py", "job.py"]),
        ([], ["run"]),
        ([""], ["run", ""]),
        (["a b.py"], ["run", "-py", "a b.py"]),
    ],
)
def test_pyflink_runs_a_python_job(node: Node, given_: list[str], passed: list[str]) -> None:
    assert node.run("pyflink.sh", *given_).returncode == 0
    arguments, _, script = node.recorded()
    assert script.endswith("/flink-1.20.5/bin/flink")
    assert arguments == [word.encode() for word in passed]


def test_it_sets_java_and_places_of_the_users_own(node: Node) -> None:
    node.run("flink", JVM_ARGS="-Xmx1g")
    environment = node.recorded()[1]
    user = getpass.getuser()
    assert environment["JAVA_HOME"] == "/opt/java"
    assert environment["FLINK_HOME"] == f"{node.base}/opt/flink-1.20.5"
    assert environment["FLINK_LOG_DIR"] == f"{node.logs}/client/{user}"
    assert environment["TMPDIR"] == f"{node.tmp}/pnda-flink-{user}"
    assert environment["JVM_ARGS"] == f"-Xmx1g -Djava.io.tmpdir={node.tmp}/pnda-flink-{user}"
    for folder in (environment["FLINK_LOG_DIR"], environment["TMPDIR"]):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("given_", "its"),
    [("C", "C.UTF-8"), ("POSIX", "C.UTF-8"), ("en_US.UTF-8", "en_US.UTF-8"), ("de_DE.ISO-8859-1",) * 2],
)
def test_without_a_locale_letters_are_utf_8(node: Node, given_: str, its: str) -> None:
    assert node.run("flink", "run", LC_ALL=given_).returncode == 0
    assert node.recorded()[1]["LC_ALL"] == its


def test_the_users_umask_is_kept(node: Node) -> None:
    words = ["sh", "-c", 'umask 027; exec "$0"', str(node.base / "bin" / "flink")]
    subprocess.run(words, env=node.environment(), check=True, timeout=30, stdin=subprocess.DEVNULL)
    assert json.loads(node.record.read_text())["umask"] == "0o27"


def test_another_version_is_chosen_by_name(node: Node) -> None:
    assert node.run("flink", PNDA_FLINK_VERSION="2.3.0").returncode == 0
    _, environment, script = node.recorded()
    assert script == f"{node.base}/opt/flink-2.3.0/bin/flink"
    assert environment["FLINK_HOME"] == f"{node.base}/opt/flink-2.3.0"


@pytest.mark.parametrize("version", ["9.9.9", "../flink-2.3.0", "2.3.0;id", "x"])
def test_a_version_that_is_not_there(node: Node, version: str) -> None:
    done = node.run("flink", PNDA_FLINK_VERSION=version)
    assert done.returncode == 2
    assert b"PNDA_FLINK_VERSION" in done.stderr
    assert not node.record.exists()


def test_the_python_of_the_chosen_version_is_offered(node: Node) -> None:
    python = node.base / "opt" / "pyflink-2.3.0" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    node.run("pyflink-shell.sh", PNDA_FLINK_VERSION="2.3.0")
    assert node.recorded()[1]["PYFLINK_PYTHON"] == str(python)
    node.run("pyflink-shell.sh", PNDA_FLINK_VERSION="2.3.0", PYFLINK_PYTHON="/mine")
    assert node.recorded()[1]["PYFLINK_PYTHON"] == "/mine"
    node.run("pyflink-shell.sh")
    assert "PYFLINK_PYTHON" not in node.recorded()[1]


@pytest.mark.parametrize("code", [0, 1, 31, 130])
def test_the_exit_code_is_the_commands(node: Node, code: int) -> None:
    assert node.run("flink", CODE=str(code)).returncode == code


def test_standard_input_and_output_are_the_commands(node: Node) -> None:
    done = subprocess.run(
        [node.base / "bin" / "sql-client.sh"],
        env=node.environment(READ="1"),
        input=b"select 1;\n",
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == b"SELECT 1;\n"


def test_a_signal_reaches_the_command_itself(node: Node) -> None:
    with subprocess.Popen([node.base / "bin" / "flink"], env=node.environment(SLEEP="1")) as process:
        deadline = time.monotonic() + 20
        while not node.record.exists() or not node.record.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert json.loads(node.record.read_text())["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM


@pytest.mark.parametrize("where", ["log", "tmp"])
def test_a_link_in_place_of_the_users_folder_is_refused(node: Node, where: str, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    user = getpass.getuser()
    folder = node.logs / "client" / user if where == "log" else node.tmp / f"pnda-flink-{user}"
    folder.symlink_to(tmp_path / "victim")
    done = node.run("flink")
    assert done.returncode == 2
    assert b"not a folder of" in done.stderr
    assert not node.record.exists()


def test_two_users_share_nothing() -> None:
    """As two real users, neither of whom may read what the other wrote."""
    with tempfile.TemporaryDirectory() as made:
        base = Path(made)
        base.chmod(0o755)
        shutil.copytree(PROGRAMS, base / "programs")
        shared = Node(base)
        for path in [base, *base.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o755)
        shared.logs.joinpath("client").chmod(0o1777)
        shared.tmp.chmod(0o1777)
        (base / "opt" / "flink-1.20.5" / "bin" / "flink").write_text(
            '#!/bin/sh\necho secret >"$FLINK_LOG_DIR/a.log"\necho secret >"$TMPDIR/b"\n'
        )
        shared.settings.write_text(shared.settings.read_text().replace(str(PROGRAMS), f"{base}/programs"))
        launcher = base / "bin" / "flink"
        launcher.unlink()
        launcher.symlink_to(base / "programs" / "launcher")
        for user in ("nobody", "games"):
            words = ["/usr/sbin/runuser", "-u", user, "--", launcher]
            subprocess.run(words, env=shared.environment(), check=True, timeout=60, cwd="/")
        for folder, name in ((shared.logs / "client", "a.log"), (shared.tmp, "b")):
            for user, other in (("nobody", "games"), ("games", "nobody")):
                place = folder / (user if name == "a.log" else f"pnda-flink-{user}")
                assert (place.owner(), stat.S_IMODE(place.stat().st_mode)) == (user, 0o700)
                look = ["/usr/sbin/runuser", "-u", other, "--", "cat", str(place / name)]
                assert subprocess.run(look, capture_output=True, timeout=60, check=False).returncode == 1
                assert (place / name).read_text() == "secret\n"


def test_a_folder_of_somebody_else_is_refused(node: Node) -> None:
    assert os.geteuid() == 0, "run as root: only root can give a folder away"
    folder = node.tmp / f"pnda-flink-{getpass.getuser()}"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    assert node.run("flink").returncode == 2
    assert not node.record.exists()


def test_a_temporary_folder_with_a_space_is_no_second_option(node: Node, tmp_path: Path) -> None:
    odd = tmp_path / "a b"
    odd.mkdir()
    done = node.run("flink", TMPDIR=str(odd))
    assert done.returncode == 2
    assert b"space" in done.stderr


def test_commands_at_once_have_log_files_of_their_own(node: Node) -> None:
    folder = node.logs / "client" / getpass.getuser()
    with subprocess.Popen([node.base / "bin" / "flink"], env=node.environment(SLEEP="1")) as first:
        deadline = time.monotonic() + 20
        while not node.record.exists() or not node.record.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert node.recorded()[1]["FLINK_IDENT_STRING"] == getpass.getuser()
        assert node.run("flink").returncode == 0
        assert node.recorded()[1]["FLINK_IDENT_STRING"] == f"{getpass.getuser()}-2"
        assert node.run("sql-client.sh", FLINK_IDENT_STRING="mine").returncode == 0
        assert node.recorded()[1]["FLINK_IDENT_STRING"] == "mine-2"
        first.send_signal(signal.SIGKILL)
    assert node.run("flink").returncode == 0
    assert node.recorded()[1]["FLINK_IDENT_STRING"] == getpass.getuser()
    assert sorted(path.name for path in folder.iterdir()) == [".lock-1", ".lock-2"]


def hadoop(node: Node, kind: str) -> None:
    text = node.settings.read_text().replace("CLASSPATH='none'", f"CLASSPATH='{kind}'")
    node.settings.write_text(text)


def test_without_hadoop_nothing_of_it_is_set(node: Node) -> None:
    node.run("flink")
    assert not {"HADOOP_CLASSPATH", "HADOOP_CONF_DIR"} & set(node.recorded()[1])


def test_hadoops_client_of_the_mirror(node: Node) -> None:
    hadoop(node, "mirror")
    done = node.run("flink", "list")
    assert done.returncode == 2
    assert b"opt/hadoop-client is missing; cure: provision this node" in done.stderr
    (node.base / "opt" / "flink-2.3.0" / "opt" / "hadoop-client").mkdir(parents=True)
    assert node.run("flink", "run", "a b", "*", "", PNDA_FLINK_VERSION="2.3.0").returncode == 0
    arguments, environment, _ = node.recorded()
    assert arguments == [b"run", b"a b", b"*", b""]
    assert environment["HADOOP_CLASSPATH"] == f"{node.base}/opt/flink-2.3.0/opt/hadoop-client/*"
    assert environment["HADOOP_CONF_DIR"] == f"{node.base}/hadoop conf"
    assert node.run("flink", HADOOP_CLASSPATH="/mine/*").returncode == 0
    assert node.recorded()[1]["HADOOP_CLASSPATH"] == "/mine/*"


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        ("echo '/a/*:/b c/*'", 0, b""),
        ("echo no java >&2; exit 3", 2, b"no java"),
        ("true", 2, b"says nothing"),
        (None, 2, b"there is no command hadoop"),
    ],
)
def test_the_clusters_own_hadoop(node: Node, script: str | None, code: int, word: bytes) -> None:
    hadoop(node, "cluster")
    tools = node.base / "tools"
    tools.mkdir()
    if script is not None:
        (tools / "hadoop").write_text(f'#!/bin/sh\n[ "$*" = classpath ] || exit 9\n{script}\n')
        (tools / "hadoop").chmod(0o755)
    done = node.run("flink", "list", PATH=f"{tools}:/usr/bin:/bin", HADOOP_CONF_DIR="/my/conf")
    assert done.returncode == code
    assert word in done.stderr
    if code == 0:
        assert node.recorded()[1]["HADOOP_CLASSPATH"] == "/a/*:/b c/*"
        assert node.recorded()[1]["HADOOP_CONF_DIR"] == "/my/conf"
    else:
        assert b"cure:" in done.stderr
        assert not node.record.exists()


def test_without_settings_it_says_what_to_do(node: Node) -> None:
    node.settings.unlink()
    done = node.run("flink")
    assert done.returncode == 2
    assert b"cure: provision this node" in done.stderr


def test_an_unknown_name_is_refused(node: Node) -> None:
    done = node.run("other.sh")
    assert done.returncode == 2
    assert b"does not know the command other.sh" in done.stderr

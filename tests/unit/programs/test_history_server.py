"""The two watchers of the history server, with real listeners and a systemctl that answers from a file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.manifest import FLINK

PROGRAMS = FLINK.programs
UNIT = "flink-history-server.service"

SERVER = """\
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode() if self.path == "/config" else b'{"jobs": []}'
        self.send_response(200 if self.path in ("/config", "/jobs/overview") else 404)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
SYSTEMCTL = """\
#!{python}
import json, sys
state = json.load(open({state!r}))
for word in sys.argv[1:]:
    if word.startswith("--property="):
        key = word.split("=", 1)[1]
        value = state[key]
        if isinstance(value, list):  # one answer a call, the last one for ever
            value = value.pop(0) if len(value) > 1 else value[0]
        print(f"{{key}}={{value}}")
json.dump(state, open({state!r}, "w"))
"""


class Node:
    """A node with one unit and real processes that listen."""

    def __init__(self, base: Path) -> None:
        self.state, self.logs, self.archives = base / "state.json", base / "log", base / "archives"
        self.logs.mkdir()
        self.archives.mkdir()
        java = base / "java" / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.touch(0o755)
        self.settings = {
            "version": "1.20.5",
            "address": "127.0.0.1",
            "port": 0,
            "java_home": str(base / "java"),
            "user": "root",
            "archives": f"file://{self.archives}",
            "web": str(base / "web"),
            "logs": str(self.logs),
        }
        (base / "bin").mkdir()
        systemctl = base / "bin" / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(python=sys.executable, state=str(self.state)))
        systemctl.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{base / 'bin'}:{os.environ['PATH']}"}
        self.processes: list[subprocess.Popen[str]] = []
        self.unit()

    def unit(self, **properties: object) -> None:
        state = {
            "ActiveState": "active",
            "SubState": "running",
            "MainPID": "0",
            "NRestarts": "0",
            "Result": "success",
            "ExecMainStatus": "0",
            "LoadState": "loaded",
            "ExecMainStartTimestampMonotonic": "0",
        }
        self.state.write_text(json.dumps({**state, **properties}))

    def serve(self, body: str = '{"flink-version": "1.20.5"}') -> tuple[int, int]:
        """Start a server; return its process id and port."""
        words = [sys.executable, "-c", SERVER, "0", body]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        return process.pid, int(process.stdout.readline())

    def ready(self, port: int, *more: str, **settings: object) -> subprocess.CompletedProcess[str]:
        words = [*self.command(port, **settings), *more]
        return subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, env=self.environment
        )

    def command(self, port: int, **settings: object) -> list[str]:
        """Return the command, with settings for a server on ``port``."""
        path = self.state.with_name("settings.json")
        path.write_text(json.dumps({**self.settings, "port": port, **settings}))
        return [sys.executable, str(PROGRAMS / "history-server-ready"), f"--settings={path}"]

    def stale(self, *files: Path) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(PROGRAMS / "unit-stale"), UNIT, *map(str, files)]
        return subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, env=self.environment
        )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait(timeout=20)
        if process.stdout:
            process.stdout.close()


def test_the_units_own_process_that_answers_is_ready(node: Node) -> None:
    pid, port = node.serve()
    node.unit(MainPID=str(pid))
    done = node.ready(port)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["changed"] is False
    assert last["comment"].startswith("ready after ")


def test_a_port_taken_by_somebody_else_is_named_though_it_answers(node: Node) -> None:
    pid, port = node.serve()
    node.unit(MainPID=["0", str(os.getpid()), "0"], ActiveState="activating", SubState="auto-restart")
    done = node.ready(port)
    assert done.returncode == 1
    assert f"port {port} is taken by process {pid} (" in done.stderr
    assert "the history server cannot listen there" in done.stderr


def test_a_process_that_ends_again_and_again_is_a_crash(node: Node) -> None:
    log = node.logs / "flink-flink-historyserver-0-host.log"
    log.write_text("INFO all is well\njava.net.BindException: Could not start rest endpoint\n")
    node.unit(
        ActiveState="activating",
        SubState="auto-restart",
        NRestarts=["3", "3", "4", "5"],
        Result="exit-code",
        ExecMainStatus="1",
    )
    done = node.ready(1)
    assert done.returncode == 1
    assert (
        "the process ended 1 time(s) while it was waited for, last with exit-code, exit status 1"
        in done.stderr
    )
    assert "java.net.BindException: Could not start rest endpoint" in done.stderr
    assert "all is well" not in done.stderr


def test_a_process_that_ends_well_again_and_again_is_a_crash(node: Node) -> None:
    node.unit(ActiveState="activating", SubState="auto-restart", NRestarts=["3", "3", "4", "5"])
    done = node.ready(1)
    assert done.returncode == 1
    assert "the process ended 2 time(s) while it was waited for" in done.stderr


def test_a_missing_java_is_named(node: Node, tmp_path: Path) -> None:
    done = node.ready(1, java_home=str(tmp_path / "none"))
    assert done.returncode == 1
    assert f"{tmp_path}/none/bin/java: there is no such program" in done.stderr


def test_missing_settings_are_named(node: Node) -> None:
    words = node.command(1)
    Path(words[-1].partition("=")[2]).unlink()
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "settings.json" in done.stderr
    assert "provision this host again" in done.stderr


def test_archives_that_are_never_shown_do_not_keep_it_waiting_for_ever(node: Node) -> None:
    pid, port = node.serve()
    node.unit(MainPID=str(pid))
    (node.archives / ("0" * 32)).write_text("damaged")
    answers = node.ready(port, "--answers")
    assert answers.returncode == 0, answers.stderr
    assert "archives" not in answers.stdout
    done = node.ready(port)
    assert done.returncode == 0, done.stderr
    assert "none of 1 archives is shown" in done.stdout


def test_a_failed_unit(node: Node) -> None:
    node.unit(ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus="203")
    done = node.ready(1)
    assert done.returncode == 1
    assert "exit status 203" in done.stderr


def test_one_that_is_still_starting_is_told_apart(node: Node) -> None:
    node.unit(MainPID=str(os.getpid()))
    started = time.monotonic()
    done = node.ready(1, "--timeout=2")
    assert done.returncode == 1
    said = r"not ready after \d+ s, the last \d+ without a sign of work: the unit is active \(running\)"
    assert re.search(said, done.stderr), done.stderr
    assert time.monotonic() - started < 15


def test_a_wrong_version_is_not_ready(node: Node) -> None:
    pid, port = node.serve('{"flink-version": "1.20.4"}')
    node.unit(MainPID=str(pid))
    done = node.ready(port, "--longest=2")
    assert done.returncode == 1
    assert "it is Flink 1.20.4, not 1.20.5" in done.stderr


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"flink-version"'])
def test_an_answer_of_another_kind_is_not_ready(node: Node, body: str) -> None:
    pid, port = node.serve(body)
    node.unit(MainPID=str(pid))
    done = node.ready(port, "--longest=1")
    assert done.returncode == 1
    assert "GET /config" in done.stderr


def test_a_unit_that_is_not_there(node: Node) -> None:
    node.unit(LoadState="not-found")
    done = node.ready(1)
    assert done.returncode == 1
    assert "systemd has no unit" in done.stderr


def test_a_listener_of_another_user_is_seen_without_the_right_to_look(node: Node) -> None:
    """As in a container, whose root may not read other users' /proc/PID/fd."""
    assert os.geteuid() == 0, "run as root: only root can start a process of another user"
    main_pid, _ = node.serve()
    node.unit(MainPID=str(main_pid))
    other = subprocess.Popen(
        [sys.executable, "-c", SERVER, "0", '{"flink-version": "1.20.5"}'],
        stdout=subprocess.PIPE,
        text=True,
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
    )
    node.processes.append(other)
    assert other.stdout is not None
    taken = int(other.stdout.readline())
    blind = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "--"]
    done = subprocess.run(
        [*blind, *node.command(taken)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=node.environment,
    )
    assert done.returncode == 1
    assert f"port {taken} is taken by process {other.pid} (" in done.stderr, done.stderr


def now() -> int:
    """Microseconds on the monotonic clock, as systemd counts a start."""
    return int(time.monotonic() * 1e6)


def test_it_is_stale_when_a_file_is_newer(node: Node, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    os.utime(old, (time.time() - 60,) * 2)
    new.touch()
    os.utime(new, (time.time() + 60,) * 2)
    node.unit(MainPID="1", ExecMainStartTimestampMonotonic=str(now()))
    assert node.stale(old).returncode == 1
    found = node.stale(old, new)
    assert (found.returncode, found.stdout) == (0, f"the running {UNIT} is older than {new}\n")


def test_a_flipped_link_counts_by_itself(node: Node, tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    os.utime(target, (time.time() - 3600,) * 2)
    node.unit(MainPID="1", ExecMainStartTimestampMonotonic=str(now() - 60_000_000))
    link.symlink_to(target)
    assert node.stale(target).returncode == 1
    assert node.stale(link).returncode == 0


def test_one_that_does_not_run_is_not_stale(node: Node, tmp_path: Path) -> None:
    assert node.stale(tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("unit-stale", []),
        ("unit-stale", [UNIT]),
        ("history-server-ready", []),
        ("history-server-ready", ["--settings=x", "--timeout=soon"]),
    ],
)
def test_a_wrong_call(program: str, arguments: list[str]) -> None:
    words = [sys.executable, str(PROGRAMS / program), *arguments]
    assert subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 2

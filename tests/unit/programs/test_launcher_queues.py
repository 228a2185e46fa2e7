"""The launchers where the cluster has a queue policy: what Flink's script receives, argument by argument."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.manifest import YARN_QUEUES
from tests import queue_lines
from tests.queue_lines import LINES, Line
from tests.unit.programs.test_launcher import Node

D = f"-D{queue_lines.KEY}="


class Queued(Node):
    """A node with the policy of the table, which knows whoever asks as a member of its group."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.policy, self.decider = base / "map.txt", base / "queue-for"
        self.policy.write_bytes(queue_lines.POLICY)
        self.decider.write_text(
            f"#!/bin/sh\nexec {YARN_QUEUES.programs}/queue-for --policy {self.policy} "
            '--user us --groups ours "$@"\n'
        )
        self.decider.chmod(0o755)
        with self.settings.open("a") as stream:
            stream.write(f"PNDA_FLINK_QUEUE_PROGRAM='{self.decider}'\n")

    def passed(self, command: str, *words: str | bytes, **more: str) -> list[bytes] | None:
        """Return the arguments that the script got; None where it was not run (with exit code 1)."""
        done = self.run(command, *words, **more)
        assert done.stdout == b""
        if done.returncode == 0:
            return self.recorded()[0]
        assert done.returncode == 1, done.stderr
        assert not self.record.exists()
        assert b"nothing was submitted" in done.stderr
        return None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Queued:
    return Queued(tmp_path_factory.mktemp("node"))


@pytest.fixture
def node(tmp_path: Path) -> Queued:
    return Queued(tmp_path)


def test_the_table_is_long() -> None:
    assert len(LINES) > 150


@pytest.mark.parametrize("line", LINES, ids=lambda line: shlex.join([line.command, *line.words]))
def test_what_the_script_receives(shared: Queued, line: Line) -> None:
    wanted = None if line.passed is None else [word.encode() for word in line.passed]
    assert shared.passed(line.command, *line.words) == wanted
    if wanted is not None:
        assert shared.recorded()[2].endswith(f"/bin/{line.script}")


ODD = [
    "a b",
    "",
    " ",
    "'",
    '"',
    "*",
    "?",
    "$HOME",
    "`id`",
    "\\",
    "\n",
    "a\nb",
    "é",
    "🙂",
    "-",
    "--",
    "-x='y'",
]


@pytest.mark.parametrize("word", ODD)
def test_odd_arguments_stay_as_they_are(shared: Queued, word: str) -> None:
    words = ["-t", "yarn-application", "-c", "Main", f"-Dk={word}", "a.jar", word, "-t", word, ""]
    wanted = ["run", f"{D}default", *words]
    assert shared.passed("flink", "run", *words) == [one.encode() for one in wanted]
    assert shared.passed("yarn-session.sh", f"-Dk={word}", word) == [
        one.encode() for one in [f"{D}default", f"-Dk={word}", word]
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.binary(max_size=12).filter(lambda raw: b"\0" not in raw), max_size=6))
def test_the_programs_own_arguments_pass_untouched(shared: Queued, words: list[bytes]) -> None:
    found = shared.passed("flink", "run", "-t", "yarn-application", "a.jar", *words)
    assert found == [b"run", f"{D}default".encode(), b"-t", b"yarn-application", b"a.jar", *words]


def test_a_long_line_is_no_problem(shared: Queued) -> None:
    words = ["-t", "yarn-application", "-Dk=" + "x" * 100_000, "a.jar", *(["word"] * 5000)]
    assert shared.passed("flink", "run", *words) == [word.encode() for word in ["run", f"{D}default", *words]]


@pytest.mark.parametrize(
    ("version", "name", "text", "needed"),
    [
        ("1.20.5", "flink-conf.yaml", "execution.target: yarn-per-job\n", True),
        ("1.20.5", "flink-conf.yaml", "execution.target: yarn-per-job # the cluster\n", True),
        ("1.20.5", "flink-conf.yaml", "#execution.target: yarn-per-job\n", False),
        ("1.20.5", "flink-conf.yaml", "execution.target: local\n", False),
        ("1.20.5", "config.yaml", "execution:\n  target: yarn-per-job\n", True),
        ("2.3.0", "flink-conf.yaml", "execution.target: yarn-application\n", False),
        ("2.3.0", "config.yaml", "execution.target: 'yarn-application'\n", True),
        ("2.3.0", "config.yaml", 'execution.target: "yarn-application"  # all\n', True),
        (
            "2.3.0",
            "config.yaml",
            "a:\n  b: 1\nexecution:\n  x:\n    y: 1\n  target: yarn-application\n",
            True,
        ),
        ("2.3.0", "config.yaml", "other:\n  target: yarn-application\n", False),
        ("2.3.0", "config.yaml", "# execution.target: yarn-application\n", False),
        ("2.3.0", "config.yaml", "execution.target: local\n", False),
    ],
)
def test_the_configuration_may_name_the_target(
    node: Queued, tmp_path: Path, version: str, name: str, text: str, needed: bool
) -> None:
    for folder in (tmp_path / "own", tmp_path / "opt" / f"flink-{version}" / "conf"):
        folder.mkdir()
        (folder / name).write_text(text + f"{queue_lines.KEY}: nosuch\n")  # the configuration is no request
        more = {"FLINK_CONF_DIR": str(folder)} if folder.name == "own" else {}
        found = node.passed("flink", "run", "a.jar", PNDA_FLINK_VERSION=version, **more)
        assert found == [b"run", *([f"{D}default".encode()] if needed else []), b"a.jar"]
        found = node.passed("flink", "run", "-t", "local", "a.jar", PNDA_FLINK_VERSION=version, **more)
        assert found == [b"run", b"-t", b"local", b"a.jar"]
        if folder.name == "own":
            (folder / name).unlink()


def test_a_target_in_the_configuration_beats_the_old_way(node: Queued, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("execution.target: local\n")
    found = node.passed("flink", "run", "-m", "yarn-cluster", "a.jar", FLINK_CONF_DIR=str(tmp_path))
    assert found == [b"run", b"-m", b"yarn-cluster", b"a.jar"]


@pytest.mark.parametrize("policy", [None, b"", b"nonsense\n", b"somebody: default\n"])
def test_without_a_decision_nothing_goes_to_yarn_and_all_else_works(
    node: Queued, policy: bytes | None
) -> None:
    node.policy.unlink()
    if policy is not None:
        node.policy.write_bytes(policy)
    assert node.passed("flink", "run", "-t", "yarn-application", "a.jar") is None
    assert node.passed("yarn-session.sh") is None
    assert node.passed("pyflink-shell.sh", "yarn") is None
    assert node.passed("flink", "list") == [b"list"]
    assert node.passed("flink", "run", "a.jar") == [b"run", b"a.jar"]


def test_without_the_program_nothing_goes_to_yarn(node: Queued) -> None:
    node.decider.unlink()
    assert node.passed("flink", "run", "-t", "yarn-application", "a.jar") is None
    node.decider.write_text("#!/bin/sh\n")  # says nothing, and that all is well
    node.decider.chmod(0o755)
    assert node.passed("flink", "run", "-t", "yarn-application", "a.jar") is None


def test_what_is_wrong_is_said(node: Queued) -> None:
    done = node.run("flink", "run", "-t", "yarn-application", f"{D}nosuch", "a.jar")
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert "us may not use the queue `nosuch`; cure: ask for one of: default, other" in first
    assert second == "flink: YARN has no queue for it (see above); nothing was submitted"


def test_without_a_policy_nothing_is_asked(tmp_path: Path) -> None:
    plain = Node(tmp_path)
    words = ["run", "-t", "yarn-application", "-yqu", "nosuch", "a.jar"]
    assert plain.run("flink", *words).returncode == 0
    assert plain.recorded()[0] == [word.encode() for word in words]


def test_standard_input_and_exit_code_are_the_commands(node: Queued) -> None:
    done = subprocess.run(
        [node.base / "bin" / "yarn-session.sh"],
        env=node.environment(READ="1", CODE="31"),
        input=b"stop\n",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (31, b"STOP\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_itself(node: Queued, number: signal.Signals) -> None:
    words = [str(node.base / "bin" / "flink"), "run", "-t", "yarn-application", "a.jar"]
    with subprocess.Popen(words, env=node.environment(SLEEP="1"), stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while not node.record.exists() or not node.record.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert json.loads(node.record.read_text())["pid"] == process.pid
        process.send_signal(number)
        assert process.wait(timeout=20) in (-number, 1)

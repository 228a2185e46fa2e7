"""The Scala shell's front with a Flink home of recording pieces: options, class path, folders, refusals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provision.manifest import FLINK, YARN_QUEUES
from tests import queue_lines

SHELL = FLINK.programs / "scala-shell"
# Stands for Flink's config.sh: it finds its home by $0, and brings functions and settings.
CONFIG = """\
[ "$(dirname "$(dirname "$0")")" = "$FLINK_HOME" ] || exit 9
FLINK_CONF_DIR=$FLINK_HOME/conf
JAVA_RUN=$FLINK_HOME/bin/java
FLINK_ENV_JAVA_OPTS='-Xone -Xtwo'
INTERNAL_HADOOP_CLASSPATHS=/hadoop/*
constructFlinkClassPath() { echo /flink/lib/a.jar; }
manglePathList() { echo "$1"; }
"""
JAVA = """\
#!/bin/sh
printf '%s\\n' "$@" >"$RECORD"
for word in "$@"; do case $word in -Dpnda.shell.folder=*) folder=${word#*=} ;; esac; done
cp "$folder/options" "$RECORD.options"
cp "$folder/jars" "$RECORD.jars"
exit 5
"""


class Home:
    def __init__(self, base: Path, version: str) -> None:
        self.base, self.home, self.tmp = base, base / f"flink-{version}", base / "tmp"
        self.record = base / "record"
        for folder in (self.home / "bin", self.home / "opt" / "scala-shell", self.tmp):
            folder.mkdir(parents=True)
        (self.home / "bin" / "config.sh").write_text(CONFIG)
        (self.home / "bin" / "java").write_text(JAVA)
        (self.home / "bin" / "java").chmod(0o755)
        (self.home / "opt" / "scala-shell" / "scala-compiler.jar").touch()

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "FLINK_HOME": str(self.home),
            "FLINK_LOG_DIR": "/log",
            "FLINK_IDENT_STRING": "me-2",
            "TMPDIR": str(self.tmp),
            "RECORD": str(self.record),
            **more,
        }
        return subprocess.run(
            [SHELL, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def options(self) -> list[str]:
        return Path(f"{self.record}.options").read_text().splitlines()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, "1.20.5")


def test_what_java_gets(home: Home, tmp_path: Path) -> None:
    jar = tmp_path / "own.jar"
    jar.touch()
    done = home.run("remote", "h", "8081", "-Da=b c", "-D", "d=e=f", "-a", str(jar))
    assert done.returncode == 5, done.stderr
    words = home.record.read_text().splitlines()
    assert words[:2] == ["-Xone", "-Xtwo"]
    path = words[words.index("-classpath") + 1]
    shell = f"{home.home}/opt/scala-shell/scala-compiler.jar"
    assert path == f"{shell}:/flink/lib/a.jar:{jar}:/hadoop/*"
    assert [word for word in words if word.startswith("-Dlog.file=/log/flink-me-2-scala-shell-")]
    assert words[-1].endswith("/scala-shell-1.scala")
    assert home.options() == ["execution.target=remote", "rest.address=h", "rest.port=8081", "a=b c", "d=e=f"]
    assert Path(f"{home.record}.jars").read_text() == f"{jar}\n"


@pytest.mark.parametrize(
    ("version", "target", "line"), [("1.20.5", "yarn-per-job", "1"), ("2.3.0", "yarn-session", "2")]
)
def test_each_line_has_its_own(tmp_path: Path, version: str, target: str, line: str) -> None:
    home = Home(tmp_path, version)
    assert home.run("yarn", "-qu", "dev", "-nm", "my shell", "-tm", "1g").returncode == 5
    assert home.record.read_text().splitlines()[-1].endswith(f"/scala-shell-{line}.scala")
    assert home.options() == [
        f"execution.target={target}",
        "yarn.application.queue=dev",
        "yarn.application.name=my shell",
        "taskmanager.memory.process.size=1g",
    ]


@pytest.mark.parametrize(
    ("script", "code", "queue"),
    [("echo prod", 5, ["yarn.application.queue=prod"]), ("echo no >&2; exit 1", 1, [])],
)
def test_on_yarn_the_policy_decides_the_queue(home: Home, script: str, code: int, queue: list[str]) -> None:
    policy = home.base / "queue-for"
    policy.write_text(f"#!/bin/sh\n{script}\n")
    policy.chmod(0o755)
    (home.home / "conf").mkdir()
    (home.home / "conf" / "flink-conf.yaml").write_text("execution.target: local\n")
    done = home.run("yarn", "-nm", "x", PNDA_FLINK_QUEUE_PROGRAM=str(policy))
    assert done.returncode == code, done.stderr
    if code == 5:
        assert home.options() == ["execution.target=yarn-per-job", "yarn.application.name=x", *queue]
    else:
        assert not home.record.exists()
    other = home.run("local", "-Dexecution.target=yarn-per-job", PNDA_FLINK_QUEUE_PROGRAM=str(policy))
    assert other.returncode == code
    assert home.run("local", PNDA_FLINK_QUEUE_PROGRAM=str(policy)).returncode == 5


# Each row of the table of what PNDA's wrapper did, and what else a user may ask for: code, and the queue.
@pytest.mark.parametrize(
    ("line", "code", "queue"),
    [
        ("yarn", 5, "default"),
        ("yarn -s 2", 5, "default"),
        ("yarn -qu other -s 2", 5, "other"),
        ("yarn --queue other", 5, "other"),
        ("yarn -Dyarn.application.queue=other", 5, "other"),
        ("yarn -qu nosuch", 1, ""),
        ("yarn -Dyarn.application.queue=nosuch -s 2", 1, ""),
        ("yarn -n 2", 2, ""),  # an option of Flink 1.4 that no later one had
        ("local", 5, ""),
        ("local -qu nosuch", 5, "nosuch"),  # goes nowhere
        ("remote host 8081", 5, ""),
        ("-a x.jar yarn", 2, ""),
    ],
)
def test_a_policy_of_rules_decides(home: Home, line: str, code: int, queue: str) -> None:
    policy, decider = home.base / "map.txt", home.base / "queue-for"
    policy.write_bytes(queue_lines.POLICY)
    program = YARN_QUEUES.programs / "queue-for"
    decider.write_text(f'#!/bin/sh\nexec {program} --policy {policy} --user us --groups ours "$@"\n')
    decider.chmod(0o755)
    done = home.run(*line.split(), PNDA_FLINK_QUEUE_PROGRAM=str(decider))
    assert done.returncode == code, done.stderr
    if code == 5:
        said = [option for option in home.options() if option.startswith(queue_lines.KEY)]
        assert said[-1:] == ([f"{queue_lines.KEY}={queue}"] if queue else [])
    else:
        assert not home.record.exists()
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "usage:"),
        (["mars"], "none of local"),
        (["remote"], "HOST and PORT"),
        (["remote", "h", "x"], "no port"),
        (["local", "--what", "x"], "not known"),
        (["local", "-D"], "wants a value"),
        (["local", "-Dnothing"], "no KEY=VALUE"),
        (["local", "-D", "=x"], "no KEY=VALUE"),
        (["local", "-Da=b\nc=d"], "more than one line"),
        (["local", "-a", "/no/such.jar"], "cannot be read"),
    ],
)
def test_a_wrong_call_is_2_and_starts_nothing(home: Home, arguments: list[str], word: str) -> None:
    done = home.run(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert not home.record.exists()
    assert list(home.tmp.iterdir()) == []


def test_help(home: Home) -> None:
    for words in (["--help"], ["yarn", "-h"]):
        done = home.run(*words)
        assert (done.returncode, done.stdout[:6]) == (0, "usage:")


def test_without_its_jars_it_names_the_cure(home: Home) -> None:
    (home.home / "opt" / "scala-shell" / "scala-compiler.jar").unlink()
    (home.home / "opt" / "scala-shell").rmdir()
    done = home.run("local")
    assert done.returncode == 2
    assert "cure: lock and build the group scala" in done.stderr


def test_what_a_killed_shell_left_goes_and_a_living_ones_stays(home: Home) -> None:
    with subprocess.Popen(["sleep", "0"]) as ended:
        ended.wait(timeout=30)
    left, living = (home.tmp / f"scala-shell-{number}" for number in (ended.pid, os.getpid()))
    for folder in (left, living):
        (folder / "classes").mkdir(parents=True)
    home.run("local")
    assert not left.exists()
    assert living.exists()

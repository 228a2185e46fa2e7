"""The launchers before the real Flink of both lines: what its scripts pass on, and how its parser takes it.

In the place of Java stands a recorder where Flink's own program would start; what the scripts ask Java before
is asked once and then repeated. The parser is the real one, in one Java process for all lines.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.manifest import FLINK
from tests.queue_lines import DENIED, KEY, LINES, SAME, Line
from tests.release.conftest import Built
from tests.unit.programs.test_launcher_queues import Queued

VERSIONS = ("1.20.5", "2.3.0")
BY_VERSION = pytest.mark.parametrize("version", VERSIONS)
NEEDED = ("yarn-per-job", "yarn-application")
RECORDER = """\
#!/bin/bash
i=1
for word; do
  i=$((i + 1))
  case $word in
    *.CliFrontend | *.FlinkYarnSessionCli)
      shift $((i - 1))
      for word; do printf '%s\\0' "$word"; done >"$RECORD"
      exit 0
      ;;
    *.PythonShellParser) exec java "$@" ;;
  esac
done
answer=$ANSWERS/$(printf '%s' "$*" | sha256sum | cut -c1-40)
[ -e "$answer" ] || { java "$@" >"$answer.new" 2>&1 && mv "$answer.new" "$answer"; }
cat "$answer"
"""


class Real(Queued):
    """A node with the real Flink of both lines, and a recorder for Java."""

    def __init__(self, base: Path, release: Path) -> None:
        super().__init__(base)
        for version in VERSIONS:
            shutil.rmtree(base / "opt" / f"flink-{version}")
            parts = [f"flink-{version}/{part}" for part in ("bin", "conf", "lib", "opt")]
            archive = release / f"flink-{version}.tar.gz"
            subprocess.run(["tar", "-xf", archive, "-C", base / "opt", *parts], check=True, timeout=600)
        self.hadoop = release / "mirror_apps" / "hadoop-3.4" / "lib"
        (base / "java" / "bin").mkdir(parents=True)
        (base / "java" / "bin" / "java").write_text(RECORDER)
        (base / "java" / "bin" / "java").chmod(0o755)
        (base / "answers").mkdir()
        self.settings.write_text(self.settings.read_text().replace("/opt/java", f"{base}/java"))

    def environment(self, **more: str) -> dict[str, str]:
        return {**super().environment(), "HOME": str(self.tmp), "ANSWERS": f"{self.base}/answers", **more}

    def recorded_words(self) -> list[bytes]:
        """Return the arguments that Flink's own program would have got."""
        return self.record.read_bytes().split(b"\0")[:-1]

    def ask_flink(self, version: str, *words: str | Path) -> list[str]:
        """Return what tests/release/ParsedLines.java prints with the Flink of ``version``."""
        empty = self.base / f"conf-{version}"
        empty.mkdir(exist_ok=True)
        (empty / "config.yaml").write_text("{}\n")
        program = Path(__file__).with_name("ParsedLines.java")
        path = f"{self.base}/opt/flink-{version}/lib/*:{self.hadoop}/*"
        done = subprocess.run(
            ["java", "-cp", path, program, empty, *words],
            capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
        return [line[1:] for line in done.stdout.splitlines() if line.startswith("=")]


@pytest.fixture(scope="module")
def real(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    base = tmp_path_factory.mktemp("queues")
    yield Real(base, built.release)
    shutil.rmtree(base)


def ran(line: Line) -> bool:
    return line.passed is not None and line.command != "pyflink-shell.sh"


@pytest.mark.parametrize(
    ("line", "version"),
    [(line, VERSIONS[number % 2]) for number, line in enumerate(filter(ran, LINES))],
    ids=lambda one: shlex.join([one.command, *one.words]) if isinstance(one, Line) else one,
)
def test_what_flinks_own_program_receives(real: Real, line: Line, version: str) -> None:
    done = real.run(line.command, *line.words, PNDA_FLINK_VERSION=version)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    found = real.recorded_words()
    if line.script == "yarn-session.sh":
        assert found[0] == b"-j"
        found = found[2:]  # the script names Flink's own jar first
    assert line.passed is not None
    assert found == [word.encode() for word in line.passed]


@BY_VERSION
def test_odd_arguments_reach_flink_as_they_are(real: Real, version: str) -> None:
    words = [
        "run",
        "-t",
        "yarn-application",
        "a b.jar",
        "",
        " ",
        "'",
        '"',
        "*",
        "$HOME",
        "`id`",
        "\\",
        "a\nb",
        "é",
    ]
    assert real.run("flink", *words, PNDA_FLINK_VERSION=version).returncode == 0
    wanted = ["run", f"-D{KEY}=default", *words[1:]]
    assert real.recorded_words() == [word.encode() for word in wanted]


@pytest.mark.parametrize(
    ("words", "submitted"),
    [
        ("yarn", "yarn -m yarn-cluster -yqu default"),
        ("yarn -nm n -s 2", "yarn -m yarn-cluster -yqu default -ynm n -ys 2"),
        ("yarn -qu other", "yarn -m yarn-cluster -yqu other"),
        ("local", "local"),
    ],
)
def test_what_the_python_shell_submits(real: Real, words: str, submitted: str) -> None:
    recorder = real.base / "python"
    recorder.write_text('#!/bin/sh\nprintf "%s" "$SUBMIT_ARGS" >"$RECORD"\n')
    recorder.chmod(0o755)
    for version in VERSIONS:
        more = {"PNDA_FLINK_VERSION": version, "PYFLINK_PYTHON": str(recorder)}
        done = real.run("pyflink-shell.sh", *words.split(), **more)
        assert done.returncode == 0, done.stderr
        assert sorted(real.record.read_text().split()) == sorted(submitted.split())


@dataclass(frozen=True)
class Parsed:
    """What Flink made of a line: whether it shows help, the target, the queue, and what are no options."""

    help: bool
    target: str
    queue: str
    rest: tuple[str, ...]


def parsed(real: Real, version: str, lines: Sequence[Sequence[str]]) -> list[Parsed | None]:
    """Return what Flink makes of each of ``lines`` (`run` or `session` first); None for what it refuses."""
    file = real.base / "lines"
    file.write_text(
        "".join(
            ",".join([kind, *(os.fsencode(word).hex() for word in words)]) + "\n" for kind, *words in lines
        )
    )
    found: list[Parsed | None] = []
    for answer in real.ask_flink(version, file):
        if answer == "!":
            found.append(None)
            continue
        told, target, queue, *rest = (bytes.fromhex(part).decode() for part in answer.split(",")[:-1])
        found.append(Parsed(bool(told), target, queue, tuple(rest)))
    assert len(found) == len(lines)
    return found


def as_flink_sees(line: Line, words: Sequence[str]) -> list[str]:
    return ["session", *words] if line.script == "yarn-session.sh" else ["run", *words[1:]]


@BY_VERSION
def test_what_flink_makes_of_the_table(real: Real, version: str) -> None:
    """No line of the table goes into another queue than the policy's, and nothing else of it changes."""
    lines = [
        line
        for line in LINES
        if line.script == "yarn-session.sh" or (line.command, line.words[:1]) == ("flink", ("run",))
    ]
    typed = parsed(real, version, [as_flink_sees(line, line.words) for line in lines])
    given = parsed(real, version, [as_flink_sees(line, line.passed or line.words) for line in lines])
    checked = 0
    for line, before, after in zip(lines, typed, given, strict=True):
        if before is None or before.help:
            assert line.option == SAME, line
            continue
        assert after is not None, line
        assert before.rest == after.rest, line
        session = line.script == "yarn-session.sh"
        if session and {"-id", "-q"} & set(line.words):
            assert line.option == SAME, line  # it looks at a cluster that is there
        elif not session and before.target.lower() not in NEEDED:
            # 2.x knows no applications by `-m yarn-cluster`, and refuses them later.
            old = version == "2.3.0" and before.target == "yarn-session"
            assert line.option == SAME or old, line
        elif line.option == DENIED:
            assert before.queue not in ("default", "other"), line
            checked += 1
        else:
            assert after.queue in ("default", "other"), line
            assert line.option in (SAME, f"-D{KEY}={after.queue}", f"--yarnqueue={after.queue}"), line
            checked += 1
    assert checked > 60


OPTIONS = """
h v j c C p a d sae py pyfs s n rm e t D z m yid yj yjm yqu yarnqueue yq yt yD ynm arguments target detached
jobmanager executor allowNonRestoredState yarnname
"""
VALUES = f"""
yarn-per-job yarn-application yarn-session local yarn-cluster a.jar -1 - -- = '"yarn-per-job"' 'a b' '' é
{KEY} {KEY}=one {KEY}=two execution.target=yarn-per-job execution.target=local application_1_2
"""


def made_up(chance: random.Random) -> list[str]:
    """Return a line that nobody would type: options cut short, run together, with too few or many values."""
    start = ("", "-t yarn-per-job", "-m yarn-cluster", "-Dexecution.target=yarn-application")
    words = chance.choice(start).split()
    for _ in range(chance.randint(0, 5)):
        name = chance.choice((*OPTIONS.split(), "t", "D", "yqu", "yD", "m", "d"))
        name = chance.choice(
            (name, name, name, name[: chance.randint(1, len(name))], chance.choice("dnvt") + name)
        )
        dashed, value = chance.choice(("-", "-", "--")) + name, chance.choice(shlex.split(VALUES))
        words += chance.choice(([dashed], [value], [f"{dashed}={value}"], [dashed + value], [dashed, value]))
    return words


@BY_VERSION
def test_what_flink_makes_of_odd_lines(real: Real, version: str) -> None:
    """Whatever the line: where Flink would go to YARN, the queue is the one that was decided."""
    chance = random.Random(7)
    lines = [made_up(chance) for _ in range(150)]
    decider = real.base / "decide"
    decider.write_text('#!/bin/sh\nprintf "%s" "${2:-decided}" | tee "$RECORD"\n')
    decider.chmod(0o755)
    more = {"PNDA_FLINK_QUEUE_PROGRAM": str(decider), "FLINK_CONF_DIR": str(real.base / "none")}
    decided: list[str | None] = []
    given = []
    for words in lines:
        real.record.unlink(missing_ok=True)
        done = subprocess.run(
            [FLINK.programs / "queue-option", f"/x/flink-{version}", "flink", "run", *words],
            env=real.environment(**more), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        decided.append(real.record.read_text() if real.record.exists() else "" if done.returncode else None)
        given.append([*done.stdout.split(), *words])
    before = parsed(real, version, [["run", *words] for words in lines])
    after = parsed(real, version, [["run", *words] for words in given])
    checked = 0
    for words, queue, old, new in zip(lines, decided, before, after, strict=True):
        if old is None or old.help:
            continue  # Flink says what is wrong, or how it is right
        assert new is not None, words
        assert new.rest == old.rest, words
        if old.target.lower() in NEEDED:
            assert queue is not None, words
            assert queue in ("", new.queue), words
            checked += 1
    assert checked > 30


@BY_VERSION
def test_the_launcher_knows_the_options_of_this_flink(real: Real, version: str) -> None:
    text = (FLINK.programs / "queue-option").read_text()
    found: dict[str, set[str]] = {"run": set(), "session": set()}
    for name, one in (line.split(" ") for line in real.ask_flink(version)):
        found[name].add(one)
    for name, options in found.items():
        body = re.search(rf"function {name}_options\(\) {{(.*?)\n}}", text, re.S)
        assert body
        known = set(re.findall(r"[A-Za-z]+/[A-Za-z]*/[0-9]", body[1]))
        assert known | ({"yd/yarndetached/0"} if version.startswith("1.") else set()) == options

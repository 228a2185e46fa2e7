"""The layers of ``./inv test``: what each needs, what it runs, and how the whole is reported.

Quick layers come first. A layer that lacks something installs it (as root) or fails and says
what is missing; nothing is skipped. A pytest layer that ran no test has failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError

from core import bootstrap, console, debian
from core.errors import UsageError, WorldError
from core.marked_yaml import nearest
from core.process import run
from tests import fullness

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("bench", "core", "mirror", "provision", "lab", "tests")


@dataclass(frozen=True)
class Layer:
    """A named part of the tests: commands to run in order, with what they need first."""

    name: str
    packages: tuple[str, ...]
    salt: bool
    minutes: float  # the time limit of the whole layer
    full_minutes: float = 0.0  # with --full, where that takes longer
    paths: tuple[str, ...] = ()  # pytest paths; none for the lint layer
    spread: str = ""  # how pytest-xdist spreads the tests over two workers, "" for one


LAYERS = (
    Layer("lint", ("shellcheck",), salt=True, minutes=10),
    Layer(
        "unit", ("gawk", "mawk"), False, minutes=20, full_minutes=60, paths=("tests/unit",), spread="loadfile"
    ),
    Layer("render", (), salt=True, minutes=15, paths=("tests/render",), spread="loadfile"),
    Layer("faults", (), salt=False, minutes=40, full_minutes=90, paths=("tests/faults",), spread="loadfile"),
    Layer("release", (), salt=True, minutes=30, paths=("tests/release",), spread="loadfile"),
    Layer("lab", (), salt=True, minutes=70, paths=("tests/lab",), spread="loadscope"),
)


@dataclass
class Tally:
    """What a run of layers came to."""

    passed: int = 0
    failed: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, layer: str, passed: int, failed: int, seconds: float) -> None:
        """Count one layer."""
        self.passed += passed
        self.failed += failed
        self.lines.append(f"{layer:8} {passed:5} passed {failed:3} failed {seconds:8.1f} s")


def run_layers(only: Sequence[str] = (), full: bool = False) -> None:
    """Run the layers named in ``only`` (all when empty), in the order of LAYERS.

    With ``full`` a build is killed at every single change that it makes to the disk, and properties
    are tried with thirty times the examples.

    All of them run even when one fails; raises WorldError at the end if any did, UsageError for
    a name that is no layer.
    """
    names = [layer.name for layer in LAYERS]
    for name in only:
        if name not in names:
            raise UsageError(f"there is no test layer {name!r}", nearest(name, names))
    bootstrap.ensure("test")
    tally = Tally()
    for layer in LAYERS:
        if only and layer.name not in only:
            continue
        debian.require(layer.packages, f"the test layer {layer.name} needs")
        if layer.salt:
            bootstrap.ensure("salt")
        console.say(f"== {layer.name}")
        started = time.monotonic()
        passed, failed = _pytest(layer, full) if layer.paths else _lint(layer)
        tally.add(layer.name, passed, failed, time.monotonic() - started)
    print("\n".join(["", *tally.lines]))
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    if tally.failed:
        raise WorldError(f"{tally.failed} test(s) or check(s) failed", "the first failure above says where")


def _pytest(layer: Layer, full: bool) -> tuple[int, int]:
    report = ROOT / "build" / "tests" / f"{layer.name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", *layer.paths, f"--junitxml={report}", "--durations=10"]
    if layer.spread:
        words += ["--numprocesses=2", f"--dist={layer.spread}", "--max-worker-restart=0"]
    minutes = max(layer.minutes, layer.full_minutes) if full else layer.minutes
    code = _stream(words, minutes * 60, {fullness.VARIABLE: "1" if full else "0"})
    passed, failed = _counts(report)
    if code != 0 and failed == 0:
        failed = 1  # no test at all, a crash, or the time limit
    return passed, failed


def _counts(report: Path) -> tuple[int, int]:
    from defusedxml.ElementTree import parse

    try:
        root = parse(report).getroot()
    except (OSError, ParseError):
        return 0, 1
    suites = [] if root is None else list(root.iter("testsuite"))
    total = sum(int(suite.get("tests", 0)) for suite in suites)
    bad = sum(int(suite.get(kind, 0)) for suite in suites for kind in ("failures", "errors", "skipped"))
    return total - bad, bad


def _lint(layer: Layer) -> tuple[int, int]:
    passed = failed = 0
    for title, words in lint_commands():
        console.say(f"-- {title}")
        if _stream(words, layer.minutes * 60) == 0:
            passed += 1
        else:
            failed += 1
            print(f"FAILED {title}", flush=True)
    return passed, failed


def lint_commands() -> list[tuple[str, list[str]]]:
    """Return the static checks as (title, argument list) pairs."""
    python = sys.executable
    tracked = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], timeout=60, cwd=ROOT)
    files = [name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()]
    own = [name for name in files if not any(one.is_symlink() for one in _ways(name))]
    yaml = [name for name in own if name.endswith((".yml", ".yaml"))]
    states = [name for name in own if name.endswith(".sls")]
    rooms = [room for room in ROOMS if (ROOT / room).is_dir()]
    return [
        ("ruff check", [python, "-m", "ruff", "check", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
        ("mypy --strict", [python, "-m", "mypy", "tasks.py", *rooms]),
        (
            "mypy --strict, node programs",
            [python, "-m", "mypy", "--scripts-are-modules", *_scripts(own, b"python3")],
        ),
        ("yamllint", [python, "-m", "yamllint", "--strict", *yaml]),
        ("shellcheck", ["shellcheck", *_scripts(own, b"sh", b"bash")]),
        ("ansible-lint (production)", [_tool("ansible-lint"), "--offline", "--strict", "roles", "molecule"]),
        ("salt-lint", [str(ROOT / ".venv-salt" / "bin" / "salt-lint"), *states]),
    ]


def _ways(name: str) -> list[Path]:
    return [ROOT / name, *(ROOT / parent for parent in Path(name).parents)]


def _tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise WorldError(f"{name} is missing from the environment", "remove .venv and run ./inv test again")
    return found


def _scripts(files: Sequence[str], *interpreters: bytes) -> list[str]:
    """Return those of ``files`` whose first line names one of ``interpreters``."""
    scripts = []
    for name in files:
        with (ROOT / name).open("rb") as stream:
            first = stream.readline(80)
        if first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in interpreters:
            scripts.append(name)
    return scripts


def _stream(words: Sequence[str], seconds: float, extra: Mapping[str, str] | None = None) -> int:
    """Run ``words`` with our own output streams; kill it with its children at the time limit."""
    ours = {"PYTHONPATH": str(ROOT), "ANSIBLE_ROLES_PATH": str(ROOT / "roles")}
    environment = {**os.environ, **(extra or {}), **ours}
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        print(f"FAILED: no end after {seconds:g} s: {' '.join(words[:4])}", flush=True)
        return 124
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
            try:
                process.wait(timeout=60)  # a lab test brings its containers down on the way out
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()

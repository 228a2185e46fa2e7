"""The memo of an unchanged build costs nothing but time when it is lost, damaged, or wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mirror_world import ROOT, World
from tests.faults.upstream import tgz

BODIES = {f"file{number}.tgz": tgz(os.urandom(300)) for number in range(4)}
HEAVY = ("jsonschema", "requests", "packaging", "cyclonedx", "license_expression")


@pytest.fixture
def built(world: World) -> Any:
    world.write(dict(BODIES))
    done = world.command("build")
    assert done.returncode == 0, done.stderr
    return world


def memo_of(world: World) -> Any:
    return world.root / "store" / "memo.json"


def edited(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def apply(raw: bytes) -> bytes:
        data = json.loads(raw)
        change(data)
        return json.dumps(data).encode()

    return apply


def swap_digests(data: Any) -> None:
    """Two generated files change places: well-formed, and wrong."""
    made = data["made"]
    made["SHA512SUMS"], made["index.html"] = made["index.html"], made["SHA512SUMS"]


def older_program(data: Any) -> None:
    data["program"] = "0" * 64
    swap_digests(data)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "no JSON": lambda raw: b"\xff" + raw,
    "a list": lambda raw: b"[1]",
    "nested": lambda raw: b"[" * 100_000,
    "other digests": edited(swap_digests),
    "a file less": edited(lambda data: data["made"].pop("index.html")),
    "a file more": edited(lambda data: data["made"].update({"more.txt": ["0" * 64, 1]})),
    "a path outside": edited(lambda data: data["made"].update({"../../x": ["0" * 64, 1]})),
    "no digest": edited(lambda data: data["made"].update({"index.html": ["../../x", 1]})),
    "no size": edited(lambda data: data["made"].update({"index.html": ["0" * 64, None]})),
    "a row that is none": edited(lambda data: data["made"].update({"index.html": []})),
    "another program": edited(older_program),
    "another format": edited(lambda data: data.update(format=99)),
    "another lock": edited(lambda data: data.update(read={})),
}


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_a_damaged_memo_is_noticed_and_made_anew(built: World, how: str) -> None:
    memo, release = memo_of(built), built.current()
    right = memo.read_bytes()
    memo.write_bytes(DAMAGE[how](right))
    assert memo.read_bytes() != right
    done = built.command("build", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] is False
    assert built.current() == release
    assert memo.read_bytes() == right
    assert built.command("audit").returncode == 0


def test_a_lost_memo_is_made_anew_and_a_dry_run_writes_none(built: World) -> None:
    memo = memo_of(built)
    right = memo.read_bytes()
    memo.unlink()
    assert json.loads(built.command("build", "--json", "--dry-run").stdout)["publishes"] is False
    assert not memo.exists()
    assert json.loads(built.command("build", "--json").stdout)["published"] is False
    assert memo.read_bytes() == right


def test_what_is_wrong_with_a_generated_file_is_noticed_in_spite_of_the_memo(built: World) -> None:
    page = built.current() / "index.html"
    blob = page.resolve()
    page.chmod(0o644)
    blob.write_bytes(b"vandalised")  # the release's name and the store's are one file
    done = built.command("build", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] is True
    assert b"vandalised" not in (built.current() / "index.html").read_bytes()
    assert built.command("audit").returncode == 0


def test_a_changed_catalogue_is_refused_in_spite_of_the_memo(built: World) -> None:
    text = built.catalogue.read_text()
    built.catalogue.write_text(text.replace("all-of-it", "all", 1))
    done = built.command("build")
    assert done.returncode == 2
    assert "has changed since it was locked" in done.stderr
    built.catalogue.unlink()
    assert built.command("build").returncode == 2
    built.catalogue.write_text(text)
    assert built.command("build").returncode == 0


def test_a_smaller_build_does_not_take_the_memo_of_a_larger_one(built: World) -> None:
    assert built.command("build", "--only", "file0-tgz", "--allow-shrink").returncode == 0
    names = {path.name for path in (built.current() / "mirror_misc").iterdir()}
    assert names == {"file0.tgz", "file0.tgz.sha512.txt", "index.html"}
    assert built.command("build").returncode == 0
    built.assert_whole()


def test_an_unchanged_build_loads_nothing_heavy(built: World) -> None:
    script = (
        "import sys; from core.program import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        f"heavy = set({HEAVY!r}) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    words = [sys.executable, "-c", script, *map(str, built.words("build")[3:])]
    done = subprocess.run(
        words, cwd=ROOT, env=built.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "is published already" in done.stdout


@pytest.fixture
def older(tmp_path: Path, world: World) -> Any:
    """A release that another version of this program published; its pages are worded otherwise."""
    program = tmp_path / "older"
    rooms = ("bench", "core", "lab", "mirror", "provision", "requirements", "tests")
    for room in rooms:
        shutil.copytree(ROOT / room, program / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tasks.py", program)
    template = program / "mirror" / "page.html.j2"
    template.write_text(template.read_text().replace("About the release", "An older heading"))
    world.write(dict(BODIES))
    done = subprocess.run(
        list(map(str, world.words("build"))), cwd=program, capture_output=True, text=True, timeout=60,
        env={**world.environment, "PYTHONPATH": str(program)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"An older heading" in (world.current() / "index.html").read_bytes()
    return world


def test_another_version_of_the_program_does_not_take_over_the_memo(older: World) -> None:
    report = json.loads(older.command("build", "--json").stdout)
    assert (report["published"], report["serial"]) == (True, 2)
    assert b"An older heading" not in (older.current() / "index.html").read_bytes()
    assert older.command("audit").returncode == 0


def test_what_another_version_published_is_audited_by_its_root_digest(older: World) -> None:
    assert older.command("audit").returncode == 0
    name = next(iter(BODIES))
    for path in ("index.html", f"mirror_misc/{name}"):
        found = older.current() / path
        right = found.read_bytes()
        found.chmod(0o644)
        found.write_bytes(right[:-1] + b"!")
        done = older.command("audit")
        assert done.returncode == 1
        assert f"changed: {path}" in done.stderr
        found.write_bytes(right)
    assert older.command("audit").returncode == 0

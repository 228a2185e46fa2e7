"""The program as a whole: its call, its configuration, one at a time, and ended in the midst of its work."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.manifest import FLINK
from tests.unit.programs.housekeeping_world import ALONE, Node, ResourceManager, ids, tree
from tests.unit.programs.test_housekeeping_libraries import NOW

PACKAGE = FLINK.programs / "pnda_housekeeping"
ME = pwd.getpwuid(os.getuid()).pw_name
APP = "application_1764000000000_0001"
# Runs the program and ends it, as the kernel would, before its N-th change to the disk.
KILLER = """\
import os, runpy, signal, sys
left = int(sys.argv.pop(1))
def hook(event, args):
    global left
    if event in ("os.remove", "os.rmdir", "os.rename"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def yarn() -> Iterator[ResourceManager]:
    made = ResourceManager()
    made.app(APP, "KILLED", 5)
    yield made
    made.server.close()


def furnish(node: Node, yarn: ResourceManager) -> None:
    """Put something that goes, and something that stays, into every part."""
    base = node.base
    node.settings |= {
        "staging.resource_managers": [yarn.uri],
        "temporary.days": 0.0,
        "libraries.days": 0.0,
        "libraries.versions": [NOW],
    }
    for name in ids(2):
        node.archive(name, 40)
    node.archive(ids(1, 50)[0], 1)
    node.application("c" * 32, ids(1, 60)[0], 40, ids(2, 70))
    node.application("c" * 32, ids(1, 61)[0], 1, ids(1, 80))
    node.staged("dev1", APP)
    node.staged("dev1", "application_1764000000000_0002")
    for version in (NOW, "1.20.4"):
        (base / "opt" / f"flink-{version}" / "lib" / "deeper").mkdir(parents=True)
        (base / "opt" / f"flink-{version}" / "lib" / "deeper" / "x.jar").touch()
        (base / "opt" / f"flink-{version}" / ".pnda-0").touch()
    record = {"format": 1, "default": NOW, "history_server": "", "releases": {NOW: "0"}}
    (base / "applied.json").write_text(json.dumps(record))
    mine = base / "tmp" / f"pnda-flink-{ME}"
    (mine / "a" / "b" / "c").mkdir(parents=True)
    (mine / "a" / "b" / "c" / "x").touch()
    (mine / "a" / "y").touch()
    (mine / "z").touch()


def what_is_left(node: Node) -> set[str]:
    folders = ("archives", "homes", "opt", "tmp")
    return {str(path.relative_to(node.base)) for name in folders for path in (node.base / name).rglob("*")}


def test_ended_at_any_change_the_next_run_comes_to_the_same_end(
    tmp_path: Path, yarn: ResourceManager
) -> None:
    """kill -9 before every single removal and renaming, of every part."""
    (tmp_path / "whole").mkdir()
    whole = Node(tmp_path / "whole")
    furnish(whole, yarn)
    done = whole.run("--json")
    assert done.returncode == 0, done.stdout
    assert [part["deleted"] for part in json.loads(done.stdout)["parts"].values()] == [3, 1, 1, 2]
    wanted = what_is_left(whole)
    point = 0
    while True:
        point += 1
        base = tmp_path / f"at-{point}"
        base.mkdir()
        node = Node(base)
        furnish(node, yarn)
        words = node.words()
        ended = subprocess.run(
            [*ALONE, "sh", "-c", '"$@"; exit $?', "sh", words[0], "-c", KILLER, str(point), *words[1:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ended.returncode == 0:
            break
        assert ended.returncode == 137, ended.stderr
        assert node.run().returncode == 0
        assert what_is_left(node) == wanted, point
        assert not list(base.rglob(".pnda-removing-*"))
    assert point > 25


def test_a_second_one_at_the_same_time(tmp_path: Path) -> None:
    node = Node(tmp_path)
    handle = os.open(tmp_path / "state", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    for arguments in ((), ("--dry-run",)):
        done = node.run(*arguments)
        assert done.returncode == 3
        assert "another run is at work" in done.stderr
    os.close(handle)


def test_the_report_is_kept_of_real_runs_only(tmp_path: Path, yarn: ResourceManager) -> None:
    node = Node(tmp_path)
    furnish(node, yarn)
    last = tmp_path / "state" / "last.json"
    dry = node.run("--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert not last.exists()
    assert not (tmp_path / "state" / "seen.json").exists()
    assert f"archives: delete {tmp_path}/archives/{ids(1)[0]}" in dry.stdout.splitlines()
    assert "archives: 3 would be deleted (0.0 MB)" in dry.stdout.splitlines()
    done = node.run()
    report = json.loads(last.read_text())
    assert (report["result"], report["dry_run"]) == ("done", False)
    assert report["parts"]["staging"]["kept"] == {"unknown to YARN, and its end was never seen": 1}
    assert "delete /" not in done.stdout
    assert "archives: 3 deleted (0.0 MB)" in done.stdout.splitlines()


def test_only_the_parts_that_are_asked_for(tmp_path: Path, yarn: ResourceManager) -> None:
    node = Node(tmp_path)
    furnish(node, yarn)
    done = node.run("--only", "temporary", "--only", "archives", "--json")
    assert list(json.loads(done.stdout)["parts"]) == ["archives", "temporary"]
    assert (tmp_path / "homes" / "dev1" / ".flink" / APP).exists()


def test_a_part_that_is_off_stays_off(tmp_path: Path, yarn: ResourceManager) -> None:
    node = Node(tmp_path)
    furnish(node, yarn)
    node.settings |= {f"{part}.enabled": False for part in ("archives", "staging", "libraries", "temporary")}
    before = tree(tmp_path / "archives"), tree(tmp_path / "homes"), tree(tmp_path / "opt")
    done = node.run("--json")
    assert json.loads(done.stdout)["parts"] == {}
    assert before == (tree(tmp_path / "archives"), tree(tmp_path / "homes"), tree(tmp_path / "opt"))


WRONG = {
    "not there": None,
    "no JSON": "{",
    "no object": "[]",
    "another format": {"format": 2},
    "an unknown key": {"archives.dayz": 3},
    "text for a number": {"archives.days": "3"},
    "true for a number": {"archives.days": True},
    "below nothing": {"temporary.days": -1},
    "no number at all": {"archives.most": 0},
    "text for a list": {"temporary.folders": "/tmp"},
    "a list of numbers": {"temporary.folders": [1]},
    "text for a switch": {"archives.enabled": "no"},
    "a storage of another kind": {"archives.folder": "s3://bucket/x"},
    "a storage without its servers": {"archives.folder": "hdfs://nn/x"},
    "a folder that is relative": {"archives.folder": "file://x/y"},
    "an empty folder": {"staging.homes": ""},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_deletes_nothing(tmp_path: Path, yarn: ResourceManager, name: str) -> None:
    node = Node(tmp_path)
    furnish(node, yarn)
    words, wrong = node.words(), WRONG[name]
    if wrong is None:
        node.configuration.unlink()
    elif isinstance(wrong, str):
        node.configuration.write_text(wrong)
    else:
        node.configuration.write_text(json.dumps({**node.settings, **wrong}))
    before = what_is_left(node)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "housekeeping: " in done.stderr
    assert "Traceback" not in done.stderr
    assert what_is_left(node) == before


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    node = Node(tmp_path)
    del node.settings["archives.most"]
    done = node.run()
    assert done.returncode == 2
    assert "archives.most is missing" in done.stderr


@pytest.mark.parametrize("arguments", [["--only", "everything"], ["--only"], ["x"]])
def test_a_wrong_call(tmp_path: Path, arguments: list[str]) -> None:
    words = Node(tmp_path).words(*arguments)
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2


def test_a_state_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (tmp_path / "state").rmdir()
    done = node.run()
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_the_oldest_python_that_it_is_for_reads_it() -> None:
    for path in (FLINK.programs / "housekeeping", *PACKAGE.glob("*.py")):
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_it_leaves_no_compiled_files_beside_itself(tmp_path: Path) -> None:
    assert Node(tmp_path).run("--dry-run", "--only", "temporary").returncode == 0
    assert not (PACKAGE / "__pycache__").exists()

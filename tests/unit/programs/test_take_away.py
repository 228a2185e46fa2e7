"""What is described no longer goes, and nothing else: the real program on a real tree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.manifest import FLINK

PROGRAM = FLINK.programs / "take-away"


class Node:
    """A tree with what two components have in it, and the rows that describe them."""

    def __init__(self, base: Path) -> None:
        self.base, self.record = base, base / "state/managed.json"
        for folder in ("state", "etc/kept", "etc/gone", "etc/old", "usr", "opt/release", "spool/inner"):
            (base / folder).mkdir(parents=True)
        for file in ("etc/kept/x", "etc/gone/x", "etc/old/x", "usr/site", "spool/inner/x", "opt/release/x"):
            (base / file).write_text(file)
        (base / "usr/ours").symlink_to(base / "opt/release")
        (base / "usr/theirs").symlink_to("/somewhere/else")
        self.kept = [self.row("base tree", "state"), self.row("kept folder", "etc/kept")]
        self.kept += [self.row("kept file", "etc/kept/x")]
        self.gone = [self.row("gone folder", "etc/gone"), self.row("gone file", "etc/gone/x")]
        self.gone += [self.row("gone link", "usr/ours"), self.row("gone link", "usr/theirs")]
        self.gone += [self.row("gone tree", "spool"), self.row("gone folder", "opt")]
        self.gone += [self.row("gone@1 folder", "etc/old"), self.row("gone@1 file", "etc/old/x")]

    def row(self, kind: str, path: str) -> str:
        return f"{kind} {self.base / path}"

    def call(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), f"--record={self.record}", *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr + done.stdout
        return done.stderr if code == 2 else done.stdout

    def tree(self) -> list[str]:
        return sorted(str(path.relative_to(self.base)) for path in self.base.rglob("*"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    assert node.call(*node.kept, *node.gone) == f"recorded in {node.record}\n"
    return node


def test_nothing_happens_where_all_is_described(node: Node) -> None:
    before = node.tree()
    assert node.call(*node.kept, *node.gone) == node.call("--check", *node.kept, *node.gone) == ""
    assert node.tree() == before


def test_a_component_goes_with_all_that_is_its_own(node: Node) -> None:
    node.call("--check", *node.kept, code=1)
    before = node.tree()
    foretold = node.call("--dry-run", *node.kept)
    assert node.tree() == before
    assert node.call(*node.kept) == foretold
    left = ["etc", "etc/kept", "etc/kept/x", "opt", "opt/release", "opt/release/x", "state"]
    assert node.tree() == [*left, "state/managed.json", "usr", "usr/site", "usr/theirs"]
    assert node.call(*node.kept) == node.call("--check", *node.kept) == ""


def test_a_version_stays_as_long_as_its_component(node: Node) -> None:
    some = [row for row in node.gone if "@1" not in row]
    assert node.call(*node.kept, *some) == ""
    assert (node.base / "etc/old/x").exists()
    assert f"{node.base}/etc/old/x removed" in node.call(*node.kept)


def test_a_version_that_housekeeping_removed_is_forgotten(node: Node) -> None:
    some = [row for row in node.gone if "@1" not in row]
    (node.base / "etc/old/x").unlink()
    (node.base / "etc/old").rmdir()
    node.call(*node.kept, *some)
    assert "@1" not in node.record.read_text()


def test_a_folder_with_something_else_in_it_stays(node: Node) -> None:
    (node.base / "etc/gone/of-the-site").touch()
    assert f"{node.base}/etc/gone removed" not in node.call(*node.kept).splitlines()
    assert (node.base / "etc/gone/of-the-site").exists()
    assert not (node.base / "etc/gone/x").exists()


def test_a_tree_stays_while_something_described_lies_in_it(node: Node) -> None:
    node.call(*node.kept, node.row("kept file", "spool/inner/x"))
    assert (node.base / "spool/inner/x").exists()


def test_a_thing_that_moved_to_another_component_stays(node: Node) -> None:
    node.call(*node.kept, node.row("kept file", "etc/gone/x"), node.row("kept folder", "etc/gone"))
    assert (node.base / "etc/gone/x").exists()


def test_where_nothing_is_described_any_more_the_record_goes_too(node: Node) -> None:
    node.call()
    assert node.tree() == ["etc", "opt", "opt/release", "opt/release/x", "usr", "usr/site", "usr/theirs"]
    node.call("--check")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"format": 2, "rows": []}', '{"format": 1}'])
def test_without_a_sound_record_nothing_is_removed(node: Node, text: str) -> None:
    node.record.write_text(text)
    before = node.tree()
    assert node.call(*node.kept) == f"recorded in {node.record}\n"
    assert node.tree() == before


@pytest.mark.parametrize(
    "row", ["kept file", "kept fiel /a/b", "kept tree /etc", "kept tree /a/../etc/x", "x tree a/b"]
)
def test_a_row_that_is_none_is_refused_before_anything_goes(node: Node, row: str) -> None:
    before = node.tree()
    assert "this is no row" in node.call(row, code=2)
    assert node.tree() == before


def test_a_damaged_row_in_the_record_removes_nothing(node: Node) -> None:
    node.record.write_text(json.dumps({"format": 1, "rows": [node.gone[0], "gone tree /"]}))
    before = node.tree()
    node.call(*node.kept)
    assert node.tree() == before


def test_what_a_program_takes_out_of_others_files_comes_first(node: Node) -> None:
    program = node.base / "etc/gone/x"
    program.write_text("#!/bin/sh\nrm /nonexistent 2>/dev/null\ntouch $1/undone\n")
    program.chmod(0o755)
    undo = f"gone undo some.service {program} {node.base}/usr"
    node.call(*node.kept, *node.gone, undo)
    assert f"{program} {node.base}/usr" in node.call("--dry-run", *node.kept).splitlines()
    node.call(*node.kept)
    assert (node.base / "usr/undone").exists()
    assert not program.exists()


def test_a_failure_is_told_and_the_next_run_goes_on(node: Node) -> None:
    program = node.base / "etc/gone/x"
    program.write_text("#!/bin/sh\necho it is busy >&2\nexit 5\n")
    program.chmod(0o755)
    undo = f"gone undo some.service {program} x"
    node.call(*node.kept, *node.gone, undo)
    node.call(*node.kept, code=1)
    assert (node.base / "spool/inner/x").exists()
    program.write_text("#!/bin/sh\n")
    node.call(*node.kept)
    assert not (node.base / "spool").exists()


def test_salt_gets_one_object(node: Node) -> None:
    assert json.loads(node.call("--json", *node.kept, *node.gone)) == {"changed": False, "comment": ""}
    said = json.loads(node.call("--json", *node.kept))
    assert said["changed"] is True
    assert f"{node.base}/spool removed" in said["diff"].splitlines()


def test_a_run_that_is_ended_midway_is_finished_by_the_next(node: Node) -> None:
    (node.base / "etc/gone/x").unlink()
    (node.base / "spool").rename(node.base / "elsewhere")
    node.call(*node.kept)
    assert not (node.base / "etc/gone").exists()

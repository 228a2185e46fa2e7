"""What is written down on a node about itself, and the way back by it: real files, real links."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provision.manifest import FLINK

OLD, NEW = "1.20.5", "2.3.0"
PATCHED = "1.20.6"


class Node:
    """A node's folders under a temporary one, with releases as install-release leaves them."""

    def __init__(self, base: Path) -> None:
        self.state, self.root = base / "state", base / "opt"
        self.state.mkdir()
        self.root.mkdir()
        self.unit = base / "unit.service"
        for number, version in enumerate((OLD, PATCHED, NEW)):
            text = json.dumps({"version": version, "digest": str(number) * 64})
            (self.state / f"release-{version}.json").write_text(text)
            (self.root / f"flink-{version}").mkdir()
            (self.root / f"flink-{version}" / f".pnda-{str(number) * 64}").touch()

    def record(self, *versions: str, default: str = "", history: str = "", check: bool = False) -> str:
        """Provision as far as links, unit and record go; return what the record's program said."""
        if default and not check:
            self.flip("flink", default)
        if history and not check:
            self.flip("flink-history", history)
            self.unit.write_text(f"unit of {history}\n")
        done = self.run(
            "record-applied", *(["--check"] if check else []), f"--unit={self.unit}", f"--state={self.state}",
            "--cluster=c", "--lock=" + "a" * 64, f"--home={self.root}/flink", f"--default={default}",
            f"--history-home={self.root}/flink-history", f"--history={history}", *versions,
        )  # fmt: skip
        assert done.returncode == (1 if check and done.returncode else 0), done.stderr
        return "would" if done.returncode else done.stdout

    def flip(self, name: str, version: str) -> None:
        (self.root / name).unlink(missing_ok=True)
        (self.root / name).symlink_to(self.root / f"flink-{version}")

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(FLINK.programs / program), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def applied(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "applied.json").read_text())
        return found

    def default(self) -> str:
        return (self.root / "flink").resolve().name


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_it_is_written_once_and_only_when_something_changes(node: Node) -> None:
    assert node.record(OLD, default=OLD, history=OLD, check=True) == "would"
    assert not (node.state / "applied.json").exists()
    assert "recorded" in node.record(OLD, default=OLD, history=OLD)
    first = (node.state / "applied.json").read_bytes()
    assert node.record(OLD, default=OLD, history=OLD) == ""
    assert node.record(OLD, default=OLD, history=OLD, check=True) == ""
    assert (node.state / "applied.json").read_bytes() == first
    found = node.applied()
    assert found["releases"] == {OLD: "0" * 64}
    assert (found["default"], found["history_server"], found["before"]) == (OLD, OLD, None)
    assert (node.state / f"history-server-{OLD}.service").read_text() == f"unit of {OLD}\n"


def test_the_version_before_is_kept_until_the_version_changes(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(OLD, NEW, default=NEW)
    assert node.applied()["before"]["default"] == OLD
    node.record(NEW, default=NEW)
    found = node.applied()
    assert found["before"]["default"] == OLD
    assert "before" not in found["before"]
    assert found["releases"] == {NEW: "2" * 64}


def test_a_damaged_record_is_made_again(node: Node) -> None:
    node.record(OLD, default=OLD)
    (node.state / "applied.json").write_text('{"format": 1, ')
    assert "recorded" in node.record(OLD, default=OLD)
    assert node.applied()["default"] == OLD


def test_a_version_that_is_not_there_is_no_record(node: Node) -> None:
    done = node.run(
        "record-applied", f"--state={node.state}", "--cluster=c", "--lock=x", "--home=h", "--default=9.9.9",
        "--history-home=g", "--history=", "9.9.9",
    )  # fmt: skip
    assert done.returncode == 1
    assert "release-9.9.9.json" in done.stderr
    assert not (node.state / "applied.json").exists()

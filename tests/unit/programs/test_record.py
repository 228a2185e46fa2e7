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


def back(node: Node) -> dict[str, Any]:
    done = node.run("roll-back", f"--state={node.state}", f"--unit={node.unit}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_client_goes_back_and_the_node_says_so(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(OLD, NEW, default=NEW)
    answer = back(node)
    assert answer["default"] == OLD
    assert node.default() == f"flink-{OLD}"
    found = node.applied()
    assert (found["default"], found["before"]) == (OLD, None)
    assert (found["rolled_back"]["from"], found["rolled_back"]["to"]) == (NEW, OLD)
    assert set(found["releases"]) == {OLD, NEW}


def test_a_second_roll_back_goes_no_further(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(NEW, default=NEW)
    back(node)
    first = (node.state / "applied.json").read_bytes()
    assert back(node)["changes"] == []
    assert (node.state / "applied.json").read_bytes() == first


def test_one_that_was_ended_after_its_record_is_completed(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(NEW, default=NEW)
    back(node)
    node.flip("flink", NEW)  # as it is between the record and the link
    assert len(back(node)["changes"]) == 1
    assert node.default() == f"flink-{OLD}"


def test_applying_again_drops_the_roll_back_and_keeps_a_way_back(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(OLD, NEW, default=NEW)
    back(node)
    assert "recorded" in node.record(OLD, NEW, default=NEW)
    found = node.applied()
    assert (found["rolled_back"], found["before"]["default"]) == (None, OLD)


def test_agreeing_to_a_roll_back_drops_it(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(OLD, NEW, default=NEW)
    back(node)
    assert node.record(OLD, default=OLD, check=True) == "would"
    node.record(OLD, default=OLD)
    assert node.applied()["rolled_back"] is None
    assert node.record(OLD, default=OLD) == ""


def test_the_history_server_stays_where_its_line_is_older(node: Node) -> None:
    node.record(OLD, default=OLD, history=OLD)
    node.record(OLD, NEW, default=NEW, history=NEW)
    answer = back(node)
    assert (answer["default"], answer["history_server"]) == (OLD, NEW)
    assert f"the history server stays {NEW}" in answer["kept"][0]
    assert (node.root / "flink-history").resolve().name == f"flink-{NEW}"
    assert node.unit.read_text() == f"unit of {NEW}\n"


def test_a_node_with_nothing_but_such_a_server_is_left_alone(node: Node) -> None:
    node.record(OLD, history=OLD)
    node.record(NEW, history=NEW)
    first = (node.state / "applied.json").read_bytes()
    answer = back(node)
    assert (answer["changes"], len(answer["kept"])) == ([], 1)
    assert (node.state / "applied.json").read_bytes() == first


def test_the_history_server_goes_back_within_its_line_with_its_unit(node: Node, tmp_path: Path) -> None:
    node.record(OLD, history=OLD)
    node.record(PATCHED, history=PATCHED)
    # No systemd answers for this unit here: what comes before the restart must be done, and said to fail.
    done = node.run("roll-back", f"--state={node.state}", f"--unit={node.unit}")
    assert (node.root / "flink-history").resolve().name == f"flink-{OLD}"
    assert node.unit.read_text() == f"unit of {OLD}\n"
    assert node.applied()["rolled_back"]["history_to"] == OLD
    assert done.returncode == 1
    assert "systemctl" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda node: (node.state / "applied.json").unlink(), "there is no record"),
        (lambda node: (node.state / "applied.json").write_text("{"), "JSONDecodeError"),
        (lambda node: (node.state / "applied.json").write_text("[]"), "it is damaged"),
        (lambda node: (node.root / f"flink-{OLD}" / f".pnda-{'0' * 64}").unlink(), "not complete"),
    ],
)
def test_without_a_way_back_nothing_moves(node: Node, spoil: Any, words: str) -> None:
    node.record(OLD, default=OLD)
    node.record(NEW, default=NEW)
    spoil(node)
    done = node.run("roll-back", f"--state={node.state}", f"--unit={node.unit}")
    assert done.returncode == 1
    assert words in done.stderr
    assert node.default() == f"flink-{NEW}"


def test_a_first_version_has_nothing_before(node: Node) -> None:
    node.record(OLD, default=OLD)
    done = node.run("roll-back", f"--state={node.state}")
    assert done.returncode == 1
    assert "no other version" in done.stderr


def test_an_upgrade_that_did_not_come_to_its_end_goes_back_to_the_record(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(PATCHED, default=PATCHED)
    since = node.applied()["time"]
    first = (node.state / "applied.json").read_bytes()
    node.flip("flink", NEW)  # and no record of it
    done = node.run("roll-back", f"--state={node.state}", f"--since={since}")
    assert done.returncode == 0, done.stderr
    assert node.default() == f"flink-{PATCHED}"
    assert (node.state / "applied.json").read_bytes() == first


def test_an_upgrade_that_did_come_to_its_end_is_rolled_back(node: Node) -> None:
    node.record(OLD, default=OLD)
    node.record(NEW, default=NEW)
    done = node.run("roll-back", f"--state={node.state}", "--since=2020-01-01T00:00:00+00:00")
    assert done.returncode == 0, done.stderr
    assert node.default() == f"flink-{OLD}"
    assert node.applied()["rolled_back"]["from"] == NEW

"""What the shell on a node does around salt-call, with a real shell, tar and flock; salt-call is played."""

from __future__ import annotations

import dataclasses
import fcntl
import subprocess
from pathlib import Path

import pytest

from provision import pillar, salt_engine
from provision.cluster import Cluster

SALT = """#!/bin/sh
[ -e "$FOLDER/states/flink/init.sls" ] && [ -e "$FOLDER/pillar/flink.sls" ] && echo "ran $*"
exit 3
"""


@pytest.fixture
def node(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The sample, whose nodes have a Python that only says what it is called with."""
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path / "build"))
    for name in ("NODE", "PLAN"):
        monkeypatch.setattr(pillar, name, str(tmp_path / name))
    monkeypatch.setattr(salt_engine, "_WAIT", 1)
    program = tmp_path / "python"
    program.write_text(SALT)
    program.chmod(0o755)
    return dataclasses.replace(cluster, salt_python=str(program))


def run(node: Cluster, folder: Path, check: bool, bundle: bytes | None = None) -> tuple[int, str]:
    if bundle is None:
        bundle = pillar.bundle(pillar.write(node, node.hosts[0], "{}", check))
    script = salt_engine._script(node, "flink", check)
    done = subprocess.run(
        ["sh", "-c", script], input=bundle, capture_output=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "FOLDER": str(folder)},
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).decode()


def test_a_run_keeps_its_states_and_a_plan_leaves_nothing(node: Cluster, tmp_path: Path) -> None:
    ran, planned = tmp_path / "NODE", tmp_path / "PLAN"
    code, said = run(node, planned, check=True)
    assert (code, said.endswith("state.apply flink test=True\n")) == (3, True)
    assert f"--local -c {planned} " in said
    assert [path.name for path in planned.iterdir()] == ["lock"]
    assert not ran.exists()
    code, said = run(node, ran, check=False)
    assert (code, said.endswith("state.apply flink\n")) == (3, True)
    assert {path.name for path in ran.iterdir()} == {"lock", "minion", "pillar", "states"}
    assert oct(ran.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize("check", [True, False])
def test_states_that_cannot_be_written_are_named(node: Cluster, tmp_path: Path, check: bool) -> None:
    folder = tmp_path / ("PLAN" if check else "NODE")
    code, said = run(node, folder, check, bundle=b"cut off")
    assert code == 77
    assert said.startswith(f"the states cannot be written to {folder}: tar: ")
    assert said.count("\n") == 1


def test_another_run_on_the_node_is_waited_for_and_then_named(node: Cluster, tmp_path: Path) -> None:
    (tmp_path / "NODE").mkdir()
    with (tmp_path / "NODE" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(node, tmp_path / "NODE", check=False) == (
            77,
            "another run of Salt is at work on this node\n",
        )
        assert run(node, tmp_path / "PLAN", check=True)[0] == 3  # a plan is in nobody's way


def test_a_node_without_salt_is_told_what_to_set(node: Cluster, tmp_path: Path) -> None:
    bare = dataclasses.replace(node, salt_python="/none/python")
    code, said = run(bare, tmp_path / "NODE", check=False)
    assert (code, said) == (77, "the node has no /none/python; set connection.salt_python\n")

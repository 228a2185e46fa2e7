"""What an operator asks of a lab that is up: what is there, what would change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.containers import execute
from tests.lab.conftest import UpLab, inv

SETTINGS = "/etc/flink/client.env"


def status(up_lab: UpLab) -> tuple[int, dict[str, Any]]:
    done = inv("--json", "provision.status", "--cluster", str(up_lab.lab.cluster_file), check=False)
    return done.returncode, json.loads(done.stdout)


def test_what_was_applied_is_on_the_nodes_and_drift_is_named(ansible_lab: UpLab) -> None:
    code, found = status(ansible_lab)
    assert (code, [host for host, one in found.items() if one["drift"]]) == (0, [])
    assert found["manager-1"]["history_server"] == "1.20.5"
    assert found["edge-1"]["applied"]["default"] == "1.20.5"
    execute(ansible_lab.lab, "edge-1", "chmod", "600", SETTINGS)
    try:
        code, found = status(ansible_lab)
    finally:
        execute(ansible_lab.lab, "edge-1", "chmod", "644", SETTINGS)
    assert code == 1
    assert found["edge-1"]["drift"] == [f"{SETTINGS}: mode is 0o600, not 0o644"]


@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_a_plan_shows_what_differs_and_changes_nothing(ansible_lab: UpLab, engine: str) -> None:
    from lab import salt_environment

    lab = ansible_lab.lab
    if engine == "salt":
        salt_environment.ensure(lab)
    words = (
        "--json",
        "provision.plan",
        "--engine",
        engine,
        "--cluster",
        str(lab.cluster_file),
        "--limit",
        "edge-1",
    )
    assert inv(*words).returncode == 0
    execute(lab, "edge-1", "sh", "-c", f"echo '# by hand' >>{SETTINGS}")
    try:
        done = inv(*words, check=False)
        assert "# by hand" in execute(lab, "edge-1", "cat", SETTINGS)
    finally:
        execute(lab, "edge-1", "sed", "-i", "/# by hand/d", SETTINGS)
    assert done.returncode == 1
    (change,) = json.loads(done.stdout)["hosts"]["edge-1"]["changes"]
    assert SETTINGS in change["what"]
    assert "-# by hand" in change["diff"].splitlines()

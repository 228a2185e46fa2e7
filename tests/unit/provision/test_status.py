"""What is found on a host, beside what it should be: the real probe on a real tree that was written here."""

from __future__ import annotations

import copy
import getpass
import grp
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import WorldError
from provision import housekeeping, nodes, preview, probe, status
from provision.cluster import Cluster
from provision.facts import Facts


@pytest.fixture
def host(facts: dict[str, Facts], tmp_path: Path) -> Facts:
    """The facts of a client whose every path lies under ``tmp_path``, and all of it written there."""
    its = copy.deepcopy(facts["edge-1"])
    base = str(tmp_path / "node")
    its["flink_user"] = "root"
    its["flink_components"] = ["client"]  # units are judged below: systemd is no part of this tree
    its["flink_state_directory"] = base + its["flink_state_directory"]
    for kind in ("directories", "files", "links"):
        for entry in its[f"flink_{kind}"]:
            entry["destination"] = base + entry["destination"]
            if kind != "links":
                entry["owner"], entry["group"] = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    for release in its["flink_releases"]:
        release["home"] = base + release["home"]
        release["python"]["environment"] = base + release["python"]["environment"]
        for marker in (
            f"{release['home']}/.pnda-{release['digest']}",
            f"{release['python']['environment']}/.complete",
        ):
            Path(marker).parent.mkdir(parents=True)
            Path(marker).touch()
    for entry in its["flink_directories"]:
        Path(entry["destination"]).mkdir(parents=True, exist_ok=True)
        Path(entry["destination"]).chmod(int(entry["mode"], 8))
    content = preview.render(its)
    for entry in its["flink_files"]:
        Path(entry["destination"]).parent.mkdir(parents=True, exist_ok=True)
        Path(entry["destination"]).write_bytes(content[entry["destination"]])
        Path(entry["destination"]).chmod(int(entry["mode"], 8))
    for entry in its["flink_links"]:
        Path(entry["destination"]).parent.mkdir(parents=True, exist_ok=True)
        Path(entry["destination"]).symlink_to(entry["target"])
    record = {
        "format": 1, "cluster": "c", "default": "1.20.5", "history_server": "", "releases": {"1.20.5": "0"},
        "lock_digest": its["flink_lock_digest"], "time": "2026-01-01T00:00:00+00:00", "before": None,
    }  # fmt: skip
    Path(status.record_path(its)).write_text(json.dumps(record))
    return its


def look(its: Facts) -> status.HostStatus:
    done = subprocess.run(
        [sys.executable, str(nodes.PROBE)],
        input=json.dumps(status.questions(its)), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return status.judge(its, json.loads(done.stdout))


def find(its: Facts, name: str) -> Path:
    paths = [
        entry["destination"] for kind in ("files", "links", "directories") for entry in its[f"flink_{kind}"]
    ]
    return Path(next(path for path in paths if path.endswith(name)))


def test_a_host_as_described_is_the_same(host: Facts) -> None:
    found = look(host)
    assert found.drift == ()
    assert found.same
    assert found.applied["default"] == "1.20.5"


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/opt/pnda/flink-9.9.9")


def overwrite(path: Path) -> None:
    path.write_text("x")


def replace(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "content": ("client.env", overwrite, "content differs"),
    "mode": ("client.env", lambda path: path.chmod(0o600), "mode is 0o600, not 0o644"),
    "gone": ("client.env", lambda path: path.unlink(), "is not there"),
    "kind": ("client.env", replace, "is a directory, not a file"),
    "link": ("opt/pnda/flink", relink, "target is /opt/pnda/flink-9.9.9, not /opt/pnda/flink-1.20.5"),
    "directory": ("flink/client", lambda path: path.chmod(0o755), "mode is 0o755, not 0o1777"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_each_drift_is_named(host: Facts, change: str) -> None:
    name, spoil, words = CHANGES[change]
    path = find(host, name)
    spoil(path)
    assert look(host).drift == (f"{path}: {words}",)


def test_a_release_that_is_not_the_locks_is_drift(host: Facts) -> None:
    host["flink_releases"][0]["digest"] = "f" * 64
    assert any(".pnda-ffff" in line and "is not there" in line for line in look(host).drift)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": "2"}', '{"format": 1, "releases": []}']
)
def test_a_record_that_is_none_is_drift(host: Facts, text: str) -> None:
    Path(status.record_path(host)).write_text(text)
    (line,) = look(host).drift
    assert "there is no record" in line


def test_the_record_of_a_newer_checkout_is_not_called_none(host: Facts) -> None:
    Path(status.record_path(host)).write_text('{"format": 2, "default": {"line": "1.20"}}')
    (line,) = look(host).drift
    assert line == "its record has format 2, and this checkout knows 1: go on with a newer checkout"


def test_another_lock_and_a_roll_back_are_named(host: Facts) -> None:
    path = Path(status.record_path(host))
    record = json.loads(path.read_text())
    back = {"from": "2.3.0", "to": "1.20.5", "time": "2026-01-02T00:00:00+00:00"}
    path.write_text(json.dumps({**record, "lock_digest": "e" * 64, "rolled_back": back}))
    first, second = look(host).drift
    assert first == "rolled back from 2.3.0 to 1.20.5 at 2026-01-02T00:00:00+00:00"
    assert "by the lock eeeeeeeeeeee" in second


def test_an_account_that_is_gone_is_a_number_and_no_end_of_the_look() -> None:
    assert probe.owner(0) == "root"
    assert (probe.owner(3_999_999_999), probe.group(3_999_999_999)) == ("3999999999", "3999999999")


def test_the_history_server_is_asked_for_its_version(facts: dict[str, Facts]) -> None:
    its = facts["manager-1"]
    answer: dict[str, Any] = {f"path:{path}": wanted for path, wanted in status.expected(its).items()}
    answer |= {
        f"unit:{status.HISTORY_UNIT}": {"UnitFileState": "enabled", "ActiveState": "failed"},
        f"unit:{housekeeping.TIMER}": {"UnitFileState": "disabled", "ActiveState": "active"},
        "user:flink": {},
        "command:ready": {"code": 1, "said": "history-server-ready: no answer\nsee the log"},
    }
    found = status.judge(its, answer)
    assert f"{status.HISTORY_UNIT}: ActiveState is failed, not active" in found.drift
    assert "history server: history-server-ready: no answer" in found.drift
    assert f"{housekeeping.TIMER}: UnitFileState is disabled, not enabled" in found.drift
    answer["command:ready"] = {"code": 0, "said": ""}
    assert status.judge(its, answer).history_server == "2.3.0"


def test_a_host_that_cannot_be_reached_is_a_row(
    cluster: Cluster, facts: dict[str, Facts], tmp_path: Path
) -> None:
    import dataclasses

    config = tmp_path / "ssh_config"
    config.write_text("Host edge-1\n  HostName 127.0.0.1\n  Port 1\n")
    own = dataclasses.replace(cluster, ssh_config=config)
    found = status.status(own, {"edge-1": facts["edge-1"]})
    assert "cannot be reached by ssh" in found["edge-1"].unreachable
    assert not found["edge-1"].same
    assert "UNREACHABLE" in status.table(found)
    with pytest.raises(nodes.UnreachableError):
        nodes.remote(own, "edge-1", ["true"])
    assert issubclass(nodes.UnreachableError, WorldError)

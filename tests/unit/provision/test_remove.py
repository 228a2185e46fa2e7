"""What is taken off a host: the real script on a real tree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provision.facts import Facts
from provision.remove import _SCRIPT, wanted


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in (
        "opt/pnda/flink-1.20.5",
        "opt/pnda/flink-mine",
        "opt/pnda/.flink-2.3.0.partial",
        "log",
        "usr",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "opt/pnda/flink-1.20.5/.pnda-0").touch()
    (tmp_path / "opt/pnda/flink").symlink_to(tmp_path / "opt/pnda/flink-1.20.5")
    (tmp_path / "usr/flink").symlink_to("/somewhere/else")
    (tmp_path / "etc/flink/old").mkdir(parents=True)
    (tmp_path / "etc/flink/old/config.yaml").touch()
    (tmp_path / "log/server.log").touch()
    return tmp_path


def clear(base: Path, dry: bool = False) -> dict[str, Any]:
    asked = {
        "dry": dry,
        "units": [],
        "after": [],
        "links": [f"{base}/opt/pnda/flink", f"{base}/usr/flink", f"{base}/usr/gone"],
        "ours": [f"{base}/opt/pnda/"],
        "files": [f"{base}/nothing-here", f"{base}/etc/flink/old/config.yaml"],
        "marked": [f"{base}/opt/pnda/flink-*", f"{base}/opt/pnda/.flink-*"],
        "trees": [f"{base}/etc/flink"],
        "folders": [f"{base}/etc/flink/old", f"{base}/opt/pnda", f"{base}/etc", f"{base}/log"],
    }
    done = subprocess.run(
        [sys.executable, str(_SCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_ours_goes_and_the_rest_stays(base: Path) -> None:
    found = clear(base)
    assert sorted(found["removed"]) == [
        f"{base}/{name}"
        for name in (
            "etc",
            "etc/flink",
            "etc/flink/old/config.yaml",
            "opt/pnda/.flink-2.3.0.partial",
            "opt/pnda/flink",
            "opt/pnda/flink-1.20.5",
        )
    ]
    assert found["left"] == [
        f"{base}/usr/flink is not ours",
        f"{base}/opt/pnda/flink-mine is not ours",
        f"{base}/opt/pnda is not empty",
        f"{base}/log is not empty",
    ]
    assert (base / "usr/flink").is_symlink()
    assert (base / "log/server.log").exists()
    assert not (base / "etc").exists()


def test_a_second_time_removes_nothing(base: Path) -> None:
    clear(base)
    assert clear(base)["removed"] == []


def test_a_dry_run_says_the_same_and_removes_nothing(base: Path) -> None:
    before = sorted(base.rglob("*"))
    dry = clear(base, dry=True)
    assert sorted(base.rglob("*")) == before
    assert clear(base) == dry


def test_logs_and_archives_are_never_named(served: dict[str, Facts]) -> None:
    for its in served.values():
        asked = wanted(its, dry=False)
        named = [*asked["files"], *asked["trees"], *asked["folders"], *asked["links"]]
        assert not [path for path in named if path.startswith(("/var/log/pnda/flink", "/pnda"))]


def test_everything_else_that_the_manifests_name_is_named(served: dict[str, Facts]) -> None:
    its = served["both-1"]
    asked = wanted(its, dry=False)
    for kind in ("files", "links", "directories"):
        for entry in its[f"flink_{kind}"]:
            path = entry["destination"]
            if not path.startswith(("/var/log/pnda/flink", "/pnda")):
                assert path in [*asked["files"], *asked["links"], *asked["folders"]], path


def test_the_mirrors_host_keeps_its_certificate_and_its_releases(served: dict[str, Facts]) -> None:
    asked = wanted(served["mirror-1"], dry=False)
    assert asked["units"] == ["pnda-mirror.service"]
    assert "/etc/pnda-mirror" in asked["folders"]
    assert not [tree for tree in asked["trees"] if tree.startswith(("/etc", "/srv"))]
    assert asked["marked"] == []
    assert asked["folders"][-1] == "/var/lib/pnda"  # where Salt's states had been

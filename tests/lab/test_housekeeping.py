"""Housekeeping as its unit confines it, on real nodes: what it removes there, and for whom."""

from __future__ import annotations

import json
from typing import Any

from lab.containers import execute
from tests.lab.conftest import UpLab

SERVICE = "flink-housekeeping.service"
LAST = "/var/lib/pnda/flink/housekeeping/last.json"
ARCHIVES = "/pnda/flink/completed-jobs"
OLD, NEW, APPLICATION = (f"{'f' * 31}{number}" for number in (1, 2, 3))


def run(up_lab: UpLab, host: str) -> dict[str, Any]:
    """Start the service, wait for its end, and return its report by part."""
    execute(up_lab.lab, host, "systemctl", "start", SERVICE)
    report = json.loads(execute(up_lab.lab, host, "cat", LAST))
    assert (report["result"], report["dry_run"]) == ("done", False)
    parts: dict[str, Any] = report["parts"]
    return parts


def test_the_confined_service_removes_everybodys_old_archives(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    tree = f"{ARCHIVES}/{'f' * 32}/applications/{APPLICATION}"
    script = (
        f"touch -d '100 days ago' {ARCHIVES}/{OLD} && touch {ARCHIVES}/{NEW} && "
        f"chown nobody {ARCHIVES}/{OLD} && "
        f"mkdir -p {tree}/jobs && touch -d '100 days ago' {tree}/jobs/{OLD} {tree}/application-summary && "
        f"touch -d '100 days ago' {tree}/jobs {tree} && chown -R games {ARCHIVES}/{'f' * 32}"
    )
    execute(lab, "manager-1", "sh", "-c", script)
    try:
        found = run(ansible_lab, "manager-1")["archives"]
        assert (found["deleted"], found["problems"]) == (2, 0)
        left = execute(lab, "manager-1", "ls", ARCHIVES).split()
        assert OLD not in left
        assert NEW in left
        assert execute(lab, "manager-1", "ls", "-A", f"{ARCHIVES}/{'f' * 32}/applications").split() == []
    finally:
        execute(lab, "manager-1", "sh", "-c", f"rm -rf {ARCHIVES}/{'f' * 31}*")


def test_the_confined_service_leaves_what_is_young(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    made = "d=/tmp/pnda-flink-games && install -d -o games -m 700 $d && touch $d/x && ls -ld $d"
    execute(lab, "edge-1", "sh", "-c", made)
    try:
        assert run(ansible_lab, "edge-1")["temporary"]["deleted"] == 0
        assert execute(lab, "edge-1", "ls", "/tmp/pnda-flink-games").split() == ["x"]
    finally:
        execute(lab, "edge-1", "rm", "-rf", "/tmp/pnda-flink-games")

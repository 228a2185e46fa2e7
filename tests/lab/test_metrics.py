"""Carbon's own files: they get ours, lose them again, and are read again where a run ended too early."""

from __future__ import annotations

import json

from lab.containers import execute
from tests.lab.conftest import UpLab, inv

CARBON = "/etc/carbon"


def provision(up_lab: UpLab, task: str, *words: str) -> list[str]:
    """Run ``task`` on graphite-1 alone and return what it changed there."""
    where = ("--cluster", str(up_lab.lab.cluster_file), "--limit", "graphite-1")
    answer = json.loads(inv("--json", task, *where, *words).stdout)
    found: list[str] = answer["hosts"]["graphite-1"]["changes"]
    return found


def changed_files(up_lab: UpLab) -> list[str]:
    """Return the files of carbon's that are not as Debian's package has them."""
    said = execute(up_lab.lab, "graphite-1", "sh", "-c", "dpkg -V graphite-carbon || true")
    return [line.split()[-1] for line in said.splitlines() if f" {CARBON}/" in line]


def processes(up_lab: UpLab) -> list[str]:
    units = ("carbon-cache.service", "pnda-carbon-aggregator.service")
    return [
        execute(up_lab.lab, "graphite-1", "systemctl", "show", "-p", "MainPID", "--value", unit).strip()
        for unit in units
    ]


def test_ours_are_taken_out_of_carbons_files_and_put_in_again(ansible_lab: UpLab) -> None:
    ours = [f"{CARBON}/carbon.conf", f"{CARBON}/storage-schemas.conf"]
    assert sorted(changed_files(ansible_lab)) == ours
    try:
        provision(ansible_lab, "provision.remove")
        assert changed_files(ansible_lab) == []
        assert processes(ansible_lab)[1] == "0"
    finally:
        provision(ansible_lab, "provision.apply")
    assert sorted(changed_files(ansible_lab)) == ours


def test_carbon_reads_settings_that_a_run_left_unread(ansible_lab: UpLab) -> None:
    """As after a run that was killed between writing carbon's settings and the restart."""
    execute(ansible_lab.lab, "graphite-1", "touch", f"{CARBON}/carbon.conf")
    before = processes(ansible_lab)
    provision(ansible_lab, "provision.apply")
    after = processes(ansible_lab)
    assert after[0] != before[0]
    assert after[1] == before[1] != "0"

"""A plan before the first run and after, by either engine; a first run that is killed midway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

from lab import salt_environment, snapshot
from lab.containers import execute
from lab.model import CHECKOUT
from tests.lab.conftest import UpLab, inv

HOST = "manager-1"
SEEN = "/etc/flink-history"  # written early in the history server's part, long before it starts


def test_a_plan_before_the_first_run_and_a_first_run_that_is_killed(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    words = ("--cluster", str(lab.cluster_file), "--limit", HOST)
    before = snapshot.take(lab)
    inv("provision.remove", *words)
    removed = snapshot.take(lab)
    assert snapshot.differences(before, removed)
    salt_environment.ensure(lab)
    for engine in ("ansible", "salt"):
        done = inv("--json", "provision.plan", "--engine", engine, *words, check=False)
        assert done.returncode == 1, done.stderr  # it would change something
        report = json.loads(done.stdout)["hosts"][HOST]
        assert not report["failed"], (engine, report)
        assert report["changes"]
        assert snapshot.differences(removed, snapshot.take(lab)) == [], engine
    killed = subprocess.Popen(
        [str(CHECKOUT / "inv"), "provision.apply", *words], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 600
    while time.monotonic() < until and killed.poll() is None:
        if execute(lab, HOST, "sh", "-c", f"test ! -e {SEEN} || echo there").strip():
            break
        time.sleep(0.2)
    assert killed.poll() is None, "it was done before it could be killed"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=60)
    assert snapshot.differences(before, snapshot.take(lab))
    inv("provision.apply", *words)
    assert snapshot.differences(before, snapshot.take(lab)) == []
    for engine in ("ansible", "salt"):
        assert inv("--json", "provision.plan", "--engine", engine, *words).returncode == 0, engine

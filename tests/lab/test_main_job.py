"""The main job, by both engines: it ran, a second run changes nothing, both leave the same machine."""

from __future__ import annotations

import json

import pytest

from lab import http, snapshot, ssh
from lab.engine import docker
from lab.history import address
from tests.lab.conftest import UpLab, inv, up

BOTH = pytest.mark.parametrize("any_lab", ["ansible", "salt"], indirect=True)
JOBS = {"lab-generate", "lab-copy", "lab-sql", "lab-python"}


@BOTH
def test_every_job_ran_and_is_in_the_history_server(any_lab: UpLab) -> None:
    ran = {job["id"]: job["name"] for job in any_lab.report["jobs"]}
    assert set(ran.values()) == JOBS
    shown = http.get_json(f"{address(any_lab.lab)}/jobs/overview")["jobs"]
    assert {job["jid"]: (job["name"], job["state"]) for job in shown if job["jid"] in ran} == {
        job: (name, "FINISHED") for job, name in ran.items()
    }


@BOTH
def test_the_history_server_tells_of_a_job_in_full(any_lab: UpLab) -> None:
    job = next(job["id"] for job in any_lab.report["jobs"] if job["name"] == "lab-copy")
    base = f"{address(any_lab.lab)}/jobs/{job}"
    assert http.get_json(f"{base}/checkpoints")["counts"]["completed"] >= 1
    assert http.get_json(f"{base}/exceptions")["exceptionHistory"]["entries"] == []


@BOTH
def test_a_second_run_fetches_and_changes_nothing(any_lab: UpLab) -> None:
    before = snapshot.take(any_lab.lab)
    again = up(any_lab.lab.name, any_lab.engine, "--no-jobs")
    assert (again["requests"], again["fetched_bytes"]) == (0, 0)
    assert again["containers_made"] == []
    assert again["changed"] == {"mirror-1": 0, "edge-1": 0, "manager-1": 0, "graphite-1": 0}
    assert snapshot.differences(before, snapshot.take(any_lab.lab)) == []


def test_both_engines_leave_the_same_machine(ansible_lab: UpLab, salt_lab: UpLab) -> None:
    done = inv(
        "--json", "lab.compare", "--left", ansible_lab.lab.name, "--right", salt_lab.lab.name, check=False
    )
    said = json.loads(done.stdout)
    assert said["differences"] == []
    assert done.returncode == 0
    # Two releases of 130 files each and all that is managed: an empty comparison would prove nothing.
    assert said["compared"] > 300


def test_the_comparison_sees_a_changed_mode_and_a_flipped_byte(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    before = snapshot.take(lab)
    path = "/etc/flink/client.env"
    ssh.remote(lab, "edge-1", "sh", "-ec", f"cp -a {path} /root/kept; chmod 600 {path}; printf x >>{path}")
    try:
        found = snapshot.differences(before, snapshot.take(lab))
    finally:
        ssh.remote(lab, "edge-1", "mv", "/root/kept", path)
    assert len(found) == 1
    assert f"edge-1 path:{path}" in found[0]


def test_switching_the_engine_on_a_living_lab_changes_nothing(salt_lab: UpLab) -> None:
    again = up(salt_lab.lab.name, "ansible", "--no-jobs")
    assert again["changed"] == {"mirror-1": 0, "edge-1": 0, "manager-1": 0, "graphite-1": 0}
    assert again["containers_made"] == []


def test_the_infra_suite_notices_what_is_wrong(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    path = "/etc/flink/client.env"
    ssh.remote(lab, "edge-1", "chmod", "666", path)
    try:
        done = inv("lab.verify", "--name", lab.name, check=False)
    finally:
        ssh.remote(lab, "edge-1", "chmod", "644", path)
    assert done.returncode == 1
    assert path in done.stderr


def test_nodes_reach_the_mirror_and_nothing_outside(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    probe = "import socket, sys; socket.create_connection((sys.argv[1], 80), 3)"
    assert ssh.remote(lab, "edge-1", "python3", "-c", probe, "mirror-1").code == 0
    by_name = ssh.remote(lab, "edge-1", "python3", "-c", probe, "outside.example", check=False)
    assert "Name or service not known" in by_name.stderr
    assert json.loads(docker("network", "inspect", lab.network).stdout)[0]["Internal"] is True

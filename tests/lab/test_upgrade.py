"""A lab's way from 1.20.4 to 2.3.0 and back, in this order: archived jobs stay, what fails is put back."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from core.errors import WorldError
from lab import history, http, job_run, salt_environment, shape
from lab.containers import execute
from lab.engine import docker
from lab.history import address
from lab.model import Lab
from mirror import lockfile
from provision import option_catalogue, option_refresh
from tests.lab.conftest import UpLab, inv, lab_up, up
from tests.lab.test_main_job import JOBS

OLD, NEW, NEWEST = "1.20.4", "1.20.5", "2.3.0"
UNIT = "flink-history-server.service"
WITH_FLINK = ("edge-1", "manager-1")


@pytest.fixture(scope="module")
def upgraded() -> Iterator[UpLab]:
    """A lab with Flink 1.20.4, and one job of it in the history server."""
    for found in lab_up("test-upgrade", "ansible", "--flink", OLD, "--no-jobs"):
        a_job(found.lab)
        yield found


def a_job(lab: Lab) -> str:
    """Run a small job to its end, see it in the history server, and return it."""
    small = replace(job_run.new(lab), records=400)
    job_run.prepare(small)
    job = job_run.generate(small)
    history.wait_for(lab, [job])
    return job.id


def provision(lab: Lab, task: str, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run a task on the lab; return its exit code, its document and what it said."""
    done = inv("--json", f"provision.{task}", "--cluster", str(lab.cluster_file), *words, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr


def served(lab: Lab) -> set[str]:
    """Return the jobs that the history server shows in full."""

    def shown() -> set[str]:
        jobs = {job["jid"] for job in http.get_json(f"{address(lab)}/jobs/overview")["jobs"]}
        return {job for job in jobs if http.get_json(f"{address(lab)}/jobs/{job}")["state"] == "FINISHED"}

    return http.wait(shown, 60, WorldError)


def server(lab: Lab) -> str:
    """Return the process of the history server: equal as long as it was not restarted."""
    return execute(lab, "manager-1", "systemctl", "show", "-p", "MainPID,ActiveEnterTimestamp", UNIT)


def versions(lab: Lab) -> tuple[str, str]:
    """Return what the client and the history server say they are."""
    said = execute(lab, "edge-1", "/usr/bin/flink", "--version", timeout=120)
    return said.partition("Version: ")[2].partition(",")[0], http.get_json(f"{address(lab)}/config")[
        "flink-version"
    ]


def test_the_options_of_the_old_version_are_what_it_says(upgraded: UpLab) -> None:
    lock = lockfile.load(upgraded.lab.checkout / "mirror" / "catalogue.lock")
    made = option_refresh.made(lock, upgraded.lab.mirror_root, OLD)
    assert made == option_catalogue.path_of(OLD).read_bytes()


def test_an_upgrade_within_the_line_keeps_every_archived_job(upgraded: UpLab) -> None:
    lab = upgraded.lab
    jobs, running = served(lab), server(lab)
    assert jobs
    assert versions(lab) == (OLD, OLD)
    shape.describe(lab, flink=(NEW,))
    code, report, said = provision(lab, "apply")
    assert code == 0, said
    assert "canary: manager-1" in said
    assert all(report["hosts"][host]["changed"] for host in WITH_FLINK)
    assert versions(lab) == (NEW, NEW)
    assert server(lab) != running
    assert served(lab) == jobs


def test_one_command_goes_back_and_an_apply_does_not_undo_it(
    upgraded: UpLab, record_property: Callable[[str, object], None]
) -> None:
    goes_back(upgraded.lab, record_property)
    code, report, said = provision(upgraded.lab, "apply")
    assert (code, report) == (1, {})
    assert "--again" in said


def goes_back(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    """Roll the lab back to the old version; the time that it says it took stands in the tests' report."""
    jobs = served(lab)
    code, _, said = provision(lab, "rollback")
    assert code == 0, said
    took = re.search(r"the way back and a look at each host took ([0-9.]+) s", said)
    assert took
    record_property("rollback_seconds", took[1])
    assert (versions(lab), served(lab)) == ((OLD, OLD), jobs)


@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_a_version_that_is_not_healthy_is_put_back_everywhere(upgraded: UpLab, engine: str) -> None:
    lab = upgraded.lab
    if engine == "salt":
        salt_environment.ensure(lab)
    program, jobs = f"/opt/pnda/flink-{NEW}/bin/flink", served(lab)
    broken = "mv $1 $1.kept && printf '#!/bin/sh\\necho broken >&2; exit 7\\n' >$1 && chmod 755 $1"
    execute(lab, "edge-1", "sh", "-ec", broken, "sh", program)
    try:
        code, report, said = provision(lab, "apply", "--again", "--engine", engine)
    finally:
        execute(lab, "edge-1", "mv", f"{program}.kept", program)
    assert code == 1
    assert "canary: manager-1" in said
    assert "not healthy: flink --version ended with 7: broken" in report["hosts"]["edge-1"]["failed"]
    assert all("put back: " in report["hosts"][host]["failed"] for host in WITH_FLINK)
    assert "run the same command with --again" in said
    assert (versions(lab), served(lab)) == ((OLD, OLD), jobs)
    active = execute(lab, "manager-1", "systemctl", "is-active", UNIT)
    assert active.strip() == "active"


def test_salt_upgrades_in_the_same_way_and_one_command_goes_back(
    upgraded: UpLab, record_property: Callable[[str, object], None]
) -> None:
    lab = upgraded.lab
    salt_environment.ensure(lab)
    jobs, running = served(lab), server(lab)
    code, report, said = provision(lab, "apply", "--again", "--engine", "salt")
    assert code == 0, said
    assert "canary: manager-1" in said
    assert all(report["hosts"][host]["changed"] for host in WITH_FLINK)
    assert report["hosts"]["edge-1"]["versions"]["client"] == {"before": OLD, "after": NEW}
    assert (versions(lab), served(lab)) == ((NEW, NEW), jobs)
    assert server(lab) != running
    goes_back(lab, record_property)


def test_the_next_line_runs_every_job_and_its_server_shows_the_old_ones_too(upgraded: UpLab) -> None:
    lab = upgraded.lab
    jobs = served(lab)
    report = up(lab.name, "ansible", "--flink", NEWEST)
    assert {job["name"] for job in report["jobs"]} == JOBS
    assert versions(lab) == (NEWEST, NEWEST)
    assert served(lab) == jobs | {job["id"] for job in report["jobs"]}


def test_back_from_the_next_line_its_history_server_stays(upgraded: UpLab) -> None:
    lab = upgraded.lab
    jobs, running = served(lab), server(lab)
    code, report, said = provision(lab, "rollback")
    assert code == 0, said
    assert f"the history server stays {NEWEST}" in str(report["hosts"]["manager-1"]["changes"])
    assert versions(lab) == (OLD, NEWEST)
    assert server(lab) == running
    assert served(lab) == jobs
    shape.describe(lab, flink=(OLD,))
    code, _, said = provision(lab, "apply")
    assert code == 1
    assert "cannot read what jobs of 2.3 may have archived" in said
    assert server(lab) == running


# systemd makes this folder with the first timer that it keeps a stamp for; the stamp in it is ours.
STAMPS = "/var/lib/systemd/timers"


def files(lab: Lab) -> set[str]:
    """Return the paths on edge-2 that provisioning could have touched."""
    said = execute(lab, "edge-2", "find", "/etc", "/opt", "/usr", "/var", "-xdev", "-print")
    others = ("/var/log/journal", "/var/tmp/")
    return {line for line in said.splitlines() if not line.startswith(others) and line != STAMPS}


@pytest.fixture(scope="module")
def bare(upgraded: UpLab) -> set[str]:
    """The files of a second EDGE node before it is provisioned, which it is then."""
    lab = upgraded.lab
    made = json.loads(inv("--json", "lab.nodes", "--name", lab.name, "--edges", "2").stdout)["made"]
    assert made == ["edge-2"]
    before = files(lab)
    code, report, said = provision(lab, "apply", "--limit", "edge-2")
    assert code == 0, said
    assert list(report["hosts"]) == ["edge-2"]
    return before


def test_a_second_edge_node_joins(upgraded: UpLab, bare: set[str]) -> None:
    lab = upgraded.lab
    said = execute(lab, "edge-2", "runuser", "-u", "pnda", "--", "flink", "--version", timeout=120)
    assert f"Version: {OLD}," in said
    assert versions(lab) == (OLD, NEWEST)


def test_a_host_that_goes_away_midway_leaves_no_other_on_the_new_version(
    upgraded: UpLab, bare: set[str]
) -> None:
    lab = upgraded.lab
    shape.describe(lab, flink=(NEWEST,))
    words = ("--json", "provision.apply", "--cluster", str(lab.cluster_file), "--again")
    apply = subprocess.Popen(
        [str(lab.checkout / "inv"), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert apply.stderr is not None
    try:
        assert any("batch 1 of 1: edge-2" in line for line in apply.stderr)  # reads no further
        docker("pause", lab.container("edge-2"))
        out, _ = apply.communicate(timeout=900)
    finally:
        apply.kill()
        docker("unpause", lab.container("edge-2"), check=False)
        shape.describe(lab, flink=(OLD,))
    hosts = json.loads(out)["hosts"]
    assert apply.returncode == 1
    assert "could not be put back" in hosts["edge-2"]["failed"]
    assert "put back: /opt/pnda/flink leads to 1.20.4" in hosts["edge-1"]["failed"]
    assert hosts["edge-1"]["versions"]["client"] == {"before": OLD, "after": OLD}
    assert versions(lab) == (OLD, NEWEST)
    said = execute(lab, "edge-2", "/usr/bin/flink", "--version", timeout=120)
    assert f"Version: {OLD}," in said


FAILED = ("systemctl", "list-units", "--all", "--failed", "--plain", "--no-legend")
# What lies in /opt/pnda is on a small file system of its own for a while.
FILL = """
mkdir -p /mnt/small && mount -t tmpfs -o size=1g small /mnt/small
cp -a /opt/pnda/. /mnt/small && mount --move /mnt/small /opt/pnda
head -c "$(($(df --output=avail -B1 /opt/pnda | tail -1) - 100000000))" /dev/zero >/opt/pnda/filler
"""


def test_a_node_whose_disk_is_full_keeps_the_old_version(upgraded: UpLab, bare: set[str]) -> None:
    lab = upgraded.lab
    shape.describe(lab, flink=(NEWEST,))
    execute(lab, "edge-2", "sh", "-ec", FILL)
    try:
        code, report, _ = provision(lab, "apply", "--limit", "edge-2")
        said = execute(lab, "edge-2", "/usr/bin/flink", "--version", timeout=120)
        partial = execute(lab, "edge-2", "sh", "-c", "ls -d /opt/pnda/.*partial", check=False)
    finally:
        execute(lab, "edge-2", "umount", "/opt/pnda")
        shape.describe(lab, flink=(OLD,))
    assert code == 1
    assert "nothing had been changed yet" in report["hosts"]["edge-2"]["failed"]
    assert "/opt/pnda" in report["hosts"]["edge-2"]["failed"]
    assert f"Version: {OLD}," in said
    assert partial == ""


def test_an_edge_node_leaves_with_all_but_its_logs(upgraded: UpLab, bare: set[str]) -> None:
    lab = upgraded.lab
    running = server(lab)
    # A unit that has failed: systemd would list it for ever, also without its file.
    execute(lab, "edge-2", "sh", "-c", "echo no JSON >/etc/flink-housekeeping/housekeeping.json")
    execute(lab, "edge-2", "systemctl", "start", "flink-housekeeping.service", check=False)
    assert "flink-housekeeping" in execute(lab, "edge-2", *FAILED)
    code, _, said = provision(lab, "remove", "--limit", "edge-2")
    assert code == 0, said
    assert "flink" not in execute(lab, "edge-2", *FAILED)
    left = {path for path in files(lab) - bare if not path.startswith("/var/log/pnda")}
    assert left == set()
    assert bare - files(lab) == set()
    assert (versions(lab), server(lab)) == ((OLD, NEWEST), running)

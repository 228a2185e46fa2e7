"""The queue policy on a node that an engine provisioned, met by real users in real groups."""

from __future__ import annotations

import json
import subprocess

import pytest

from lab.containers import execute
from lab.engine import docker
from tests.lab.conftest import UpLab, inv

# Each in a group of the lab's rules, or in none.
USERS = {"pnda": "users", "dev1": "dev", "prod1": "prod", "loner": "users"}
_RUN = "flink run -t yarn-application {} /nowhere.jar"


@pytest.fixture(scope="module")
def users(ansible_lab: UpLab) -> UpLab:
    for user, group in USERS.items():
        script = f"groupadd -f {group} && (id {user} || useradd --groups {group} {user})"
        execute(ansible_lab.lab, "edge-1", "sh", "-c", script)
    return ansible_lab


def as_user(up_lab: UpLab, user: str, command: str) -> tuple[int, str]:
    """Run ``command`` as ``user`` on edge-1; return the exit code and all that it said."""
    words = ("runuser", "-u", user, "--", "sh", "-c", f"cd /tmp && {{ {command}; }} 2>&1")
    done = docker("exec", up_lab.lab.container("edge-1"), *words, timeout=120, check=False)
    return done.code, done.stdout


@pytest.mark.parametrize(
    ("user", "option", "queue"),
    [
        ("pnda", "", "default"),
        ("dev1", "", "dev"),
        ("prod1", "", "prod"),
        ("prod1", "-Dyarn.application.queue=dev", "dev"),
        ("dev1", "-Dyarn.application.queue=prod", ""),
        ("dev1", "-yqu prod", ""),
        ("loner", "", ""),
    ],
)
def test_a_user_submits_into_an_allowed_queue_or_not_at_all(
    users: UpLab, user: str, option: str, queue: str
) -> None:
    code, said = as_user(users, user, _RUN.format(option))
    assert code == 1
    # Flink itself only ever looks for the jar where the policy let the user through.
    assert ("nothing was submitted" in said) == (not queue), said
    assert ("JAR file does not exist: /nowhere.jar" in said) == bool(queue), said
    requested = option.rpartition("=")[2].split(" ")[-1]
    found = as_user(users, user, f"/opt/pnda/rm-wrapper/bin/queue-for {requested} 2>/dev/null")[1]
    assert found.strip() == queue


def test_the_node_is_asked_about_its_own_users(users: UpLab) -> None:
    words = ("queues.explain", "prod1", "--cluster", str(users.lab.cluster_file), "--host", "edge-1")
    answer = json.loads(inv("--json", *words).stdout)
    assert answer["queue"] == "prod"
    assert answer["rule"].endswith(": :prod prod (group prod)")
    done: subprocess.CompletedProcess[str] = inv(*words, "--requested", "default", check=False)
    assert done.returncode == 1
    assert "prod1 may not use the queue `default`" in done.stderr

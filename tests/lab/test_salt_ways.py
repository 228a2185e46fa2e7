"""The formula as sites with a Salt of their own run it: a master with minions, and salt-ssh."""

from __future__ import annotations

import io
import json
import tarfile
import time
from typing import Any

import pytest

from core.process import run
from lab.containers import execute
from lab.engine import docker
from lab.model import CHECKOUT, Lab
from tests.lab.conftest import inv

HOSTS = ("mirror-1", "edge-1", "manager-1", "graphite-1")
MASTER = "mirror-1"
PLACE = "/srv/salt-master"
PYTHON = "/opt/pnda-salt/bin/python"
ANSWER = 600.0
FULL = 1200

Results = dict[str, Any]  # a host's word: its states, or whatever else it said


def program(name: str) -> str:
    return f"import sys; from salt.scripts import {name} as f; sys.argv[0] = '{name}'; f()"


def configure(lab: Lab, host: str, name: str, settings: dict[str, Any]) -> None:
    text = json.dumps({"root_dir": f"{PLACE}/root", "log_level": "warning", **settings})
    place = f"{PLACE}/{name}"
    execute(lab, host, "sh", "-ec", f"mkdir -p {place} && cat >{place}/{name.split('-')[1]}", stdin=text)
    execute(
        lab, host, "systemd-run", f"--unit={name}", "--collect", PYTHON, "-c",
        program(name.replace("-", "_")), "-c", place, timeout=120,
    )  # fmt: skip


def salt(lab: Lab, *words: str) -> Results:
    """Call the master's `salt` and return what each minion said."""
    done = docker(
        "exec", lab.container(MASTER), PYTHON, "-c", program("salt_main"), "-c", f"{PLACE}/salt-master",
        "--out=json", "--log-level=error", "--timeout=60", *words,
        timeout=FULL, check=False,
    )  # fmt: skip
    return parsed(done.stdout, done.stderr)


def parsed(said: str, also: str) -> Results:
    """Return what each host said: one document a host; what is none is under the empty name."""
    found: Results = {}
    rest = said.strip()
    try:
        while rest:
            one, end = json.JSONDecoder().raw_decode(rest)
            found |= one
            rest = rest[end:].strip()
    except (ValueError, TypeError):
        return {"": {"said": rest + also}}
    return found


def failures(results: Results) -> list[str]:
    found = []
    for host, states in results.items():
        if not isinstance(states, dict):
            found.append(f"{host}: {states}")
            continue
        for name, state in states.items():
            if not isinstance(state, dict) or state.get("result") is not True:
                found.append(f"{host}: {name}: {state}")
    return found


def changed(results: Results) -> dict[str, int]:
    return {
        host: sum(bool(state["changes"]) for state in states.values()) for host, states in results.items()
    }


@pytest.fixture(scope="module")
def master(bare_lab: Lab) -> Lab:
    bare = bare_lab
    inv("cluster.render", "--cluster", str(bare.cluster_file), "--salt")
    buffer = io.BytesIO()
    made = bare.folder / "salt-master"
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("states", "pillar"):
            tar.add(made / name, name)
    execute(bare, MASTER, "mkdir", "-p", PLACE)
    docker(
        "exec", "-i", bare.container(MASTER), "tar", "-xf", "-", "-C", PLACE, stdin=buffer.getvalue()
    )  # fmt: skip
    configure(
        bare,
        MASTER,
        "salt-master",
        {
            "file_roots": {"base": [f"{PLACE}/states"]},
            "pillar_roots": {"base": [f"{PLACE}/pillar"]},
            "auto_accept": True,
            "worker_threads": 3,
        },
    )
    for host in HOSTS:
        settings = json.loads((made / "minions" / host).read_text())
        configure(bare, host, "salt-minion", {**settings, "master": MASTER, "enable_fqdns_grains": False})
    deadline = time.monotonic() + ANSWER
    while {host for host, said in salt(bare, "*", "test.ping").items() if said is True} != set(HOSTS):
        assert time.monotonic() < deadline, "the minions do not come to their master"
    return bare


def test_a_master_targets_by_grains_and_applies_once(master: Lab) -> None:
    assert sorted(salt(master, "-G", "hadoop:role:EDGE", "test.ping")) == ["edge-1"]
    assert sorted(salt(master, "-G", "roles:flink", "test.ping")) == ["manager-1"]
    # The mirror first: the others fetch from it.
    for words in (("-G", "roles:mirror"), ("*",)):
        assert failures(salt(master, *words, "state.apply")) == []
    again = salt(master, "*", "state.apply")
    assert failures(again) == []
    assert changed(again) == dict.fromkeys(HOSTS, 0)
    found = json.loads(inv("--json", "provision.status", "--cluster", str(master.cluster_file)).stdout)
    assert {host: one["drift"] for host, one in found.items()} == {host: [] for host in HOSTS}


def test_salt_ssh_applies_by_the_roster_and_a_second_run_changes_nothing(master: Lab) -> None:
    """On hosts that a master has provisioned, and one of them bare again: both ways leave the same."""
    inv("provision.remove", "--cluster", str(master.cluster_file), "--limit", "edge-1")

    def apply() -> Results:
        done = run(
            [
                CHECKOUT / ".venv-salt" / "bin" / "salt-ssh", "-c", master.folder / "salt-master",
                "--out=json", "--log-level=error", "*", "state.apply",
            ],
            timeout=FULL, check=False,
        )  # fmt: skip
        return parsed(done.stdout, done.stderr)

    first = apply()
    assert failures(first) == []
    made = changed(first)
    assert made.pop("edge-1") > 10
    assert set(made.values()) == {0}
    second = apply()
    assert failures(second) == []
    assert changed(second) == dict.fromkeys(HOSTS, 0)

"""A roll-out that is interrupted or killed leaves no engine at work on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from provision.cluster import ROOT
from tests.unit.provision import samples
from tests.unit.provision.test_progress import playbook

# The sample's cluster, built under the test's folder; a playbook of its own, or hosts that never answer.
SCRIPT = """
import sys
from pathlib import Path
from core import program
from provision import apply, inventory, report, rollback
from provision.cluster import Cluster
folder = Path(sys.argv[1])
Cluster.build = property(lambda _: folder / "build")
inventory.PLAYBOOK = folder / "site.json"
phase = sys.argv[2]
old = {"format": 1, "default": "1.20.4", "history_server": "", "time": "2026-01-01T00:00:00+00:00"}
if phase != "asked":  # nobody is asked first
    rollback.records = lambda cluster, facts: ({host: old if phase == "health" else {} for host in facts}, {})
if phase == "health":
    done = lambda cluster, facts, check: {host: report.HostResult(1, ("x",)) for host in facts}
    apply._ENGINES = {"ansible": done, "salt": done}
sys.argv[1:] = sys.argv[3:]
program.main()
"""
SECONDS = 120


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a task by an engine; each process that it leads to writes its number to the file ``pids``.

    A task is provision.apply, with the phase in which its hosts do not answer: the engine's (the default),
    or when they are ``asked`` first, or for their ``health``.
    """
    mark = f"echo $$ >>{tmp_path}/pids; exec sleep 600"
    playbook(tmp_path / "site.json", ("flink", mark))
    (tmp_path / "wait").write_text(f"#!/bin/sh\n{mark}\n")
    (tmp_path / "wait").chmod(0o755)
    ssh = tmp_path / "ssh_config"
    ssh.write_text(f"Host *\n  ProxyCommand {tmp_path}/wait\n")
    cluster = samples.cluster_file(tmp_path / "sample.yml", ("build/sample/ssh_config", str(ssh)))
    samples.lock(tmp_path / "catalogue.lock")
    words = ["--cluster", str(cluster), "--lock", str(tmp_path / "catalogue.lock"), "--limit", "edge-*"]

    def begin(engine: str, phase: str = "engine", task: str = "provision.apply") -> subprocess.Popen[str]:
        choice = ["--engine", engine] if engine else []
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), phase, task, *words, *choice],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # Heard also where tests run in the background, which ignores it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    return begin


def until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def at_work(folder: Path) -> list[str]:
    """Return the processes that lead to hosts, and what else was started for this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in words or where.startswith(str(folder)):
            found.append(f"{process.name} {words}")
    return found


def ended_by_ctrl_c(process: subprocess.Popen[str], tmp_path: Path, hosts: int) -> None:
    """Interrupt ``process`` once it is at work on that many hosts; see it end, and all with it."""
    pids = tmp_path / "pids"
    try:
        until(lambda: pids.exists() and len(pids.read_text().split()) == hosts)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted; nothing is lost" in said
    until(lambda: not at_work(tmp_path))


@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_ctrl_c_ends_either_engine(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, engine: str
) -> None:
    ended_by_ctrl_c(start(engine), tmp_path, 2)


@pytest.mark.parametrize(
    ("task", "engine", "phase", "hosts"),
    [
        ("provision.apply", "salt", "asked", 2),
        ("provision.apply", "salt", "health", 1),  # of the canary
        ("provision.plan", "salt", "engine", 2),
        ("provision.rollback", "", "asked", 2),
        ("provision.status", "", "asked", 2),
        ("provision.remove", "", "asked", 2),
    ],
)
def test_ctrl_c_ends_what_waits_for_a_host(
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    task: str,
    engine: str,
    phase: str,
    hosts: int,
) -> None:
    ended_by_ctrl_c(start(engine, phase, task), tmp_path, hosts)


@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_a_second_apply_at_the_same_time_is_refused_and_told_who_is_at_work(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, engine: str
) -> None:
    first = start(engine)
    try:
        until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
        second = start("salt")
        _, said = second.communicate(timeout=SECONDS)
        assert second.returncode == 3
        assert f"another apply of cluster sample is at work: process {first.pid} of " in said
        assert first.poll() is None
        # The second has led to no host.
        assert len((tmp_path / "pids").read_text().split()) == 2
    finally:
        first.kill()
        first.wait()
    # Who was killed holds nothing any more.
    third = start(engine)
    try:
        until(lambda: len((tmp_path / "pids").read_text().split()) == 4)
    finally:
        third.kill()
        third.wait()
    for pid in (tmp_path / "pids").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    until(lambda: not at_work(tmp_path))


def test_an_apply_that_is_killed_takes_ansible_along(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("ansible")
    try:
        until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
        assert len(at_work(tmp_path)) > 3
    finally:
        process.kill()
        process.wait()
    until(lambda: not at_work(tmp_path))

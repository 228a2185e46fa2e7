"""A roll-out that is interrupted or killed leaves no engine at work on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
from provision import apply, inventory, rollback
from provision.cluster import Cluster
folder = Path(sys.argv[1])
Cluster.build = property(lambda _: folder / "build")
inventory.PLAYBOOK = folder / "site.json"
rollback.records = lambda cluster, facts: {}  # nobody is asked first
sys.argv[1:] = ["provision.apply", *sys.argv[2:]]
program.main()
"""
SECONDS = 120


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Start a roll-out by an engine; each process that it leads to writes its number to the file ``pids``."""
    mark = f"echo $$ >>{tmp_path}/pids; exec sleep 600"
    playbook(tmp_path / "site.json", ("flink", mark))
    (tmp_path / "wait").write_text(f"#!/bin/sh\n{mark}\n")
    (tmp_path / "wait").chmod(0o755)
    ssh = tmp_path / "ssh_config"
    ssh.write_text(f"Host *\n  ProxyCommand {tmp_path}/wait\n")
    cluster = samples.cluster_file(tmp_path / "sample.yml", ("build/sample/ssh_config", str(ssh)))
    samples.lock(tmp_path / "catalogue.lock")
    words = ["--cluster", str(cluster), "--lock", str(tmp_path / "catalogue.lock"), "--limit", "edge-*"]

    def begin(engine: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), *words, "--engine", engine],
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


@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_ctrl_c_ends_either_engine(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path, engine: str
) -> None:
    process = start(engine)
    try:
        until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted; nothing is lost" in said
    until(lambda: not at_work(tmp_path))


def test_an_apply_that_is_killed_takes_ansible_along(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("ansible")
    try:
        until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
        assert len(at_work(tmp_path)) > 3
    finally:
        process.kill()
        process.wait()
    until(lambda: not at_work(tmp_path))

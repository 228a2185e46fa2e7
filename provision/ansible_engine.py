"""Roll facts out by Ansible: our playbook, in our own environment, over ssh."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.process import run
from provision import inventory, privilege
from provision.cluster import Cluster
from provision.facts import Facts
from provision.progress import Progress, following, phrase
from provision.report import HostResult

_SECONDS = 3600
_NOT_ENDED = "not done, or not to its end: Ansible stopped when others had failed"


def roll_out(cluster: Cluster, facts: Mapping[str, Facts], check: bool) -> dict[str, HostResult]:
    """Run the role on the hosts in ``facts`` and return what happened on each."""
    folder = inventory.write(cluster, facts)
    summary = folder / "summary.jsonl"
    summary.unlink(missing_ok=True)
    # -P: this package has a folder `ansible`, which must not hide Ansible's own.
    words = [sys.executable, "-P", "-m", "ansible", "playbook", str(inventory.PLAYBOOK)]
    words += ["--check", "--diff"] if check else []
    environment = {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": "0",
        "PNDA_SUMMARY": str(summary),
        "LC_ALL": "C.UTF-8",
        "PATH": _path(),
    }
    with following(summary, Progress(len(facts))):
        done = run(
            words,
            timeout=_SECONDS,
            cwd=folder,
            env=environment,
            check=False,
            what="ansible-playbook",
            tied=True,
        )
    (folder / "playbook.log").write_text(done.stdout + done.stderr)
    found = {
        host: replace(result, failed=privilege.refusal(cluster, result.failed) or result.failed)
        for host, result in results(summary, facts).items()
    }
    if done.code != 0 and not any(result.failed for result in found.values()):
        # Not a task's failure: a broken role or inventory, which is no single host's fault.
        reason = f"ansible-playbook ended with {done.code}:\n{done.tail()}"
        found = {host: replace(result, failed=reason) for host, result in found.items()}
    elif done.code != 0:
        # Where all hosts of a play failed, Ansible goes no further: the others did nothing, or not all.
        ended = {event["host"] for event in _events(summary) if event["kind"] == "ended"}
        found = {
            host: result if result.failed or host in ended else replace(result, failed=_NOT_ENDED)
            for host, result in found.items()
        }
    return found


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def _events(summary: Path) -> list[dict[str, str]]:
    if not summary.exists():
        return []
    return [json.loads(line) for line in summary.read_text(encoding="utf-8").splitlines()]


def results(summary: Path, facts: Mapping[str, Facts]) -> dict[str, HostResult]:
    """Return what the events in the file ``summary`` (callback/summary.py) say about each host."""
    changes: dict[str, list[str]] = {host: [] for host in facts}
    diffs: dict[str, list[str]] = {host: [] for host in facts}
    failed: dict[str, str] = {}
    for event in _events(summary):
        text = phrase(event)
        if event["kind"] == "changed":
            changes[event["host"]].append(text)
            diffs[event["host"]].append(event.get("diff", ""))
        elif event["kind"] != "ended":
            failed.setdefault(event["host"], text)
    return {
        host: HostResult(len(made), tuple(made), failed.get(host, ""), tuple(diffs[host]))
        for host, made in changes.items()
    }

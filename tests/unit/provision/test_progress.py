"""Many hosts at once: a line for each as it ends, a summary of them all, and none that hides another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from core import console
from provision import ansible_engine, inventory, salt_engine
from provision.cluster import Cluster
from provision.facts import Facts
from provision.hosts_section import Host
from provision.progress import Follower, Progress
from provision.report import ApplyError, ApplyReport, HostResult, Versions


@pytest.fixture
def here(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The sample, built under the test's folder, whose hosts refuse to be reached by ssh."""
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path / "build"))
    monkeypatch.setattr(console, "settings", console.Settings())
    ssh = tmp_path / "ssh_config"
    ssh.write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n  ConnectTimeout 5\n")
    object.__setattr__(cluster, "ssh_config", ssh)  # the sample's own is not there
    return cluster


def playbook(path: Path, *plays: tuple[str, str]) -> Path:
    """Write a playbook of one shell task a play (hosts, script), run on this machine, and return it."""
    text = [
        {
            "name": "A play",
            "hosts": hosts,
            "gather_facts": False,
            "connection": "local",
            "tasks": [{"name": "Do it", "ansible.builtin.shell": script}],
        }
        for hosts, script in plays
    ]
    path.write_text(json.dumps(text))
    return path


def test_ansible_tells_each_host_as_it_ends(
    here: Cluster,
    facts: dict[str, Facts],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = "case {{ inventory_hostname }} in edge-2) echo no disk >&2; exit 1;; esac"
    monkeypatch.setattr(inventory, "PLAYBOOK", playbook(tmp_path / "site.json", ("flink", script)))
    able = {host: its for host, its in facts.items() if its["flink_components"]}
    found = ansible_engine.roll_out(here, able, check=False)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "   [1/5] edge-2: FAILED: Do it: no disk"
    assert {line.partition("] ")[2] for line in said[1:]} == {
        f"{host}: changed (1)" for host in able if host != "edge-2"
    }
    assert [line.strip().partition("]")[0] for line in said] == [f"[{n}/5" for n in range(1, 6)]
    assert found["edge-2"].failed == "Do it: no disk"
    assert all(
        result == HostResult(1, ("Do it",), "", ("",)) for host, result in found.items() if host != "edge-2"
    )


def test_a_host_is_told_while_ansible_is_at_work_on_others(
    here: Cluster, facts: dict[str, Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Our own playbook with other work in it: edge-1 does not end before edge-2 was told.
    plays = yaml.safe_load(inventory.PLAYBOOK.read_text())
    told = "grep -q 'edge-2.*\"ended\"' $PNDA_SUMMARY"
    waits = f"for n in $(seq 600); do {told} && exit 0; sleep 0.1; done; echo nobody >&2; exit 1"
    script = f"case {{{{ inventory_hostname }}}} in edge-1) {waits};; esac"
    for play in plays:
        del play["roles"]
        play |= {"connection": "local", "tasks": [{"ansible.builtin.shell": script}]}
    (tmp_path / "site.json").write_text(json.dumps(plays))
    monkeypatch.setattr(inventory, "PLAYBOOK", tmp_path / "site.json")
    able = {host: facts[host] for host in ("edge-1", "edge-2")}
    found = ansible_engine.roll_out(here, able, check=False)
    assert {host: result.failed for host, result in found.items()} == {"edge-1": "", "edge-2": ""}


def test_hosts_that_ansible_did_not_come_to_are_not_called_unchanged(
    here: Cluster, facts: dict[str, Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays = ("manager-1", "exit 1"), ("flink:!manager-1", "true")
    monkeypatch.setattr(inventory, "PLAYBOOK", playbook(tmp_path / "site.json", *plays))
    found = ansible_engine.roll_out(
        here, {host: facts[host] for host in ("edge-1", "manager-1")}, check=False
    )
    assert found["manager-1"].failed.startswith("Do it: ")
    assert found["edge-1"].failed.startswith("not done, or not to its end")


def test_salts_hosts_do_not_hide_each_other(
    here: Cluster, facts: dict[str, Facts], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {host: facts[host] for host in ("edge-1", "edge-2")}
    found = salt_engine.roll_out(here, chosen, check=False)
    assert list(found) == ["edge-1", "edge-2"]
    assert all("cannot be reached by ssh" in result.failed for result in found.values())
    said = capsys.readouterr().out.splitlines()
    assert [line[:8] for line in said] == ["   [1/2]", "   [2/2]"]
    assert all("FAILED: cannot be reached by ssh" in line for line in said)


def test_a_fault_on_this_machine_is_that_hosts_alone(
    here: Cluster, facts: dict[str, Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    from provision import pillar

    write = pillar.write

    def for_one(cluster: Cluster, host: Host, text: str, check: bool) -> Path:
        folder = cluster.build / "salt" / host.name
        if host.name == "edge-1":
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.with_name(".edge-1.new").write_text("")
        return write(cluster, host, text, check)

    monkeypatch.setattr(pillar, "write", for_one)
    chosen = {host: facts[host] for host in ("edge-1", "edge-2")}
    found = salt_engine.roll_out(here, chosen, check=False)
    assert "cannot write" in found["edge-1"].failed
    assert "cannot be reached by ssh" in found["edge-2"].failed


def test_a_half_written_event_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = tmp_path / "summary.jsonl"
    follower = Follower(events, Progress(2))
    follower.look()
    changed, ended = (
        json.dumps({"host": "a", "task": "t", "kind": kind, "text": "", "diff": ""}) + "\n"
        for kind in ("changed", "ended")
    )
    events.write_text(changed + ended[:10])
    follower.look()
    assert capsys.readouterr().out == ""
    events.write_text(changed + ended + ended)
    follower.look()
    follower.look()
    assert capsys.readouterr().out == "   [1/2] a: changed (1)\n"


def test_the_summary_of_many_hosts_is_short() -> None:
    hosts = {f"edge-{n}": HostResult(2, ("x", "y"), "", (f"diff {n}",)) for n in range(900)}
    hosts |= {f"other-{n}": HostResult(0, ()) for n in range(2)}
    hosts |= {f"bad-{n}": HostResult(0, (), "no route\nto it") for n in range(98)}
    report = ApplyReport("salt", hosts)
    assert report.text().splitlines() == [
        "edge-0, edge-1, edge-2, edge-3, edge-4 and 895 more: changed (2)",
        "  x",
        "  y",
        "other-0, other-1: unchanged",
        "bad-0, bad-1, bad-2, bad-3, bad-4 and 93 more: FAILED",
        "  failed: no route",
        "    to it",
        "1000 hosts: 98 FAILED, 900 changed, 2 unchanged",
    ]
    assert len(report.document()["hosts"]) == 1000  # type: ignore[arg-type]  # a table
    assert ApplyError(report).message == ("bad-0, bad-1, bad-2, bad-3, bad-4 and 93 more: no route\nto it")


def test_the_summary_ends_with_the_versions_of_each_host() -> None:
    upgraded = Versions(("1.20.4", "1.20.5"), ("", ""))
    hosts = {
        "manager-1": HostResult(2, ("a", "b")),
        "edge-1": HostResult(1, ("c",)),
        "edge-2": HostResult(1, ("c",)),
        "edge-3": HostResult(3, ("c",), "no disk"),
        "edge-4": HostResult(0, (), "left as it is"),
    }
    versions = {
        "manager-1": Versions(("", ""), ("", "1.20.5")),
        "edge-1": upgraded,
        "edge-2": upgraded,
        "edge-3": Versions(("1.20.4", "?"), ("", "")),
        "edge-4": Versions(("1.20.4", "1.20.4"), ("", "")),
    }
    report = ApplyReport("salt", hosts, versions)
    assert report.text().splitlines()[-6:] == [
        "hosts           state    client            history server",
        "manager-1       changed  -                 1.20.5 (new)",
        "edge-1, edge-2  changed  1.20.4 -> 1.20.5  -",
        "edge-3          FAILED   1.20.4 -> ?       -",
        "edge-4          FAILED   1.20.4            -",
        "5 hosts: 2 FAILED, 3 changed",
    ]
    told = report.document()["hosts"]["edge-1"]["versions"]  # type: ignore[index]  # a table
    assert told["client"] == {"before": "1.20.4", "after": "1.20.5"}

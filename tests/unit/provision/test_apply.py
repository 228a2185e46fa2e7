from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import BusyError, UsageError, WorldError
from core.locks import held
from core.process import Finished
from provision import ansible_engine, inventory, nodes, pillar, rollback, salt_engine
from provision.apply import ApplyError, ApplyReport, ApplyRequest, HostResult, apply
from provision.apply import _but as but
from provision.cluster import ROOT, Cluster
from provision.fact_text import FactTexts
from provision.facts import Facts
from provision.report import plan_document, plan_text
from tests.unit.provision import samples


@pytest.fixture
def request_(tmp_path: Path) -> ApplyRequest:
    ssh = tmp_path / "ssh_config"
    ssh.touch()
    change = ("build/sample/ssh_config", str(ssh))
    path = samples.cluster_file(
        tmp_path / "sample.yml", change, ("name: sample", f"name: unit-{os.getpid()}")
    )
    samples.lock(tmp_path / "catalogue.lock")
    return ApplyRequest(path, tmp_path / "catalogue.lock", "ansible")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "puppet"}, "no engine 'puppet'"),
        ({"limit": ("edge-9",)}, "no host 'edge-9'"),
        ({"limit": ("kafka-1",)}, "nothing to provision on kafka-1"),
        ({"limit": ("edge-1", "kafka-*")}, r"nothing to provision on kafka-\*"),
        ({"limit": ("role:KAFKA",)}, "nothing to provision on role:KAFKA"),
        ({"limit": ("edge-1", "role:EDG")}, "no host with the role 'EDG'"),
        ({"limit": ("role:MIRROR",)}, "no host with the role 'MIRROR'"),
        ({"limit": ("egde-*",)}, r"no host like 'egde-\*'"),
        ({"limit": ("",)}, "no host ''"),
        ({"lock": Path("/nonexistent.lock")}, "there is no such file"),
        ({"cluster": Path("/nonexistent.yml")}, "there is no such file"),
    ],
)
def test_a_wrong_call_is_refused_before_a_host_is_touched(
    request_: ApplyRequest, change: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provision.apply._ENGINES", {"ansible": None, "salt": None})
    with pytest.raises(UsageError, match=message):
        apply(dataclasses.replace(request_, **change))  # type: ignore[arg-type]  # a table of changes


def test_a_missing_ssh_config_is_named_with_its_line(request_: ApplyRequest) -> None:
    text = request_.cluster.read_text()
    path = next(line.split()[1] for line in text.splitlines() if "ssh_config:" in line)
    Path(path).unlink()
    with pytest.raises(UsageError, match=r"sample\.yml:5: .*ssh_config: there is no such file"):
        apply(request_)


def test_a_second_apply_says_who_holds_the_first(request_: ApplyRequest) -> None:
    name = f"unit-{os.getpid()}"
    script = (
        "import sys, pathlib, core.locks\n"
        f"with core.locks.held(pathlib.Path({str(ROOT / 'build' / name / 'apply.lock')!r}), 'apply'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", script]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError) as caught:
            apply(request_)
        assert caught.value.exit_code == 3
        assert f"process {holder.pid} of " in caught.value.message
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(timeout=20)
    with held(ROOT / "build" / name / "apply.lock", "apply"):
        pass
    (ROOT / "build" / name / "apply.lock").unlink()
    (ROOT / "build" / name).rmdir()


def test_a_host_that_does_not_answer_is_left_alone_and_the_others_go_on(
    request_: ApplyRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path / "build"))
    ssh = tmp_path / "ssh_config"
    # Nobody is at home for edge-1; of the others it is taken for granted that they have no record.
    ssh.write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n")
    asked: list[list[str]] = []

    def engine(_: Cluster, facts: Mapping[str, Facts], check: bool) -> dict[str, HostResult]:
        asked.append(list(facts))
        return {host: HostResult(1, ("x",)) for host in facts}

    monkeypatch.setattr("provision.apply._ENGINES", {"ansible": engine})
    monkeypatch.setattr("provision.rollback._record", answering_but_for_edge_1(rollback._record))
    with pytest.raises(ApplyError) as caught:
        apply(request_)
    (able,) = asked
    assert able
    assert "edge-1" not in able
    found = caught.value.report.hosts
    assert found["edge-1"].failed.startswith("edge-1 cannot be reached by ssh: ")
    assert f"see that sshd runs on the host, and HostName and Port in {ssh}" in found["edge-1"].failed
    assert [host for host, result in found.items() if result.failed] == ["edge-1"]
    assert [host for host, result in found.items() if result.changed] == able


def answering_but_for_edge_1(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda cluster, host, facts: real(cluster, host, facts) if host == "edge-1" else {}


def test_without_the_mirrors_host_nobody_is_provisioned(cluster: Cluster, served: dict[str, Facts]) -> None:
    server = next(host for host, its in served.items() if its["mirror_server_components"])
    found = but({server: "no answer"}, lambda *_: pytest.fail("nothing to fetch from"))(
        cluster, served, False
    )
    assert found.pop(server).failed == "no answer"
    assert found
    assert all("the mirror's host" in result.failed for result in found.values())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("root@10.0.0.1: Permission denied (publickey).", "User and IdentityFile in /etc/our_ssh"),
        ("@@@\nHost key verification failed.", "known_hosts file that /etc/our_ssh names"),
        ("ssh: Could not resolve hostname x: Name or service not known", "HostName in /etc/our_ssh"),
        ("ssh: connect to host x port 22: Connection timed out", "that the host is up"),
        ("kex_exchange_identification: Connection closed by remote host", ""),
    ],
)
def test_what_ssh_says_comes_with_what_helps(cluster: Cluster, said: str, words: str) -> None:
    settings = dataclasses.replace(cluster, ssh_config=Path("/etc/our_ssh"))
    assert words in nodes.hint(settings, said)
    assert bool(nodes.hint(settings, said)) == bool(words)


def test_a_host_that_falls_silent_is_given_up(cluster: Cluster, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh_config"
    ssh.write_text("Host *\n  User ops\n")
    one = dataclasses.replace(cluster, ssh_config=ssh)
    words = ["ssh", *nodes.ssh_options(one), "-G", "edge-1"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
    for setting in ("user ops", "serveraliveinterval 15", "serveralivecountmax 4", "batchmode yes"):
        assert setting in said


def test_a_failed_host_is_an_error_that_keeps_the_report() -> None:
    report = ApplyReport("salt", {"a": HostResult(1, ("x",)), "b": HostResult(0, (), "state y: no")})
    error = ApplyError(report)
    assert isinstance(error, WorldError)
    assert error.exit_code == 1
    assert error.message == "b: state y: no"
    assert report.text() == (
        "a: changed (1)\n  x\nb: FAILED\n  failed: state y: no\n2 hosts: 1 FAILED, 1 changed"
    )
    assert error.report is report


def state(
    run: int, name: str, result: bool | None, changes: object = None, comment: str = ""
) -> dict[str, object]:
    return {
        "__id__": name,
        "__run_num__": run,
        "result": result,
        "changes": changes or {},
        "comment": comment,
    }


def done(document: object, code: int = 0, noise: str = "") -> Finished:
    return Finished(("salt-call",), code, noise + json.dumps(document), "")


def test_the_cure_of_a_roll_out_that_was_put_back_is_again() -> None:
    hosts = {"manager-1": HostResult(1, ("a",), "no", put_back=True), "edge-1": HostResult(0, (), "left")}
    assert "with --again" in ApplyError(ApplyReport("ansible", hosts)).cure
    assert "--again" not in ApplyError(ApplyReport("ansible", {"edge-1": hosts["edge-1"]})).cure


def test_salts_answer_is_counted() -> None:
    local = {
        "b": state(1, "second", True, {"diff": "x"}),
        "a": state(0, "first", True),
        "c": state(2, "dry", None),
    }
    assert salt_engine.result_of(done({"local": local})) == HostResult(2, ("second", "dry"), "", ("x", ""))


def test_salts_failure_is_told_in_its_own_words() -> None:
    changes = {"stderr": "install-release: the sha512 is wrong", "retcode": 1}
    local = {
        "a": state(0, "flink-install-release", False, changes, 'Command "x" run'),
        "b": state(1, "after", False, comment="One or more requisite failed"),
    }
    found = salt_engine.result_of(done({"local": local}, 2))
    assert found == HostResult(0, (), "flink-install-release: install-release: the sha512 is wrong")


@pytest.mark.parametrize(
    ("finished", "words"),
    [
        (done({"local": ["Rendering SLS 'base:flink' failed"]}, 1), "cannot be rendered:\nRendering SLS"),
        (done({"local": "ERROR: no such function"}, 1), "cannot be rendered:\nERROR"),
        (Finished(("salt-call",), 1, "", "Traceback: boom"), "ended with 1:\nTraceback: boom"),
        (Finished(("salt-call",), 1, "{ not json", ""), "ended with 1"),
        (done({"other": {}}, 0), "ended with 0"),
        (done({"local": {"a": state(0, "fine", True)}}, 1), "ended with 1"),
    ],
)
def test_what_salt_says_otherwise_is_a_failure(finished: Finished, words: str) -> None:
    assert words in salt_engine.result_of(finished).failed


def test_ansibles_events_are_counted(tmp_path: Path, facts: dict[str, Facts]) -> None:
    summary = tmp_path / "summary.jsonl"
    events = [
        {"host": "edge-1", "task": "flink : Make the user", "kind": "changed", "text": "", "diff": "-a\n+b"},
        {"host": "edge-1", "task": "flink : Make the links", "kind": "changed", "text": "/usr/bin/flink"},
        {"host": "edge-2", "task": "flink : Install", "kind": "failed", "text": "1.20.5: no"},
        {"host": "manager-1", "task": "Gather", "kind": "unreachable", "text": "ssh: no route"},
    ]
    summary.write_text("".join(json.dumps(event) + "\n" for event in events))
    found = ansible_engine.results(summary, facts)
    assert found["edge-1"] == HostResult(
        2, ("Make the user", "Make the links: /usr/bin/flink"), "", ("-a\n+b", "")
    )
    assert found["edge-2"] == HostResult(0, (), "Install: 1.20.5: no")
    assert found["manager-1"] == HostResult(0, (), "Gather: ssh: no route")
    assert found["both-1"] == HostResult(0, ())


def test_the_inventory_has_only_the_chosen_hosts(
    cluster: Cluster, facts: dict[str, Facts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path))
    folder = inventory.write(cluster, {"both-1": facts["both-1"]})
    groups = json.loads((folder / "inventory" / "hosts.json").read_text())["all"]["children"]
    assert {name: list(group["hosts"]) for name, group in groups.items()} == {
        "mirror_server": [],
        "yarn_queues": [],
        "flink": ["both-1"],
        "role_edge": ["both-1"],
        "role_flink": ["both-1"],
    }
    assert [path.name for path in (folder / "inventory" / "host_vars").iterdir()] == ["both-1.json"]
    assert json.loads((folder / "inventory" / "host_vars" / "both-1.json").read_text()) == facts["both-1"]


def test_a_host_gets_its_own_pillar_and_plain_files(
    cluster: Cluster, facts: dict[str, Facts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import io
    import tarfile

    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path))
    host = next(host for host in cluster.hosts if host.name == "both-1")
    with tarfile.open(
        fileobj=io.BytesIO(pillar.bundle(pillar.write(cluster, host, FactTexts().text(facts["both-1"]))))
    ) as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
        text = tar.extractfile("./pillar/flink.sls")
        assert text is not None
        body = text.read().decode()
    assert not [name for name, member in members.items() if member.issym() or member.uid]
    assert "states/flink/templates/flink-conf.yaml.j2" in members
    assert "states/flink/files/launcher" in members
    assert body.startswith("#!json\n")
    assert json.loads(body.removeprefix("#!json\n")) == facts["both-1"]
    minion = json.loads(pillar.minion(host))
    assert minion["grains"] == {"roles": ["hadoop_edge", "flink"], "hadoop": {"role": "EDGE"}}


def test_a_plan_shows_differences_and_never_a_secret() -> None:
    diff = "\n".join(
        [
            "@@ -1 +1 @@",
            "-security.ssl.rest.key-password: old-hidden",
            '+security.ssl.rest.key-password: "new: hidden"',
            "+rest.port: 8081",
            '+"fs.s3a.Secret.key": hidden',
        ]
    )
    report = ApplyReport("salt", {"a": HostResult(2, ("x", "y"), "", (diff, "")), "b": HostResult(0, ())})
    text = plan_text(report)
    assert "hidden" not in text + json.dumps(plan_document(report))
    assert "a: 2 would change" in text
    assert "    +rest.port: 8081" in text
    assert "    +security.ssl.rest.key-password: ******" in text
    assert "b: nothing to change" in text

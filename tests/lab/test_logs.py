"""Logs reach the lab's log server: once each, whole, and from no place but folders of logs."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from core.process import run
from lab.containers import execute
from lab.engine import docker
from lab.model import Lab
from tests.lab.conftest import UpLab

RECEIVED = "/var/log/lab-received/events.jsonl"
RECEIVER = "lab-log-receiver.service"
SHIPPER = "pnda-flink-logs.service"
SERVER_LOG = "/var/log/pnda/flink/flink-flink-historyserver-0-manager-1.log"
CLIENT_LOG = "/var/log/pnda/flink/client/pnda/flink-pnda-client-edge-1.log"
APPLICATION = "application_17_0001"
CONTAINERS = f"/var/log/pnda/hadoop-yarn/container/{APPLICATION}"
TIMED = ("jobmanager.log", "taskmanager.log", "flink.log")
PLAIN = ("jobmanager.out", "jobmanager.err", "taskmanager.out", "taskmanager.err", "stdout", "stderr")
# Nobody's to ship: what YARN writes for itself, and what has rolled and was read before.
OTHERS = ("prelaunch.out", "directory.info", "taskmanager.log.1", "flink.log.1", "gc.log.0")
TRACE = (
    "java.lang.IllegalStateException: boo\n\tat org.example.A\n"
    "Caused by: java.io.IOException: {mark}\n\t... 1 more"
)


def received(lab: Lab, path: str = "") -> list[dict[str, Any]]:
    """Return what the log server has got, in order; with ``path``, of files whose name begins so."""
    text = execute(lab, "kafka-1", "sh", "-c", f"cat {RECEIVED} 2>/dev/null || :")
    found = [json.loads(line) for line in text.splitlines()]
    return [event for event in found if f' path="{path}' in event["fields"]]


def shell(lab: Lab, host: str, script: str) -> str:
    return execute(lab, host, "sh", "-ec", script)


def arrive(lab: Lab, marks: Iterable[str], seconds: float = 180) -> None:
    """Wait until each of ``marks`` (few: each is searched for in all that came) is in an event."""
    end, wanted = time.monotonic() + seconds, set(marks)
    while True:
        text = execute(lab, "kafka-1", "sh", "-c", f"cat {RECEIVED} 2>/dev/null || :")
        missing = {mark for mark in wanted if mark not in text}
        if not missing:
            return
        assert time.monotonic() < end, f"never came: {sorted(missing)[:5]} of {len(missing)}"
        time.sleep(1)


def drain(lab: Lab, host: str) -> None:
    """Wait until all is sent that is in the files of ``host``.

    There is one stream. A file's last event is sent after a while, and this file's only one is the latest.
    """
    folder = "/var/log/pnda/flink" if host == "manager-1" else "/var/log/pnda/flink/client/drained"
    mark = f"drained-{time.time_ns()}"
    shell(lab, host, f"mkdir -p {folder}; echo '2026-01-01 {mark}' >{folder}/{mark}.log")
    arrive(lab, [mark])
    shell(lab, host, f"rm {folder}/{mark}.log; rmdir --ignore-fail-on-non-empty {folder}")


def events(text: str) -> list[str]:
    """Return the events of a log: each begins with its time, and its line breaks come as two characters."""
    found = re.split(r"^(?=[0-9]{4}-[0-9]{2}-[0-9]{2})", text, flags=re.MULTILINE)
    return [event.rstrip("\n").replace("\n", "\\n") for event in found if event]


def once(lab: Lab, path: str, wanted: list[str]) -> None:
    """Check that the events ``wanted`` of the file ``path`` came, each as often as written, in order."""
    there = set(wanted)
    assert wanted
    assert [event["text"] for event in received(lab, f'{path}"') if event["text"] in there] == wanted


@pytest.fixture
def container() -> str:
    """A container's folder that no other test has."""
    return f"{CONTAINERS}/container_e01_17_0001_01_{time.time_ns() % 10**6:06}"


def make(lab: Lab, container: str) -> None:
    shell(lab, "manager-1", f"install -d -o yarn -g hadoop -m 0710 {CONTAINERS} {container}")


@pytest.mark.parametrize("any_lab", ["ansible", "salt"], indirect=True)
def test_each_file_of_a_container_arrives_once_and_whole(any_lab: UpLab, container: str) -> None:
    lab, mark = any_lab.lab, f"mark-{time.time_ns()}"
    make(lab, container)
    for name in (*TIMED, *PLAIN, *OTHERS):
        first = "2026-01-02 03:04:05,678 ERROR org.example.Job - " if name in TIMED else ""
        text = f"{first}{mark}-{name}\n{TRACE.format(mark=mark)}\n{first}last of {name} {mark}\n"
        execute(lab, "manager-1", "runuser", "-u", "yarn", "--", "sh", "-c", 'printf %s "$1" >"$2"', "sh",
                text, f"{container}/{name}")  # fmt: skip
    arrive(lab, [f"last of {name} {mark}" for name in (*TIMED, *PLAIN)])
    drain(lab, "manager-1")
    found = [event for event in received(lab, container) if mark in event["text"]]
    trace = TRACE.format(mark=mark).replace("\n", "\\n")
    start = "2026-01-02 03:04:05,678 ERROR org.example.Job - "
    wanted = [[f"{start}{mark}-{name}\\n{trace}", f"{start}last of {name} {mark}"] for name in TIMED]
    wanted += [[f"{mark}-{name}", trace, f"last of {name} {mark}"] for name in PLAIN]
    got = [
        [event["text"] for event in found if event["fields"].split()[3] == f'path="{container}/{name}"']
        for name in (*TIMED, *PLAIN)
    ]
    assert got == wanted
    assert len(found) == sum(map(len, wanted)), "nothing of other files"
    assert {(event["source"], event["host"]) for event in found} == {("yarn", "manager-1")}
    folder = container.rpartition("/")[2]
    assert all(f'application="{APPLICATION}" container="{folder}"]' in event["fields"] for event in found)


@pytest.mark.parametrize("any_lab", ["ansible", "salt"], indirect=True)
def test_the_history_server_and_a_users_command_arrive_once(any_lab: UpLab) -> None:
    lab = any_lab.lab
    shell(lab, "manager-1", "systemctl restart flink-history-server.service")  # rolls its log
    words = ("flink", "list", "-m", "edge-1:1", "-Drest.retry.max-attempts=0")
    before = shell(lab, "edge-1", f"wc -c <{CLIENT_LOG} 2>/dev/null || echo 0").strip()
    execute(lab, "edge-1", "runuser", "-u", "pnda", "--", *words, check=False)
    written = events(shell(lab, "edge-1", f"tail -c +{int(before) + 1} {CLIENT_LOG}"))
    assert any("Exception" in event and "\\n\tat org.apache.flink." in event for event in written)
    drain(lab, "edge-1")
    once(lab, CLIENT_LOG, written)
    mine = [event for event in received(lab, CLIENT_LOG) if event["text"] == written[0]]
    assert [(event["source"], event["host"]) for event in mine] == [("flink", "edge-1")]
    assert mine[0]["fields"].endswith(' user="pnda"]')
    started = events(shell(lab, "manager-1", f"cat {SERVER_LOG}"))
    drain(lab, "manager-1")
    assert any("Starting HistoryServer" in event for event in started)
    once(lab, SERVER_LOG, started)


def compiled(lab: Lab, folder: Path, size: str) -> None:
    """Put LogLines and the client's log configuration on manager-1, with files of ``size``."""
    log4j = shell(lab, "edge-1", "ls /opt/pnda/flink/lib/log4j-api-*.jar").strip()
    docker("cp", "-L", f"{lab.container('edge-1')}:{log4j}", folder / "log4j-api.jar")
    docker("cp", "-L", f"{lab.container('edge-1')}:/etc/flink/1.20.5/log4j.properties", folder)
    text = (folder / "log4j.properties").read_text()
    assert text.count("size = 100MB") == 2
    (folder / "log4j.properties").write_text(text.replace("size = 100MB", f"size = {size}"))
    source = Path(__file__).with_name("LogLines.java")
    run(["javac", "-cp", folder / "log4j-api.jar", "-d", folder, source], timeout=120)
    shell(lab, "manager-1", "install -d -m 0755 /opt/log-lines")
    for name in ("LogLines.class", "log4j.properties"):
        docker("cp", folder / name, f"{lab.container('manager-1')}:/opt/log-lines/{name}")


def write(lab: Lab, container: str, mark: str, count: int, pause: int) -> subprocess.Popen[bytes]:
    """Start LogLines as YARN would start Flink in ``container``."""
    words = [
        "docker", "exec", lab.container("manager-1"), "runuser", "-u", "yarn", "--",
        "env", f"PNDA_FLINK_LOG={container}/flink.log", "MAX_LOG_FILE_NUMBER=50",
        "java", "-XX:TieredStopAtLevel=1", f"-Dlog.file={container}/taskmanager.log",
        "-Dlog4j.configurationFile=/opt/log-lines/log4j.properties",
        "-cp", "/opt/log-lines:/opt/pnda/flink-history/lib/*", "LogLines", mark, str(count), str(pause),
    ]  # fmt: skip
    return subprocess.Popen(words)


def test_rolling_by_log4j_loses_and_repeats_nothing(
    ansible_lab: UpLab, container: str, tmp_path: Path
) -> None:
    lab, mark, count = ansible_lab.lab, f"roll-{time.time_ns()}", 3000
    compiled(lab, tmp_path, "150KB")
    make(lab, container)
    assert write(lab, container, mark, count, 8).wait(timeout=300) == 0
    drain(lab, "manager-1")
    for name in ("taskmanager.log", "flink.log"):
        files = [*shell(lab, "manager-1", f"cd {container}; ls -1v {name}.*").split(), name]
        assert len(files) > 3, "it has rolled several times"
        text = shell(lab, "manager-1", f"cd {container}; cat {' '.join(files)}")
        # The line at the end of a file that has rolled only makes the event before it whole.
        written = [event for event in events(text) if "The log goes on" not in event]
        assert len(written) == count
        assert sum("\\n\tat LogLines.main" in event for event in written) == count // 50
        got = [event["text"] for event in received(lab, f'{container}/{name}"')]
        assert [text for text in got if "The log goes on" not in text] == written


def test_a_link_in_a_folder_of_logs_leads_nowhere(ansible_lab: UpLab) -> None:
    lab, mark = ansible_lab.lab, f"mark-{time.time_ns()}"
    folder = "/var/log/pnda/flink/client/mallory"
    shell(
        lab,
        "edge-1",
        f"install -d -o games -m 0700 {folder}; echo '2026-01-02 {mark}-root' > /root/x.log; "
        f"ln -s /root/x.log {folder}/a.log; ln -s /etc/shadow {folder}/b.log; ln -s /root {folder}/c; "
        f"ln -s /root {folder}-2; echo '2026-01-02 {mark}-mine' > {folder}/d.log",
    )
    arrive(lab, [f"{mark}-mine"])
    drain(lab, "edge-1")
    texts = [event["text"] for event in received(lab)]
    shell(lab, "edge-1", f"rm -rf {folder} {folder}-2 /root/x.log")
    assert not any(f"{mark}-root" in text or text.startswith("root:") for text in texts)


def test_nothing_is_lost_while_shipper_and_receiver_restart(
    ansible_lab: UpLab, container: str, tmp_path: Path
) -> None:
    """What the shipper was at work on when it ended may come twice; docs/reference/logs.md says so."""
    lab, mark, count = ansible_lab.lab, f"again-{time.time_ns()}", 3000
    compiled(lab, tmp_path, "100MB")
    make(lab, container)
    writer = write(lab, container, mark, count, 4)
    arrive(lab, [f"{mark}-1-"])
    execute(lab, "manager-1", "systemctl", "restart", SHIPPER)
    arrive(lab, [f"{mark}-1000-"])
    execute(lab, "kafka-1", "systemctl", "stop", RECEIVER)
    execute(lab, "manager-1", "systemctl", "kill", "--signal=KILL", SHIPPER)
    assert writer.wait(timeout=300) == 0
    execute(lab, "manager-1", "systemctl", "restart", SHIPPER)
    execute(lab, "kafka-1", "systemctl", "start", RECEIVER)
    arrive(lab, [f"{mark}-{count}-"])
    drain(lab, "manager-1")
    for name in ("taskmanager.log", "flink.log"):
        texts = "".join(event["text"] for event in received(lab, f'{container}/{name}"'))
        assert set(re.findall(f"{mark}-([0-9]+)-", texts)) == {str(number) for number in range(1, count + 1)}

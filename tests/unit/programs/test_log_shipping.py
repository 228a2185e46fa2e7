"""The rendered configuration in a real rsyslogd, with files that roll, and a log server on the loopback."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import debian
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview
from provision.manifest import FLINK
from tests.unit.programs.syslog_receiver import Receiver
from tests.unit.provision import samples

PROGRAM = FLINK.programs / "log-shipping"
STATE = "/var/lib/pnda-flink-logs"
TRACE = (
    "java.lang.IllegalStateException: boo\n\tat org.example.A\nCaused by: java.io.IOException\n\t... 5 more"
)
FOOTER = "2026-01-02 03:04:05,678 INFO  The log goes on in another file, or ends.\n"


def line(number: int) -> str:
    return f"2026-01-02 03:04:05,{number:06d} INFO  org.example.Job [] - line {number} {'z' * 40}"


class Shipper:
    """An rsyslogd with the configuration of a host, moved under a folder."""

    def __init__(self, base: Path, lock: Lock) -> None:
        self.base, self.receiver = base, Receiver()
        self.logs = base / "log" / "pnda" / "flink"
        self.container = (
            base / "log/pnda/hadoop-yarn/container/application_17_0001/container_e01_17_0001_01_000002"
        )
        for folder in (self.logs / "client" / "ann", self.container, base / "state"):
            folder.mkdir(parents=True)
        path = samples.cluster_file(base / "c.yml", *samples.SHIPPED)
        its = fact_module.resolve(clusters.load(path), lock)["both-1"]
        text = preview.render(its)["/etc/pnda-flink-logs/rsyslog.conf"].decode()
        text = text.replace(STATE, f"{base}/state").replace("/var/log", f"{base}/log")
        changes = (
            ('target="logs-1" port="6514"', f'target="127.0.0.1" port="{self.receiver.port}"'),
            ('action.resumeInterval="2"', 'action.resumeInterval="1"'),
        )
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.configuration = base / "rsyslog.conf"
        self.configuration.write_text(text.replace('readTimeout="3"', 'readTimeout="1"'))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["/usr/sbin/rsyslogd", "-n", "-iNONE", "-f", str(self.configuration)]
        with (self.base / "said").open("ab") as said:
            self.process = subprocess.Popen(words, stdout=said, stderr=said)

    def stop(self) -> None:
        """Stop it as its unit does."""
        if self.process is not None:
            assert stop(self.process.pid, self.base / "state") == 0
            assert self.process.wait(timeout=60) == -9
            self.process = None

    def again(self) -> None:
        self.stop()
        self.start()


@pytest.fixture
def shipper(tmp_path: Path, lock: Lock) -> Iterator[Shipper]:
    debian.require(["rsyslog"], "the tests of log shipping need")
    made = Shipper(tmp_path, lock)
    yield made
    made.stop()
    made.receiver.close()


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return samples.lock(tmp_path / "catalogue.lock")


def stop(pid: int, folder: Path) -> int:
    words = [sys.executable, str(PROGRAM), "stop", str(pid), str(folder)]
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode


def check(path: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(PROGRAM), "check", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_rsyslog_takes_the_configuration(shipper: Shipper) -> None:
    done = check(shipper.configuration)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("readTimeout=", "readTimeOff=", "readTimeOff"),
        ('ruleset="ship" tag', 'ruleset="shop" tag', "shop"),
        ("{", "", "syntax error"),
        ("/state", "/no-such-folder", "no-such-folder"),
    ],
)
def test_a_configuration_that_rsyslog_would_run_without_some_part_is_refused(
    shipper: Shipper, old: str, new: str, words: str
) -> None:
    text = shipper.configuration.read_text()
    assert old in text
    shipper.configuration.write_text(text.replace(old, new, 1))
    done = check(shipper.configuration)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("log-shipping: rsyslog refuses the configuration: ")


@pytest.mark.parametrize(
    "words",
    [[], ["check"], ["ready"], ["check", "a", "b"], ["other", "x"], ["stop", "1"], ["stop", "", "/none"]],
)
def test_a_wrong_call(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2


# Empties its notes before it writes them anew, as rsyslog does, and is at that half of the time.
WRITER = """
import sys, time
while True:
    for path, text in ((sys.argv[1], '{ "curr_offs": 1 }'), (sys.argv[2], ">End\\n.\\n")):
        with open(path, "w") as stream:
            time.sleep(0.02)
            stream.write(text)
        time.sleep(0.02)
"""


def test_it_is_ended_while_no_note_is_half_written(tmp_path: Path) -> None:
    position, queue = tmp_path / "imfile-state:1:a", tmp_path / "queue.qi"
    for _ in range(6):
        queue.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(position), str(queue)])
        while not queue.exists():
            time.sleep(0.01)
        assert stop(process.pid, tmp_path) == 0
        assert process.wait(timeout=60) == -9
        assert position.read_text() == '{ "curr_offs": 1 }'
        assert queue.read_text() == ">End\n.\n"


def test_what_has_ended_need_not_be_ended_and_a_note_that_stays_empty_is_not_waited_for(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(["true"])
    process.wait(timeout=60)
    assert stop(process.pid, tmp_path) == 0
    (tmp_path / "imfile-state:1:a").touch()
    process = subprocess.Popen(["sleep", "600"])
    assert stop(process.pid, tmp_path) == 0
    assert process.wait(timeout=60) == -9


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    words = [sys.executable, str(PROGRAM), "ready", "some.service", str(tmp_path), str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{tmp_path / 'none'}: no such folder" in done.stderr
    assert "yarn.log_directories" in done.stderr


def test_events_of_all_kinds_arrive_once_and_whole(shipper: Shipper) -> None:
    old = shipper.logs / "flink-flink-historyserver-0-both-1.log"
    old.write_text(f"{line(1)}\n{line(2)}\n{TRACE}\n{line(3)}\n")
    odd = shipper.logs / "client" / "ann" / 'a"] b\\c.log'
    odd.write_text(f"{line(4)}\n")
    shipper.start()
    assert shipper.receiver.wait([line(1), f"{line(2)}\n{TRACE}", line(3), line(4)]) == []
    (shipper.container / "taskmanager.log").write_text(f"{line(5)}\n{TRACE}\n")
    (shipper.container / "flink.log").write_text(f"{line(6)}\n")
    (shipper.container / "stdout").write_text(
        f"one\ntwo\nException in main: {TRACE}\nCause\nCaused by chance\n"
    )
    (shipper.container / "taskmanager.log.1").write_text(f"{line(7)}\n")
    wanted = [
        line(1), f"{line(2)}\n{TRACE}", line(3), line(4), f"{line(5)}\n{TRACE}", line(6), "one", "two",
        f"Exception in main: {TRACE}", "Cause\nCaused by chance",
    ]  # fmt: skip
    assert shipper.receiver.wait(wanted) == []
    time.sleep(1.5)  # what came twice would have come by now
    assert sorted(shipper.receiver.texts()) == sorted(wanted)
    by_text = {event.text: event for event in shipper.receiver.events}
    assert {(event.host, event.fields["host"]) for event in by_text.values()} == {("both-1", "both-1")}
    assert by_text[line(1)].source == by_text[line(1)].fields["source"] == "flink"
    assert by_text[line(1)].fields["path"] == str(old)
    assert by_text[line(4)].fields == {"source": "flink", "host": "both-1", "path": str(odd), "user": "ann"}
    assert by_text[line(6)].fields == {
        "source": "yarn", "host": "both-1", "path": str(shipper.container / "flink.log"),
        "application": "application_17_0001", "container": "container_e01_17_0001_01_000002",
    }  # fmt: skip


def test_files_that_roll_are_truncated_or_made_anew_lose_and_repeat_nothing(shipper: Shipper) -> None:
    shipper.start()
    log, wanted = shipper.container / "taskmanager.log", []
    for number in range(1000):
        with log.open("a") as stream:
            stream.write(f"{line(number)}\n")
        wanted.append(line(number))
        if number % 200 == 199:
            with log.open("a") as stream:
                stream.write(FOOTER)
            for index in range(3, 0, -1):
                if log.with_name(f"{log.name}.{index}").exists():
                    log.with_name(f"{log.name}.{index}").rename(log.with_name(f"{log.name}.{index + 1}"))
            log.rename(log.with_name(f"{log.name}.1"))
        time.sleep(0.007)  # it rolls more slowly than it is looked at, which is each second
    assert shipper.receiver.wait(wanted) == []
    log.write_text(f"{line(5000)}\n")
    assert shipper.receiver.wait([line(5000)]) == []
    log.write_text("")
    log.write_text(f"{line(5001)}\n")
    assert shipper.receiver.wait([line(5001)]) == []
    log.unlink()
    log.write_text(f"{line(5002)}\n")
    wanted += [line(5000), line(5001), line(5002)]
    assert shipper.receiver.wait(wanted) == []
    counted = Counter(shipper.receiver.texts())
    assert {text for text, count in counted.items() if count > 1} - {FOOTER.strip()} == set()
    assert set(counted) - {FOOTER.strip()} == set(wanted)


def test_a_restart_with_half_an_event_and_a_receiver_that_is_away_lose_nothing(shipper: Shipper) -> None:
    shipper.start()
    log = shipper.logs / "server.log"
    log.write_text(f"{line(1)}\n")
    assert shipper.receiver.wait([line(1)]) == []
    with log.open("a") as stream:
        stream.write(f"{line(2)}\n{TRACE}\n")
    shipper.again()
    with log.open("a") as stream:
        stream.write(f"{line(3)}\n")
    assert shipper.receiver.wait([f"{line(2)}\n{TRACE}", line(3)]) == []
    assert len(shipper.receiver.events) == 3
    shipper.receiver.close()
    with log.open("a") as stream:
        stream.writelines(f"{line(number)}\n" for number in range(4, 3000))
    time.sleep(1.5)
    shipper.again()
    shipper.receiver.open()
    wanted = [line(1), f"{line(2)}\n{TRACE}", *(line(number) for number in range(3, 3000))]
    assert shipper.receiver.wait(wanted) == []
    assert set(shipper.receiver.texts()) == set(wanted)


def test_a_shipper_that_is_stopped_at_work_loses_nothing(shipper: Shipper) -> None:
    """What was on its way and not yet marked comes twice: at least once is the promise."""
    shipper.start()
    log = shipper.container / "jobmanager.log"
    for number in range(2000):
        with log.open("a") as stream:
            stream.write(f"{line(number)}\n")
        if number in (500, 1500):
            shipper.again()
        if number == 1000:
            shipper.receiver.close()
        if number == 1700:
            shipper.receiver.open()
        time.sleep(0.0005)
    wanted = [line(number) for number in range(2000)]
    assert shipper.receiver.wait(wanted) == []
    assert set(shipper.receiver.texts()) == set(wanted)

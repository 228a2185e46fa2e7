"""Housekeeping in a cluster file and in the facts: where it runs, what it cleans there, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview
from provision.facts import Facts
from provision.manifest import FLINK
from tests.unit.provision import samples

CONFIGURATION = "/etc/flink-housekeeping/housekeeping.json"
SERVICE, TIMER = (f"/etc/systemd/system/flink-housekeeping.{kind}" for kind in ("service", "timer"))


def resolved(folder: Path, lock: Lock, *changes: tuple[str, str]) -> dict[str, Facts]:
    return fact_module.resolve(clusters.load(samples.cluster_file(folder / "sample.yml", *changes)), lock)


def on(parts: str, hadoop: str = "") -> tuple[tuple[str, str], ...]:
    """Return the changes that add the section with ``parts``, and ``hadoop`` before ``flink``."""
    return (
        (
            "  metrics: {interval_seconds: 10}\n",
            f"  metrics: {{interval_seconds: 10}}\n  housekeeping: {parts}\n",
        ),
        ("flink:\n", f"{hadoop}flink:\n"),
    )


YARN = "hadoop: {resource_managers: ['http://rm-1:8088'], name_nodes: ['http://nn-1:9870']}\n"


def parts(facts: Facts) -> set[str]:
    found = facts["flink_housekeeping_configuration"]
    return {key.partition(".")[0] for key, value in found.items() if key.endswith(".enabled") and value}


def test_the_storage_is_cleaned_by_one_host_and_temporary_folders_where_users_are(
    tmp_path: Path, lock: Lock
) -> None:
    facts = resolved(tmp_path, lock, *on("{staging: {homes: 'hdfs://c/user'}}", YARN))
    assert {host: parts(its) for host, its in facts.items()} == {
        "edge-1": {"libraries", "temporary"},
        "edge-2": {"libraries", "temporary"},
        "manager-1": {"libraries", "archives", "staging", "shared_libraries"},
        "manager-2": {"libraries"},
        "both-1": {"libraries", "temporary"},
        "kafka-1": set(),
    }


def test_without_yarn_nothing_of_yarn_is_touched(facts: dict[str, Facts]) -> None:
    assert parts(facts["manager-1"]) == {"libraries", "archives"}


@pytest.mark.parametrize("part", ["archives", "libraries", "temporary", "staging"])
def test_each_part_can_be_switched_off(tmp_path: Path, lock: Lock, part: str) -> None:
    section = {"staging": {"homes": "file:///user"}}
    section[part] = {**section.get(part, {}), "enabled": False}  # type: ignore[dict-item] # JSON is YAML
    facts = resolved(tmp_path, lock, *on(json.dumps(section), YARN))
    assert not any(part in parts(its) for its in facts.values())
    assert any(parts(its) for its in facts.values())


def test_the_history_servers_number_is_the_one(tmp_path: Path, lock: Lock) -> None:
    change = ("    retained_jobs: 7\n", "    retained_jobs: 77\n")
    its = resolved(tmp_path, lock, change)["manager-1"]
    assert its["flink_history_configuration"]["historyserver.archive.retained-jobs"] == "77"
    assert its["flink_housekeeping_configuration"]["archives.most"] == 77


def test_the_history_servers_age_is_the_one(tmp_path: Path, lock: Lock) -> None:
    change = ("  history_server:\n", "  history_server:\n    retained_ttl: 9 d\n")
    its = resolved(tmp_path, lock, change)["manager-1"]
    assert its["flink_housekeeping_configuration"]["archives.days"] == 0


BAD = [
    (("{archives: {days: 0}}", ""), "less than the minimum", "1 or more"),
    (("{archives: {days: 1.5}}", ""), "not of type integer", "whole days"),
    (("{archives: {day: 3}}", ""), "unknown key 'day'", "days"),
    (("{archive: {}}", ""), "unknown key 'archive'", "archives"),
    (("{every_hours: 5}", ""), "every_hours is 5", "known here"),
    (("{libraries: {enabled: 'no'}}", ""), "not of type boolean", "true or false"),
    (("{temporary: {folders: []}}", ""), "folders", "a list"),
    (("{temporary: {folders: [tmp]}}", ""), "folders", "absolute path"),
    (("{temporary: {folders: [/tmp/..]}}", ""), "folders", "without dots"),
    (("{temporary: {folders: [/]}}", ""), "folders", "absolute path"),
    (("{staging: {enabled: true}}", ""), "no `homes`", "home folders"),
    (("{staging: {homes: /user}}", YARN), "homes", "hdfs://"),
    (("{staging: {homes: 'file:///user/../etc'}}", YARN), "homes", "hdfs://"),
    (("{staging: {homes: 'file:///user'}}", ""), "only YARN knows", "http://rm-1:8088"),
    (
        ("{staging: {homes: 'hdfs://c/user'}}", "hadoop: {resource_managers: ['http://rm:1']}\n"),
        "name_nodes",
        "9870",
    ),
    (("{}", "hadoop: {resource_managers: [rm-1]}\n"), "rm-1", "http or https"),
    (("{}", "hadoop: {resource_managers: ['http://u:p@rm-1']}\n"), "resource_managers", "http or https"),
    (("{}", "hadoop: {resource_managers: []}\n"), "resource_managers", "a list"),
    (("{}", "hadoop: {resource_manager: []}\n"), "unknown key 'resource_manager'", "resource_managers"),
]


@pytest.mark.parametrize(
    ("what", "message", "cure"), BAD, ids=[f"{row[0][0]} {row[0][1]}".strip() for row in BAD]
)
def test_a_bad_section_is_refused_with_line_and_cure(
    tmp_path: Path, what: tuple[str, str], message: str, cure: str
) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", *on(*what))
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    at = "hadoop:" if what[0] == "{}" else "housekeeping:"
    line = next(number for number, its in enumerate(path.read_text().splitlines(), 1) if at in its)
    assert caught.value.message.startswith(f"{path}:{line}: "), caught.value.message
    assert message in caught.value.message
    assert cure in caught.value.cure


def test_two_ages_for_archives_are_refused(tmp_path: Path) -> None:
    change = ("  history_server:\n", "  history_server:\n    retained_ttl: 9 d\n")
    path = samples.cluster_file(tmp_path / "bad.yml", change, *on("{archives: {days: 8}}"))
    with pytest.raises(UsageError, match="says the age of archives as well"):
        clusters.load(path)


@pytest.mark.parametrize("host", ["edge-1", "manager-1", "manager-2", "both-1"])
def test_the_program_takes_the_configuration_that_lands(tmp_path: Path, lock: Lock, host: str) -> None:
    facts = resolved(tmp_path, lock, *on("{staging: {homes: 'hdfs://c/user'}}", YARN))
    found = json.loads(preview.render(facts[host])[CONFIGURATION])
    found["state"] = str(tmp_path)
    (tmp_path / "housekeeping.json").write_text(json.dumps(found))
    words = [sys.executable, str(FLINK.programs / "housekeeping"), "--dry-run", "--only", "temporary"]
    done = subprocess.run(
        [*words, "--configuration", str(tmp_path / "housekeeping.json")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_unit_may_write_where_it_cleans_and_nowhere_else(tmp_path: Path, lock: Lock) -> None:
    facts = resolved(
        tmp_path,
        lock,
        *on("{staging: {homes: 'file:///home'}, temporary: {folders: [/tmp, /data/tmp]}}", YARN),
    )
    for host, wanted, home in (
        ("manager-1", ["/home", "/opt/pnda", "/pnda/flink/completed-jobs", "/pnda/flink/lib"], "no"),
        ("edge-1", ["/data/tmp", "/opt/pnda", "/tmp"], "yes"),
    ):
        unit = preview.render(facts[host])[SERVICE].decode().splitlines()
        paths = [line.partition("=-")[2] for line in unit if line.startswith("ReadWritePaths=")]
        assert paths == sorted([*wanted, "/var/lib/pnda/flink/housekeeping"])
        assert f"ProtectHome={home}" in unit


def test_systemd_takes_the_units(tmp_path: Path, facts: dict[str, Facts]) -> None:
    content = preview.render(facts["both-1"])
    for path in (SERVICE, TIMER):
        text = content[path].decode().replace("/usr/lib/pnda/flink/housekeeping ", "/bin/true ")
        (tmp_path / Path(path).name).write_text(text)
    words = ["systemd-analyze", "verify", *(str(tmp_path / Path(path).name) for path in (SERVICE, TIMER))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if "flink-housekeeping" in line]
    assert (done.returncode, ours) == (0, []), done.stderr
    calendar = next(line for line in content[TIMER].decode().splitlines() if line.startswith("OnCalendar="))
    subprocess.run(["systemd-analyze", "calendar", calendar.partition("=")[2]], check=True, timeout=60)


def test_it_can_be_switched_off_as_a_whole(tmp_path: Path, lock: Lock) -> None:
    on_, off = resolved(tmp_path, lock), resolved(tmp_path, lock, *on("{enabled: false}"))
    assert not [host for host, its in off.items() if "housekeeping" in its["flink_components"]]
    gone = set(on_["edge-1"]["flink_managed"]) - set(off["edge-1"]["flink_managed"])
    assert {row.split(" ")[0] for row in gone} == {"housekeeping"}
    for path in (SERVICE, TIMER, CONFIGURATION, "/var/lib/systemd/timers/stamp-flink-housekeeping.timer"):
        assert path in {row.split(" ")[2] for row in gone}

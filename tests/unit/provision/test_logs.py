from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview, remove, status
from provision.facts import Facts
from tests.unit.provision import samples

SHIPPER = ("  receiver: logs-1:6514\n", "")


def resolved(tmp_path: Path, lock: Lock, *changes: tuple[str, str]) -> dict[str, Facts]:
    return fact_module.resolve(clusters.load(samples.cluster_file(tmp_path / "logs.yml", *changes)), lock)


def test_each_role_ships_what_is_written_there(tmp_path: Path, lock: Lock) -> None:
    found = resolved(tmp_path, lock, *samples.SHIPPED)
    sources = {
        host: sorted({(item["source"], item["path"].rpartition("/")[2]) for item in its["flink_log_inputs"]})
        for host, its in found.items()
    }
    assert sources["edge-1"] == sources["manager-1"] == [("flink", "*.log")]
    assert [name for source, name in sources["worker-1"] if source == "yarn"] == [
        "flink.log", "jobmanager.err", "jobmanager.log", "jobmanager.out", "stderr", "stdout",
        "taskmanager.err", "taskmanager.log", "taskmanager.out",
    ]  # fmt: skip
    assert len(found["both-1"]["flink_log_inputs"]) == 11
    assert sources["kafka-1"] == []
    assert "logs" not in found["kafka-1"]["flink_components"]
    names = [item["name"] for item in found["both-1"]["flink_log_inputs"]]
    assert len(names) == len(set(names)), "each input has positions of its own"


def test_a_host_with_containers_alone_gets_no_flink(tmp_path: Path, lock: Lock) -> None:
    its = resolved(tmp_path, lock, *samples.SHIPPED)["worker-1"]
    assert its["flink_components"] == ["logs"]
    assert its["flink_releases"] == its["flink_links"] == []
    assert its["flink_log_container_directories"] == ["/var/log/pnda/hadoop-yarn/container"]
    assert "/usr/lib/pnda/flink/unit-stale" in {entry["destination"] for entry in its["flink_files"]}


def test_several_log_directories_are_all_read(tmp_path: Path, lock: Lock) -> None:
    more = ("yarn:\n", "yarn:\n  log_directories: [/data/1/logs, /data/2/logs]\n")
    its = resolved(tmp_path, lock, *samples.SHIPPED, more)["worker-1"]
    paths = [item["path"] for item in its["flink_log_inputs"]]
    assert len(paths) == len(set(paths)) == 18
    unit = preview.render(its)["/etc/systemd/system/pnda-flink-logs.service"].decode()
    assert "BindReadOnlyPaths=/data/1/logs\nBindReadOnlyPaths=/data/2/logs\n" in unit


def test_nothing_is_shipped_without_the_section(facts: dict[str, Facts]) -> None:
    for its in facts.values():
        assert its["flink_log_shipper"] == "none"
        assert its["flink_log_inputs"] == []
        assert "logs" not in its["flink_components"]


@pytest.mark.parametrize(
    ("shipper", "there", "absent"),
    [
        (samples.SHIPPED, "/etc/pnda-flink-logs/rsyslog.conf", "/etc/logstash/conf.d/pnda-flink.conf"),
        (samples.BY_LOGSTASH, "/etc/logstash/conf.d/pnda-flink.conf", "/etc/pnda-flink-logs/rsyslog.conf"),
    ],
)
def test_only_the_chosen_shipper_is_provisioned(
    tmp_path: Path, lock: Lock, shipper: tuple[tuple[str, str], ...], there: str, absent: str
) -> None:
    its = resolved(tmp_path, lock, *shipper)["both-1"]
    files = preview.render(its)
    assert there in files
    assert absent not in files
    units = status.questions(its)["units"]
    assert ("pnda-flink-logs.service" in units) == (its["flink_log_shipper"] == "rsyslog")


def test_removal_takes_the_shipper_with_its_positions(tmp_path: Path, lock: Lock) -> None:
    wanted = remove.wanted(resolved(tmp_path, lock, *samples.SHIPPED)["edge-1"], dry=True)
    assert "pnda-flink-logs.service" in wanted["units"]
    assert {"/etc/pnda-flink-logs", "/var/lib/pnda-flink-logs"} <= set(wanted["trees"])


@pytest.mark.parametrize(
    ("change", "at", "message", "cure"),
    [
        (SHIPPER, "logs:", "receiver is missing", "receiver: HOST:PORT"),
        (("logs-1:6514", "logs-1"), "  receiver:", "receiver", "HOST:PORT"),
        (("logs-1:6514", "logs 1:6514"), "  receiver:", "receiver", "HOST:PORT"),
        (("logs-1:6514", "logs-1:70000"), "  receiver:", "70000 is no TCP port", "65535"),
        (("logs-1:6514", "logs-1:0"), "  receiver:", "0 is no TCP port", "65535"),
        (("logs-1:6514", "'a\"b:1'"), "  receiver:", "receiver", "HOST:PORT"),
        (("shipper: rsyslog", "shipper: syslog"), "  shipper:", "syslog", "did you mean 'rsyslog'"),
        (("shipper: rsyslog", "shiper: rsyslog"), "  shiper:", "unknown key 'shiper'", "shipper"),
        (("shipper: rsyslog", "shipper: none"), "  receiver:", "means nothing", "remove it"),
        (("logs:\n", "logs:\n  pipeline: /etc/x.conf\n"), "  pipeline:", "means nothing", "another shipper"),
        (("logs:\n", "logs:\n  queue_megabytes: 1\n"), "  queue_megabytes:", "less than", "16 to"),
        (("seconds: 600", "seconds: 59"), "  delete_debug", "59 s after its end", "60 or more"),
        (("seconds: 600", "seconds: 1m"), "  delete_debug", "not of type integer", "whole seconds"),
        (("yarn:\n  delete_debug_delay_seconds: 600\n", ""), "logs:", "is missing", "yarn-site.xml"),
        (("  delete_debug_delay_seconds: 600", "  log_directories: [/a]"), "yarn:", "is missing", "60 or"),
        (("yarn:\n", "yarn:\n  log_directories: [logs]\n"), "  log_directories:", "logs", "absolute path"),
        (("yarn:\n", "yarn:\n  log_directories: ['/a b']\n"), "  log_directories:", "/a b", "absolute path"),
        (
            ("flink:\n", "flink:\n  application_loggers: ['com.example.']\n"),
            "  application_loggers:",
            "com.example.",
            "such as com.example.orders",
        ),
    ],
)
def test_a_bad_section_is_refused(
    tmp_path: Path, change: tuple[str, str], at: str, message: str, cure: str
) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", *samples.SHIPPED, change)
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    (number,) = [n for n, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(at)]
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"{path}:{number}: "), caught.value.message
    assert message in caught.value.message
    assert cure in caught.value.cure


def test_the_platforms_delay_may_be_short_where_no_container_log_is_shipped(
    tmp_path: Path, lock: Lock
) -> None:
    changes = (
        *samples.SHIPPED,
        ("seconds: 600", "seconds: 0"),
        (", YARN]", "]"),
        ("  worker-1: {roles: [YARN]}\n", ""),
    )
    assert resolved(tmp_path, lock, *changes)["both-1"]["flink_log_container_directories"] == []


def test_logstash_reads_each_input_with_positions_of_its_own(tmp_path: Path, lock: Lock) -> None:
    from logstash_pipeline_parser import Pipeline

    text = preview.render(resolved(tmp_path, lock, *samples.BY_LOGSTASH)["both-1"])
    tree = Pipeline(text["/etc/logstash/conf.d/pnda-flink.conf"].decode()).parse()
    assert [section for section, _ in tree] == ["input", "filter", "output"]
    inputs = [{key: value[0] for key, value in settings} for plugin, settings in tree[0][1]]
    assert len(inputs) == 11
    assert len({str(item["sincedb_path"]) for item in inputs}) == 11
    for item in inputs:
        codec, settings = item["codec"]
        values = {key: value[0] for key, value in settings}
        assert codec == "multiline"
        assert values["auto_flush_interval"] == 5
        timed = str(item["path"]).endswith(".log")
        assert values["pattern"] == ("^%{TIMESTAMP_ISO8601}" if timed else "^(?![[:space:]]|Caused by: )")
    assert {str(item["add_field"]) for item in inputs} == {
        "[['source', ['flink']]]",
        "[['source', ['yarn']]]",
    }


def test_logstash_leaves_the_sending_to_the_site_where_no_receiver_is_named(
    tmp_path: Path, lock: Lock
) -> None:
    from logstash_pipeline_parser import Pipeline

    text = preview.render(resolved(tmp_path, lock, *samples.BY_LOGSTASH, SHIPPER)["edge-1"])
    tree = Pipeline(text["/etc/logstash/conf.d/pnda-flink.conf"].decode()).parse()
    assert [section for section, _ in tree] == ["input", "filter"]


def test_salt_has_a_grain_for_every_role() -> None:
    import json

    from provision import pillar
    from provision.hosts_section import Host

    schema = json.loads(clusters.SCHEMA.read_text())
    roles = schema["properties"]["hosts"]["additionalProperties"]["properties"]["roles"]["items"]["enum"]
    found = json.loads(pillar.minion(Host("all-1", tuple(roles)), "/tmp/x"))["grains"]["roles"]
    assert len(set(found)) == len(roles)

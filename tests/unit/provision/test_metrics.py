from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import metric_names, preview, remove, retention, status
from provision.cluster import ROOT
from provision.facts import Facts
from tests.unit.provision import samples

METRICS = "  metrics: {interval_seconds: 10}\n"
OTHER_HOST = ("{roles: [FLINK, GRAPHITE]}", "{roles: [FLINK]}")
GRAPHITE_ALONE = ("kafka-1: {roles: [KAFKA]}", "kafka-1: {roles: [GRAPHITE]}")
PROGRAM = "/usr/lib/pnda/flink/carbon-rules"


def section(text: str) -> tuple[str, str]:
    return METRICS, f"  metrics:\n    interval_seconds: 10\n{text}"


def resolved(folder: Path, lock: Lock, *changes: tuple[str, str]) -> dict[str, Facts]:
    return fact_module.resolve(clusters.load(samples.cluster_file(folder / "some.yml", *changes)), lock)


def options(facts: dict[str, Facts]) -> dict[str, str]:
    found: dict[str, str] = facts["edge-1"]["flink_releases"][0]["configuration"]
    return found


def test_flink_reports_to_the_aggregator(facts: dict[str, Facts]) -> None:
    assert options(facts)["metrics.reporter.grph.port"] == "2023"
    assert {(its["flink_metrics_port"], its["flink_graphite_port"]) for its in facts.values()} == {
        (2023, 2003)
    }
    text = preview.render(facts["manager-2"])["/etc/pnda-carbon/carbon.conf"].decode()
    assert "LINE_RECEIVER_PORT = 2023\n" in text
    assert "DESTINATIONS = 127.0.0.1:2003\n" in text


def test_a_host_with_graphite_alone_gets_nothing_of_flink(tmp_path: Path, lock: Lock) -> None:
    facts = resolved(tmp_path, lock, OTHER_HOST, GRAPHITE_ALONE)
    its = facts["kafka-1"]
    assert its["flink_components"] == ["metrics"]
    assert its["flink_releases"] == its["flink_links"] == []
    its_components = {
        entry["component"] for kind in ("directories", "files") for entry in its[f"flink_{kind}"]
    }
    assert its_components == {"base", "metrics"}
    assert options(facts)["metrics.reporter.grph.host"] == "kafka-1"
    asked = status.questions(its)
    assert (asked["users"], asked["records"]) == ([], [])
    assert set(asked["commands"]) == {"managed", "carbon"}
    assert asked["commands"]["carbon"] == [PROGRAM, "--check", "/etc/pnda-carbon", "/etc/carbon"]
    assert asked["units"] == ["pnda-carbon-aggregator.service"]


def test_what_two_components_want_alike_is_written_once(facts: dict[str, Facts]) -> None:
    its = facts["manager-2"]
    paths = [entry["destination"] for entry in its["flink_directories"] + its["flink_files"]]
    assert len(paths) == len(set(paths))
    (stale,) = [entry for entry in its["flink_files"] if entry["source"] == "unit-stale"]
    assert stale["component"] == "history_server"


@pytest.mark.parametrize(
    "changes",
    [
        [section("    carbon: {manage: false}\n")],
        [section("    graphite_host: graphite.example.org\n")],
        [OTHER_HOST, section("    graphite_host: graphite.example.org\n")],
    ],
)
def test_carbon_that_is_not_ours_is_left_as_it_is(
    tmp_path: Path, lock: Lock, changes: list[tuple[str, str]]
) -> None:
    facts = resolved(tmp_path, lock, *changes)
    assert not any("metrics" in its["flink_components"] for its in facts.values())
    assert options(facts)["metrics.reporter.grph.port"] == "2003"
    assert facts["edge-1"]["flink_metrics_port"] == 2003


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("    carbon: {manage: yes please}\n", "carbon", "manage"),
        ("    carbon:\n      manage: 1\n", "manage", "manage"),
        ("    carbon:\n      directory: etc/carbon\n", "directory", "directory"),
        ("    carbon:\n      directory: /etc/car bon\n", "directory", "directory"),
        ("    carbon:\n      aggregator_port: 0\n", "aggregator_port", "aggregator_port"),
        ("    carbon:\n      aggregator_port: 2003\n", "aggregator_port", "cannot both listen on 2003"),
        ("    graphite_port: 2023\n", "metrics", "cannot both listen on 2023"),
        ("    carbon:\n      creates_per_minute: -1\n", "creates_per_minute", "creates_per_minute"),
        ("    carbon:\n      creates: 5\n", "creates", "unknown key 'creates'"),
        ("    includes: default\n", "includes", "includes"),
        ("    includes: []\n", "includes", "includes"),
        ("    includes: [default, default]\n", "includes", "non-unique"),
        ("    includes: ['a b:c']\n", "includes", "a b:c"),
        ("    includes: ['a:b;c:d']\n", "includes", "a:b;c:d"),
        ("    includes: [defualt]\n", "includes", "defualt"),
        (
            "    graphite_host: graphite.example.org\n    carbon:\n      manage: true\n",
            "manage",
            "no host with the role GRAPHITE",
        ),
    ],
)
def test_a_bad_section_is_refused(tmp_path: Path, text: str, at: str, message: str) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", section(text))
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    lines = path.read_text().splitlines()
    number = next(count for count, line in enumerate(lines, 1) if line.strip().startswith(f"{at}:"))
    assert caught.value.message.startswith(f"{path}:{number}: ")
    assert message in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    "option",
    [
        "metrics.scope.tm: <host>.taskmanager",
        "metrics.scope.tm.job: a.<job_name>",
        "metrics.reporter.grph.prefix: other",
        "metrics.reporter.grph.scope.delimiter: _",
        "metrics.reporter.grph.port: 2003",
        "metrics.reporter.grph.filter.includes: x",
    ],
)
def test_options_that_the_rules_rely_on_are_refused(tmp_path: Path, option: str) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", ("taskmanager.numberOfTaskSlots: 4", option))
    with pytest.raises(UsageError, match=option.partition(":")[0]):
        clusters.load(path)


def test_names_are_free_where_carbon_is_not_ours(tmp_path: Path, lock: Lock) -> None:
    changes = [
        section("    carbon: {manage: false}\n"),
        ("taskmanager.numberOfTaskSlots: 4", "metrics.scope.tm: <host>.taskmanager"),
    ]
    assert options(resolved(tmp_path, lock, *changes))["metrics.scope.tm"] == "<host>.taskmanager"


@pytest.mark.parametrize(
    ("includes", "there", "absent"),
    [
        ("[default]", ["jobmanager:numReg", "*.application.kpi.*"], ["*:*:*"]),
        ("[all]", ["*:*:*", "*.application.kpi.*"], ["jobmanager:numReg"]),
        ("[default, 'a.b:c,d']", ["jobmanager:numReg", ";a.b:c,d;"], ["*:*:*"]),
        ("['a.b:c:counter']", ["a.b:c:counter;*.application.kpi.*"], ["jobmanager:numReg", "default"]),
    ],
)
def test_what_is_reported(
    tmp_path: Path, lock: Lock, includes: str, there: list[str], absent: list[str]
) -> None:
    facts = resolved(tmp_path, lock, section(f"    includes: {includes}\n"))
    said = options(facts)["metrics.reporter.grph.filter.includes"]
    assert all(words in said for words in there), said
    assert not any(words in said for words in absent), said


def test_the_rules_are_the_flavours_and_of_the_interval(tmp_path: Path, lock: Lock) -> None:
    facts = resolved(
        tmp_path,
        lock,
        ("flavor: pico", "flavor: production"),
        (METRICS, "  metrics: {interval_seconds: 60}\n"),
    )
    shown = preview.render(facts["manager-2"])
    assert b"retentions = 1m:60d,10m:2y\n" in shown["/etc/pnda-carbon/storage-schemas.conf"]
    assert (
        f"xFilesFactor = {retention.NEEDED_SHARE}\n".encode()
        in shown["/etc/pnda-carbon/storage-aggregation.conf"]
    )
    rules = shown["/etc/pnda-carbon/aggregation-rules.conf"].decode()
    assert " (60) = " in rules
    assert " (10) = " not in rules


def test_a_limit_of_the_sites_own_is_left(tmp_path: Path, lock: Lock) -> None:
    facts = resolved(tmp_path, lock, section("    carbon: {creates_per_minute: 0}\n"))
    assert b"\n[" not in preview.render(facts["manager-2"])["/etc/pnda-carbon/cache.conf"]


def test_only_what_the_aggregator_reads_once_restarts_it(facts: dict[str, Facts]) -> None:
    found = {
        entry["destination"] for entry in facts["manager-2"]["flink_files"] if entry["notify"] == "metrics"
    }
    assert found == {"/etc/pnda-carbon/carbon.conf", "/etc/systemd/system/pnda-carbon-aggregator.service"}


def test_it_is_taken_off_again(facts: dict[str, Facts]) -> None:
    wanted = remove.wanted(facts["manager-2"], dry=False)
    assert wanted["commands"] == [[PROGRAM, "--remove", "/etc/pnda-carbon", "/etc/carbon"]]
    assert wanted["restarted"] == ["carbon-cache.service"]
    assert "pnda-carbon-aggregator.service" in wanted["units"]
    assert "/etc/pnda-carbon" in wanted["trees"]
    without = remove.wanted(facts["edge-1"], dry=False)
    assert without["commands"] == without["restarted"] == []


def test_rules_that_are_gone_are_drift(tmp_path: Path, lock: Lock) -> None:
    its = resolved(tmp_path, lock, OTHER_HOST, GRAPHITE_ALONE)["kafka-1"]
    answer = {f"path:{path}": wanted for path, wanted in status.expected(its).items()}
    answer["unit:pnda-carbon-aggregator.service"] = {"UnitFileState": "enabled", "ActiveState": "active"}
    assert status.judge(its, {**answer, "command:carbon": {"code": 0, "said": ""}}).drift == ()
    (drift,) = status.judge(its, {**answer, "command:carbon": {"code": 1, "said": ""}}).drift
    assert drift.startswith("/etc/carbon: our rules are not there")


def test_the_reference_names_every_metric_that_is_reported() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for chosen in metric_names.DEFAULT:
        for name in chosen.names:
            whole = f"{chosen.scope.partition('.')[2]}.{name}" if "Status." in chosen.scope else name
            assert f"`{whole}`" in text, whole

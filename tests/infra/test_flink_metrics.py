"""Carbon with Flink's rules: what its own code makes of them, and points that go all the way to the store."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

COMPONENT = "metrics"
UNIT = "pnda-carbon-aggregator.service"
MOST_EXPOSURE = 1.5
# Carbon's own readers on its own files, without starting it.
RULES = """
import json, sys
ours, site, names = json.loads(sys.argv[1])
from carbon.conf import settings
settings["CONF_DIR"] = site
from carbon.aggregator.rules import AGGREGATION_METHODS, RuleManager
from carbon.rewrite import RewriteRuleManager
from carbon.storage import loadAggregationSchemas, loadStorageSchemas
lines = [line.strip() for line in open(ours + "/aggregation-rules.conf")]
rules = [RuleManager.parse_definition(line) for line in lines if line and not line.startswith("#")]
RewriteRuleManager.rules_file = ours + "/rewrite-rules.conf"
RewriteRuleManager.read_rules()
answer = {}
for name in names:
    sent = name
    for rule in RewriteRuleManager.rules("pre"):
        name = rule.apply(name)
    found = [(rule.method, rule.get_aggregate_metric(name)) for rule in rules]
    schema = [each.name for each in loadStorageSchemas() if each.matches(name)][0]
    coarser = [each.archives for each in loadAggregationSchemas() if each.matches(name)][0]
    answer[sent] = {"stored": [one for one in found if one[1]], "schema": schema, "coarser": coarser}
print(json.dumps(answer))
"""
# Sends lines to the aggregator; then waits until the series hold the values.
PROBE = """
import json, os, re, socket, sys, time, whisper
port, seconds, site, lines, wanted = json.loads(sys.argv[1])
folder = re.findall(r"(?m)^LOCAL_DATA_DIR *= *(\\S+)", open(site + "/carbon.conf").read())[0]
sent = int(time.time())
with socket.create_connection(("127.0.0.1", port), 10) as link:
    link.sendall("".join(f"{name} {value} {sent}\\n" for name, value in lines).encode())
until = time.time() + 60 + 3 * seconds
found = {}
while time.time() < until and found != wanted:
    time.sleep(1)
    for name in wanted:
        path = os.path.join(folder, name.replace(".", "/") + ".wsp")
        if os.path.exists(path):
            values = whisper.fetch(path, sent - 2 * seconds, sent + seconds)[1]
            found[name] = wanted[name] if wanted[name] in values else values
print(json.dumps([found, os.path.exists(os.path.join(folder, "flink/by_job/pnda-probe"))]))
"""
LIMIT = """
import sys
from carbon.conf import read_config
options = {"config": sys.argv[1], "instance": "a", "pidfile": "", "logdir": ""}
print(read_config("carbon-cache", options, ROOT_DIR="/")["MAX_CREATES_PER_MINUTE"])
"""
IDS = "4fb6ad0b53a1a4a4f4a5b8c4a9b3a9f1.570f707193e0fe32f4d86d067aba243b"
RAW = f"flink.by_job.j.operator.o.{IDS}.0"


def properties(host: Any, *names: str) -> dict[str, str]:
    shown = host.check_output("systemctl show -p %s %s", ",".join(names), UNIT)
    return dict(line.split("=", 1) for line in shown.splitlines())


def made_of(host: Any, facts: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return what carbon's own code makes of series of these ``names``."""
    asked = [facts["flink_carbon_configuration_directory"], facts["flink_carbon_directory"], names]
    answer: dict[str, Any] = json.loads(host.check_output("python3 -c %s %s", RULES, json.dumps(asked)))
    return answer


def test_unit_is_enabled_and_runs(host: Any) -> None:
    wanted = {"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"}
    assert properties(host, *wanted) == wanted, host.run("journalctl --no-pager -n 30 -u %s", UNIT).stdout
    assert properties(host, "NeedDaemonReload") == {"NeedDaemonReload": "no"}


def test_unit_has_a_user_of_its_own_and_no_more_than_it_needs(host: Any, figure: Any) -> None:
    pid = properties(host, "MainPID")["MainPID"]
    assert host.check_output("ps -o user= -p %s", pid).strip() not in {"root", "_graphite"}
    said = host.check_output("systemd-analyze security --no-pager %s", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    figure(f"systemd-analyze security {UNIT}: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE


def test_rules_are_in_place(host: Any, facts: dict[str, Any]) -> None:
    words = (facts["flink_carbon_configuration_directory"], facts["flink_carbon_directory"])
    done = host.run("%s/carbon-rules --check %s %s", facts["flink_program_directory"], *words)
    assert done.rc == 0, done.stderr


def test_carbon_has_read_its_settings(host: Any, facts: dict[str, Any]) -> None:
    program = f"{facts['flink_program_directory']}/unit-stale"
    done = host.run("%s carbon-cache.service %s/carbon.conf", program, facts["flink_carbon_directory"])
    assert done.rc == 1, done.stdout


def test_carbon_makes_new_series_fast_enough(host: Any, facts: dict[str, Any]) -> None:
    limit = facts["flink_carbon_creates_per_minute"]
    said = host.check_output("python3 -c %s %s", LIMIT, f"{facts['flink_carbon_directory']}/carbon.conf")
    assert not limit or float(said) == limit


@pytest.mark.parametrize(
    ("name", "method", "stored"),
    [
        (f"{RAW}.application.kpi.a.c.e.count", "sum", "application.kpi.a.c.e.count"),
        (f"{RAW}.application.kpi.a.c.e.p99", "max", "application.kpi.a.c.e.p99"),
        (f"{RAW}.application.kpi.a.c.e.mean", "avg", "application.kpi.a.c.e.mean"),
        (f"{RAW}.application.kpi.a.c.e.min", "min", "application.kpi.a.c.e.min"),
        (f"flink.by_job.a/b.operator.o.{IDS}.7.sent.count", "sum", "flink.by_job.a_b.operator.o.sent.count"),
        (f"flink.by_job.j.task.{'t' * 300}.{IDS}.7.x", "max", f"flink.by_job.j.task.{'t' * 80}.x"),
        ("flink.h.taskmanager.h:1-2.Status.JVM.CPU.Load", "sum", "flink.h.taskmanager.Status.JVM.CPU.Load"),
        ("flink.h.jobmanager.Status.JVM.CPU.Load", "sum", "flink.h.jobmanager.Status.JVM.CPU.Load"),
        ("flink.by_job.jobmanager.job.ab12.numRestarts", "max", "flink.by_job.jobmanager.job.numRestarts"),
    ],
)  # fmt: skip
def test_carbons_own_code_reads_the_rules_as_meant(
    host: Any, facts: dict[str, Any], name: str, method: str, stored: str
) -> None:
    assert made_of(host, facts, name)[name]["stored"] == [[method, stored]]


def test_retention_is_ours_for_flink_and_the_sites_for_the_rest(host: Any, facts: dict[str, Any]) -> None:
    found = made_of(
        host, facts, "flink.health", "application.kpi.a.b.c.count", "carbon.agents.x", "other.series"
    )
    schemas = {name: row["schema"] for name, row in found.items()}
    assert schemas["flink.health"] == schemas["application.kpi.a.b.c.count"] == "pnda-flink"
    assert "pnda-flink" not in (schemas["carbon.agents.x"], schemas["other.series"])
    share = float(facts["flink_carbon_needed_share"])
    assert found["application.kpi.a.b.c.count"]["coarser"] == [share, "last"]
    assert found["flink.health"]["coarser"] == [share, "average"]


def test_points_of_three_subtasks_arrive_as_their_sum(host: Any, facts: dict[str, Any]) -> None:
    """The series of the probe are always the same, so that checking often does not fill the store."""
    counts = [random.randrange(1, 10**6) for _ in range(3)]  # not for secrets; told apart from earlier probes
    raw = f"flink.by_job.pnda-probe.operator.probe.{IDS}"
    lines = [
        (f"{raw}.{number}.application.kpi.pnda-probe.probe.events.count", value)
        for number, value in enumerate(counts)
    ]
    lines += [
        (f"{raw}.{number}.application.kpi.pnda-probe.probe.size.p99", value)
        for number, value in enumerate(counts)
    ]
    wanted = {
        "application.kpi.pnda-probe.probe.events.count": float(sum(counts)),
        "application.kpi.pnda-probe.probe.size.p99": float(max(counts)),
    }
    seconds = int(re.findall(r"\((\d+)\)", facts["flink_carbon_aggregations"][0]["rules"][0])[0])
    asked = [facts["flink_metrics_port"], seconds, facts["flink_carbon_directory"], lines, wanted]
    found, raw_stored = json.loads(host.check_output("python3 -c %s %s", PROBE, json.dumps(asked)))
    assert found == wanted
    assert not raw_stored, "names with ids must not reach the store"

"""Which series a name of Flink's ends in, and how: read from the rules as carbon reads them.

What carbon itself makes of them is checked on a node (tests/infra/test_flink_metrics.py).
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import carbon_rules
from provision.metric_names import SCOPES

OPERATOR = "flink.by_job.my-job.operator.Map"
# A rule's line taken apart, and its pattern as carbon builds it (1.1.7, aggregator/rules.py, build_regex).
LINE = re.compile(r"(?P<kept>\S+) \((?P<seconds>\d+)\) = (?P<method>sum|avg|min|max) (?P<taken>\S+)")
IDS = {
    "<host>": "edge-1",
    "<tm_id>": "container_e01_1700000000000_0001_01_000002",
    "<job_id>": "4fb6ad0b53a1a4a4f4a5b8c4a9b3a9f1",
    "<job_name>": "my-job",
    "<task_id>": "cbc357ccb763df2852fee8c4fc7d55f2",
    "<task_name>": "Source:-x--_-Map",
    "<operator_id>": "570f707193e0fe32f4d86d067aba243b",
    "<operator_name>": "Map",
    "<subtask_index>": "3",
}
# The platform test's own series (pndaproject/platform-testing, plugins/flink/TestbotPlugin.py).
PLATFORM = (
    "flink.health",
    "flink.history_server_available_success",
    "flink.history_server_available_ms",
    "flink.installed_flink_version",
    "flink.history_server_completed_jobs_success",
    "flink.history_server_completed_jobs_count",
    "flink.history_server_completed_jobs_ms",
    "hadoop.FLINK.health",
)


def sent(option: str, metric: str, **other: str) -> str:
    """Return the name under which Flink sends ``metric`` of the scope that ``option`` is about."""
    values = {**IDS, **{f"<{key}>": value for key, value in other.items()}}
    return ".".join(["flink", *(values.get(part, part) for part in SCOPES[option].split(".")), metric])


def regex(taken: str) -> str:
    parts = []
    for part in taken.split("."):
        if "<<" in part:
            before, _, rest = part.partition("<<")
            name, _, after = rest.partition(">>")
            parts.append(f"{before}(?P<{name}>.+?){after}")
        elif "<" in part:
            before, _, rest = part.partition("<")
            name, _, after = rest.partition(">")
            parts.append(f"{before}(?P<{name}>[^.]+?){after}")
        else:
            parts.append("[^.]+" if part == "*" else part.replace("*", "[^.]*"))
    return r"\.".join(parts) + "$"


RULES = [
    (re.compile(regex(match["taken"])), match["method"], match["kept"])
    for family in carbon_rules.aggregations(10)
    for rule in family["rules"]
    if (match := LINE.fullmatch(rule))
]


def stored(name: str) -> list[tuple[str, str]]:
    """Return method and name of each series that the point ``name`` goes into."""
    for line in carbon_rules.rewrites():
        unwanted, _, replacement = line.partition(" = ")
        name = re.sub(unwanted, replacement, name)
    found = []
    for pattern, method, kept in RULES:
        match = pattern.match(name)
        if match:
            found.append((method, kept.replace("<", "%(").replace(">", ")s") % match.groupdict()))
    return found


def test_every_rule_is_of_carbons_form() -> None:
    lines = [rule for family in carbon_rules.aggregations(10) for rule in family["rules"]]
    assert len(RULES) == len(lines) > 20
    assert all(line.count("<<") == 1 and "<<" not in line.partition("=")[0] for line in lines)


@pytest.mark.parametrize(
    ("option", "metric", "method", "name"),
    [
        ("operator", "application.kpi.a.c.events.count", "sum", "application.kpi.a.c.events.count"),
        ("operator", "application.kpi.a.c.rate.m1_rate", "sum", "application.kpi.a.c.rate.m1_rate"),
        ("operator", "application.kpi.a.c.rate.mean_rate", "sum", "application.kpi.a.c.rate.mean_rate"),
        ("operator", "application.kpi.a.c.size.p99", "max", "application.kpi.a.c.size.p99"),
        ("operator", "application.kpi.a.c.size.p999", "max", "application.kpi.a.c.size.p999"),
        ("operator", "application.kpi.a.c.size.max", "max", "application.kpi.a.c.size.max"),
        ("operator", "application.kpi.a.c.size.min", "min", "application.kpi.a.c.size.min"),
        ("operator", "application.kpi.a.c.size.mean", "avg", "application.kpi.a.c.size.mean"),
        ("operator", "application.kpi.a.c.size.stddev", "avg", "application.kpi.a.c.size.stddev"),
        ("operator", "application.kpi.a.c.size.count", "sum", "application.kpi.a.c.size.count"),
        ("operator", "application.kpi.a.c.queue", "sum", "application.kpi.a.c.queue"),
        ("operator", "application.kpi.a.c.climax", "sum", "application.kpi.a.c.climax"),
        ("operator", "application.kpi.a.c.g.e.count", "sum", "application.kpi.a.c.g.e.count"),
        ("operator", "numRecordsIn.count", "sum", f"{OPERATOR}.numRecordsIn.count"),
        ("operator", "pendingRecords", "sum", f"{OPERATOR}.pendingRecords"),
        ("operator", "currentInputWatermark", "min", f"{OPERATOR}.currentInputWatermark"),
        ("operator", "latency.p95", "max", f"{OPERATOR}.latency.p95"),
        ("operator", "latency.mean", "avg", f"{OPERATOR}.latency.mean"),
        ("operator", "watermarkLag", "max", f"{OPERATOR}.watermarkLag"),
        ("task", "busy", "max", "flink.by_job.my-job.task.Source:-x--_-Map.busy"),
        ("task", "numBytesOut.count", "sum", "flink.by_job.my-job.task.Source:-x--_-Map.numBytesOut.count"),
        ("jm-job", "numRestarts", "max", "flink.by_job.my-job.job.numRestarts"),
        ("jm-operator", "numEventsIn.count", "sum", "flink.by_job.my-job.coordinator.Map.numEventsIn.count"),
        ("tm-job", "other", "max", "flink.by_job.my-job.taskmanager.other"),
        ("tm", "Status.JVM.CPU.Load", "sum", "flink.edge-1.taskmanager.Status.JVM.CPU.Load"),
        ("tm", "Status.JVM.Memory.Heap.Used", "max", "flink.edge-1.taskmanager.Status.JVM.Memory.Heap.Used"),
        ("tm", "Status.JVM.Memory.Heap.Max", "max", "flink.edge-1.taskmanager.Status.JVM.Memory.Heap.Max"),
        ("jm", "numRunningJobs", "sum", "flink.edge-1.jobmanager.numRunningJobs"),
        ("jm", "Status.JVM.Threads.Count", "max", "flink.edge-1.jobmanager.Status.JVM.Threads.Count"),
    ],
)  # fmt: skip
def test_a_point_goes_into_one_series(option: str, metric: str, method: str, name: str) -> None:
    assert stored(sent(f"metrics.scope.{option}", metric)) == [(method, name)]


PART = st.from_regex(r"[A-Za-z0-9_:/ #>;{}*é日-]{1,12}", fullmatch=True)
WORDS = st.sampled_from(
    [
        "jobmanager",
        "taskmanager",
        "job",
        "operator",
        "by_job",
        "application",
        "kpi",
        "count",
        "max",
        "p99",
        "health",
    ]
)


@given(
    option=st.sampled_from(sorted(SCOPES)),
    name=st.one_of(PART, WORDS),
    operator=st.one_of(PART, WORDS),
    host=st.one_of(WORDS.filter(lambda word: "_" not in word), st.just("edge-1")),
    metric=st.lists(st.one_of(PART, WORDS), min_size=1, max_size=6).map(".".join),
)
def test_whatever_flink_sends_ends_in_exactly_one_series(
    option: str, name: str, operator: str, host: str, metric: str
) -> None:
    raw = sent(option, metric, job_name=name, operator_name=operator, task_name=operator, host=host)
    found = stored(raw.replace(" ", "-"))
    by_job = "by_job" in SCOPES[option]
    if by_job and metric.startswith("application.kpi."):
        # An application's metrics are operators', and have an application, a component and a name.
        assert len(found) == (option == "metrics.scope.operator" and metric.count(".") >= 4), raw
        return
    assert len(found) == 1, raw
    assert found[0][1] not in PLATFORM
    assert found[0][1].count(".") >= 3


def test_ids_do_not_make_series() -> None:
    for option in SCOPES:
        (found,) = stored(sent(option, "x.count"))
        assert not any(value in found[1] for key, value in IDS.items() if key.endswith("_id>"))


@pytest.mark.parametrize("same", ["tm_id", "job_id", "operator_id", "task_id", "subtask_index"])
def test_flink_itself_never_sends_one_name_twice(same: str) -> None:
    """Two TaskManagers on a host, two jobs of a name, two operators of a name, two subtasks."""
    options = [option for option, scope in SCOPES.items() if f"<{same}>" in scope]
    assert options
    for option in options:
        assert sent(option, "x", **{same: "another"}) != sent(option, "x")


def test_names_that_no_file_could_have() -> None:
    raw = sent("metrics.scope.operator", "x.count", job_name="/a/b;c=d", operator_name="n" * 300)
    assert stored(raw) == [("sum", f"flink.by_job._a_b_c_d.operator.{'n' * 80}.x.count")]
    raw = sent("metrics.scope.operator", "x.count", job_name="a/b*{c}", operator_name="日本" * 100)
    assert stored(raw) == [("sum", f"flink.by_job.a_b__c_.operator.{'日本' * 40}.x.count")]
    assert len(("日本" * 40).encode()) < 255


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("application.kpi.a.b.events.count", "last"),
        ("flink.by_job.x.operator.y.numRecordsIn.count", "last"),
        ("application.kpi.a.b.size.min", "min"),
        ("application.kpi.a.b.size.lower", "min"),
        ("application.kpi.a.b.size.p99", "max"),
        ("application.kpi.a.b.size.upper", "max"),
        ("flink.by_job.x.operator.y.currentInputWatermark", "min"),
        ("flink.h.taskmanager.Status.JVM.CPU.Load", "average"),
        ("flink.health", "average"),
        ("application.kpi.a.b.climax", "average"),
        ("flinkish.x", ""),
        ("carbon.agents.x.count", ""),
        ("x.flink.count", ""),
    ],
)
def test_how_fine_points_become_a_coarser_one(name: str, method: str) -> None:
    found = [row["method"] for row in carbon_rules.storage_aggregations() if re.search(row["pattern"], name)]
    assert (found or [""])[0] == method


def test_retentions_are_the_flavours() -> None:
    (row,) = carbon_rules.storage_schemas("10s:1d,1m:7d")
    assert row["retentions"] == "10s:1d,1m:7d"
    assert re.search(row["pattern"], "application.kpi.a.b.c")
    assert not re.search(row["pattern"], "application.other.a")

"""What Flink's series are called, which of them are reported, and how those of one name become one.

Flink gives each series a name that nobody else has: with the ids of TaskManager, job, task and
operator. Such ids are new with each run, so our aggregator takes them out again and combines what has
one name then. docs/reference/metrics.md says the same for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "flink"
# Not a host's name: those have no underscore. So a job can never take the place of a host.
BY_JOB = "by_job"
KPI = "application.kpi"

# Variables stand alone between two dots (Flink 1.20.5 and 2.3.0, ScopeFormat). A job's manager has no id
# of its own in the scope of its process, so two on one host share their names.
SCOPES = {
    "metrics.scope.jm": "<host>.jobmanager",
    "metrics.scope.jm-job": f"{BY_JOB}.<job_name>.job.<job_id>",
    "metrics.scope.jm-operator": f"{BY_JOB}.<job_name>.coordinator.<operator_name>.<job_id>.<operator_id>",
    "metrics.scope.tm": "<host>.taskmanager.<tm_id>",
    "metrics.scope.tm-job": f"{BY_JOB}.<job_name>.taskmanager.<job_id>.<tm_id>",
    "metrics.scope.task": f"{BY_JOB}.<job_name>.task.<task_name>.<job_id>.<task_id>.<subtask_index>",
    "metrics.scope.operator": f"{BY_JOB}.<job_name>.operator.<operator_name>"
    ".<job_id>.<operator_id>.<subtask_index>",
}


@dataclass(frozen=True)
class Chosen:
    """Metrics of one logical scope of Flink's that are reported by default: ``names`` within ``scope``."""

    scope: str
    names: tuple[str, ...]

    @property
    def filter(self) -> str:
        """Return this in the notation of ``metrics.reporter.NAME.filter.includes``."""
        return f"{self.scope}:{','.join(self.names)}"


DEFAULT = (
    Chosen(
        "jobmanager", ("numRegisteredTaskManagers", "numRunningJobs", "taskSlotsAvailable", "taskSlotsTotal")
    ),
    Chosen(
        "jobmanager.job",
        (
            "numRestarts",
            "uptime",
            "runningTime",
            "restartingTime",
            "numberOfCompletedCheckpoints",
            "numberOfFailedCheckpoints",
            "numberOfInProgressCheckpoints",
            "lastCheckpointDuration",
            "lastCheckpointSize",
            "lastCheckpointFullSize",
        ),
    ),
    # Both managers' processes.
    Chosen("*.Status.JVM.CPU", ("Load",)),
    Chosen("*.Status.JVM.Memory.Heap", ("Used", "Max")),
    Chosen("*.Status.JVM.Memory.Metaspace", ("Used",)),
    Chosen("*.Status.JVM.Memory.Direct", ("MemoryUsed",)),
    Chosen("*.Status.JVM.GarbageCollector.All", ("TimeMsPerSecond",)),
    Chosen("*.Status.JVM.Threads", ("Count",)),
    Chosen("taskmanager.Status.Flink.Memory.Managed", ("Used", "Total")),
    Chosen("taskmanager.Status.Shuffle.Netty", ("AvailableMemorySegments", "TotalMemorySegments")),
    Chosen(
        "taskmanager.job.task",
        (
            "numRecordsIn",
            "numRecordsOut",
            "numBytesIn",
            "numBytesOut",
            "busyTimeMsPerSecond",
            "backPressuredTimeMsPerSecond",
            "idleTimeMsPerSecond",
        ),
    ),
    Chosen(
        "taskmanager.job.task.operator",
        (
            "numRecordsIn",
            "numRecordsOut",
            "numRecordsInErrors",
            "numRecordsSendErrors",
            "numLateRecordsDropped",
            "pendingRecords",
            "currentInputWatermark",
            "currentEmitEventTimeLag",
        ),
    ),
)
# An application's own metrics are always reported.
OF_APPLICATIONS = f"*.{KPI}.*"


@dataclass(frozen=True)
class Family:
    """Series that are combined in one way.

    ``taken`` is what Flink sends after the prefix and ``kept`` what is stored, both without the metric's
    own name, in carbon's notation. ``sums`` and ``mins`` are metrics that add up, or of which the least
    counts; ``otherwise`` is how what has no rule is combined.
    """

    title: str
    taken: str
    kept: str
    sums: tuple[str, ...] = ()
    mins: tuple[str, ...] = ()
    otherwise: str = "max"


_RECORDS = ("pendingRecords",)
FAMILIES = (
    Family(
        "an application's own, over all subtasks of all jobs",
        f"{BY_JOB}.*.operator.*.*.*.*.{KPI}.<application>.<component>",
        f"{KPI}.<application>.<component>",
        otherwise="sum",
    ),
    Family(
        "operators, over their subtasks",
        f"{BY_JOB}.<job>.operator.<operator>.*.*.*",
        f"{PREFIX}.{BY_JOB}.<job>.operator.<operator>",
        sums=_RECORDS,
        mins=("currentInputWatermark", "currentOutputWatermark"),
    ),
    Family(
        "tasks, over their subtasks",
        f"{BY_JOB}.<job>.task.<task>.*.*.*",
        f"{PREFIX}.{BY_JOB}.<job>.task.<task>",
        mins=("currentInputWatermark",),
    ),
    Family(
        "operators' coordinators",
        f"{BY_JOB}.<job>.coordinator.<operator>.*.*",
        f"{PREFIX}.{BY_JOB}.<job>.coordinator.<operator>",
    ),
    Family("jobs", f"{BY_JOB}.<job>.job.*", f"{PREFIX}.{BY_JOB}.<job>.job"),
    Family(
        "what a job has on its TaskManagers",
        f"{BY_JOB}.<job>.taskmanager.*.*",
        f"{PREFIX}.{BY_JOB}.<job>.taskmanager",
    ),
    Family(
        "TaskManagers, over all on a host",
        "<host>.taskmanager.*",
        f"{PREFIX}.<host>.taskmanager",
        sums=("Status.JVM.CPU.Load", "Status.Flink.Memory.Managed.Used", "Status.Flink.Memory.Managed.Total"),
    ),
    Family(
        "JobManagers, over all on a host",
        "<host>.jobmanager",
        f"{PREFIX}.<host>.jobmanager",
        sums=(
            "Status.JVM.CPU.Load",
            "numRegisteredTaskManagers",
            "numRunningJobs",
            "taskSlotsAvailable",
            "taskSlotsTotal",
        ),
    ),
)
# What Flink's reporter, or who else writes such series, puts after the name of a counter, meter or histogram.
SUMS = ("count", "mean_rate", "m1_rate", "m5_rate", "m15_rate")
MAXIMA = ("p50", "p75", "p95", "p98", "p99", "p999", "max", "upper")
MINIMA = ("min", "lower")
MEANS = ("mean", "stddev", "avg")


def options(includes: Iterable[str]) -> dict[str, str]:
    """Return Flink's options for the names of series and for which of them are reported.

    ``includes`` are filters in Flink's notation, where ``default`` and ``all`` stand for those.
    """
    filters = []
    for word in includes:
        filters += [chosen.filter for chosen in DEFAULT] if word == "default" else []
        filters += ["*:*:*"] if word == "all" else []
        filters += [word] if word not in ("default", "all") else []
    return {
        **SCOPES,
        "metrics.reporter.grph.filter.includes": ";".join(dict.fromkeys([*filters, OF_APPLICATIONS])),
    }

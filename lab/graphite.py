"""What the lab's Graphite has: the application metrics that a job reported through Flink."""

from __future__ import annotations

from urllib.parse import urlencode

from core.errors import WorldError
from lab import http, network
from lab.model import Lab

# Flink's default scope, below the reporter's prefix: host, taskmanager, its id, job, operator, subtask;
# then the user groups application, kpi, <application>, <component>.
_SERIES = "flink.*.taskmanager.*.{job}.*.*.application.kpi.lab.*.events.count"
_SECONDS = 60.0


def address(lab: Lab) -> str:
    """Return the base URL of graphite-web, as the host reaches it."""
    return f"http://{network.addresses(lab).get('graphite-1', 'graphite-1')}"


def wait(lab: Lab) -> None:
    """Wait until graphite-web answers; raises WorldError otherwise."""
    http.wait(
        lambda: (http.get_json(f"{address(lab)}/metrics/find?query=*"), True)[1],
        _SECONDS,
        lambda reason: WorldError(
            f"graphite-web on graphite-1 does not answer after {_SECONDS:g} s: {reason}",
            f"look inside: docker exec -it {lab.container('graphite-1')} journalctl -u graphite-web",
        ),
    )


def application_counter(lab: Lab, job: str, since: float) -> str:
    """Wait until the events that ``job`` counted since ``since`` (seconds since 1970) are in Graphite.

    Returns the series' name. Raises WorldError naming what was looked for.
    """
    target = _SERIES.format(job=job)
    query = urlencode({"target": target, "format": "json", "from": int(since)})

    def reported() -> str | None:
        for series in http.get_json(f"{address(lab)}/render?{query}"):
            if any(value for value, _ in series["datapoints"]):
                return str(series["target"])
        return None

    return http.wait(
        reported,
        _SECONDS,
        lambda reason: WorldError(
            f"the metrics of the job {job} are not in Graphite after {_SECONDS:g} s: {target} {reason}",
            f"see {address(lab)}/metrics/find?query=flink.* and the TaskManager's log on edge-1",
        ),
    )

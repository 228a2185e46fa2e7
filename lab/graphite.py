"""What the lab's Graphite has: what the subtasks of a job counted together."""

from __future__ import annotations

from urllib.parse import urlencode

from core.errors import WorldError
from lab import http, network
from lab.model import Lab

_SERIES = "application.kpi.lab.{component}.events.count"
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


def events(lab: Lab, component: str, since: float, wanted: int) -> str:
    """Wait until Graphite has ``wanted`` events, counted by all subtasks of ``component`` together.

    Only points after ``since`` (seconds since 1970) count. Returns the series' name and the sum. Raises
    WorldError with the greatest sum that was there: one that is wrong does not become right by waiting.
    """
    target = _SERIES.format(component=component)
    query = urlencode({"target": target, "format": "json", "from": int(since)})
    greatest = 0.0

    def counted() -> str | None:
        nonlocal greatest
        for series in http.get_json(f"{address(lab)}/render?{query}"):
            greatest = max([greatest, *(value for value, _ in series["datapoints"] if value)])
        return f"{target} = {greatest:g}" if greatest == wanted else None

    return http.wait(
        counted,
        _SECONDS,
        lambda reason: WorldError(
            f"Graphite has {greatest:g} events of {component} after {_SECONDS:g} s, not {wanted}: "
            f"{target} {reason}",
            f"see {address(lab)}/metrics/find?query=application.* and the TaskManager's log on edge-1",
        ),
    )

"""The history server on manager-1, asked as a user's browser would ask it."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import WorldError
from lab import http, network
from lab.flink_rest import FinishedJob
from lab.model import Lab

_PORT = 8082
_SECONDS = 60.0


def address(lab: Lab) -> str:
    """Return its base URL, as the host reaches it."""
    return f"http://{network.addresses(lab).get('manager-1', 'manager-1')}:{_PORT}"


def wait_for(lab: Lab, jobs: Iterable[FinishedJob]) -> None:
    """Wait until every one of ``jobs`` is in /jobs/overview as FINISHED.

    Raises WorldError with the jobs that are not, and with what the server says of them.
    """
    wanted = {job.id: job.name for job in jobs}
    states: dict[str, str] = {}

    def all_there() -> bool | None:
        answer = http.get_json(f"{address(lab)}/jobs/overview")
        states.update({job["jid"]: job["state"] for job in answer["jobs"]})
        return all(states.get(job) == "FINISHED" for job in wanted) or None

    def failure(reason: str) -> WorldError:
        missing = [
            f"{name} ({job}): {states.get(job, 'not there')}"
            for job, name in wanted.items()
            if states.get(job) != "FINISHED"
        ]
        return WorldError(
            f"not FINISHED in the history server on manager-1 after {_SECONDS:g} s: "
            f"{', '.join(missing)} {reason}".rstrip(),
            f"see {address(lab)} and journalctl -u flink-history-server on manager-1",
        )

    http.wait(all_there, _SECONDS, failure)

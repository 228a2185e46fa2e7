"""What Flink's REST interface says of jobs: their state, and why one failed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from core.errors import WorldError
from lab import http

_POLL_SECONDS = 0.5
_MOST_RESTARTS = 3


@dataclass(frozen=True)
class FinishedJob:
    """A job that ended well: its name, its id (32 hex digits) and how long it ran, in seconds."""

    name: str
    id: str
    seconds: float


def wait_finished(base: str, name: str, job: str, limit: float) -> FinishedJob:
    """Wait until the job ``job`` of the cluster at ``base`` is FINISHED.

    Raises WorldError with the job's name and its root cause when it ends otherwise, restarts
    again and again, or has no end after ``limit`` seconds (it is cancelled then).
    """
    deadline = time.monotonic() + limit
    while True:
        info = http.get_json(f"{base}/jobs/{job}")
        state = info["state"]
        if state == "FINISHED":
            return FinishedJob(info["name"], job, info["duration"] / 1000)
        if state in {"FAILED", "CANCELED", "SUSPENDED"}:
            raise _failed(base, name, job, f"is {state}")
        if state in {"RESTARTING", "FAILING"} and len(_history(base, job)) > _MOST_RESTARTS:
            http.patch(f"{base}/jobs/{job}?mode=cancel")
            raise _failed(base, name, job, "restarts again and again; it was cancelled")
        if time.monotonic() > deadline:
            http.patch(f"{base}/jobs/{job}?mode=cancel")
            raise _failed(base, name, job, f"has no end after {limit:g} s (it was {state}); it was cancelled")
        time.sleep(_POLL_SECONDS)


def jobs_named(base: str, name: str, since_millis: float) -> list[dict[str, Any]]:
    """Return the jobs called ``name`` that started after ``since_millis``, the newest first."""
    jobs = http.get_json(f"{base}/jobs/overview")["jobs"]
    mine = [job for job in jobs if job["name"] == name and job["start-time"] >= since_millis]
    return sorted(mine, key=lambda job: -int(job["start-time"]))


def root_cause(base: str, job: str) -> str:
    """Return the innermost cause of the job's last failure, or "" where it tells of none."""
    history = _history(base, job)
    return innermost(history[0]["stacktrace"]) if history else ""


def innermost(stacktrace: str) -> str:
    """Return the line of a Java stack trace that names the innermost cause."""
    lines = [line.strip() for line in stacktrace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return causes[-1] if causes else (lines[0] if lines else "")


def _history(base: str, job: str) -> list[dict[str, Any]]:
    answer = http.get_json(f"{base}/jobs/{job}/exceptions")
    entries: list[dict[str, Any]] = answer.get("exceptionHistory", {}).get("entries", [])
    return entries


def _failed(base: str, name: str, job: str, what: str) -> WorldError:
    cause = root_cause(base, job) or "Flink tells no cause"
    return WorldError(
        f"the job {name} ({job}) {what}\n  why: {cause}",
        f"see {base}/jobs/{job}/exceptions and the logs of the lab's hosts (./inv lab.status)",
    )

"""What is made of Flink's answers, against a small real HTTP server that answers as Flink does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from core.errors import WorldError
from lab import flink_rest, http

JOB = "9a31020c4b09d7411615544128be161b"
TRACE = """\
org.apache.flink.runtime.JobException: Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy
\tat org.apache.flink.runtime.Foo.bar(Foo.java:1)
Caused by: org.apache.flink.util.FlinkRuntimeException: Failed to send data to Kafka
\tat org.apache.flink.connector.Kafka.write(Kafka.java:2)
Caused by: org.apache.kafka.common.errors.TimeoutException: Topic t not present in metadata after 15000 ms.
"""


class Flink(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, list[Any]]] = {}
    cancelled: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        answers = self.answers.get(self.path)
        body = json.dumps(answers.pop(0) if answers and len(answers) > 1 else answers and answers[0]).encode()
        self.send_response(200 if answers else 404)
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        self.cancelled.append(self.path)
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def flink() -> Iterator[str]:
    Flink.answers, Flink.cancelled = {}, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Flink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def says(states: list[str], exceptions: int = 0) -> None:
    Flink.answers[f"/jobs/{JOB}"] = [{"name": "j", "state": state, "duration": 1500} for state in states]
    entries = [{"exceptionName": "x", "stacktrace": TRACE}] * exceptions
    Flink.answers[f"/jobs/{JOB}/exceptions"] = [{"exceptionHistory": {"entries": entries}}]


def test_a_finished_job_is_waited_for(flink: str) -> None:
    says(["INITIALIZING", "RUNNING", "FINISHED"])
    assert flink_rest.wait_finished(flink, "j", JOB, 30) == flink_rest.FinishedJob("j", JOB, 1.5)


def test_a_failed_job_is_named_with_its_innermost_cause(flink: str) -> None:
    says(["RUNNING", "FAILED"], exceptions=1)
    with pytest.raises(WorldError) as caught:
        flink_rest.wait_finished(flink, "lab-copy", JOB, 30)
    assert "lab-copy" in caught.value.message
    assert JOB in caught.value.message
    assert "TimeoutException: Topic t not present in metadata" in caught.value.message
    assert caught.value.exit_code == 1


def test_a_job_that_restarts_again_and_again_is_cancelled(flink: str) -> None:
    says(["RESTARTING"], exceptions=5)
    with pytest.raises(WorldError, match="again and again"):
        flink_rest.wait_finished(flink, "j", JOB, 30)
    assert Flink.cancelled == [f"/jobs/{JOB}?mode=cancel"]


def test_a_job_without_end_is_cancelled_and_says_that_no_cause_is_known(flink: str) -> None:
    says(["RUNNING"])
    with pytest.raises(WorldError, match="has no end after 0 s") as caught:
        flink_rest.wait_finished(flink, "j", JOB, 0)
    assert "Flink tells no cause" in caught.value.message
    assert Flink.cancelled


def test_jobs_of_a_name_are_those_since_then_the_newest_first(flink: str) -> None:
    rows = [("a", 10, "1"), ("a", 30, "2"), ("b", 40, "3"), ("a", 20, "4")]
    Flink.answers["/jobs/overview"] = [
        {"jobs": [{"name": name, "start-time": start, "jid": jid} for name, start, jid in rows]}
    ]
    assert [job["jid"] for job in flink_rest.jobs_named(flink, "a", 15)] == ["2", "4"]


def test_a_trace_without_causes_is_its_first_line() -> None:
    assert flink_rest.innermost("java.lang.Error: boom\n\tat x.Y.z(Y.java:1)\n") == "java.lang.Error: boom"
    assert flink_rest.innermost("") == ""


def test_waiting_gives_up_with_the_last_reason() -> None:
    def never() -> None:
        raise WorldError("not yet")

    with pytest.raises(WorldError, match="gave up: not yet"):
        http.wait(never, 0, lambda reason: WorldError(f"gave up: {reason}"))


def test_an_answer_that_is_no_json_names_the_url(flink: str) -> None:
    with pytest.raises(WorldError, match=f"{flink}/nothing answers 404"):
        http.get_json(f"{flink}/nothing")

"""Run the lab's jobs on edge-1 as the user pnda would, and compare what they wrote."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core import console
from core.errors import WorldError
from lab import flink_rest, jobs_build, kafka, session_cluster, ssh
from lab.flink_rest import FinishedJob
from lab.model import Lab

USER = "pnda"
FOLDER = "/home/pnda/lab"
PREFIX = "lab-"
_SUBMIT_SECONDS = 300.0
_JOB_SECONDS = 300.0
_TARGET = ("-t", "remote", "-Drest.address=edge-1", "-Drest.port=8081")
# A job that cannot work says so after one more try, instead of trying for ever.
_RETRIES = (
    "-Drestart-strategy.type=fixed-delay",
    "-Drestart-strategy.fixed-delay.attempts=1",
    "-Drestart-strategy.fixed-delay.delay=1 s",
)
_SUBMITTED = re.compile(r"JobID ([0-9a-f]{32})")


@dataclass(frozen=True)
class Run:
    """One run of the jobs: its own topics, so that what is read back can only come from it."""

    lab: Lab
    stamp: str
    records: int = 20_000
    per_second: int = 800
    hold: int = 12  # seconds, longer than the lab's interval between two reports of metrics

    def topic(self, name: str) -> str:
        """Return the name of this run's topic ``name``."""
        return f"{PREFIX}{name}-{self.stamp}"


def new(lab: Lab) -> Run:
    """Return a run whose topics nobody has used yet."""
    return Run(lab, format(time.time_ns() // 1_000_000, "x"))


def all_jobs(run: Run) -> tuple[FinishedJob, ...]:
    """Run every job, read back what they wrote, and return them in the order of their end.

    Raises WorldError naming the job and the root cause of the first that fails.
    """
    prepare(run)
    done = [timed("generate", lambda: generate(run)), timed("copy", lambda: copy(run))]
    with ThreadPoolExecutor(max_workers=2) as pool:
        both = [
            pool.submit(timed, "SQL", lambda: sql(run)),
            pool.submit(timed, "Python", lambda: python(run)),
        ]
        done += [future.result() for future in both]
    with console.step("read back and compare"):
        console.say(f"   {read_back(run)}")
    return tuple(done)


def timed(label: str, job: Callable[[], FinishedJob]) -> FinishedJob:
    """Run ``job`` and say how long it took."""
    with console.step(f"job {label}"):
        return job()


def prepare(run: Run) -> None:
    """Put the jobs' files on edge-1 and make this run's topics; those of earlier runs are removed."""
    files: dict[str, bytes] = {"lab-jobs.jar": jobs_build.jar().read_bytes()}
    files["summary.py"] = (jobs_build.SOURCES / "python" / "summary.py").read_bytes()
    files["summary.sql"] = render_sql(run, jobs_build.SOURCES / "sql" / "summary.sql").encode()
    for name, content in files.items():
        put(run.lab, name, content)
    topics = ",".join(run.topic(name) for name in ("events", "copied", "sql", "python"))
    _java(run, "Topics", "--prefix", PREFIX, "--topics", topics)


def put(lab: Lab, name: str, content: bytes) -> None:
    """Write ``content`` to the file ``name`` in the jobs' folder on edge-1, as their user."""
    script = f"mkdir -p {FOLDER} && cat >{FOLDER}/.part && mv {FOLDER}/.part {FOLDER}/{name}"
    ssh.remote(lab, "edge-1", "sh", "-ec", script, user=USER, stdin=content)


def render_sql(run: Run, source: Path) -> str:
    """Return the SQL script ``source`` with this run's topics in it."""
    text = source.read_text(encoding="utf-8")
    for name, value in {
        "@FROM@": run.topic("copied"),
        "@TO@": run.topic("sql"),
        "@BOOTSTRAP@": kafka.BOOTSTRAP,
    }.items():
        text = text.replace(name, value)
    return text


def generate(run: Run) -> FinishedJob:
    """Run the Java job that writes the events."""
    options = (
        "--records",
        str(run.records),
        "--per-second",
        str(run.per_second),
        "--topic",
        run.topic("events"),
        "--hold",
        str(run.hold),
    )
    return _flink_run(run, "lab-generate", "-c", "org.pnda.lab.Generate", f"{FOLDER}/lab-jobs.jar", *options)


def copy(run: Run) -> FinishedJob:
    """Run the Java job that copies them exactly once."""
    options = ("--from", run.topic("events"), "--to", run.topic("copied"))
    return _flink_run(run, "lab-copy", "-c", "org.pnda.lab.Copy", f"{FOLDER}/lab-jobs.jar", *options)


def python(run: Run) -> FinishedJob:
    """Run the PyFlink job."""
    options = ("--input", run.topic("copied"), "--output", run.topic("python"))
    return _flink_run(run, "lab-python", "-py", f"{FOLDER}/summary.py", *options)


def sql(run: Run, script: str = "summary.sql") -> FinishedJob:
    """Run the SQL script with the SQL client, whose launcher answers 1 where a statement failed."""
    base = session_cluster.address(run.lab)
    since = time.time() * 1000
    done = ssh.remote(
        run.lab, "edge-1", "sql-client.sh", "-Dexecution.target=remote", *_TARGET[2:], *_RETRIES,
        "-f", f"{FOLDER}/{script}", user=USER, timeout=_SUBMIT_SECONDS + _JOB_SECONDS, check=False,
    )  # fmt: skip
    jobs = flink_rest.jobs_named(base, "lab-sql", since)
    if done.code != 0:
        cause = flink_rest.root_cause(base, jobs[0]["jid"]) if jobs else ""
        job = f" ({jobs[0]['jid']})" if jobs else ""
        raise WorldError(
            f"the job lab-sql{job} failed\n  why: {cause or sql_error(done.stderr) or done.tail()}",
            f"see {FOLDER}/{script} on edge-1 and the client's log there",
        )
    if not jobs:
        raise WorldError(f"the SQL script started no job called lab-sql\n{done.tail()}")
    return flink_rest.wait_finished(base, "lab-sql", jobs[0]["jid"], _JOB_SECONDS)


def read_back(run: Run) -> str:
    """Read what the jobs wrote with a read_committed consumer; return its verdict.

    Raises WorldError with the differences.
    """
    summaries = ",".join((run.topic("sql"), run.topic("python")))
    options = ("--topic", run.topic("copied"), "--records", str(run.records), "--summaries", summaries)
    return _java(run, "ReadBack", *options)


def _flink_run(run: Run, name: str, *words: str) -> FinishedJob:
    done = ssh.remote(
        run.lab, "edge-1", "flink", "run", "-d", *_TARGET, *_RETRIES, *words, "--bootstrap", kafka.BOOTSTRAP,
        user=USER, timeout=_SUBMIT_SECONDS, check=False,
    )  # fmt: skip
    found = _SUBMITTED.search(done.stdout)
    if done.code != 0 or found is None:
        raise WorldError(
            f"the job {name} was not accepted (exit code {done.code})\n  why: "
            + (flink_rest.innermost(done.stderr) or done.tail()),
            "see the client's log on edge-1",
        )
    return flink_rest.wait_finished(session_cluster.address(run.lab), name, found[1], _JOB_SECONDS)


def _java(run: Run, program: str, *options: str) -> str:
    words: Sequence[str] = (
        "java", "-Xmx256m", "-cp", f"{FOLDER}/lab-jobs.jar:/opt/pnda/flink/lib/*", f"org.pnda.lab.{program}",
        "--bootstrap", kafka.BOOTSTRAP, *options,
    )  # fmt: skip
    done = ssh.remote(run.lab, "edge-1", *words, user=USER, timeout=_SUBMIT_SECONDS, check=False)
    if done.code != 0:
        raise WorldError(f"{program} on edge-1 failed\n{done.tail()}", f"is the broker {kafka.BOOTSTRAP} up?")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def sql_error(text: str) -> str:
    """Return the error that the launcher says last on standard error, ``text``; empty where there is none."""
    return " ".join(text.partition("sql-client.sh: ")[2].split())

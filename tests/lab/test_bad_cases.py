"""What goes wrong on purpose on a lab that is up: it is refused, named, and nothing that runs is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from core import locks
from core.errors import WorldError
from lab import http, job_run, jobs_build, kafka, salt_environment, snapshot
from lab.containers import execute
from lab.engine import docker
from lab.history import address
from lab.job_run import Run
from provision.apply import ApplyError, ApplyRequest, apply
from tests.lab.conftest import UpLab, inv, up

TAMPERED = "/etc/pnda-mirror/conf.d/tampered.conf"
UNIT = "flink-history-server.service"
ARCHIVE = "flink-1.20.5.tar.gz"
ENGINES = pytest.mark.parametrize("engine", ["ansible", "salt"])


def roll_out(up_lab: UpLab, engine: str) -> dict[str, int]:
    if engine == "salt":
        salt_environment.ensure(up_lab.lab)
    lock = up_lab.lab.checkout / "mirror" / "catalogue.lock"
    report = apply(ApplyRequest(up_lab.lab.cluster_file, lock, engine))
    return {host: result.changed for host, result in report.hosts.items()}


def server(up_lab: UpLab) -> str:
    """Return the process of the history server and when it started: equal as long as it was not touched."""
    return execute(up_lab.lab, "manager-1", "systemctl", "show", "-p", "MainPID,ActiveEnterTimestamp", UNIT)


@contextmanager
def tampered(up_lab: UpLab, path: str) -> Iterator[None]:
    """Serve ``path`` with one bit flipped. The store and the release are not touched."""
    flip = (
        f"mkdir -p /srv/tampered && cp -L /srv/mirror/current/{path} /srv/tampered/file && "
        "python3 -c \"f=open('/srv/tampered/file','r+b'); f.seek(-100,2); b=f.read(1)[0]; "
        'f.seek(-100,2); f.write(bytes([b^1]))" && '
        f"printf 'location = /{path} {{ alias /srv/tampered/file; }}' >{TAMPERED} && "
        "systemctl reload pnda-mirror"
    )
    execute(up_lab.lab, "mirror-1", "sh", "-ec", flip)
    try:
        yield
    finally:
        execute(
            up_lab.lab, "mirror-1", "sh", "-ec",
            f"rm -rf /srv/tampered {TAMPERED}; systemctl reload pnda-mirror",
        )  # fmt: skip


def a_jar(up_lab: UpLab) -> str:
    facts = snapshot.load_facts(up_lab.lab)["edge-1"]
    found = [jar["path"] for jar in facts["flink_releases"][0]["jars"] if "kafka-clients" in jar["path"]]
    return str(found[0])


def forget_completeness(up_lab: UpLab, host: str) -> None:
    """Make the release look half-installed, so that the next run wants its bytes again."""
    execute(up_lab.lab, host, "sh", "-ec", "rm /opt/pnda/flink-1.20.5/.pnda-*")


@ENGINES
def test_a_tampered_archive_is_refused_and_what_runs_is_untouched(ansible_lab: UpLab, engine: str) -> None:
    before, running = snapshot.take(ansible_lab.lab), server(ansible_lab)
    forget_completeness(ansible_lab, "manager-1")
    with tampered(ansible_lab, ARCHIVE), pytest.raises(ApplyError) as caught:
        roll_out(ansible_lab, engine)
    assert "manager-1" in caught.value.message
    assert ARCHIVE in caught.value.message
    assert server(ansible_lab) == running
    assert http.get_json(f"{address(ansible_lab.lab)}/config")["flink-version"] == "1.20.5"
    assert execute(ansible_lab.lab, "manager-1", "sh", "-c", "ls -d /opt/pnda/.*partial", check=False) == ""
    roll_out(ansible_lab, engine)
    assert snapshot.differences(before, snapshot.take(ansible_lab.lab)) == []


@ENGINES
def test_a_tampered_jar_is_refused_by_name(ansible_lab: UpLab, engine: str) -> None:
    before, jar = snapshot.take(ansible_lab.lab), a_jar(ansible_lab)
    forget_completeness(ansible_lab, "edge-1")
    with tampered(ansible_lab, jar), pytest.raises(ApplyError) as caught:
        roll_out(ansible_lab, engine)
    assert "edge-1" in caught.value.message
    assert jar.rpartition("/")[2] in caught.value.message
    assert "1.20.5" in execute(ansible_lab.lab, "edge-1", "/opt/pnda/flink/bin/flink", "--version")
    roll_out(ansible_lab, engine)
    assert snapshot.differences(before, snapshot.take(ansible_lab.lab)) == []


@ENGINES
def test_a_taken_port_fails_the_roll_out_and_is_named(ansible_lab: UpLab, engine: str) -> None:
    lab = ansible_lab.lab
    taker = ("systemd-run", "--unit=taker", "python3", "-m", "http.server", "8082")
    execute(lab, "manager-1", "systemctl", "stop", UNIT)
    execute(lab, "manager-1", *taker)
    try:
        with pytest.raises(ApplyError) as caught:
            roll_out(ansible_lab, engine)
    finally:
        execute(lab, "manager-1", "systemctl", "stop", "taker.service")
    assert "manager-1" in caught.value.message
    assert "8082" in caught.value.message
    assert "taken" in caught.value.message
    roll_out(ansible_lab, engine)
    assert http.get_json(f"{address(lab)}/config")["flink-version"] == "1.20.5"


@pytest.fixture
def run(ansible_lab: UpLab) -> Run:
    """A small run whose topics are there."""
    found = replace(job_run.new(ansible_lab.lab), records=500, per_second=500, hold=0)
    job_run.prepare(found)
    return found


def test_a_job_without_its_broker_is_named_with_the_reason(ansible_lab: UpLab, run: Run) -> None:
    lab = ansible_lab.lab
    execute(lab, "kafka-1", "systemctl", "stop", "kafka.service")
    try:
        with pytest.raises(WorldError) as caught:
            job_run.generate(run)
    finally:
        kafka.start(lab)
        kafka.wait(lab)
    assert "lab-generate" in caught.value.message
    assert "org.apache.kafka.common.errors.TimeoutException" in caught.value.message


def test_without_a_broker_up_says_so(ansible_lab: UpLab, run: Run) -> None:
    lab = ansible_lab.lab
    execute(lab, "kafka-1", "systemctl", "stop", "kafka.service")
    try:
        with pytest.raises(WorldError, match="the broker kafka-1:9092"):
            job_run.prepare(job_run.new(lab))
    finally:
        kafka.start(lab)
        kafka.wait(lab)


def test_a_wrong_ddl_is_named_with_the_reason(run: Run) -> None:
    job_run.generate(run)
    job_run.copy(run)
    right = job_run.render_sql(run, jobs_build.SOURCES / "sql" / "summary.sql")
    # Without NOT NULL Flink expects unions with null, which is not how the events are written.
    wrong = right.replace("`timestamp` BIGINT NOT NULL", "`timestamp` BIGINT").replace(
        "host_ip STRING NOT NULL", "host_ip STRING"
    )
    assert wrong != right
    job_run.put(run.lab, "wrong.sql", wrong.encode())
    with pytest.raises(WorldError) as caught:
        job_run.sql(run, "wrong.sql")
    assert "the job lab-sql (" in caught.value.message
    assert "Avro" in caught.value.message or "avro" in caught.value.message


def test_a_statement_that_fails_ends_the_sql_client_with_1(run: Run) -> None:
    job_run.put(run.lab, "wrong.sql", b"SELECT * FROM there_is_no_such_table;\n")
    with pytest.raises(WorldError, match="there_is_no_such_table"):
        job_run.sql(run, "wrong.sql")


def test_the_read_back_notices_a_missing_event_and_a_missing_summary(run: Run) -> None:
    job_run.generate(run)
    job_run.copy(run)
    with pytest.raises(WorldError) as caught:
        job_run.read_back(replace(run, records=run.records + 1))
    assert "1 events are missing" in caught.value.message
    assert "no row for source-0" in caught.value.message


def test_two_runs_on_one_lab_at_a_time_are_refused(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    with locks.held(lab.folder / "lab.lock", f"run on the lab {lab.name}"):
        done = inv("up", "--name", lab.name, "--no-jobs", check=False)
    assert done.returncode == 3
    assert "process" in done.stderr


def test_a_stopped_and_a_removed_container_are_made_again(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    docker("stop", lab.container("kafka-1"))
    docker("rm", "--force", lab.container("edge-1"))
    status = inv("lab.status", "--name", lab.name, check=False)
    assert status.returncode == 1
    assert "edge-1 is absent" in status.stderr
    assert "kafka-1 is exited" in status.stderr
    again = up(lab.name, ansible_lab.engine, "--no-jobs")
    assert sorted(again["containers_made"]) == ["edge-1", "kafka-1"]
    assert again["changed"]["manager-1"] == 0
    assert inv("lab.status", "--name", lab.name).returncode == 0


def test_an_engine_that_is_not_known_is_a_wrong_call() -> None:
    done = inv("up", "--engine", "puppet", check=False)
    assert done.returncode == 2
    assert "puppet" in done.stderr

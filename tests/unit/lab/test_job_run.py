from __future__ import annotations

from pathlib import Path

from lab import job_run, jobs_build
from lab.model import Lab


def test_each_run_has_topics_of_its_own() -> None:
    lab = Lab("lab", Path("/a"))
    one, other = job_run.Run(lab, "1"), job_run.Run(lab, "2")
    assert one.topic("events") != other.topic("events")
    assert one.topic("events").startswith(job_run.PREFIX)


def test_the_sql_script_is_filled_in_completely() -> None:
    run = job_run.Run(Lab("lab", Path("/a")), "1")
    text = job_run.render_sql(run, jobs_build.SOURCES / "sql" / "summary.sql")
    assert "@" not in text
    assert f"'topic' = '{run.topic('copied')}'" in text
    assert f"'topic' = '{run.topic('sql')}'" in text


def test_the_reason_of_the_sql_clients_error_is_found() -> None:
    output = (
        "WARNING: dumb terminal\nsql-client.sh: a statement failed: x.ValidationException: no\nsuch table\n"
    )
    assert job_run.sql_error(output) == "a statement failed: x.ValidationException: no such table"
    assert job_run.sql_error("killed\n") == ""

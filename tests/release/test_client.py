"""The client's commands with the real Flink, both lines, without a cluster: on a node in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release import edge_node
from tests.release.edge_node import EdgeNode

VERSIONS = pytest.mark.parametrize("version", ["1.20.5", "2.3.0"])
_TABLEAU = "SET 'sql-client.execution.result-mode' = 'tableau';\nSET 'execution.runtime-mode' = 'batch';\n"


def script(edge: EdgeNode, name: str, text: str) -> Path:
    path = edge.tmp / name
    path.write_text(text)
    return path


def sql(edge: EdgeNode, version: str, *words: str, stdin: str = "") -> edge_node.Done:
    local = ("-Dexecution.target=local", "-Drest.port=0")
    return edge.run("sql-client.sh", *local, *words, stdin=stdin, PNDA_FLINK_VERSION=version)


# A ResourceManager that refuses, after a bounded number of tries.
_REFUSING = (
    "-Dflink.yarn.resourcemanager.address=127.0.0.1:1",
    "-Dflink.yarn.resourcemanager.connect.max-wait.ms=1000",
    "-Dflink.yarn.resourcemanager.connect.retry-interval.ms=500",
    "-Dflink.hadoop.ipc.client.connect.max.retries=0",
)


@VERSIONS
def test_with_hadoops_jars_the_client_goes_to_yarn(edge: EdgeNode, version: str) -> None:
    target = "yarn-per-job" if version.startswith("1.") else "yarn-application"
    jar = str(edge.path(f"/opt/pnda/flink-{version}/examples/streaming/WordCount.jar"))
    words = ("flink", "run", "-t", target, *_REFUSING, jar)
    done = edge.run(*words, PNDA_FLINK_VERSION=version)
    assert done.code == 1
    assert "to localhost:1 failed on connection exception" in done.err
    assert "HADOOP_CLASSPATH" not in done.err
    # A class path of the user's own counts instead: here one without Hadoop.
    done = edge.run(*words, PNDA_FLINK_VERSION=version, HADOOP_CLASSPATH="/nothing")
    assert done.code == 1
    assert "export the HADOOP_CLASSPATH" in done.err or "NoClassDefFoundError" in done.err


@VERSIONS
def test_a_job_in_the_commands_own_process_shows_what_it_prints(edge: EdgeNode, version: str) -> None:
    """Also for a user without a locale or a home, who lets nobody else look at their files."""
    words = script(edge, "wörter.txt", "to be or not to be\n")
    jar = str(edge.path(f"/opt/pnda/flink-{version}/examples/streaming/WordCount.jar"))
    done = edge.run(
        "flink", "run", "-t", "local", jar, "--input", str(words),
        umask=0o077, LANG="C", LC_ALL="POSIX", HOME="/no home", PNDA_FLINK_VERSION=version,
    )  # fmt: skip
    assert done.code == 0, done.err
    for count in ("(to,2)", "(be,2)", "(or,1)", "(not,1)"):
        assert count in done.out.splitlines()


@VERSIONS
def test_a_table_that_shows_the_word_is_no_error(edge: EdgeNode, version: str) -> None:
    right = script(edge, "right.sql", f"{_TABLEAU}VALUES (1, '[ERROR] as data');\n")
    done = sql(edge, version, "-f", str(right))
    assert done.code == 0, done.err
    assert "[ERROR] as data" in done.out


@VERSIONS
def test_a_failed_statement_is_1_with_its_error_last(edge: EdgeNode, version: str) -> None:
    wrong = script(edge, "wrong.sql", "SELECT * FROM there_is_no_such_table;\n")
    done = sql(edge, version, "-i", str(script(edge, "init.sql", _TABLEAU)), "-f", str(wrong))
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "sql-client.sh: a statement failed: "
        "org.apache.calcite.sql.validate.SqlValidatorException: Object 'there_is_no_such_table' not found"
    )


def test_a_job_that_fails_while_its_rows_come_is_1(edge: EdgeNode) -> None:
    breaking = script(edge, "job.sql", f"{_TABLEAU}SELECT 1 / (a - 1) FROM (VALUES (1)) AS t (a);\n")
    done = sql(edge, "1.20.5", "-f", str(breaking))
    assert done.code == 1
    assert "a statement failed: java.lang.ArithmeticException" in done.err.splitlines()[-1]


def test_a_failed_initialization_is_1(edge: EdgeNode) -> None:
    done = sql(edge, "2.3.0", "-i", str(script(edge, "nonsense.sql", "SELECT nonsense;\n")))
    assert done.code == 1
    assert "a statement failed:" in done.err.splitlines()[-1]


def test_what_is_piped_in_is_as_upstreams(edge: EdgeNode) -> None:
    done = sql(edge, "1.20.5", stdin="SELECT * FROM there_is_no_such_table;\nSHOW DATABASES;\n")
    assert done.code == 0
    assert "default_database" in done.out
    assert "a statement failed" not in done.err

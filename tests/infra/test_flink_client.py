"""The command line on an EDGE node, used as somebody without any rights."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

COMPONENT = "client"
USER = "nobody"
COMMANDS = (
    "flink",
    "yarn-session.sh",
    "sql-client.sh",
    "pyflink-shell.sh",
    "pyflink.sh",
    "start-scala-shell.sh",
)
# A script that plans a query over Kafka and Avro: both must be found, no cluster and no broker is asked.
PLAN = """
CREATE TABLE t (a BIGINT NOT NULL) WITH ('connector' = 'kafka', 'topic' = 't',
  'properties.bootstrap.servers' = 'localhost:1', 'scan.startup.mode' = 'earliest-offset', 'format' = 'avro');
EXPLAIN SELECT a FROM t;
"""


def run_as_user(host: Any, words: str, **environment: str) -> Any:
    settings = " ".join(
        f"{key}={shlex.quote(value)}" for key, value in {"HOME": "/tmp", **environment}.items()
    )
    return host.run(
        "runuser -u %s -- env -i PATH=/usr/bin:/bin sh -c %s",
        USER,
        f"cd /tmp && export {settings} && {words}",
    )


def run_script(host: Any, statements: str) -> Any:
    write = f"umask 077 && f=$(mktemp) && printf %s {shlex.quote(statements)} >$f"
    return run_as_user(host, f"{write} && sql-client.sh -f $f; code=$?; rm -f $f; exit $code")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_on_the_path(host: Any, command: str) -> None:
    assert host.find_command(command) == f"/usr/bin/{command}"


def test_flink_says_the_default_version(host: Any, facts: dict[str, Any]) -> None:
    done = run_as_user(host, "flink --version")
    assert done.rc == 0, done.stderr
    assert f"Version: {facts['flink_version']}," in done.stdout


def test_every_installed_version_can_be_chosen(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        done = run_as_user(host, "flink --version", PNDA_FLINK_VERSION=release["version"])
        assert done.rc == 0, done.stderr
        assert f"Version: {release['version']}," in done.stdout


def test_default_home_is_the_default_version(host: Any, facts: dict[str, Any]) -> None:
    target = host.run("readlink -f %s", facts["flink_home"]).stdout.strip()
    assert target == f"{facts['flink_home']}-{facts['flink_version']}"


def test_client_log_is_the_users_own(host: Any, facts: dict[str, Any]) -> None:
    # A command that reaches for a cluster: that one is not there, but the attempt is logged.
    run_as_user(
        host, "flink list -t remote -Drest.address=localhost -Drest.port=1 -Drest.retry.max-attempts=0"
    )
    folder = f"{facts['flink_log_directory']}/client/{USER}"
    listing = host.run("find %s -type f -user %s -size +0", folder, USER)
    assert listing.rc == 0, listing.stderr
    assert listing.stdout.split(), f"no log of {USER} in {folder}"


def test_configuration_on_the_node_is_the_one_that_was_described(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        path = f"{release['configuration_directory']}/{release['configuration_file']}"
        pairs = (line.split(": ", 1) for line in host.file(path).content_string.splitlines() if ": " in line)
        found = {key: value.strip("'\"") for key, value in pairs if not key.startswith("#")}
        assert release["configuration"]
        assert {key: found.get(key) for key in release["configuration"]} == release["configuration"]


def test_metrics_go_to_graphite_by_the_factory(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        configuration = release["configuration"]
        assert configuration["metrics.reporter.grph.factory.class"].endswith("GraphiteReporterFactory")
        assert configuration["metrics.reporter.grph.host"] == facts["flink_graphite_host"]
        plugin = f"{release['home']}/plugins/metrics-graphite/flink-metrics-graphite-{release['version']}.jar"
        assert host.file(plugin).is_file


def test_python_has_exactly_what_was_locked(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        done = run_as_user(
            host, f"{release['python']['home']}/bin/python -m pip list --format json --no-cache-dir"
        )
        assert done.rc == 0, done.stderr
        installed = {_project(item["name"]): item["version"] for item in json.loads(done.stdout)}
        wanted = {_project(wheel["name"]): wheel["version"] for wheel in release["python"]["wheels"]}
        assert wanted
        assert {name: installed.get(name) for name in wanted} == wanted
        assert set(installed) - set(wanted) <= {"pip", "setuptools", "wheel"}


def test_everybody_may_read_and_run_the_python(host: Any, facts: dict[str, Any]) -> None:
    """YARN's container user is not the one who provisioned."""
    for release in facts["flink_releases"]:
        done = host.run(
            r"find -L %s ! -type l \( ! -perm -o=r -o -type d ! -perm -o=x \) -print",
            release["python"]["home"],
        )
        assert done.rc == 0, done.stderr
        assert done.stdout == ""


def test_pyflink_imports_and_finds_its_flink(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        code = "import pyflink.table, pyflink.datastream, pyflink.version as v; print(v.__version__)"
        done = run_as_user(
            host, f"{release['python']['home']}/bin/python -c {shlex.quote(code)}", FLINK_HOME=release["home"]
        )
        assert done.rc == 0, done.stderr
        assert done.stdout.strip() == release["version"]


def test_sql_client_starts_and_knows_kafka_and_avro(host: Any) -> None:
    done = run_script(host, PLAN)
    assert done.rc == 0, done.stderr
    assert "TableSourceScan(table=[[default_catalog, default_database, t]]" in done.stdout, done.stderr


def test_a_failed_sql_statement_is_an_exit_code(host: Any) -> None:
    done = run_script(host, "SELECT * FROM there_is_no_such_table;")
    assert done.rc == 1
    assert "Object 'there_is_no_such_table' not found" in done.stderr.splitlines()[-1]


def _project(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")

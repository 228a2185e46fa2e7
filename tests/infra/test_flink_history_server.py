"""The history server on a manager node: its unit, its hardening, and what it answers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

COMPONENT = "history_server"
UNIT = "flink-history-server.service"
MOST_EXPOSURE = 1.3
GET = """
import http.client, ssl, sys
host, port, path, ca, name = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(port), timeout=10)
connection.connect()
if name:
    context = ssl.create_default_context(cafile=ca or None)
    connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
connection.request("GET", path)
reply = connection.getresponse()
assert reply.status == 200, reply.status
print(reply.read().decode())
"""
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectProc": "invisible",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "RemoveIPC": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
}


def properties(host: Any, *names: str) -> dict[str, str]:
    shown = host.check_output("systemctl show -p %s %s", ",".join(names), UNIT)
    return dict(line.split("=", 1) for line in shown.splitlines())


def get(host: Any, facts: dict[str, Any], path: str) -> Any:
    """GET it on the node itself: HEAD is answered with 500 there."""
    address = facts["flink_history_address"]
    local = "127.0.0.1" if address == "0.0.0.0" else address
    name = facts["flink_history_certificate_name"] or facts["flink_host"]
    words = (local, str(facts["flink_history_port"]), path, facts["flink_history_ca"])
    return json.loads(
        host.check_output(
            "python3 -c %s %s %s %s %s %s", GET, *words, name if facts["flink_history_certificate"] else ""
        )
    )


def test_unit_is_enabled_and_runs(host: Any) -> None:
    assert properties(host, "ActiveState", "SubState", "UnitFileState") == {
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
    }, host.run("journalctl --no-pager -n 30 -u %s", UNIT).stdout


def test_systemd_has_read_the_unit_as_it_is_now(host: Any) -> None:
    assert properties(host, "NeedDaemonReload") == {"NeedDaemonReload": "no"}


def test_unit_does_not_restart_again_and_again(host: Any) -> None:
    before = properties(host, "NRestarts", "MainPID")
    assert host.run("sleep 6").rc == 0
    assert properties(host, "NRestarts", "MainPID") == before


def test_unit_is_hardened(host: Any) -> None:
    assert properties(host, *HARDENING) == HARDENING


def test_exposure_is_as_low_as_reached_by_hand(host: Any, figure: Any) -> None:
    said = host.check_output("systemd-analyze security --no-pager %s", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    figure(f"systemd-analyze security {UNIT}: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE


def test_server_is_java_of_its_own_user_with_a_bounded_heap(host: Any, facts: dict[str, Any]) -> None:
    pid = properties(host, "MainPID")["MainPID"]
    line = host.check_output("ps -o user:32=,group:32=,args= -p %s", pid)
    user, group, arguments = line.split(None, 2)
    assert (user, group) == (facts["flink_user"], facts["flink_group"])
    assert "org.apache.flink.runtime.webmonitor.history.HistoryServer" in arguments
    assert re.search(r"-Xmx\d+", arguments)


def test_memory_and_tasks_are_limited(host: Any, facts: dict[str, Any]) -> None:
    found = properties(host, "MemoryMax", "TasksMax", "LimitNOFILE", "CPUQuotaPerSecUSec")
    most = int(facts["flink_history_memory_max"].removesuffix("M")) << 20
    assert (found["MemoryMax"], found["TasksMax"], found["LimitNOFILE"]) == (str(most), "512", "65536")
    assert (found["CPUQuotaPerSecUSec"] == "infinity") == (facts["flink_history_cpu_quota"] == "")


def test_a_server_without_memory_ends(host: Any) -> None:
    pid = properties(host, "MainPID")["MainPID"]
    assert "-XX:+ExitOnOutOfMemoryError" in host.check_output("ps -o args= -p %s", pid)


def test_no_password_stands_where_others_may_read_it(host: Any, facts: dict[str, Any]) -> None:
    if not facts["flink_history_certificate"]:
        assert not host.file("/run/flink-history-server/conf").exists  # no key store, so no password
        return
    folder = host.file("/run/flink-history-server")
    assert (oct(folder.mode), folder.user) == ("0o700", facts["flink_user"])
    row = host.check_output("grep -h -m 1 keystore-password: /run/flink-history-server/conf/*.yaml")
    password = row.rpartition(" ")[2]
    assert len(password) > 30
    assert password not in host.check_output("ps -eo args")
    assert host.run("grep -rlF %s %s /etc/flink-history", password, facts["flink_log_directory"]).rc == 1


def test_user_cannot_log_in(host: Any, facts: dict[str, Any]) -> None:
    user = host.user(facts["flink_user"])
    assert user.exists
    assert user.group == facts["flink_group"]
    assert user.shell in {"/usr/sbin/nologin", "/sbin/nologin", "/bin/false"}


def test_only_the_server_listens_on_its_port_where_it_should(host: Any, facts: dict[str, Any]) -> None:
    lines = host.check_output("ss -H -ltne sport = :%s", str(facts["flink_history_port"])).splitlines()
    assert len(lines) == 1, lines
    # Not by process: in a container root may not look into other users' processes.
    assert f" uid:{host.user(facts['flink_user']).uid} " in lines[0]
    local = lines[0].split()[3].rpartition(":")[0]
    wildcard = {"*", "0.0.0.0", "[::]"}
    assert local in (
        wildcard if facts["flink_history_address"] == "0.0.0.0" else {facts["flink_history_address"]}
    )


def test_config_says_the_version_of_the_server(host: Any, facts: dict[str, Any]) -> None:
    answer = get(host, facts, "/config")
    assert answer["flink-version"] == facts["flink_history_version"]
    assert answer["features"]["web-history"] is True


def test_overview_lists_jobs_that_have_ended(host: Any, facts: dict[str, Any]) -> None:
    jobs = get(host, facts, "/jobs/overview")["jobs"]
    assert {job["state"] for job in jobs} <= {"FINISHED", "FAILED", "CANCELED"}


def test_home_is_the_servers_own_version(host: Any, facts: dict[str, Any]) -> None:
    target = host.check_output("readlink -f %s", facts["flink_history_home"])
    assert target.endswith(f"/flink-{facts['flink_history_version']}")


def test_archive_directory_takes_everybodys_jobs_and_lets_nobody_remove_them(
    host: Any, facts: dict[str, Any]
) -> None:
    if not facts["flink_archive_directory"].startswith("file://"):
        pytest.fail(f"{facts['flink_archive_directory']}: this check knows only file: archives")
    folder = host.file(facts["flink_archive_directory"].removeprefix("file://"))
    assert folder.is_directory
    assert folder.mode & 0o1000
    assert folder.user == facts["flink_user"]


def test_log_is_in_the_log_directory_and_not_empty(host: Any, facts: dict[str, Any]) -> None:
    found = host.check_output(
        "find %s -maxdepth 1 -name %s -user %s -size +0",
        facts["flink_log_directory"],
        "*historyserver*.log",
        facts["flink_user"],
    )
    assert found.splitlines()


def test_log_does_not_go_to_the_journal_as_well(host: Any) -> None:
    invocation = properties(host, "InvocationID")["InvocationID"]
    lines = host.check_output(
        "journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=%s", invocation
    ).splitlines()
    assert [line for line in lines if " INFO " in line] == []

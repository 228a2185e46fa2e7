"""Housekeeping on a node: its timer, its hardening, and what a dry run says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

COMPONENT = "housekeeping"
SERVICE, TIMER = "flink-housekeeping.service", "flink-housekeeping.timer"
# It acts as other users and looks into their processes: that is the most of it.
MOST_EXPOSURE = 3.0
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "cap_dac_read_search cap_setgid cap_setuid cap_sys_ptrace",
    "AmbientCapabilities": "",
}


def properties(host: Any, unit: str, *names: str) -> dict[str, str]:
    shown = host.check_output("systemctl show -p %s %s", ",".join(names), unit)
    return dict(line.split("=", 1) for line in shown.splitlines())


@pytest.fixture
def program(facts: dict[str, Any]) -> str:
    configuration = f"{facts['flink_housekeeping_configuration_directory']}/housekeeping.json"
    return f"{facts['flink_program_directory']}/housekeeping --configuration {configuration}"


def test_timer_is_enabled_and_waits(host: Any) -> None:
    found = properties(host, TIMER, "UnitFileState", "ActiveState", "NeedDaemonReload", "Persistent")
    assert found == {
        "UnitFileState": "enabled",
        "ActiveState": "active",
        "NeedDaemonReload": "no",
        "Persistent": "yes",
    }
    assert properties(host, SERVICE, "NeedDaemonReload") == {"NeedDaemonReload": "no"}


def test_timer_has_the_hours_that_were_described(host: Any, facts: dict[str, Any]) -> None:
    shown = host.check_output("systemctl show -p TimersCalendar %s", TIMER)
    assert f"OnCalendar={facts['flink_housekeeping_calendar']}".replace("00/", "0/") in shown.replace(
        "00/", "0/"
    )


def test_service_is_hardened(host: Any) -> None:
    assert properties(host, SERVICE, *HARDENING) == HARDENING


def test_exposure(host: Any, figure: Any) -> None:
    said = host.check_output("systemd-analyze security --no-pager %s", SERVICE)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    figure(f"systemd-analyze security {SERVICE}: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE


def test_dry_run_answers_and_deletes_nothing(host: Any, facts: dict[str, Any], program: str) -> None:
    count = "find /opt/pnda /tmp /var/lib/pnda -xdev -path '*/pnda-flink-*' -o -path '/opt/pnda/*' | sort"
    before = host.check_output(count)
    done = host.run(f"{program} --dry-run --json")
    assert done.rc == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    wanted = facts["flink_housekeeping_configuration"]
    assert {f"{part}.enabled" for part in report["parts"]} == {
        key for key, value in wanted.items() if key.endswith(".enabled") and value
    }
    assert host.check_output(count) == before

"""The shipping of Flink's logs by an rsyslog of ours: its unit, and what that sees of the machine."""

from __future__ import annotations

import re
from typing import Any

COMPONENT = "logs.rsyslog"
UNIT = "pnda-flink-logs.service"
MOST_EXPOSURE = 2.3


def properties(host: Any, *names: str) -> dict[str, str]:
    shown = host.check_output("systemctl show -p %s %s", ",".join(names), UNIT)
    return dict(line.split("=", 1) for line in shown.splitlines())


def test_unit_is_enabled_and_runs(host: Any) -> None:
    assert properties(host, "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload") == {
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "NeedDaemonReload": "no",
    }, host.run("journalctl --no-pager -n 30 -u %s", UNIT).stdout


def test_rsyslog_takes_the_configuration(host: Any, facts: dict[str, Any]) -> None:
    program = f"{facts['flink_program_directory']}/log-shipping"
    done = host.run("%s check /etc/pnda-flink-logs/rsyslog.conf", program)
    assert done.rc == 0, done.stderr


def test_it_sees_logs_and_nothing_else_of_the_machine(host: Any) -> None:
    """A user may put a link to any file into a folder of logs."""
    pid = properties(host, "MainPID")["MainPID"]
    seen = host.check_output("nsenter -t %s -m ls -A /etc /var", pid).split()
    assert "pnda-flink-logs" in seen
    assert not {"passwd", "shadow", "ssh", "spool", "mail"} & set(seen)
    assert host.run("nsenter -t %s -m ls /home /root /srv", pid).rc != 0


def test_exposure_is_low(host: Any, figure: Any) -> None:
    said = host.check_output("systemd-analyze security --no-pager %s", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    figure(f"systemd-analyze security {UNIT}: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE


def test_positions_are_its_own(host: Any) -> None:
    folder = host.file("/var/lib/pnda-flink-logs")
    assert (folder.user, folder.mode) == ("root", 0o700)

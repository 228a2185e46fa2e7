"""What the cluster file describes no longer goes from the nodes, by both engines, and comes back with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab import snapshot
from lab.containers import execute
from tests.lab.conftest import UpLab, inv

BOTH = pytest.mark.parametrize("any_lab", ["ansible", "salt"], indirect=True)
TIMER, AGGREGATOR = "flink-housekeeping.timer", "pnda-carbon-aggregator.service"
SHIPPER = "pnda-flink-logs.service"
SHIPPED = [
    f"/etc/systemd/system/{SHIPPER}",
    "/etc/pnda-flink-logs",
    "/var/lib/pnda-flink-logs",
    "/usr/lib/pnda/flink/log-shipping",
]
GONE = {
    "edge-1": [
        f"/etc/systemd/system/{TIMER}",
        "/etc/systemd/system/flink-housekeeping.service",
        "/etc/flink-housekeeping",
        "/var/lib/pnda/flink/housekeeping",
        f"/var/lib/systemd/timers/stamp-{TIMER}",
        "/usr/lib/pnda/flink/pnda_housekeeping",
        "/opt/pnda/rm-wrapper",
        *SHIPPED,
    ],
    "manager-1": SHIPPED,
    # It has nothing else of ours.
    "graphite-1": [
        f"/etc/systemd/system/{AGGREGATOR}",
        "/etc/pnda-carbon",
        "/usr/lib/pnda",
        "/var/lib/pnda/flink",
    ],
}
CARBON = ("storage-schemas.conf", "storage-aggregation.conf", "carbon.conf")


def provision(up_lab: UpLab, task: str) -> tuple[int, dict[str, Any]]:
    words = ("--engine", up_lab.engine, "--cluster", str(up_lab.lab.cluster_file))
    done = inv("--json", f"provision.{task}", *words, check=False)
    assert done.stdout, done.stderr
    hosts: dict[str, Any] = json.loads(done.stdout)["hosts"]
    return done.returncode, hosts


def there(up_lab: UpLab, host: str) -> list[str]:
    """Return which of the paths that shall go are on ``host``."""
    script = 'for path; do if [ -e "$path" ]; then echo "$path"; fi; done'
    return execute(up_lab.lab, host, "sh", "-c", script, "sh", *GONE[host]).split()


def unit(up_lab: UpLab, host: str, name: str) -> str:
    shown = "-p LoadState -p ActiveState -p UnitFileState --value"
    return " ".join(execute(up_lab.lab, host, "sh", "-c", f"systemctl show {shown} {name}").split())


def of_carbon(up_lab: UpLab) -> str:
    """Return the lines of carbon's own files that are ours."""
    files = " ".join(f"/etc/carbon/{name}" for name in CARBON)
    return execute(up_lab.lab, "graphite-1", "sh", "-c", f"grep -ni pnda {files} || true")


@BOTH
def test_what_is_switched_off_goes_and_comes_back(any_lab: UpLab) -> None:
    file = any_lab.lab.cluster_file
    text = file.read_text()
    before = snapshot.take(any_lab.lab)
    assert {host: there(any_lab, host) for host in GONE} == GONE
    assert of_carbon(any_lab)
    head, logs, rest = text.partition("\nlogs:")
    less = head + "\n" + rest[rest.index("\nflink:") :]
    less = less.replace(
        "  metrics:\n", "  housekeeping: {enabled: false}\n  metrics:\n    carbon: {manage: false}\n"
    )
    assert logs
    assert "\nqueues:" in rest
    assert "manage: false" in less
    try:
        file.write_text(less)
        code, planned = provision(any_lab, "plan")
        said = {host: "\n".join(change["diff"] for change in its["changes"]) for host, its in planned.items()}
        assert code == 1
        for host, paths in GONE.items():
            for path in paths:
                assert f"{path} removed" in said[host].splitlines(), (path, said[host])
        assert f"{TIMER} stopped and disabled" in said["edge-1"].splitlines()
        assert f"{SHIPPER} stopped and disabled" in said["manager-1"].splitlines()
        assert {host: there(any_lab, host) for host in GONE} == GONE

        code, _ = provision(any_lab, "apply")
        assert code == 0
        assert {host: there(any_lab, host) for host in GONE} == {host: [] for host in GONE}
        assert unit(any_lab, "edge-1", TIMER) == "not-found inactive"
        for host in ("edge-1", "manager-1"):
            assert unit(any_lab, host, SHIPPER) == "not-found inactive"
            assert "rsyslogd" not in execute(any_lab.lab, host, "ps", "-eo", "args")
        assert unit(any_lab, "graphite-1", AGGREGATOR) == "not-found inactive"
        assert unit(any_lab, "graphite-1", "carbon-cache.service") == "loaded active enabled"
        assert of_carbon(any_lab) == ""
        assert inv("provision.status", "--cluster", str(file)).returncode == 0

        code, again = provision(any_lab, "apply")
        assert (code, {its["changed"] for its in again.values()}) == (0, {0})
        assert "graphite-1" not in again
    finally:
        file.write_text(text)
        provision(any_lab, "apply")
    assert snapshot.differences(before, snapshot.take(any_lab.lab)) == []

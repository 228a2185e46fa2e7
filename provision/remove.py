"""Take provisioning off hosts again: everything that the manifests name goes, logs and archives stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import console, locks
from core.errors import WorldError
from provision import housekeeping, nodes, pillar
from provision.cluster import Cluster
from provision.facts import Facts
from provision.manifest import FORMULAS
from provision.report import ApplyError, ApplyReport, HostResult
from provision.status import HISTORY_UNIT, LOGS_UNIT, METRICS_UNIT, MIRROR_UNIT, carbon_rules

_SCRIPT = Path(__file__).with_name("clear_away.py")
# The unit's StateDirectory; systemd makes it, so that no manifest names it.
_HISTORY_STATE = "/var/lib/flink-history-server"
# Its positions and what waits in its queue are nothing to a host that ships no logs.
_SHIPPER = (
    "/etc/systemd/system/pnda-flink-logs.service",
    "/etc/pnda-flink-logs",
    "/var/lib/pnda-flink-logs",
)
# Salt's states lie in it, on every host.
_STATES = str(Path(pillar.NODE).parent)
_CONFIGURATION = ("/etc/flink", "/etc/flink-history", housekeeping.CONFIGURATION)


def remove(cluster: Cluster, facts: Mapping[str, Facts], dry: bool) -> ApplyReport:
    """Remove from the hosts in ``facts`` what was provisioned there, and return what that was.

    Raises BusyError while an apply is at work, ApplyError when a host failed, with the report of all.
    """
    with locks.held(cluster.build / "apply.lock", f"apply of cluster {cluster.name}"):
        console.say(f"   removing from {', '.join(facts) or 'no host'}")
        results = nodes.everywhere(
            list(facts), lambda host: _host(cluster, host, facts[host], dry), cluster.at_once
        )
    report = ApplyReport("remove", results)
    if any(result.failed for result in results.values()):
        raise ApplyError(report)
    return report


def _host(cluster: Cluster, host: str, facts: Facts, dry: bool) -> HostResult:
    try:
        answer = nodes.script(cluster, host, _SCRIPT, wanted(facts, dry), timeout=600)
    except WorldError as error:
        return HostResult(0, (), error.message)
    removed = tuple(answer["removed"])
    return HostResult(len(removed), (*removed, *(f"left: {phrase}" for phrase in answer["left"])))


def wanted(facts: Facts, dry: bool) -> dict[str, Any]:
    """Return what is to be removed on the host that ``facts`` are of, as clear_away.py reads it. Pure.

    The user and the group stay: the logs and archives that stay are theirs, and a number that is free
    again would soon be somebody else's. So do Debian's packages, which others may use by now.
    """
    entries = {
        kind: [entry for formula in FORMULAS for entry in facts[f"{formula.name}_{kind}"]]
        for kind in ("directories", "files", "links")
    }
    flink, served = bool(facts["flink_components"]), bool(facts["mirror_server_components"])
    folders = [entry["destination"] for entry in entries["directories"]]
    trees = [facts["mirror_server_program_directory"]] if served else []
    root = Path(facts["flink_home"]).parent
    if flink:
        trees += [
            facts["flink_program_directory"],
            facts["flink_state_directory"],
            _HISTORY_STATE,
            housekeeping.STAMP,
            *_SHIPPER,
        ]
        trees += [folder for folder in _CONFIGURATION if folder in folders]
    if "metrics" in facts["flink_components"]:
        trees.append(facts["flink_carbon_configuration_directory"])
    kept = (facts["flink_log_directory"], facts["flink_storage"].removeprefix("file://"))
    return {
        "dry": dry,
        "units": _units(facts),
        # While the program that does it is there. Debian's carbon gets its own settings back.
        "commands": [carbon_rules(facts, "--remove")] if "metrics" in facts["flink_components"] else [],
        "restarted": ["carbon-cache.service"] if "metrics" in facts["flink_components"] else [],
        "after": ["nginx.service"] if served else [],  # no longer masked: it must not start by itself
        "links": [entry["destination"] for entry in entries["links"]],
        "ours": [f"{root}/", f"{facts['flink_program_directory']}/", "/etc/flink", "/dev/null"],
        "files": [entry["destination"] for entry in entries["files"]],
        "marked": [f"{root}/{name}" for name in ("flink-*", "pyflink-*", ".flink-*", ".pnda-removing-*")]
        if flink
        else [],
        "trees": [*trees, pillar.NODE],
        "folders": [
            *(folder for folder in reversed(folders) if not folder.startswith(kept)),
            *([_STATES] if _STATES not in folders else []),
        ],
    }


def _units(facts: Facts) -> list[str]:
    cleaned = housekeeping.COMPONENT in facts["flink_components"]
    named = {
        housekeeping.TIMER: cleaned,  # first, so that it starts nothing any more
        housekeeping.SERVICE: cleaned,
        HISTORY_UNIT: bool(facts["flink_releases"]),
        METRICS_UNIT: "metrics" in facts["flink_components"],
        LOGS_UNIT: bool(facts["flink_components"]),
        MIRROR_UNIT: bool(facts["mirror_server_components"]),
    }
    return [unit for unit, there in named.items() if there]

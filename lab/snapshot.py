"""What provisioning left on a host, as data: so that two engines, or two runs, can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UsageError
from lab import ssh
from lab.model import Lab
from provision import former, nodes
from provision.manifest import FORMULAS, has_components

Snapshot = dict[str, dict[str, Any]]
_CARBON_FILES = ("carbon.conf", "storage-schemas.conf", "storage-aggregation.conf")


def facts_folder(lab: Lab) -> Path:
    """Return where the facts of the lab's hosts lie, one JSON file a host."""
    return lab.folder / "facts"


def load_facts(lab: Lab) -> dict[str, dict[str, Any]]:
    """Return the facts of every host that has components; raises UsageError where there are none."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(facts_folder(lab).glob("*.json"))
    }
    kept = {host: facts for host, facts in found.items() if has_components(facts)}
    if not kept:
        raise UsageError(
            f"{facts_folder(lab)}: no facts of any host",
            f"./inv cluster.render --cluster {lab.cluster_file.relative_to(lab.checkout)}",
        )
    return kept


def take(lab: Lab) -> dict[str, Snapshot]:
    """Return the snapshot of every provisioned host of ``lab``.

    Keys are ``path:/...``, ``unit:...`` and ``user:...``; values hold type, mode, owner, group,
    and the content's SHA-256 or the link's target.
    """
    return {host: _of_host(lab, host, facts) for host, facts in load_facts(lab).items()}


def differences(left: Mapping[str, Snapshot], right: Mapping[str, Snapshot]) -> list[str]:
    """Return one line for each difference between two snapshots, sorted; empty where there is none."""
    result = []
    for host in sorted({*left, *right}):
        ours, theirs = left.get(host, {}), right.get(host, {})
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                result.append(f"{host} {key}: {ours.get(key, 'absent')} / {theirs.get(key, 'absent')}")
    return result


def _of_host(lab: Lab, host: str, facts: Mapping[str, Any]) -> Snapshot:
    managed = [
        entry
        for formula in FORMULAS
        for kind in ("directories", "files", "links")
        for entry in facts[f"{formula.name}_{kind}"]
    ]
    # What is not ours alone, and so not in the manifest.
    shared = [f"{facts['flink_carbon_directory']}/{name}" for name in _CARBON_FILES]
    wanted = {
        "paths": [
            *(entry["destination"] for entry in managed),
            *(shared if "metrics" in facts["flink_components"] else ()),
            *([former.record_path(facts)] if facts["flink_managed"] else []),
        ],
        "trees": [release["home"] for release in facts["flink_releases"]],
        "units": [
            "flink-history-server.service",
            "pnda-carbon-aggregator.service",
            "flink-housekeeping.timer",
            "flink-housekeeping.service",
            "pnda-flink-logs.service",
            "pnda-mirror.service",
            "nginx.service",
        ],
        "users": [facts["flink_user"]],
        # Differs by nature: the cluster's own name stands in the line that says who manages a file.
        "neutral": facts["flink_managed_by"],
    }
    words = ("python3", "-c", nodes.PROBE.read_text(encoding="utf-8"))
    done = ssh.remote(lab, host, *words, stdin=json.dumps(wanted), timeout=180)
    answer: Snapshot = json.loads(done.stdout)
    return answer

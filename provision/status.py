"""What is on the hosts of a cluster, beside what its description says: versions and drift."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import WorldError
from provision import former, housekeeping, nodes, preview
from provision.cluster import Cluster
from provision.facts import Facts
from provision.manifest import FORMULAS
from provision.report import columns

HISTORY_UNIT = "flink-history-server.service"
MIRROR_UNIT = "pnda-mirror.service"
METRICS_UNIT = "pnda-carbon-aggregator.service"
LOGS_UNIT = "pnda-flink-logs.service"
_ABSENT = {"type": "absent"}
_FORMAT = 1  # of the record that record-applied writes


@dataclass(frozen=True)
class HostStatus:
    """What one host said: why it could not be asked, its record, what differs, the history server's version.

    ``applied`` is the record (``applied.json``), empty where there is none. ``history_server`` is the
    version that answers, empty where this host is to have none, or where none answers (then in ``drift``).
    """

    unreachable: str
    applied: Mapping[str, Any]
    drift: tuple[str, ...]
    history_server: str = ""

    @property
    def same(self) -> bool:
        """Tell whether the host is what the description says."""
        return not self.unreachable and not self.drift

    def document(self) -> dict[str, Any]:
        """Return this for programs."""
        return {
            "reachable": not self.unreachable,
            "reason": self.unreachable,
            "applied": dict(self.applied),
            "drift": list(self.drift),
            "history_server": self.history_server,
        }


def status(cluster: Cluster, facts: Mapping[str, Facts]) -> dict[str, HostStatus]:
    """Ask each host in ``facts`` (many at once) and return what is there."""
    return nodes.everywhere(list(facts), lambda host: _host(cluster, host, facts[host]), cluster.at_once)


def table(found: Mapping[str, HostStatus]) -> str:
    """Return ``found`` for people: a line for each host, and one for each difference."""
    rows = [("host", "state", "versions", "history server", "lock")]
    rows += [(host, *_row(one)) for host, one in found.items()]
    lines: list[str] = []
    for row, line in zip(rows, columns(rows), strict=True):
        lines.append(line)
        one = found.get(row[0])
        if one is not None and row is not rows[0]:
            lines += [f"  {line}" for line in (*one.unreachable.splitlines(), *one.drift)]
    return "\n".join(lines)


def _row(one: HostStatus) -> tuple[str, str, str, str]:
    state = "UNREACHABLE" if one.unreachable else "DRIFT" if one.drift else "same"
    default = one.applied.get("default")
    versions = [
        f"{version} (default)" if version == default else version
        for version in one.applied.get("releases", ())
    ]
    return (
        state,
        ", ".join(versions) or "-",
        one.history_server or "-",
        str(one.applied.get("lock_digest", "-"))[:12],
    )


def _host(cluster: Cluster, host: str, facts: Facts) -> HostStatus:
    try:
        answer = nodes.script(cluster, host, nodes.PROBE, questions(facts))
    except WorldError as error:
        return HostStatus(error.message, {}, ())
    return judge(facts, answer)


def questions(facts: Facts) -> dict[str, Any]:
    """Return what the probe is to look at on the host that ``facts`` are of."""
    components, recorded = facts["flink_components"], bool(facts["flink_releases"])
    commands = {"managed": former.command(facts)} if facts["flink_managed"] else {}
    if "history_server" in components:
        commands["ready"] = ready(facts, facts["flink_history_version"], 3)
    if "metrics" in components:
        commands["carbon"] = carbon_rules(facts, "--check")
    return {
        "paths": list(expected(facts)),
        "trees": [],
        "units": list(_units(facts)),
        "users": [facts["flink_user"]] if recorded else [],
        "neutral": "",
        "records": [record_path(facts)] if recorded else [],
        "commands": commands,
    }


def carbon_rules(facts: Facts, option: str) -> list[str]:
    """Return the command that checks (``--check``) or removes (``--remove``) our rules in carbon's files."""
    program = f"{facts['flink_program_directory']}/carbon-rules"
    return [program, option, facts["flink_carbon_configuration_directory"], facts["flink_carbon_directory"]]


def record_path(facts: Facts) -> str:
    """Return where the record of what was applied lies on a host."""
    return f"{facts['flink_state_directory']}/applied.json"


def ready(facts: Facts, version: str, seconds: float) -> list[str]:
    """Return the command that waits ``seconds`` for the host's history server of ``version`` to answer."""
    return [
        f"{facts['flink_program_directory']}/history-server-ready",
        f"--settings={facts['flink_state_directory']}/history-server.json",
        f"--version={version}",
        f"--longest={seconds:g}",
        "--answers",
    ]


def expected(facts: Facts) -> dict[str, dict[str, str]]:
    """Return every managed path of a host as the probe would describe it. Pure."""
    content = preview.render(facts)
    found: dict[str, dict[str, str]] = {}
    for formula in FORMULAS:
        for entry in facts[f"{formula.name}_directories"]:
            found[entry["destination"]] = {**_owned(entry), "type": "directory"}
        for entry in facts[f"{formula.name}_files"]:
            digest = hashlib.sha256(content[entry["destination"]]).hexdigest()
            found[entry["destination"]] = {**_owned(entry), "type": "file", "sha256": digest}
        for entry in facts[f"{formula.name}_links"]:
            found[entry["destination"]] = {"type": "link", "target": entry["target"]}
    for release in facts["flink_releases"]:
        found[f"{release['home']}/.pnda-{release['digest']}"] = {"type": "file"}
        if release["python"]["wheels"]:
            found[f"{release['python']['environment']}/.complete"] = {"type": "file"}
    return found


def _owned(entry: Mapping[str, str]) -> dict[str, str]:
    return {"owner": entry["owner"], "group": entry["group"], "mode": oct(int(entry["mode"], 8))}


def _units(facts: Facts) -> dict[str, dict[str, str]]:
    running = {"UnitFileState": "enabled", "ActiveState": "active"}
    found = {}
    if "history_server" in facts["flink_components"]:
        found[HISTORY_UNIT] = running
    if "metrics" in facts["flink_components"]:
        found[METRICS_UNIT] = running
    if housekeeping.COMPONENT in facts["flink_components"]:
        found[housekeeping.TIMER] = running
    if facts["mirror_server_components"]:
        found[MIRROR_UNIT] = running
    if facts["flink_log_shipper"] == "rsyslog":
        found[LOGS_UNIT] = running
    return found


def judge(facts: Facts, answer: Mapping[str, Any]) -> HostStatus:
    """Return what the probe's ``answer`` means beside ``facts``. Pure."""
    found = answer.get(f"record:{record_path(facts)}")
    record, newer = sound(found), of_newer(found)
    drift = [*([newer] if newer else _record_drift(facts, record)), *_path_drift(facts, answer)]
    for name, wanted in _units(facts).items():
        shown = answer[f"unit:{name}"]
        drift += [
            f"{name}: {key} is {shown.get(key) or 'nothing'}, not {value}"
            for key, value in wanted.items()
            if shown.get(key) != value
        ]
    if facts["flink_releases"] and answer[f"user:{facts['flink_user']}"] == _ABSENT:
        drift.append(f"there is no user {facts['flink_user']}")
    history = ""
    if "command:ready" in answer:
        done = answer["command:ready"]
        if done["code"] == 0:
            history = facts["flink_history_version"]
        else:
            drift.append(f"history server: {done['said'].splitlines()[0] if done['said'] else 'no answer'}")
    if answer.get("command:carbon", {"code": 0})["code"] != 0:
        said = answer["command:carbon"]["said"] or "our rules are not there, or not as they should be"
        drift.append(f"{facts['flink_carbon_directory']}: {said.splitlines()[0]}")
    drift += _left_over(answer.get("command:managed", {"code": 0, "said": ""}))
    return HostStatus("", record, tuple(drift), history)


def sound(record: Any) -> dict[str, Any]:
    """Return ``record`` (the document in ``applied.json``) if it is one; else an empty one. Pure."""
    texts = ("cluster", "lock_digest", "default", "history_server", "time")
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        return {}
    if not all(isinstance(record.get(key), str) for key in texts):
        return {}
    tables = (record.get("releases"), record.get("before") or {}, record.get("rolled_back") or {})
    return record if all(isinstance(table, dict) for table in tables) else {}


def _left_over(done: Mapping[str, Any]) -> Iterator[str]:
    """Yield what programs/flink/take-away would remove; that the program is not there is told as a path's."""
    for line in done["said"].splitlines() if done["code"] == 0 else ():
        what, _, done_to_it = line.partition(" ")
        if done_to_it in ("removed", "stopped and disabled"):
            yield f"{what}: is described no longer"


def of_newer(record: Any) -> str:
    """Return why ``record`` is not ours to judge: a newer checkout wrote it; else empty. Pure."""
    written = record.get("format") if isinstance(record, dict) else None
    if not isinstance(written, int) or written <= _FORMAT:
        return ""
    return f"its record has format {written}, and this checkout knows {_FORMAT}: go on with a newer checkout"


def _record_drift(facts: Facts, record: Mapping[str, Any]) -> Iterator[str]:
    if not facts["flink_releases"]:
        return
    if not record:
        yield f"{record_path(facts)}: there is no record of what was applied"
        return
    back = record.get("rolled_back")
    if back:
        yield f"rolled back from {back.get('from')} to {back.get('to')} at {back.get('time')}"
    theirs, ours = record["lock_digest"], facts["flink_lock_digest"]
    if theirs != ours:
        yield f"applied by the lock {theirs[:12]}, the lock here is {ours[:12]}"


def _path_drift(facts: Facts, answer: Mapping[str, Any]) -> Iterator[str]:
    for path, wanted in expected(facts).items():
        found = answer[f"path:{path}"]
        if found == _ABSENT:
            yield f"{path}: is not there"
            continue
        if found["type"] != wanted["type"]:
            yield f"{path}: is a {found['type']}, not a {wanted['type']}"
            continue
        for key, value in wanted.items():
            if found[key] != value:
                said = "content differs" if key == "sha256" else f"{key} is {found[key]}, not {value}"
                yield f"{path}: {said}"

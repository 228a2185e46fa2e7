"""The order of a change of version, and the way back: an engine that only notes, hosts that do not answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import WorldError
from provision import rollout
from provision.cluster import Cluster
from provision.facts import Facts
from provision.report import HostResult

OLD = {"format": 1, "default": "1.20.4", "history_server": "1.20.4", "time": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def away(cluster: Cluster, tmp_path: Path) -> Cluster:
    """The cluster, none of whose hosts is there: each refuses ssh at once."""
    config = tmp_path / "ssh_config"
    config.write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n")
    return dataclasses.replace(cluster, ssh_config=config)


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(0, 3, [0]), (1, 3, [1]), (2, 3, [1, 1]), (8, 3, [1, 3, 3, 1]), (4, 1, [1, 1, 1, 1])],
)
def test_one_canary_then_batches(count: int, size: int, sizes: list[int]) -> None:
    hosts = [f"edge-{number}" for number in range(count)]
    found = rollout.batches(hosts, size)
    assert [len(batch) for batch in found] == sizes
    assert [host for batch in found for host in batch] == hosts


def test_hosts_whose_version_changes_are_found_servers_first(facts: dict[str, Facts]) -> None:
    records: dict[str, Any] = dict.fromkeys(facts, OLD)
    records["edge-2"] = {**OLD, "default": "1.20.5"}  # there already
    records["manager-2"] = {}  # a new host
    assert rollout.changing(facts, records) == ["manager-1", "both-1", "edge-1"]


def test_a_client_is_not_asked_for_a_history_server(facts: dict[str, Facts]) -> None:
    same = {**OLD, "default": "1.20.5", "history_server": ""}
    assert rollout.changing({"edge-1": facts["edge-1"]}, {"edge-1": same}) == []


class Engine:
    """Notes what it is called with; hosts in ``bad`` fail, and with ``raises`` the whole run does."""

    def __init__(self, bad: set[str] | None = None, raises: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.bad, self.raises = bad or set(), raises

    def __call__(self, _: Cluster, facts: Mapping[str, Facts], check: bool) -> dict[str, HostResult]:
        assert not check
        self.calls.append(list(facts))
        if self.raises:
            raise WorldError("no end after 3600 s")
        return {host: HostResult(1, ("x",), "the disk is full" if host in self.bad else "") for host in facts}


def flink(facts: dict[str, Facts]) -> dict[str, Facts]:
    return {host: its for host, its in facts.items() if its["flink_components"]}


def test_a_canary_that_is_not_healthy_stops_all_and_the_rest_is_left(
    away: Cluster, facts: dict[str, Facts]
) -> None:
    engine = Engine()
    found = rollout.roll_out(away, flink(facts), dict.fromkeys(facts, OLD), engine, 2)
    assert engine.calls == [["manager-1"]]
    assert list(found) == list(flink(facts))
    assert found["manager-1"].failed.startswith("not healthy: manager-1 cannot be reached by ssh")
    assert "could not be put back" in found["manager-1"].failed
    assert found["edge-1"] == HostResult(0, (), "left as it is: the roll-out stopped before")


def test_a_host_that_changes_no_version_goes_first_and_its_failure_stops_all(
    away: Cluster, facts: dict[str, Facts]
) -> None:
    engine = Engine(bad={"edge-1"})
    records = {host: OLD for host in facts if host != "edge-1"}
    found = rollout.roll_out(away, flink(facts), records, engine, 2)
    assert engine.calls == [["edge-1"]]
    assert found["edge-1"].failed == "the disk is full"
    assert "left as it is" in found["manager-1"].failed


def test_an_engine_that_does_not_come_to_its_end_is_a_failure(away: Cluster, facts: dict[str, Facts]) -> None:
    engine = Engine(raises=True)
    found = rollout.roll_out(away, flink(facts), dict.fromkeys(facts, OLD), engine, 2)
    assert engine.calls == [["manager-1"]]
    assert found["manager-1"].failed.startswith("no end after 3600 s")


def test_a_history_server_never_gets_an_older_line(facts: dict[str, Facts]) -> None:
    newer = {**OLD, "history_server": "2.3.0"}
    asked = {host: {**its, "flink_history_version": "1.20.5"} for host, its in facts.items()}
    found = rollout.too_old(asked, {"manager-1": newer, "manager-2": OLD, "edge-1": newer})
    assert len(found) == 1
    assert found[0].startswith("manager-1 has the history server 2.3.0, and one of 1.20 cannot read")
    # Within the line it may go back; and the word of a damaged record is not taken.
    within = {"manager-1": {**OLD, "history_server": "1.20.9"}, "both-1": {**OLD, "history_server": "next"}}
    assert rollout.too_old(asked, within) == []

from __future__ import annotations

from typing import Any

import pytest

from core.process import Finished
from provision import nodes
from provision.cluster import Cluster
from provision.facts import Facts
from provision.rollback import records, undone

BACK = {"from": "1.20.5", "to": "1.20.4", "history_from": "2.3.0", "history_to": "2.3.0", "time": "T"}

RECORD = (
    '{"format": 1, "cluster": "c", "lock_digest": "d", "default": "1.20.5", "history_server": "", '
    '"time": "T", "releases": {}}'
)


def record(**changes: str) -> dict[str, Any]:
    return {"rolled_back": {**BACK, **changes}}


def test_an_apply_that_would_undo_a_roll_back_is_named(facts: dict[str, Facts]) -> None:
    (phrase,) = undone(facts, {"edge-1": record(), "edge-2": {}})
    assert phrase.startswith("edge-1 was rolled back from 1.20.5 to 1.20.4 at T")


def test_a_history_server_that_went_back_is_named(facts: dict[str, Facts]) -> None:
    back = record(**{"from": "", "to": "", "history_to": "2.3.1"})
    (phrase,) = undone(facts, {"manager-1": back})
    assert phrase.startswith("manager-1 was rolled back from 2.3.0 to 2.3.1")


@pytest.mark.parametrize(
    "found",
    [{}, {"rolled_back": None}, record(**{"from": "1.20.6", "to": "1.20.5"}), record(**{"from": "2.3.0"})],
)
def test_what_is_no_undoing_goes_on(facts: dict[str, Facts], found: dict[str, Any]) -> None:
    assert undone(facts, {"edge-1": found}) == []


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ('{"format": 2, "default": "3.0.0"}', False, "go on with a newer checkout"),
        ('{"format": 1}', False, ""),
        ("{ damaged", False, ""),
        (RECORD, True, ""),
    ],
)
def test_the_record_of_a_newer_checkout_keeps_an_older_one_away(
    cluster: Cluster,
    facts: dict[str, Facts],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    kept: bool,
    reason: str,
) -> None:
    answer = Finished(("ssh",), 0, text, "")
    monkeypatch.setattr(nodes, "remote", lambda *_, **__: answer)
    found, silent = records(cluster, {"edge-1": facts["edge-1"]})
    assert bool(found["edge-1"]) == kept
    assert silent.get("edge-1", "").endswith(reason)
    assert bool(silent) == bool(reason)

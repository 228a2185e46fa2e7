from __future__ import annotations

from typing import Any

import pytest

from provision.facts import Facts
from provision.rollback import undone

BACK = {"from": "1.20.5", "to": "1.20.4", "history_from": "2.3.0", "history_to": "2.3.0", "time": "T"}


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

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WorldError
from mirror import record as records
from mirror.record import Record

SOME = Record(
    3,
    "a" * 64,
    "b" * 64,
    ("one",),
    ("g",),
    7,
    "2026-01-01T00:00:00+00:00",
    99,
    ("AB" * 20,),
    1,
    rollback_of=2,
)


def test_what_is_written_is_read() -> None:
    for one in (SOME, replace(SOME, same_tree_as=None, rollback_of=None, signers=(), bytes=0)):
        assert records.loads(records.dumps(one), "x") == one
    assert "rollback_of" not in json.loads(records.dumps(replace(SOME, rollback_of=None)))


def test_records_from_before_there_were_signatures_are_read() -> None:
    data = json.loads(records.dumps(SOME))
    for name in ("bytes", "signers", "same_tree_as", "rollback_of"):
        del data[name]
    found = records.loads(json.dumps(data).encode(), "x")
    assert (found.bytes, found.signers, found.same_tree_as) == (0, (), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial", 0), ("serial", -1), ("serial", "3"), ("serial", True), ("serial", 1 << 60),
        ("serial", None), ("serial", 3.0), ("files", -1), ("bytes", "x"), ("root_digest", "A" * 64),
        ("root_digest", "a" * 63), ("lock_digest", None), ("entries", "one"), ("entries", [1]),
        ("groups", [""]), ("signers", ["ab" * 20]), ("signers", "x"), ("date", 5), ("same_tree_as", 0),
        ("rollback_of", "2"), ("format", 0), ("format", "1"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    data = {**json.loads(records.dumps(SOME)), field: value}
    with pytest.raises(WorldError, match=field) as caught:
        records.loads(json.dumps(data).encode(), "here")
    assert "here" in caught.value.message


def test_a_newer_format_is_told_apart() -> None:
    data = {**json.loads(records.dumps(SOME)), "format": 2}
    with pytest.raises(WorldError, match="newer"):
        records.loads(json.dumps(data).encode(), "x")


@given(
    st.one_of(
        st.binary(max_size=200), st.text(alphabet='{}[]",:0123456789e.-ntf', max_size=60).map(str.encode)
    )
)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with pytest.raises(WorldError):
        records.loads(raw, "x")


def test_nesting_absence_and_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError):
        records.loads(b"[" * 200_000, "x")
    with pytest.raises(WorldError, match="cannot be read"):
        records.load(tmp_path / "none")
    large = tmp_path / "large"
    large.write_bytes(b" " * (5 << 20))
    with pytest.raises(WorldError, match="larger"):
        records.load(large)

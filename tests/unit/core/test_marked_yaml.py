from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.marked_yaml import load, loads, nearest

HERE = Path("clusters/x.yml")

SCALARS = (
    st.integers(-(10**9), 10**9)
    | st.booleans()
    | st.text(st.characters(codec="utf-8", exclude_categories=["C"]))
)
KEYS = st.text("abcdefgh_", min_size=1, max_size=8)
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)


@given(st.dictionaries(KEYS, DATA, min_size=1))
def test_what_yaml_writes_comes_back_the_same(data: object) -> None:
    assert loads(yaml.safe_dump(data, allow_unicode=True).encode(), HERE).data == data


@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_a_usage_error(raw: bytes) -> None:
    with contextlib.suppress(UsageError):
        loads(raw, HERE)


def test_every_value_knows_its_line() -> None:
    document = loads(b"format: 1\nhosts:\n  edge-1:\n    roles: [EDGE]\n    address: x\n", HERE)
    assert document.line(("hosts", "edge-1", "address")) == 5
    assert document.line(("hosts", "edge-1", "missing")) == 3


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (b"", None, "is empty"),
        (b"a: [1, 2\nb: 3\n", 2, "not YAML"),
        (b"a: 1\nb: 2\na: 3\n", 3, "stands here twice (first on line 1)"),
        (b"a: \xff\n", 1, "not UTF-8"),
        (b"a: 1\nb: !!python/object:os.system {}\n", 2, "not a plain value"),
        (b"a: &x [1]\nb: *x\n", 1, "aliases"),
        (b"a:\n  <<: {b: 1}\n", 2, "plain word"),
        (b"? [1, 2]\n: 3\n", 1, "plain word"),
        (b"a: 2026-02-31\n", 1, "not a plain value"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(raw: bytes, line: int | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        loads(raw, HERE)
    assert words in caught.value.message
    assert caught.value.cure
    assert caught.value.message.startswith(f"{HERE}:{line}: " if line else f"{HERE}: ")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no such file"):
        load(tmp_path / "none.yml")


def test_the_nearest_name_is_offered() -> None:
    assert nearest("verison", ["version", "hosts"]) == "did you mean 'version'?"
    assert nearest("zzz", ["b", "a"]) == "known here: a, b"

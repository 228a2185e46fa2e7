from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError, WorldError
from mirror import diff as comparing
from mirror import diff_sides, lockfile
from mirror.diff import Change, diff
from mirror.diff_sides import Side
from mirror.lockfile import LockedEntry, LockedFile


def jar(version: str, data: bytes = b"", licence: str = "Apache-2.0", **evidence: Any) -> LockedFile:
    path = f"mirror_apps/lib/kafka-clients-{version}.jar"
    raw = data or version.encode()
    return LockedFile(
        path, len(raw), hashlib.sha256(raw).hexdigest(), hashlib.sha512(raw).hexdigest(), ("kafka",),
        {"kind": "maven", "coordinate": f"org.apache.kafka:kafka-clients:jar:{version}"}, licence, evidence,
    )  # fmt: skip


def lock(folder: Path, name: str, *files: LockedFile) -> str:
    folder.mkdir(exist_ok=True)
    lockfile.save(folder / name, {"kafka": LockedEntry(("kafka",), "0" * 64)}, files, [])
    return str(folder / name)


def load(name: str, tmp_path: Path) -> Side:
    return diff_sides.load(name, tmp_path)


def test_versions_signers_licences_and_bytes_are_compared_by_what_they_are_of(tmp_path: Path) -> None:
    old = jar("3.4.0", b"one", signature="verified", signers=["AA"])
    new = jar("3.4.1", b"four", "Apache-2.0 AND MIT", signature="verified", signers=["BB"])
    sides = [load(lock(tmp_path, name, item), tmp_path) for name, item in (("a", old), ("b", new))]
    found = diff(*sides)
    name = "maven:org.apache.kafka:kafka-clients"
    assert found.versions == (Change(name, ("3.4.0",), ("3.4.1",)),)
    assert found.signers == (Change(name, ("verified AA",), ("verified BB",)),)
    assert found.licences == (Change(name, ("Apache-2.0",), ("Apache-2.0 AND MIT",)),)
    assert found.added[new.path] == 4
    assert found.removed[old.path] == 3
    assert "SHA512SUMS" in found.changed
    assert "SHA512SUMS" in found.made
    text = "\n".join(comparing.text(found))
    assert f"{name}: 3.4.0 -> 3.4.1" in text
    assert "SHA512SUMS" not in text
    page = "\n".join(comparing.markdown(found))
    assert f"| `{name}` | `3.4.0` | `3.4.1` |" in page
    back = diff(sides[1], sides[0])
    assert (dict(back.added), dict(back.removed)) == (dict(found.removed), dict(found.added))


def test_what_only_moves_is_not_fetched_again(tmp_path: Path) -> None:
    old, new = jar("3.4.0", b"x" * 1000), jar("3.4.1", b"x" * 1000)
    found = diff(load(lock(tmp_path, "a", old), tmp_path), load(lock(tmp_path, "b", new), tmp_path))
    made = sum(size for path, size in {**found.added, **found.changed}.items() if path in found.made)
    assert found.wire_bytes <= made


def test_the_same_is_the_same(tmp_path: Path) -> None:
    side = load(lock(tmp_path, "a", jar("3.4.0")), tmp_path)
    found = diff(side, side)
    assert found.same
    assert (found.wire_files, found.wire_bytes) == (0, 0)
    assert found.versions == found.signers == found.licences == ()


def test_a_signature_that_is_lost_is_told(tmp_path: Path) -> None:
    old, new = jar("3.4.0", signature="verified", signers=["AA"]), jar("3.4.0", signature="absent")
    found = diff(load(lock(tmp_path, "a", old), tmp_path), load(lock(tmp_path, "b", new), tmp_path))
    assert [(one.before, one.after) for one in found.signers] == [(("verified AA",), ("absent",))]
    assert found.added == found.removed == {}


def test_words_of_others_do_not_break_the_table(tmp_path: Path) -> None:
    items = [jar("3.4.0", licence="A | B `c`\nd"), jar("3.4.0")]
    found = diff(*[load(lock(tmp_path, str(n) + ".lock", item), tmp_path) for n, item in enumerate(items)])
    rows = [line for line in comparing.markdown(found) if "kafka-clients`" in line]
    assert rows == ["| `maven:org.apache.kafka:kafka-clients` | `A \\| B 'c' d` | `Apache-2.0` |"]


def test_what_is_nothing_to_compare_is_a_wrong_call(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "nonsense").write_text("nonsense")
    for name in ("none", "7", "", str(tmp_path / "empty"), str(tmp_path / "nonsense")):
        with pytest.raises(UsageError):
            load(name, tmp_path)
    with pytest.raises(WorldError, match="nothing is published"):
        load("current", tmp_path)


def release(folder: Path, sums: bytes) -> Path:
    source = Path(lock(folder, "catalogue.lock", jar("3.4.0")))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    (folder / "release.json").write_text(
        json.dumps(
            {"format": 1, "serial": 1, "root_digest": "0" * 64, "lock_digest": digest, "entries": ["kafka"],
             "groups": ["kafka"], "files": 1, "date": ""}
        )
    )  # fmt: skip
    (folder / "SHA512SUMS").write_bytes(sums)
    return folder


@pytest.mark.parametrize(
    "line",
    [b"0" * 128 + b"  ../x", b"0" * 127 + b"  x", b"x", b"", b"0" * 128 + b"  /etc/passwd", b"\xff" * 9,
     b"0" * 128 + b"  release.json", b"0" * 128 + b"  gone"],
)  # fmt: skip
def test_damaged_sums_are_refused(tmp_path: Path, line: bytes) -> None:
    folder = release(tmp_path / "release", line + b"\n")
    with pytest.raises(WorldError, match=r"SHA512SUMS|cannot be read"):
        load(str(folder), tmp_path)


@given(st.binary(max_size=100))
def test_any_sums_are_read_or_refused(tmp_path_factory: Any, raw: bytes) -> None:
    folder = release(tmp_path_factory.mktemp("any") / "release", raw)
    try:
        found = load(str(folder), folder)
    except WorldError:
        return
    assert set(found.files) == {"SHA512SUMS"}

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from mirror import lock_parser, lockfile
from mirror.lockfile import LockedEntry, LockedFile

PARTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,10}", fullmatch=True).filter(
    lambda part: not part.endswith(".sha512.txt")
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def locked_files(draw: Any) -> Any:
    path = "packages/" + "/".join(draw(st.lists(PARTS, min_size=1, max_size=3)))
    return LockedFile(
        path=path,
        size=draw(st.integers(0, 1 << 40)),
        sha256=draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        sha512=draw(st.from_regex(r"[0-9a-f]{128}", fullmatch=True)),
        entries=("one",),
        source={"kind": "url", "url": draw(TEXT)},
        licence=draw(TEXT),
        evidence={"agreed": draw(st.lists(TEXT, max_size=2))},
        groups=("g",),
        via=draw(st.sampled_from([{}, {"one": ("g:a:jar:1", "g:b:jar:1")}])),
        sha1=draw(st.sampled_from(["", "a" * 40])),
    )


def prefix_free(files: Any) -> bool:
    paths = {item.path for item in files}
    return all(not any(path.startswith(other + "/") for other in paths) for path in paths)


@given(st.lists(locked_files(), max_size=8, unique_by=lambda item: item.path).filter(prefix_free))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, files: Any) -> None:
    path = tmp_path_factory.mktemp("lock") / "catalogue.lock"
    table = {"one": LockedEntry(("g",), "0" * 64)}
    lock = lockfile.save(path, table, files, files)
    again = lockfile.load(path)
    assert again == lock
    assert list(again.files) == sorted(files, key=lambda item: item.path)
    assert lockfile.dumps(table, reversed(files), files).encode() == path.read_bytes()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_usage_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    with pytest.raises(UsageError):
        lockfile.loads(raw, tmp_path_factory.mktemp("lock") / "x.lock")


def document() -> dict[str, Any]:
    row = {
        "path": "a/b.jar", "size": 3, "sha256": "a" * 64, "sha512": "b" * 128, "entries": ["one"],
        "source": {"kind": "maven", "coordinate": "g:a:jar:1"}, "licence": "", "evidence": {},
    }  # fmt: skip
    return {
        "format": 1,
        "entries": {"one": {"digest": "0" * 64, "groups": ["g"]}},
        "files": [row],
        "inputs": [],
    }


def changed(**words: Any) -> dict[str, Any]:
    data = document()
    data["files"][0].update(words)
    return data


def without(key: Any) -> dict[str, Any]:
    data = document()
    del data["files"][0][key]
    return data


BAD: dict[str, Any] = {
    "format newer": {**document(), "format": 2},
    "format a word": {**document(), "format": "1"},
    "format true": {**document(), "format": True},
    "no format": {key: value for key, value in document().items() if key != "format"},
    "unknown key": {**document(), "extra": 1},
    "no inputs": {key: value for key, value in document().items() if key != "inputs"},
    "not an object": [],
    "files an object": {**document(), "files": {}},
    "file a number": {**document(), "files": [1]},
    "two files at one path": {**document(), "files": document()["files"] * 2},
    "file and folder": {**document(), "files": [*document()["files"], *changed(path="a/b.jar/c")["files"]]},
    "unknown key in a file": changed(extra=1),
    "size negative": changed(size=-1),
    "size text": changed(size="3"),
    "size true": changed(size=True),
    "sha256 short": changed(sha256="a" * 63),
    "sha256 upper case": changed(sha256="A" * 64),
    "sha512 null": changed(sha512=None),
    "path absolute": changed(path="/etc/passwd"),
    "path escapes": changed(path="a/../../b"),
    "path with a dot": changed(path="./a"),
    "path hidden": changed(path="a/.ssh"),
    "path empty": changed(path=""),
    "path with a newline": changed(path="a\nb"),
    "path backslash": changed(path="a\\b"),
    "path that the release makes": changed(path="SHA512SUMS"),
    "sidecar that the release makes": changed(path="a.tgz.sha512.txt"),
    "index that the release makes": changed(path="mirror_python/simple/x/index.html"),
    "entries empty": changed(entries=[]),
    "entries unknown": changed(entries=["two"]),
    "entries text": changed(entries="one"),
    "source without kind": changed(source={}),
    "source a list": changed(source=[]),
    "licence null": changed(licence=None),
    "evidence null": changed(evidence=None),
    "via a list": changed(via=[]),
    "sha1 too short": changed(sha1="a" * 39),
    "sha1 a number": changed(sha1=1),
    "via of nothing": changed(via={"one": []}),
    "via another entry": changed(via={"two": ["g:a:jar:1"]}),
    "no sha512": without("sha512"),
    "no path": without("path"),
    "entry without groups": {**document(), "entries": {"one": {"digest": "0" * 64}}},
    "entry with a bad digest": {**document(), "entries": {"one": {"digest": "x", "groups": ["g"]}}},
}


def test_the_unchanged_document_is_accepted(tmp_path: Path) -> None:
    lock = lockfile.loads(json.dumps(document()).encode(), tmp_path / "x.lock")
    assert lock.file("a/b.jar").groups == ("g",)
    assert lock.of_entry("one") == lock.files
    assert lock.file("a/b.jar").name == "b.jar"


@pytest.mark.parametrize("case", BAD)
def test_a_bad_lock_is_refused_with_file_and_cure(tmp_path: Path, case: str) -> None:
    with pytest.raises(UsageError) as caught:
        lockfile.loads(json.dumps(BAD[case], indent=1).encode(), tmp_path / "x.lock")
    assert str(tmp_path / "x.lock") in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    ("case", "line"),
    [("size negative", 2), ("path escapes", 2), ("format newer", 1), ("entry with a bad digest", 3)],
)
def test_the_error_names_the_line(tmp_path: Path, case: str, line: int) -> None:
    data = BAD[case]
    text = "\n".join([
        f'{{"format": {json.dumps(data["format"])}, "entries": {{}}, "inputs": [], "files": [',
        json.dumps(data["files"][0]),
        "]}",
    ])  # fmt: skip
    if "entry" in case:
        text = (
            '{"format": 1, "files": [], "inputs": [],\n"entries": {\n' + json.dumps(data["entries"])[1:] + "}"
        )
    if "format" not in case and "entry" not in case:
        text = text.replace('"entries": {}', '"entries": ' + json.dumps(data["entries"]))
    with pytest.raises(UsageError) as caught:
        lockfile.loads(text.encode(), tmp_path / "x.lock")
    assert caught.value.message.startswith(f"{tmp_path / 'x.lock'}:{line}: ")


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"format": 1, "format": 1}', "nul", "\udcff", '{"format": NaN}']
)
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        lockfile.loads(text.encode("utf-8", "surrogateescape"), tmp_path / "x.lock")


def test_a_missing_lock_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        lockfile.load(tmp_path / "none.lock")
    assert "mirror.lock" in caught.value.cure


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    lock = lockfile.loads(json.dumps(document()).encode(), tmp_path / "x.lock")
    for ask in (lambda: lock.file("a/b.jr"), lambda: lock.of_entry("on"), lambda: lock.select(["onn"])):
        with pytest.raises(UsageError) as caught:
            ask()
        assert caught.value.cure


def test_lines_are_looked_for_only_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(*_: Any) -> int:
        raise AssertionError("a scan of the whole text per file is slow")

    monkeypatch.setattr(lock_parser._Parser, "_find", scan)
    data = document()
    row = data["files"][0]
    data["files"] = [{**row, "path": f"p/{number}.jar"} for number in range(2000)]
    assert len(lockfile.loads(json.dumps(data).encode(), tmp_path / "x.lock").files) == 2000


def test_selection_is_by_entry_even_where_a_file_is_shared(tmp_path: Path) -> None:
    data = document()
    data["entries"]["two"] = {"digest": "1" * 64, "groups": ["h"]}
    data["files"][0]["entries"] = ["one", "two"]
    lock = lockfile.loads(json.dumps(data).encode(), tmp_path / "x.lock")
    assert lock.select(["h"]) == ("two",)
    assert lock.select([]) == ("one", "two")
    assert lock.files_of(["two"]) == lock.files
    assert lock.files[0].groups == ("g", "h")


def test_what_is_there_on_request_is_picked_by_name_only(tmp_path: Path) -> None:
    data = document()
    data["entries"]["two"] = {"digest": "1" * 64, "groups": ["h", "on-request"]}
    lock = lockfile.loads(json.dumps(data).encode(), tmp_path / "x.lock")
    assert lock.select([]) == ("one",)
    assert lock.select(["two"]) == lock.select(["h"]) == lock.select(["on-request"]) == ("two",)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UsageError
from mirror import catalogue, comparing, explain, lockfile
from mirror.lockfile import Lock, LockedEntry, LockedFile

CATALOGUE = """\
format: 1
entries:
  jars:
    kind: maven
    groups: [kafka]
    closure: true
    repository: mirror_maven
    artifacts:
      - {artifact: "g:a", versions: ["1"]}
  archive:
    kind: file
    groups: [misc]
    path: x.tgz
    url: http://127.0.0.1:1/x.tgz
"""
SIGNER = "A" * 40


def row(path: str, entry: str, **words: object) -> LockedFile:
    source = {"kind": "url", "url": f"http://127.0.0.1:1/{path}"}
    plain = LockedFile(path, 3, "a" * 64, "b" * 128, (entry,), source)
    return replace(plain, **words)  # type: ignore[arg-type]  # a test names any field


def jar(name: str, **words: object) -> LockedFile:
    source = {"kind": "maven", "coordinate": f"g:{name}:jar:1"}
    return row(f"mirror_maven/g/{name}/1/{name}-1.jar", "jars", source=source, **words)


A = jar(
    "a", evidence={"agreed": ["sha1"], "signature": "verified", "signers": [SIGNER], "hashes": ["SHA256"]}
)
B = jar("b", via={"jars": ("g:a:jar:1",)})
X = row("x.tgz", "archive", source={"kind": "built", "input": "python/x.tar.gz", "project": "b"})
INPUT = row("python/x.tar.gz", "archive")


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Path]:
    path = tmp_path / "catalogue.yml"
    path.write_text(CATALOGUE)
    lock(path)
    return path, tmp_path / "catalogue.lock"


def lock(path: Path, *files: LockedFile, inputs: tuple[LockedFile, ...] = (INPUT,)) -> Lock:
    table = {item.name: LockedEntry(item.groups, item.digest) for item in catalogue.load(path).entries}
    return lockfile.save(path.with_suffix(".lock"), table, files or (A, B, X), inputs)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (A.path, [A.path]),
        ("a-1.jar", [A.path]),
        ("g:a:jar:1", [A.path]),
        ("g:b", [B.path]),
        ("b", [B.path, X.path]),  # an artifact and a Python project
        ("python/x.tar.gz", [INPUT.path]),
    ],
)
def test_a_file_is_found_by_any_of_its_names(world: tuple[Path, Path], name: str, paths: list[str]) -> None:
    assert [item.path for item in explain.find(lockfile.load(world[1]), name)] == paths


@pytest.mark.parametrize(
    ("name", "offer"), [("a-1.jr", "a-1.jar"), ("tgz", "x.tgz"), ("qqqqq", "mirror.list")]
)
def test_what_is_not_locked_is_a_usage_error(world: tuple[Path, Path], name: str, offer: str) -> None:
    with pytest.raises(UsageError) as caught:
        explain.find(lockfile.load(world[1]), name)
    assert offer in caught.value.cure


def test_evidence_names_signer_and_the_parts_of_what_is_made_here(world: tuple[Path, Path]) -> None:
    loaded = lockfile.load(world[1])
    told = explain.evidence(loaded, loaded.file(A.path))
    assert (told["agreed"], told["signature"], told["signers"]) == (["sha1"], "verified", [SIGNER])
    assert f"verified ({SIGNER})" in "\n".join(explain.evidence_text(loaded, A))
    (part,) = explain.evidence(loaded, loaded.file("x.tgz"))["made_from"]
    assert part["path"] == INPUT.path
    assert any(INPUT.path in line for line in explain.evidence_text(loaded, loaded.file("x.tgz")))


def test_why_tells_entry_groups_and_the_way(world: tuple[Path, Path]) -> None:
    loaded = lockfile.load(world[1])
    (reason,) = explain.why(loaded, loaded.file(B.path))
    assert (reason["entry"], reason["groups"], reason["via"]) == ("jars", ["kafka"], ["g:a:jar:1"])
    assert "g:a:jar:1 -> it" in explain.why_text(reason)
    (needed,) = explain.why(loaded, loaded.inputs[0])
    assert needed["needed_for"] == ["x.tgz"]
    assert "to make x.tgz" in explain.why_text(needed)


def reasons(world: tuple[Path, Path]) -> str:
    return "\n".join(f"{fault.entry} {fault.reason}" for fault in comparing.check(*world))


def test_a_lock_that_follows_has_no_fault(world: tuple[Path, Path]) -> None:
    assert comparing.check(*world) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('versions: ["1"]', 'versions: ["2"]', "jars has changed"),
        ("groups: [misc]", "groups: [other]", "archive has changed"),
        ("  archive:", "  another:", "archive is locked, and not in the catalogue\nanother is not locked"),
    ],
)
def test_each_entry_that_changed_is_named(world: tuple[Path, Path], old: str, new: str, said: str) -> None:
    world[0].write_text(CATALOGUE.replace(old, new))
    assert said in reasons(world)


def test_missing_files_missing_inputs_and_edits_are_faults(
    world: tuple[Path, Path],
) -> None:
    lock(world[0], A, B)
    assert "archive is locked without a file" in reasons(world)
    lock(world[0], inputs=())
    assert "archive needs python/x.tar.gz" in reasons(world)
    lock(world[0])
    world[1].write_text(world[1].read_text().replace('"size": 3', '"size":  3'))
    assert "was edited" in reasons(world)


def test_a_policy_on_signatures_is_checked_offline(world: tuple[Path, Path]) -> None:
    signed = CATALOGUE.replace(
        "closure: true", f"closure: true\n    signers: [{SIGNER}]\n    require: signature"
    )
    world[0].write_text(signed)
    lock(world[0])
    assert reasons(world) == f"jars {B.path} lacks a signature of its signers"
    lock(world[0], A, X)
    assert reasons(world) == ""
    world[0].write_text(signed.replace(SIGNER, "B" * 40))
    lock(world[0], A, X)
    assert A.path in reasons(world)


def test_the_difference_of_two_locks(world: tuple[Path, Path]) -> None:
    old = lockfile.load(world[1])
    table = {
        **old.entry_table,
        "jars": LockedEntry(("kafka",), "1" * 64),
        "new": LockedEntry(("g",), "2" * 64),
    }
    changed = replace(old.file(A.path), sha256="c" * 64)
    found = comparing.differences(old, table, [changed, old.file("x.tgz"), row("y", "new")], old.inputs)
    assert [(item.path, item.how) for item in found] == [
        ("new", "entry added"),
        ("jars", "entry changed in the catalogue"),
        (A.path, "changed: sha256"),
        (B.path, "removed"),
        ("y", "added"),
    ]
    assert comparing.differences(old, old.entry_table, old.files, old.inputs) == ()

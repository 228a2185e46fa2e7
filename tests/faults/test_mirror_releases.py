from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirror.build import BuildRequest, build
from tests.faults.mirror_world import ROOT, World

FIRST = {f"file{number}.tgz": os.urandom(3000) for number in range(3)}
SECOND = {"file0.tgz": b"another file0", "file1.tgz": FIRST["file1.tgz"], "new.tgz": b"new"}


@pytest.fixture
def two(world: World) -> World:
    """Release 1 holds ``FIRST``, release 2 ``SECOND``, which is current."""
    for bodies in (FIRST, SECOND):
        world.write(dict(bodies))
        run(world, "build", "--allow-shrink")
    return world


def run(world: World, task: str, *words: Any, code: int = 0) -> Any:
    done = world.command(task, "--json", *words)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def digests(world: World) -> set[str]:
    return {path.name for path in (world.root / "store" / "sha256").glob("*/*")}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def audited(world: World, bodies: Any) -> None:
    world.bodies = bodies
    world.assert_whole()
    done = world.command("audit")
    assert done.returncode == 0, done.stderr


def test_releases_are_listed_with_what_an_operator_asks_about(two: World) -> None:
    first, second = run(two, "releases")
    assert (first["serial"], first["current"]) == (1, False)
    assert (second["serial"], second["current"]) == (2, True)
    assert second["signers"] == []
    assert first["groups"] == ["all-of-it"]
    text = two.command("releases").stdout.splitlines()
    assert text[1].startswith("* ")
    assert second["root_digest"][:12] in text[1]
    (two.root / "releases" / "1" / "release.json").unlink()
    assert "cannot be read" in run(two, "releases")[0]["fault"]
    assert "cannot be read" in two.command("releases").stdout


def test_no_release_is_said(world: World) -> None:
    world.write(dict(FIRST))
    assert run(world, "releases") == []
    assert "nothing is published" in run(world, "rollback", code=1)
    assert "nothing is published" in run(world, "gc", "--keep", 1, code=1)
    (world.folder / "docroot").mkdir()
    assert "nothing is published" in run(world, "publish", "--into", world.folder / "docroot", code=1)
    assert not world.root.exists()
    assert list((world.folder / "docroot").iterdir()) == []


def test_a_rollback_is_a_new_serial_over_the_old_content(two: World) -> None:
    old, present = run(two, "releases")
    report = run(two, "rollback")
    assert (report["serial"], report["content_of"], report["rollback_of"]) == (3, 1, 2)
    assert report["root_digest"] == old["root_digest"] != present["root_digest"]
    assert report["added"] == sorted(
        f"mirror_misc/{name}{suffix}" for name in ("file2.tgz",) for suffix in ("", ".sha512.txt")
    )
    assert "mirror_misc/file0.tgz" in report["changed"]
    assert "mirror_misc/new.tgz" in report["removed"]
    two.bodies = FIRST
    two.assert_whole()
    assert two.current().name == "3"
    assert (two.current() / "mirror_misc" / "file2.tgz").samefile(two.store_path("file2.tgz"))
    row = run(two, "releases")[-1]
    assert (row["current"], row["same_tree_as"], row["rollback_of"]) == (True, 1, 2)
    assert len(two.upstream.asked) == 5, "nothing is fetched by going back"
    done = two.command("audit")
    assert "another lock" in done.stderr
    assert done.returncode == 0


def test_twice_back_is_forth(two: World) -> None:
    run(two, "rollback")
    assert run(two, "rollback")["content_of"] == 2
    audited(two, SECOND)


def test_what_to_go_back_to_must_be_there_and_be_something_else(two: World) -> None:
    assert "there are: 1, 2" in run(two, "rollback", "--to", 7, code=2)
    assert "published already" in run(two, "rollback", "--to", 2, code=2)
    assert run(two, "rollback", "--to", 1)["serial"] == 3
    assert "published already" in run(two, "rollback", "--to", 1, code=2)


def test_only_one_release_is_no_way_back(world: World) -> None:
    world.write(dict(FIRST))
    run(world, "build")
    assert "no older release" in run(world, "rollback", code=2)


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["missing", "changed", "replaced", "extra", "renamed", "date"])
def test_a_damaged_old_tree_is_refused_by_name(two: World, damage: str) -> None:
    path = two.root / "releases" / "1" / "mirror_misc" / "file2.tgz"
    named = "mirror_misc/file2.tgz"
    if damage == "missing":
        path.unlink()
        named = "files are missing"
    elif damage == "changed":
        rewrite(path, b"x" * 3000)
    elif damage == "replaced":
        path.unlink()
        path.write_bytes(FIRST["file2.tgz"])
    elif damage == "extra":
        path.with_name("extra").write_bytes(b"x")
        named = "mirror_misc/extra"
    elif damage == "renamed":
        path.rename(path.with_name("other.tgz"))
        named = "files are missing"
    else:
        os.utime(path, (0, 0))
    before = two.current()
    assert named in run(two, "rollback", code=1)
    assert two.current() == before
    assert len(run(two, "releases")) == 2


def test_a_damaged_present_release_does_not_bar_the_way_back(two: World) -> None:
    (two.current() / "mirror_misc" / "new.tgz").unlink()
    run(two, "rollback")
    two.bodies = FIRST
    two.assert_whole()


def test_gc_drops_old_releases_and_what_only_they_needed(two: World) -> None:
    planned = run(two, "gc", "--keep", 1, "--grace", 0, "--dry-run")
    assert (planned["dropped"], planned["kept"]) == ([1], [2])
    assert sha256(FIRST["file2.tgz"]) in digests(two)
    report = run(two, "gc", "--keep", 1, "--grace", 0)
    assert {**report, "dry_run": True} == planned
    assert report["bytes"] > len(FIRST["file0.tgz"]) + len(FIRST["file2.tgz"])
    assert sha256(FIRST["file2.tgz"]) not in digests(two)
    assert sha256(FIRST["file1.tgz"]) in digests(two), "the one that stays needs it"
    assert [row["serial"] for row in run(two, "releases")] == [2]
    audited(two, SECOND)
    again = run(two, "gc", "--keep", 1, "--grace", 0)
    assert (again["dropped"], again["blobs"], again["bytes"]) == ([], 0, 0)
    two.write(dict(FIRST))
    assert run(two, "build", "--allow-shrink")["serial"] == 3
    audited(two, FIRST)


def test_gc_waits_for_those_who_still_read_a_release(two: World) -> None:
    """A reader that follows `current` may be in the tree that was replaced a moment ago."""
    report = run(two, "gc", "--keep", 1)
    assert (report["dropped"], report["waiting"], report["blobs"]) == ([], [1], 0)
    assert "a short while ago" in run(two, "gc", "--drop", 1, code=2)
    os.utime(two.root / "releases" / "2", (0, 0))  # when release 1 was replaced
    assert run(two, "gc", "--keep", 1)["dropped"] == [1]


def test_gc_refuses_what_is_served_and_what_is_not_there(two: World) -> None:
    text = run(two, "gc", "--drop", 2, "--grace", 0, code=2)
    assert "is served now" in text
    assert "cure:" in text
    assert "there are: 1, 2" in run(two, "gc", "--drop", "1,9", "--grace", 0, code=2)
    for words in (["--drop", "x"], ["--drop", "²"], ["--drop", "-1"], ["--keep", -1], []):
        run(two, "gc", *words, code=2)
    assert [row["serial"] for row in run(two, "releases")] == [1, 2]
    assert run(two, "gc", "--drop", 1, "--grace", 0)["dropped"] == [1]


def test_gc_keeps_the_current_release_also_when_it_is_the_oldest(two: World) -> None:
    link = two.root / "current"
    link.unlink()
    link.symlink_to("releases/1")
    report = run(two, "gc", "--keep", 1, "--grace", 0)
    assert report["kept"] == [1, 2]
    audited(two, FIRST)


def test_gc_keeps_the_quarantine_unless_told(two: World) -> None:
    path = two.store_path("new.tgz")
    before = path.stat()
    rewrite(path, b"bad")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert two.command("repair").returncode == 0
    quarantine = two.root / "store" / "quarantine"
    assert run(two, "gc", "--keep", 9)["quarantined"] == 0
    assert len(list(quarantine.iterdir())) == 1
    assert run(two, "gc", "--quarantine")["quarantined"] == 1
    assert list(quarantine.iterdir()) == []


def test_gc_leaves_alone_what_a_broken_off_build_has_brought_in_lately(two: World) -> None:
    blob = b"of no release yet"
    path = two.root / "store" / "sha256" / sha256(blob)[:2] / sha256(blob)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(blob)
    assert run(two, "gc", "--keep", 9)["blobs"] == 0
    assert path.exists()
    assert run(two, "gc", "--keep", 9, "--grace", 0)["blobs"] == 1
    assert not path.exists()


def test_going_back_and_dropping_wait_for_nobody_at_work(two: World) -> None:
    with (two.root / ".builder.lock").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        run(two, "rollback", code=3)
        run(two, "gc", "--keep", 1, "--grace", 0, code=3)
        assert run(two, "gc", "--keep", 1, "--grace", 0, "--dry-run")["dropped"] == [1]
    assert [row["serial"] for row in run(two, "releases")] == [1, 2]


def compare(world: World, *words: Any, code: int = 1) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "core.program", "mirror.diff", *map(str, words), "--root", str(world.root)],
        cwd=ROOT, env=world.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code < 2 else done.stderr


def test_releases_locks_and_other_roots_are_compared(two: World) -> None:
    found = json.loads(compare(two, 1, "current", "--json"))
    assert found["same"] is False
    assert found["added"]["mirror_misc/new.tgz"] == len(SECOND["new.tgz"])
    assert found["removed"]["mirror_misc/file2.tgz"] == 3000
    assert found["changed"]["mirror_misc/file0.tgz"] == len(SECOND["file0.tgz"])
    locked = sum(len(SECOND[name]) for name in ("file0.tgz", "new.tgz"))
    assert found["wire_bytes"] > locked
    assert "mirror_misc/new.tgz" in compare(two, 1, 2)
    assert "| added | `mirror_misc/new.tgz` |" in compare(two, 1, 2, "--markdown")
    assert json.loads(compare(two, two.lock, 2, "--json", code=0))["same"] is True
    other = two.folder / "other"
    shutil.copytree(two.root, other, symlinks=True)
    for name in (other, other / "current", other / "releases" / "2"):
        assert "same files" in compare(two, name, 2, code=0)
    run(two, "rollback")
    assert "same files" in compare(two, 1, "current", code=0)
    assert "there are: 1, 2, 3" in compare(two, 1, 9, code=2)
    assert "no release and no lock" in compare(two, 1, "nothing", code=2)


def test_a_damaged_release_is_not_compared(two: World) -> None:
    (two.root / "releases" / "1" / "SHA512SUMS").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "core.program", "mirror.diff", "1", "2", "--root", str(two.root)],
        cwd=ROOT, env=two.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "SHA512SUMS: cannot be read" in done.stderr


def test_a_release_of_another_version_of_this_program_is_audited_and_gone_back_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is generated may change from version to version; a release stays what it was published as."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder / "cache"))
    world.write(dict(FIRST))
    with monkeypatch.context() as other:
        other.setattr("mirror.pages.files", lambda *_: {"index.html": b"another page"})
        build(BuildRequest(world.catalogue, world.lock, world.root))
    audited(world, FIRST)
    page = world.current() / "index.html"
    before = page.stat()
    rewrite(page, b"damaged page")
    os.utime(page, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = world.command("audit")
    assert done.returncode == 1
    assert "changed: index.html" in done.stderr
    rewrite(page, b"another page")
    os.utime(page, ns=(before.st_atime_ns, before.st_mtime_ns))
    page.chmod(0o444)
    world.write(dict(SECOND))
    run(world, "build", "--allow-shrink")
    assert run(world, "rollback")["content_of"] == 1
    assert (world.current() / "index.html").read_bytes() == b"another page"
    audited(world, FIRST)


@pytest.mark.parametrize("data", [b"", b"{}", b"nonsense"])
def test_a_damaged_record_is_replaced_by_a_build_that_verifies(two: World, data: bytes) -> None:
    rewrite(two.current() / "release.json", data)
    for task, words in (("build", []), ("rollback", []), ("gc", ["--keep", 1]), ("audit", [])):
        assert "--verify" in run(two, task, *words, code=1)
    assert run(two, "build", "--verify")["serial"] == 3
    audited(two, SECOND)
    assert run(two, "gc", "--keep", 1, "--grace", 0)["dropped"] == [1, 2]
    audited(two, SECOND)

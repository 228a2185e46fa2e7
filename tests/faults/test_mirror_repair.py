from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mirror_world import World
from tests.faults.upstream import flipped, status, tgz

BODIES = {f"file{number}.tgz": tgz(os.urandom(3000) * 20) for number in range(4)}
FIRST = "file0.tgz"


@pytest.fixture
def built(world: World) -> Any:
    world.write(dict(BODIES))
    done = world.command("build")
    assert done.returncode == 0, done.stderr
    return world


def damage(path: Path, data: bytes) -> None:
    """Change the bytes and keep the date, like a failing disk."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(0o444)


def repair(world: World, code: int = 0) -> Any:
    done = world.command("repair", "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def root_digest(world: World) -> Any:
    return json.loads((world.current() / "release.json").read_text())["root_digest"]


def test_all_kinds_of_damage_are_repaired_and_the_second_run_finds_none(built: World) -> None:
    before, digest = built.current(), root_digest(built)
    damage(built.store_path(FIRST), flipped(BODIES[FIRST]))
    (before / "mirror_misc" / "file1.tgz").unlink()
    (before / "mirror_misc" / "extra.tgz").write_bytes(b"extra")
    built.store_path("file2.tgz").unlink()
    damage(before / "SHA512SUMS", b"nonsense")
    asked = len(built.upstream.asked)
    report = repair(built)
    assert report["changed"] == ["SHA512SUMS", f"mirror_misc/{FIRST}"]
    assert report["missing"] == ["mirror_misc/file1.tgz"]
    assert report["extra"] == ["mirror_misc/extra.tgz"]
    assert report["published"] is True
    assert len(built.upstream.asked) == asked, "the cache had it all"
    assert root_digest(built) == digest
    kept = [Path(path).read_bytes() for path in report["set_aside"]]
    assert sorted(kept) == sorted([flipped(BODIES[FIRST]), b"nonsense"])
    built.assert_whole()
    assert built.command("audit").returncode == 0
    again = repair(built)
    assert again["published"] is False
    assert again["set_aside"] == again["changed"] == again["missing"] == again["extra"] == []


def test_what_the_cache_lacks_is_fetched(built: World) -> None:
    damage(built.store_path(FIRST), flipped(BODIES[FIRST]))
    damage(built.cache_path(FIRST), flipped(BODIES[FIRST]))
    report = repair(built)
    assert (report["requests"], report["fetched_bytes"]) == (1, len(BODIES[FIRST]))
    built.assert_whole()
    assert built.command("audit").returncode == 0


def test_damage_in_a_blob_that_no_release_uses_is_set_aside_and_nothing_is_published(built: World) -> None:
    built.write({name: BODIES[name] for name in list(BODIES)[1:]})
    assert built.command("build", "--allow-shrink").returncode == 0
    before = built.current()
    blobs = (built.root / "store" / "sha256").glob("*/*")
    (unused,) = [blob for blob in blobs if blob.read_bytes() == BODIES[FIRST]]
    damage(unused, b"x")
    report = repair(built)
    assert report["store"] == [unused.name]
    assert report["published"] is False
    assert built.current() == before
    assert not unused.exists()
    assert built.command("audit").returncode == 0


@pytest.mark.parametrize(("answer", "code"), [(status(404), 4), (flipped(BODIES[FIRST]), 1)])
def test_what_cannot_be_repaired_is_named_and_nothing_is_lost(built: World, answer: Any, code: int) -> None:
    before, bad = built.current(), flipped(BODIES[FIRST])
    damage(built.store_path(FIRST), bad)
    built.cache_path(FIRST).unlink()
    built.upstream.set(f"/{FIRST}", answer)
    assert FIRST in repair(built, code)
    assert built.current() == before
    (kept,) = (built.root / "store" / "quarantine").iterdir()
    assert kept.read_bytes() == bad
    built.upstream.set(f"/{FIRST}", BODIES[FIRST])
    repair(built)
    built.assert_whole()
    assert built.command("audit").returncode == 0


def test_a_damaged_lock_in_the_release_is_replaced_by_the_same_one(built: World) -> None:
    damage(built.current() / "catalogue.lock", b"{}")
    repair(built)
    assert built.command("audit").returncode == 0


def test_without_the_right_lock_nothing_is_touched(built: World) -> None:
    damage(built.current() / "catalogue.lock", b"{}")
    built.lock.write_text(built.lock.read_text().replace('"absent"', '"unknown"') + "\n")
    assert "--lock" in repair(built, 1)
    assert not (built.root / "store" / "quarantine").exists()


def test_nothing_to_repair_is_said(world: World) -> None:
    world.write({"x.tgz": b"x"})
    assert "nothing is published" in repair(world, 1)
    shutil.rmtree(world.root, ignore_errors=True)

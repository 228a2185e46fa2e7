from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mirror_world import World
from tests.faults.upstream import Upstream, flipped, page, slowly, tgz

BODIES = {f"file{number}.tgz": tgz(os.urandom(3000) * 20) for number in range(6)}
FIRST = "file0.tgz"


@pytest.fixture
def ready(world: World) -> Any:
    world.write(dict(BODIES))
    return world


@pytest.fixture
def built(ready: World) -> Any:
    done = ready.command("build")
    assert done.returncode == 0, done.stderr
    ready.assert_whole()
    return ready


def change(path: Any, data: Any) -> None:
    """Write other bytes to a read-only file and leave its date as it was, like a failing disk."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_build_publishes_all_and_says_so(ready: World) -> None:
    done = ready.command("build", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["published"] is True
    assert report["serial"] == 1
    assert report["requests"] == len(BODIES)
    ready.assert_whole()
    for name in BODIES:
        assert (ready.current() / "mirror_misc" / name).samefile(ready.store_path(name))
        assert not ready.cache_path(name).samefile(ready.store_path(name))
    checked = subprocess.run(
        ["sha512sum", "-c", "--quiet", "SHA512SUMS"], cwd=ready.current(), timeout=60, check=False
    )
    assert checked.returncode == 0
    sidecar = subprocess.run(
        ["sha512sum", "-c", f"{FIRST}.sha512.txt"],
        cwd=ready.current() / "mirror_misc",
        timeout=60,
        check=False,
    )
    assert sidecar.returncode == 0


def test_an_unchanged_lock_makes_no_request_and_publishes_nothing(built: World) -> None:
    before, asked = built.current(), len(built.upstream.asked)
    report = json.loads(built.command("build", "--json").stdout)
    assert (report["published"], report["requests"], report["fetched_bytes"]) == (False, 0, 0)
    assert built.current() == before
    assert len(built.upstream.asked) == asked


def test_another_root_takes_everything_from_the_cache_and_has_the_same_digest(built: World) -> None:
    digest = json.loads((built.current() / "release.json").read_text())["root_digest"]
    asked = len(built.upstream.asked)
    shutil.rmtree(built.root)
    report = json.loads(built.command("build", "--json").stdout)
    assert report["root_digest"] == digest
    assert len(built.upstream.asked) == asked


def test_a_flipped_bit_upstream_is_refused_by_name_and_nothing_is_published(ready: World) -> None:
    ready.upstream.set(f"/{FIRST}", flipped(BODIES[FIRST]))
    done = ready.command("build")
    assert done.returncode == 1
    assert FIRST in done.stderr
    assert "cure:" in done.stderr
    assert ready.current() is None
    assert not ready.store_path(FIRST).exists()
    assert not ready.cache_path(FIRST).exists()


def test_a_failed_build_leaves_the_published_release_and_the_next_one_completes(built: World) -> None:
    before = built.current()
    built.write({**BODIES, "new.tgz": b"new bytes"})
    built.upstream.set("/new.tgz", page())
    done = built.command("build")
    assert done.returncode == 1
    assert "new.tgz" in done.stderr
    assert "web page" in done.stderr
    assert built.current() == before
    built.upstream.set("/new.tgz", b"new bytes")
    assert built.command("build").returncode == 0
    built.assert_whole()


def test_no_network_is_exit_4_after_retries_naming_the_source(ready: World) -> None:
    ready.upstream.close()
    done = ready.command("build")
    assert done.returncode == 4
    assert f"127.0.0.1:{ready.upstream.port}" in done.stderr
    assert "tries" in done.stderr
    assert ready.current() is None


def test_a_flipped_bit_in_the_store_is_found_and_repaired_from_the_cache(built: World) -> None:
    change(built.store_path(FIRST), flipped(BODIES[FIRST]))
    found = built.command("audit")
    assert found.returncode == 1
    assert f"changed: mirror_misc/{FIRST}" in found.stderr
    asked = len(built.upstream.asked)
    done = built.command("build", "--verify")
    assert done.returncode == 0, done.stderr
    assert FIRST in done.stderr
    assert len(built.upstream.asked) == asked
    built.assert_whole()
    assert built.command("audit").returncode == 0


def test_an_ordinary_write_to_the_store_is_noticed_by_the_next_build(built: World) -> None:
    path = built.store_path(FIRST)
    path.chmod(0o644)
    path.write_bytes(flipped(BODIES[FIRST]))
    assert built.command("build").returncode == 0
    built.assert_whole()


def test_a_damaged_blob_never_gets_into_a_new_release(built: World) -> None:
    change(built.store_path(FIRST), flipped(BODIES[FIRST]))
    built.write({**BODIES, "new.tgz": b"new bytes"})
    assert built.command("build").returncode == 0
    built.assert_whole()


def test_a_flipped_bit_in_cache_and_store_is_fetched_again(built: World) -> None:
    for path in (built.store_path(FIRST), built.cache_path(FIRST)):
        change(path, flipped(BODIES[FIRST]))
    done = built.command("build", "--verify")
    assert done.returncode == 0, done.stderr
    assert built.upstream.count(f"/{FIRST}") == 2
    built.assert_whole()


def test_damage_that_cannot_be_repaired_is_refused_by_name_and_nothing_is_published(built: World) -> None:
    before = built.current()
    for path in (built.store_path(FIRST), built.cache_path(FIRST)):
        change(path, flipped(BODIES[FIRST]))
    built.upstream.set(f"/{FIRST}", flipped(BODIES[FIRST]))
    done = built.command("build", "--verify")
    assert done.returncode == 1
    assert FIRST in done.stderr
    assert built.current() == before


def test_audit_names_missing_changed_and_extra(built: World) -> None:
    release = built.current()
    (release / "mirror_misc" / "file1.tgz").unlink()
    (release / "mirror_misc" / "extra.tgz").write_bytes(b"extra")
    change(release / "SHA512SUMS", b"nonsense")
    done = built.command("audit", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["missing"] == ["mirror_misc/file1.tgz"]
    assert report["extra"] == ["mirror_misc/extra.tgz"]
    assert report["changed"] == ["SHA512SUMS"]


def test_audit_finds_damage_in_blobs_that_no_release_uses(built: World) -> None:
    built.write({name: BODIES[name] for name in list(BODIES)[1:]})
    assert built.command("build", "--allow-shrink").returncode == 0
    path = built.root / "store" / "sha256"
    (unused,) = [blob for blob in path.glob("*/*") if blob.read_bytes() == BODIES[FIRST]]
    assert built.command("audit").returncode == 0
    change(unused, b"x")
    done = built.command("audit")
    assert done.returncode == 1
    assert unused.name in done.stderr


def test_a_second_builder_is_told_who_is_at_work(ready: World) -> None:
    ready.upstream.set(f"/{FIRST}", slowly(BODIES[FIRST], 8))
    first = ready.start("from core.program import main; main()")
    try:
        wait_for(lambda: ready.upstream.count(f"/{FIRST}"))
        second = ready.command("build")
        assert second.returncode == 3
        assert f"process {first.pid}" in second.stderr
        assert os.uname().nodename in second.stderr
        assert first.wait(60) == 0
    finally:
        end(first)
    ready.assert_whole()


def test_what_would_be_dropped_is_named_and_kept(built: World) -> None:
    done = built.command("build", "--only", "file1-tgz")
    assert done.returncode == 2
    assert "file0-tgz" in done.stderr
    assert built.command("build", "--only", "file1-tgz", "--keep").returncode == 0
    built.assert_whole()
    assert built.command("build", "--only", "file1-tgz", "--allow-shrink").returncode == 0
    assert sorted(path.name for path in (built.current() / "mirror_misc").glob("*.tgz")) == ["file1.tgz"]


def test_a_dry_run_changes_nothing(ready: World) -> None:
    report = json.loads(ready.command("build", "--dry-run", "--json").stdout)
    assert sorted(item["path"] for item in report["missing"]) == sorted(
        f"mirror_misc/{name}" for name in BODIES
    )
    assert report["bytes"] == sum(map(len, BODIES.values()))
    assert report["fetched_bytes"] == report["bytes"]
    assert not ready.root.exists()
    assert not (ready.folder / "cache").exists()
    assert ready.upstream.asked == []


def test_a_dry_run_says_what_the_cache_has(built: World) -> None:
    shutil.rmtree(built.root)
    built.cache_path(FIRST).unlink()
    report = json.loads(built.command("build", "--dry-run", "--json").stdout)
    assert report["bytes"] == sum(map(len, BODIES.values()))
    assert report["fetched"] == [{"path": f"mirror_misc/{FIRST}", "size": len(BODIES[FIRST])}]
    assert report["fetched_bytes"] == len(BODIES[FIRST])
    assert (
        f"1 files, {len(BODIES[FIRST]) / 1e6:.1f} MB would be fetched"
        in built.command("build", "--dry-run").stdout
    )


@pytest.mark.parametrize(
    ("only", "words"), [("nothing-like-it", "nothing-like-it"), ("all-of-itt", "all-of-it")]
)
def test_an_unknown_group_is_exit_2_with_a_cure(ready: World, only: Any, words: Any) -> None:
    done = ready.command("build", "--only", only)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_catalogue_that_changed_since_locking_is_exit_2(ready: World) -> None:
    ready.catalogue.write_text(ready.catalogue.read_text().replace("mirror_misc/file0", "mirror_misc/other"))
    done = ready.command("build")
    assert done.returncode == 2
    assert "mirror.lock" in done.stderr


def test_a_missing_lock_is_exit_2(ready: World) -> None:
    ready.lock.unlink()
    done = ready.command("build")
    assert done.returncode == 2
    assert "mirror.lock" in done.stderr


def test_killed_during_a_transfer_nothing_is_published_and_the_next_build_completes(ready: World) -> None:
    ready.upstream.set(f"/{FIRST}", slowly(BODIES[FIRST], 30), BODIES[FIRST])
    process = ready.start("from core.program import main; main()")
    try:
        wait_for(lambda: ready.upstream.count(f"/{FIRST}"))
        time.sleep(0.3)
    finally:
        end(process)
    assert ready.current() is None
    assert not ready.cache_path(FIRST).exists()
    assert ready.command("build").returncode == 0
    ready.assert_whole()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """A file system of 4 MB of our own. Mounting wants root: without it this fails, and says so."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_too_little_space_is_said_before_the_first_byte(small_disk: Path, upstream: Upstream) -> None:
    world = World(small_disk, upstream, {})
    world.write({"small.tgz": b"x" * 1000})
    assert world.command("build").returncode == 0
    small = dict(world.bodies)
    world.write({**small, "large.tgz": os.urandom(5_000_000)})
    done = world.command("build")
    assert done.returncode == 5
    assert "MB" in done.stderr
    assert upstream.count("/large.tgz") == 0
    world.bodies = small
    world.assert_whole()


def test_a_disk_that_holds_cache_and_store_must_have_room_for_both(
    small_disk: Path, upstream: Upstream
) -> None:
    world = World(small_disk, upstream, {})
    world.write({"large.tgz": os.urandom(2_000_000)})
    done = world.command("build")
    assert done.returncode == 5
    assert "store needs 2 MB" in done.stderr
    assert "cache of verified files needs 2 MB" in done.stderr
    assert upstream.asked == []


@pytest.mark.parametrize("place", ["cache", "root"])
def test_a_disk_that_fills_up_on_the_way_is_exit_5_and_nothing_is_lost(
    small_disk: Path, tmp_path: Path, upstream: Upstream, place: Any
) -> None:
    """The disk of the cache, or of the mirror, is filled by somebody else during the transfer."""
    world = World(tmp_path / "world", upstream, {})
    world.folder.mkdir()
    target = {"cache": world.folder / "cache", "root": world.root}[place]
    target.symlink_to(small_disk)
    world.write({"small.tgz": b"x" * 1000})
    assert world.command("build").returncode == 0
    small = dict(world.bodies)
    body = os.urandom(1_500_000)
    world.write({**small, "large.tgz": body})

    def fill(part: Any) -> None:
        if part == 5:
            with (small_disk / "filler").open("wb", buffering=0) as stream:
                try:
                    while stream.write(bytes(1 << 16)):
                        pass
                except OSError:
                    pass

    upstream.set("/large.tgz", slowly(body, 1, before=fill), body)
    done = world.command("build")
    assert done.returncode == 5, done.stderr
    assert "full" in done.stderr or "free" in done.stderr
    world.bodies = small
    world.assert_whole()
    (small_disk / "filler").unlink()
    world.bodies = {**small, "large.tgz": body}
    assert world.command("build").returncode == 0
    world.assert_whole()


def wait_for(condition: Any, seconds: Any = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(process: Any) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def test_one_wrong_file_ends_the_transfers_of_the_others(ready: World) -> None:
    ready.upstream.set(f"/{FIRST}", flipped(BODIES[FIRST]))
    ready.upstream.set("/file1.tgz", slowly(BODIES["file1.tgz"], 60, parts=600))
    done = ready.command("build", timeout=50)  # less than that transfer would take
    assert done.returncode == 1
    assert FIRST in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_is_exit_130_and_publishes_nothing(ready: World, number: Any) -> None:
    ready.upstream.set(f"/{FIRST}", slowly(BODIES[FIRST], 60, parts=600), BODIES[FIRST])
    process = ready.start("from core.program import main; main()")
    try:
        wait_for(lambda: ready.upstream.count(f"/{FIRST}"))
        process.send_signal(number)
        _, err = process.communicate(timeout=40)
    finally:
        end(process)
    assert process.returncode == 130, err
    assert ready.current() is None
    assert ready.command("build").returncode == 0

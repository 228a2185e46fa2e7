from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import WorldError
from mirror.audit import audit
from mirror.build import BuildReport, BuildRequest, build
from tests.faults.mirror_world import ROOT, World
from tests.faults.spoilers import SPOILERS
from tests.faults.upstream import Ranged, tgz
from tests.fullness import FULL

OLD = {f"file{number}.tgz": tgz(os.urandom(3000) * 20) for number in range(3)}
LARGE = os.urandom(3 << 20)  # more than a chunk: its transfer leaves notes on the way
NEW = {**OLD, "new.tgz": b"new one", "large.tgz": LARGE}


@pytest.fixture
def built(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A world with ``OLD`` published, catalogue and lock for ``NEW``, and a copy of that state beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder / "cache"))
    monkeypatch.setattr("core.console.settings.quiet", True)
    world.write(dict(OLD))
    finish(world)
    subprocess.run(["cp", "-a", world.folder, saved(world)], check=True, timeout=60)
    world.write(dict(NEW))
    world.upstream.set("/large.tgz", Ranged(LARGE))
    return world


def finish(world: World) -> BuildReport:
    return build(BuildRequest(world.catalogue, world.lock, world.root))


def saved(world: World) -> Path:
    return Path(world.folder).with_name(f"{world.folder.name}-saved")


def reset(world: World) -> None:
    for name in ("root", "cache"):
        shutil.rmtree(world.folder / name)
        # cp keeps hard links: the copy must hold each blob once, as the original does.
        subprocess.run(["cp", "-a", saved(world) / name, world.folder / name], check=True, timeout=60)


def killed(world: World, point: int, *, power: bool = False, spoiler: str = "") -> int:
    """Run a build that ends at its ``point``-th change (0: never, -1: at the end); return how many it made.

    With ``power`` what was not durable is lost with it; ``spoiler`` names a fault of the build.
    """
    done = observed(world, "killer", KILL_AT=str(point), KILL_POWER=str(int(power)), KILL_SPOILER=spoiler)
    assert done.returncode == (-signal.SIGKILL if point else 0), done.stderr
    return 0 if point else int(done.stdout.splitlines()[-1])


def observed(world: World, by: str, **told: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-B", "-m", f"tests.faults.{by}", *map(str, world.words("build")[3:])]
    environment = {**world.environment, "KILL_UNDER": str(world.folder), **told}
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_ended_at_any_change_readers_see_a_whole_release_and_the_next_build_completes(
    built: World, power: bool
) -> None:
    """At every write, fsync, rename, link...: a spread, or all of them in a full run."""
    changes = killed(built, 0)
    assert changes > 100
    built.assert_whole()
    if FULL:
        points = list(range(1, changes + 1))
    else:
        # Publishing is at the end, and the point there differs from run to run: other ones each time.
        step = changes // 8
        points = sorted({*range(1 + os.getpid() % step, changes, step), *range(changes - 6, changes)})
    points.append(-1)
    died = 0
    for point in points:
        reset(built)
        try:
            killed(built, point, power=power)
            died += 1
        except AssertionError:
            # Threads make a few changes more or fewer from run to run; only the last points may be beyond.
            assert point > changes - 10, point
        check_after_the_kill(built, point)
    assert died > len(points) // 2


def watched(world: World, spoiler: str = "") -> Any:
    """Run a build that is looked at before each change; return what was seen."""
    done = observed(world, "watcher", WATCH_ROOT=str(world.root), KILL_SPOILER=spoiler)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_at_every_change_a_reader_and_a_machine_without_power_have_a_whole_release(built: World) -> None:
    seen = watched(built)
    assert seen["looked"] > 100
    assert seen["faults"] == []
    built.assert_whole()


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_a_broken_build_is_found_by_looking_and_by_killing_it(built: World, spoiler: str) -> None:
    """What the two tests above rest on: they are red for a build that is broken on purpose."""
    seen = watched(built, spoiler)
    assert seen["faults"]
    reset(built)
    changes = killed(built, 0, spoiler=spoiler)
    found = False
    for point in (-1, *range(changes, changes - 60, -1)):
        reset(built)
        try:
            killed(built, point, power=True, spoiler=spoiler)
            check_after_the_kill(built, point)
        except (AssertionError, OSError, WorldError):
            found = True
            break
    assert found


def check_after_the_kill(world: World, point: int) -> None:
    published = world.current()
    assert published is not None, point
    assert (published / "release.json").is_file(), point
    world.bodies = NEW if (published / "mirror_misc" / "new.tgz").exists() else OLD
    world.assert_whole()
    world.bodies = NEW
    finish(world)
    world.assert_whole()
    report = audit(world.root, world.lock)
    assert report.clean, (point, report)
    assert not list((world.root / "releases").glob(".*")), point
    assert list((world.root / "store" / "tmp").iterdir()) == [], point
    assert not (world.root / ".current.new").exists()
    first = world.root / "releases" / "1" / "mirror_misc"
    assert all((first / name).read_bytes() == body for name, body in OLD.items()), point


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """A file system of 16 MB of our own. Mounting wants root: without it this fails, and says so."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_a_disk_that_is_full_from_any_change_on_is_exit_5_or_does_no_harm(
    small_disk: Path, upstream: Any
) -> None:
    """A spread of the changes, or all of them in a full run. What follows works with room again."""
    world = World(small_disk, upstream, {})
    world.write(dict(OLD))
    assert world.command("build").returncode == 0
    world.write(dict(NEW))
    changes, point, full = 2, 1, 0
    while point <= changes:
        shutil.rmtree(world.folder / "cache")
        done = observed(world, "filler", FILL_AT=str(point))
        assert done.returncode in (0, 5), (point, done.stderr)
        assert "Traceback" not in done.stderr
        if done.returncode == 5:
            full += 1
            assert "cure:" in done.stderr, point
            assert "full" in done.stderr or "free" in done.stderr, (point, done.stderr)
        (world.folder / "filler").unlink(missing_ok=True)
        check_after_the_kill(world, point)
        back_to(world, OLD)
        changes = max(changes, int(done.stdout.splitlines()[-1]))
        point += 1 if FULL else 1 + changes // 9
    assert full > 2


def back_to(world: World, bodies: dict[str, bytes]) -> None:
    """Publish ``bodies`` alone in a new root, and let catalogue and lock be those for ``NEW``."""
    shutil.rmtree(world.root)
    world.write(dict(bodies))
    assert world.command("build").returncode == 0
    world.write(dict(NEW))


def test_a_clock_that_was_set_back_changes_nothing(built: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Past(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(1980, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("mirror.cache.time.time", lambda: 0.0)
    monkeypatch.setattr("mirror.release.datetime", Past)
    leftover = built.folder / "cache" / "flink-on-pnda" / "tmp" / "from-the-future"
    leftover.write_bytes(b"x")
    report = finish(built)
    assert (report.serial, report.published) == (2, True)
    built.assert_whole()
    assert audit(built.root, built.lock).clean
    assert finish(built).published is False


def test_the_killer_counts_every_kind_of_change(tmp_path: Path) -> None:
    """What the sweep rests on: each of these calls is one point."""
    script = """
import os, sys
from pathlib import Path
from tests.faults import killer, seam
counter = killer.Counter()
seam.arm(counter)
folder = Path(os.environ["KILL_UNDER"])
seen = []
handle = os.open(folder / "f", os.O_CREAT | os.O_WRONLY)
def changes(work):
    before = counter.count
    work()
    seen.append(counter.count - before)
stream = []
changes(lambda: stream.append((folder / "a").open("wb")))
changes(lambda: stream[0].write(b"x"))
changes(lambda: os.fsync(stream[0].fileno()))
stream[0].close()
changes(lambda: (folder / "a").rename(folder / "b"))
changes(lambda: (folder / "c").hardlink_to(folder / "b"))
changes(lambda: (folder / "d").symlink_to("b"))
changes(lambda: (folder / "e").mkdir())
changes(lambda: (folder / "b").chmod(0o600))
changes(lambda: os.utime(folder / "b", (0, 0)))
changes(lambda: (folder / "c").unlink())
changes(lambda: (folder / "e").rmdir())
changes(lambda: os.write(handle, b"x"))
changes(lambda: os.pwrite(handle, b"x", 0))
changes(lambda: (folder / "b").read_bytes())
changes(lambda: Path("/etc/hostname").exists())
print(seen)
"""
    environment = {**os.environ, "KILL_AT": "0", "KILL_UNDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == str([1] * 13 + [0, 0]), done.stderr

"""Going back and dropping releases while somebody reads, and while somebody kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from mirror.audit import audit
from mirror.build import BuildRequest, build
from mirror.gc import collect
from mirror.release import Releases
from mirror.rollback import rollback
from tests.faults.mirror_world import ROOT, World

FIRST = {f"file{number}.tgz": os.urandom(3000) for number in range(3)}
SECOND = {"file0.tgz": b"another file0", "file1.tgz": FIRST["file1.tgz"], "new.tgz": b"new"}
_READER = """
import hashlib, json, os, sys
from pathlib import Path
from mirror.contents import unsigned

current, progress, stop = map(Path, sys.argv[1:])
seen, reads, last = set(), 0, 0
while True:
    stopping = stop.exists()
    folder = current.parent / os.readlink(current)
    record = json.loads((folder / "release.json").read_text())
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    rows = [f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\\n"
            for path in paths if unsigned(path)]
    digest = hashlib.sha256("".join(rows).encode()).hexdigest()
    assert digest == record["root_digest"], f"release {record['serial']} is not whole"
    assert record["serial"] >= last, f"after {last} came {record['serial']}"
    seen.add(record["root_digest"])
    last, reads = record["serial"], reads + 1
    progress.write_text(f"{reads}")
    if stopping:
        print(json.dumps({"reads": reads, "trees": len(seen), "last": last}))
        break
"""


@pytest.fixture
def two(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Release 1 holds ``FIRST``, release 2 ``SECOND``, which is current."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder / "cache"))
    monkeypatch.setattr("core.console.settings.quiet", True)
    for bodies in (FIRST, SECOND):
        world.write(dict(bodies))
        build(BuildRequest(world.catalogue, world.lock, world.root, allow_shrink=True))
    return world


def test_a_reader_of_current_sees_only_whole_releases_through_50_publishes_and_rollbacks(two: World) -> None:
    stop = two.folder / "stop"
    progress = [two.folder / f"reads{number}" for number in range(2)]
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", _READER, str(two.root / "current"), str(path), str(stop)],
            cwd=ROOT, env=two.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for path in progress
    ]  # fmt: skip
    try:
        for number in range(25):
            two.write({**SECOND, "counter.tgz": f"{number}".encode()})
            build(BuildRequest(two.catalogue, two.lock, two.root, allow_shrink=True))
            assert rollback(two.root).record.serial == 4 + 2 * number
            collect(two.root, keep=1)  # within the grace: nobody's tree is taken away
            if number % 5 == 0:  # so that each reader has read between them
                _wait_for_reads(progress, readers)
    finally:
        stop.touch()
        found = [reader.communicate(timeout=60) for reader in readers]
    for reader, (out, err) in zip(readers, found, strict=True):
        assert reader.returncode == 0, err
        told = json.loads(out)
        assert told["last"] == 52
        assert told["trees"] > 1
        assert told["reads"] > 5


def _count(path: Path) -> int:
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0


def _wait_for_reads(progress: Any, readers: Any) -> None:
    """Return when each reader has read a whole release since this was called."""
    wanted, end = [_count(path) + 2 for path in progress], time.monotonic() + 60
    while any(_count(path) < count for path, count in zip(progress, wanted, strict=True)):
        assert time.monotonic() < end
        assert all(reader.poll() is None for reader in readers), "a reader ended"
        time.sleep(0.01)


def killed(world: World, point: int, task: str, *words: Any) -> int:
    """Run a task that is killed at its ``point``-th change (0: never); return how many it made."""
    command = [sys.executable, "-B", "-m", "tests.faults.killer", *map(str, world.words(task, *words)[3:])]
    environment = {**world.environment, "KILL_AT": str(point), "KILL_UNDER": str(world.folder)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == (-signal.SIGKILL if point else 0), done.stderr
    return 0 if point else int(done.stdout.splitlines()[-1])


def sweep(world: World, task: str, *words: Any) -> Any:
    """Yield each point (a spread; all with ``PNDA_KILL_POINTS=all``) after a kill there, from one state."""
    saved = world.folder.with_name(f"{world.folder.name}-saved")
    subprocess.run(["cp", "-a", world.root, saved], check=True, timeout=60)
    changes = killed(world, 0, task, *words)
    every = 1 if os.environ.get("PNDA_KILL_POINTS") == "all" else max(1, changes // 14)
    assert changes > 10
    for point in range(1 + os.getpid() % every, changes + 1, every):
        shutil.rmtree(world.root)
        subprocess.run(["cp", "-a", saved, world.root], check=True, timeout=60)
        killed(world, point, task, *words)
        yield point


def check_whole(world: World) -> Any:
    """The published release is ``FIRST`` or ``SECOND``, whole; return which."""
    content = FIRST if (world.current() / "mirror_misc" / "file2.tgz").exists() else SECOND
    world.bodies = content
    world.assert_whole()
    return content


def test_killed_while_going_back(two: World) -> None:
    for point in sweep(two, "rollback"):
        there = check_whole(two)
        try:
            report = rollback(two.root, to=1)
        except UsageError:
            assert there is FIRST, point
        else:
            assert there is SECOND, point
            assert report.record.serial in (3, 4), point
        assert check_whole(two) is FIRST, point
        assert audit(two.root, two.lock).clean, point
        Releases(two.root).sweep()
        assert not list((two.root / "releases").glob(".*")), point
        assert not (two.root / ".current.new").exists()


def test_killed_while_dropping(two: World) -> None:
    expected = None
    for point in sweep(two, "gc", "--keep", 1, "--grace", 0):
        if expected is None:
            expected = _after_gc(two)
        assert check_whole(two) is SECOND, point
        assert audit(two.root, two.lock).clean, point
        assert all(item.record for item in Releases(two.root).all()), "no release is seen half dropped"
        assert _after_gc(two) == expected, point
        assert audit(two.root, two.lock).clean, point


def _after_gc(world: World) -> Any:
    collect(world.root, keep=1, grace=0)
    return sorted(path.relative_to(world.root).as_posix() for path in world.root.rglob("*") if path.is_file())


@pytest.fixture
def full(two: World, tmp_path: Path) -> Any:
    """The same mirror on a disk of its own that is full, and the file that fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = "size=2m,nr_inodes=2000"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=True, timeout=60)
    try:
        subprocess.run(["cp", "-a", two.root, disk / "root"], check=True, timeout=60)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as stream:
            try:
                while True:
                    stream.write(b"x" * 4096)
            except OSError:
                pass
        yield disk / "root", filler
    finally:
        subprocess.run(["umount", disk], check=True, timeout=60)


def test_a_full_disk_while_going_back_leaves_what_was_published(two: World, full: Any) -> None:
    root, filler = full
    done = subprocess.run(
        [sys.executable, "-m", "core.program", "mirror.rollback", "--root", str(root)], cwd=ROOT,
        env=two.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "cure:" in done.stderr
    assert (root / "current").readlink() == Path("releases/2")
    filler.unlink()
    assert rollback(root).record.serial == 3
    assert audit(root, two.lock).clean


def test_a_full_disk_is_what_dropping_is_for(two: World, full: Any) -> None:
    root, _ = full
    report = collect(root, keep=1, grace=0)
    assert report.dropped == (1,)
    assert report.bytes > 0
    assert audit(root, two.lock).clean

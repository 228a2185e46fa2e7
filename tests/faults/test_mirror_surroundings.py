"""Builds in odd surroundings: strange names and places, closed streams, other users, many at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mirror_world import ROOT, World
from tests.faults.upstream import slowly, tgz
from tests.openness import open_to_all

BODIES = {f"file{number}.tgz": tgz(os.urandom(3000) * 20) for number in range(3)}
NOBODY = 65534


@pytest.fixture
def ready(world: World) -> Any:
    world.write(dict(BODIES))
    return world


def run(world: World, task: str, *words: Any, root: Any = None, told: Any = None, **how: Any) -> Any:
    """Run a task with another root, with ``told`` in the environment, or as :mod:`subprocess` is told."""
    line = list(map(str, world.words(task, *words)))
    if root is not None:
        line[line.index("--root") + 1] = str(root)
    environment = {**world.environment, **(told or {})}
    done = subprocess.run(
        line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **how},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "fault of ours" not in done.stderr
    return done


@pytest.mark.parametrize("name", ["with spaces", "wurzel-\xfc-\u65e5\u672c", "ro'ot\"$x;", "-root", "a\nb"])
def test_any_name_will_do_for_a_root(ready: World, name: str) -> None:
    root = ready.folder / name
    assert run(ready, "build", root=root).returncode == 0
    assert run(ready, "audit", root=root).returncode == 0


def test_a_root_may_be_a_link_to_a_folder(ready: World) -> None:
    (ready.folder / "real").mkdir()
    (ready.folder / "link").symlink_to("real")
    assert run(ready, "build", root=ready.folder / "link").returncode == 0
    assert run(ready, "audit", root=ready.folder / "real").returncode == 0
    assert (ready.folder / "link").is_symlink()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", "cure"),
        ("file/below", "a file and not a folder"),
        ("dangling", "in the way"),
        ("circle", "circle"),
        ("x" * 300, "too long"),
        ("/proc/none", "no such folder"),
        ("/dev/null", "cure"),
    ],
)
def test_where_no_folder_can_be_is_exit_5_naming_the_place(ready: World, place: str, words: str) -> None:
    (ready.folder / "file").write_text("mine")
    (ready.folder / "dangling").symlink_to("nowhere")
    (ready.folder / "circle").symlink_to("circle")
    where = ready.folder / place
    as_root = run(ready, "build", root=where)
    as_cache = run(ready, "build", told={"XDG_CACHE_HOME": str(where)})
    for done in (as_root, as_cache):
        assert done.returncode == 5, done.stderr
        assert words in done.stderr
        assert str(where) in done.stderr
        assert "cure:" in done.stderr
    assert (ready.folder / "file").read_text() == "mine"
    assert not (ready.folder / "nowhere").exists()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_is_no_file_to_write_into(ready: World, number: int) -> None:
    """The next file that is opened would get its number, and then what is printed."""
    done = run(ready, "build", preexec_fn=lambda: os.close(number))
    assert done.returncode == 0
    ready.assert_whole()
    assert run(ready, "audit").returncode == 0


def test_an_output_that_is_full_is_exit_5(ready: World) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(ready, "build", "--json", stdout=full)
    assert done.returncode == 5
    assert "output" in done.stderr
    ready.assert_whole()


def test_a_reader_that_goes_away_is_no_fault(ready: World) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        done = run_list(ready, stream)
    assert done.returncode == 0
    assert done.stderr == ""


def run_list(world: World, stream: Any) -> Any:
    line = [*map(str, world.words("lock")[:3]), "mirror.list", "--lock", str(world.lock)]
    return subprocess.run(
        line, cwd=ROOT, env=world.environment, stdout=stream, stderr=subprocess.PIPE, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_without_a_home_the_cache_is_the_users_own_all_the_same(ready: World) -> None:
    """HOME is not set under cron and systemd; the user's home is known to the system."""
    kept = {key: value for key, value in ready.environment.items() if key not in ("HOME",)}
    done = subprocess.run(
        list(map(str, ready.words("build"))), cwd=ROOT, env=kept, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_four_roots_are_built_at_once_with_one_cache(ready: World) -> None:
    ready.upstream.set("/file0.tgz", slowly(BODIES["file0.tgz"], 1))
    roots = [ready.folder / f"root{number}" for number in range(4)]
    started = []
    for root in roots:
        line = list(map(str, ready.words("build", "--json")))
        line[line.index("--root") + 1] = str(root)
        started.append(
            subprocess.Popen(
                line,
                cwd=ROOT,
                env=ready.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 4, told
    assert len({json.loads(out)["root_digest"] for out, _ in told}) == 1
    for root in roots:
        assert run(ready, "audit", root=root).returncode == 0
    assert list((ready.folder / "cache" / "flink-on-pnda" / "tmp").iterdir()) == []


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Any]:
    """A small file system of our own for the cache. Mounting wants root."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_a_cache_on_another_disk_may_be_full_or_read_only_when_it_has_all(
    ready: World, elsewhere: Path
) -> None:
    told = {"XDG_CACHE_HOME": str(elsewhere / "cache")}
    assert run(ready, "build", told=told).returncode == 0
    with (elsewhere / "filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    assert run(ready, "build", told=told, root=ready.folder / "second").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(elsewhere)], check=True, timeout=30)
    assert run(ready, "build", told=told, root=ready.folder / "third").returncode == 0
    assert run(ready, "audit", root=ready.folder / "third").returncode == 0
    ready.write({**BODIES, "more.tgz": tgz(os.urandom(5000))})
    done = run(ready, "build", told=told)
    assert done.returncode == 5
    assert str(elsewhere) in done.stderr
    done = run(ready, "build", root=elsewhere / "root", told=told)
    assert done.returncode == 5
    assert "read-only" in done.stderr


@pytest.mark.parametrize("target", ["releases/99", "/etc", "current", ".."])
def test_a_link_to_no_release_is_said_and_mended_as_the_cure_says(ready: World, target: str) -> None:
    assert run(ready, "build").returncode == 0
    (ready.root / "current").unlink()
    (ready.root / "current").symlink_to(target)
    for task in ("build", "audit", "repair"):
        done = run(ready, task)
        assert done.returncode == 1, (task, done.stderr)
        assert "mirror.build --verify" in done.stderr
    assert run(ready, "build", "--verify").returncode == 0
    ready.assert_whole()
    assert run(ready, "audit").returncode == 0


def test_a_folder_where_the_link_should_be_is_not_ours_to_remove(ready: World) -> None:
    (ready.root / "current").mkdir(parents=True)
    (ready.root / "current" / "mine").write_text("x")
    for task in ("build", "audit"):
        done = run(ready, task)
        assert done.returncode == 1
        assert "not a symbolic link" in done.stderr
    assert (ready.root / "current" / "mine").read_text() == "x"


@pytest.mark.parametrize("name", ["mirror_misc/file0.tgz", "SHA512SUMS"])
def test_a_file_of_the_release_that_became_a_folder_is_found_and_mended(ready: World, name: str) -> None:
    assert run(ready, "build").returncode == 0
    (ready.current() / name).unlink()
    (ready.current() / name).mkdir()
    done = run(ready, "audit")
    assert done.returncode == 1
    assert name in done.stderr
    assert run(ready, "build").returncode == 0
    ready.assert_whole()
    assert run(ready, "audit").returncode == 0


def test_a_blob_that_became_a_folder_or_a_link_is_found_and_mended(ready: World) -> None:
    assert run(ready, "build").returncode == 0
    ready.store_path("file0.tgz").unlink()
    ready.store_path("file0.tgz").mkdir()
    ready.store_path("file1.tgz").unlink()
    ready.store_path("file1.tgz").symlink_to("/etc/hostname")
    assert run(ready, "audit").returncode == 1
    done = run(ready, "build", "--verify")
    assert done.returncode == 0, done.stderr
    ready.assert_whole()
    assert run(ready, "audit").returncode == 0


def test_what_belongs_to_another_user_is_exit_5_and_stays(ready: World) -> None:
    assert run(ready, "build").returncode == 0
    open_to_all(ready.folder)
    before = ready.current()
    ready.write({**BODIES, "more.tgz": b"more"})
    done = run(ready, "build", user=NOBODY, group=NOBODY, told={"HOME": "/nonexistent"})
    assert done.returncode == 5, done.stderr
    assert "permission denied" in done.stderr
    assert str(ready.root) in done.stderr
    assert ready.current() == before
    shutil.rmtree(ready.folder / "cache")
    assert run(ready, "audit", user=NOBODY, group=NOBODY, told={"HOME": "/nonexistent"}).returncode == 0

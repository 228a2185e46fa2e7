from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import DiskError, UpstreamError, UsageError, WorldError
from core.files import sha256_of, write_atomic
from core.process import run


def test_output_and_input_are_kept() -> None:
    done = run(["sh", "-c", "cat; echo oops >&2"], stdin="hello", timeout=10)
    assert (done.stdout, done.stderr, done.code) == ("hello", "oops\n", 0)


def test_a_failure_shows_what_the_program_said() -> None:
    with pytest.raises(UpstreamError, match=r"fetching: exit code 3\nno route") as caught:
        run(
            ["sh", "-c", "echo no route >&2; exit 3"],
            timeout=10,
            what="fetching",
            failure=UpstreamError,
            cure="wait",
        )
    assert caught.value.cure == "wait"


def test_colours_are_left_out_of_what_is_shown() -> None:
    done = run(["printf", "\\033[1;31mbad\\033[0m\\n\\033[0m\\n"], timeout=10)
    assert done.tail() == "bad"


def test_a_missing_program_is_named() -> None:
    with pytest.raises(UsageError, match="no-such-program-here"):
        run(["no-such-program-here"], timeout=1)


def test_the_time_limit_ends_children_too(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with pytest.raises(WorldError, match=r"no end after 0\.5 s"):
        run(["sh", "-c", f"sleep 60 & echo $! > {mark}; wait"], timeout=0.5)
    child = int(mark.read_text())
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


ORPHANS = "setsid sleep 600 & echo $! >>{0}; sleep 600 & echo $! >>{0}; echo $$ >>{0}; wait"


def started(mark: Path, count: int) -> list[int]:
    """Wait until ``count`` processes stand in the file ``mark``, and return them."""
    deadline = time.monotonic() + 60
    while not mark.exists() or len(mark.read_text().split()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(word) for word in mark.read_text().split()]


def wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, pids
        time.sleep(0.05)


def test_what_is_tied_ends_with_its_caller_even_one_that_was_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    script = (
        f"from core.process import run; run(['sh', '-c', {ORPHANS.format(mark)!r}], timeout=600, tied=True)"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[3])
    try:
        pids = started(mark, 3)
    finally:
        caller.kill()
        caller.wait()
    wait_gone(pids)


def test_what_is_tied_ends_as_it_does_alone(tmp_path: Path) -> None:
    done = run(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin="hello", timeout=60, check=False, tied=True)
    assert (done.stdout, done.stderr, done.code) == ("hello", "oops\n", 3)
    assert run(["sh", "-c", "kill -TERM $$"], timeout=60, check=False, tied=True).code == 143
    with pytest.raises(UsageError, match="no-such-program-here"):
        run(["no-such-program-here"], timeout=1, tied=True)
    mark = tmp_path / "pids"
    with pytest.raises(WorldError, match="no end after 5 s"):
        run(["sh", "-c", ORPHANS.format(mark)], timeout=5, tied=True)
    wait_gone(started(mark, 3))


def test_an_interruption_ends_what_other_threads_run(tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    script = (
        "from core.process import run, threads\n"
        f"words = ['sh', '-c', 'echo $$ >>{mark}; exec sleep 600']\n"
        "with threads(2) as pool:\n"
        "    print(list(pool.map(lambda _: run(words, timeout=600), range(5))))\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[3],
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    pids = started(mark, 2)
    caller.send_signal(signal.SIGINT)
    said = caller.communicate(timeout=60)[1]
    assert said.strip().endswith("KeyboardInterrupt")
    wait_gone(pids)
    assert len(started(mark, 2)) == 2  # the other three were not begun


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_atomic_file_has_its_bytes_and_mode(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_atomic(target, "one", mode=0o600)
    write_atomic(target, b"two", mode=0o640)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o640
    assert (
        sha256_of(target)
        == subprocess.run(["sha256sum", target], capture_output=True, text=True, check=True).stdout.split()[0]
    )


def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], timeout=10)
    try:
        write_atomic(mount / "f", b"old")
        with pytest.raises(DiskError, match="the disk is full"):
            write_atomic(mount / "f", os.urandom(1 << 20))
        assert (mount / "f").read_bytes() == b"old"
        assert list(mount.iterdir()) == [mount / "f"]
    finally:
        run(["umount", mount], timeout=10)

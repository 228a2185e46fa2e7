from __future__ import annotations

import os
import subprocess
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

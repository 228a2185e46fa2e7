"""Users' temporary folders: only what is old and no living process can have made, and nothing beside."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.openness import open_to_all
from tests.unit.programs.housekeeping_world import ALONE, PROGRAM, Node, tree

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.settings["temporary.days"] = 0.0
    return made


@pytest.fixture
def folder(node: Node) -> Path:
    made = node.base / "tmp" / f"pnda-flink-{ME}"
    made.mkdir()
    return made


def fill(folder: Path) -> None:
    (folder / "pyflink" / "a" / "b").mkdir(parents=True)
    (folder / "pyflink" / "a" / "b" / "deep").write_text("xxx")
    (folder / "one.jar").write_text("xxxx")


def test_what_dead_processes_left_goes(node: Node, folder: Path) -> None:
    fill(folder)
    report = node.clean("temporary")
    assert (report["deleted"], report["bytes"], report["problems"]) == (2, 7, 0)
    assert list(folder.iterdir()) == []


def test_what_is_young_stays(node: Node, folder: Path) -> None:
    node.settings["temporary.days"] = 1
    fill(folder)
    os.utime(folder / "one.jar", (1, 1))  # whoever sets a time back cannot do so with that of the change
    before = tree(folder)
    assert node.clean("temporary")["deleted"] == 0
    assert tree(folder) == before


WAIT = "exec python3 -c 'import time; print(1, flush=True); time.sleep(60)'"
USES = {
    "its arguments": WAIT + " {}/pyflink",
    "its environment": "JVM_ARGS=-Djava.io.tmpdir={} " + WAIT,
    "its working directory": "cd {} && " + WAIT,
    "an open file": WAIT + " 5<{}/one.jar",
}


@pytest.mark.parametrize("use", USES)
def test_what_a_living_process_may_have_made_stays(node: Node, folder: Path, use: str) -> None:
    fill(folder)
    before = tree(folder)
    node.beside = USES[use].format(folder)
    assert node.clean("temporary")["deleted"] == 0
    assert tree(folder) == before
    node.beside = ""
    assert node.clean("temporary")["deleted"] == 2


def test_a_process_of_another_folder_keeps_nothing(node: Node, folder: Path) -> None:
    fill(folder)
    node.beside = USES["its arguments"].format(f"{folder}x")
    assert node.clean("temporary")["deleted"] == 2


def test_a_process_that_lets_nobody_look_keeps_the_folder_of_its_user(node: Node, folder: Path) -> None:
    """Root without the right to look into processes that have rights which it lacks: as in a container."""
    fill(folder)
    words = [*ALONE, "sh", "-c", 'sleep 60 & exec setpriv --bounding-set=-sys_ptrace,-chown "$@"', "sh"]
    done = subprocess.run(
        [*words, *node.words("--only", "temporary")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "kept 1: a process of its user cannot be looked into" in done.stdout, done.stderr
    assert (folder / "one.jar").exists()


def test_what_is_older_than_every_living_process_of_the_folder_goes_unless_it_is_held(
    node: Node, folder: Path
) -> None:
    """The rule itself: with the clock of a day later, a process that started then, and one file open."""
    sys.path.insert(0, str(PROGRAM.parent))
    from pnda_housekeeping import temporary

    sys.path.pop(0)
    fill(folder)
    info = (folder / "one.jar").lstat()
    held = frozenset([(info.st_dev, info.st_ino)])
    later = time.time() + 86400
    rule = temporary._Rule(later, held, True, info.st_dev, frozenset())
    assert not rule.file_goes(info)
    assert rule.file_goes((folder / "pyflink" / "a" / "b" / "deep").lstat())
    assert not temporary._Rule(time.time() - 60, frozenset(), True, info.st_dev, frozenset()).file_goes(info)


def test_links_and_odd_names_go_and_what_they_lead_to_stays(node: Node, folder: Path) -> None:
    outside = node.base / "outside"
    (outside / "etc").mkdir(parents=True)
    (outside / "etc" / "passwd").write_text("x")
    (folder / "link").symlink_to(outside)
    (folder / "deeper").mkdir()
    (folder / "deeper" / "link").symlink_to(outside / "etc")
    (folder / "hard").hardlink_to(outside / "etc" / "passwd")
    (folder / "new\nline").write_text("x")
    (folder / "\udcff\udcfe").write_text("x")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket")[-100:] if len(str(folder)) < 90 else "\0pnda-test")
    report = node.clean("temporary")
    assert report["problems"] == 0
    assert list(folder.iterdir()) == []
    assert (outside / "etc" / "passwd").read_text() == "x"
    assert (outside / "etc" / "passwd").stat().st_nlink == 1


def test_the_names_are_told_on_one_line_each(node: Node, folder: Path) -> None:
    (folder / "a\nhousekeeping: all is well").write_text("x")
    (folder / "\udcff").write_text("x")
    done = node.run("--only", "temporary", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("housekeeping: all")] == []
    assert sum("delete" in line and "would" not in line for line in lines) == 2


def test_a_folder_that_is_not_its_users_stays(node: Node) -> None:
    assert os.geteuid() == 0, "run as root: the folders belong to several users"
    place = node.base / "tmp"
    foreign, link = place / "pnda-flink-nobody", place / f"pnda-flink-{ME}"
    foreign.mkdir()
    (foreign / "x").touch()
    (node.base / "other").mkdir()
    (node.base / "other" / "x").touch()
    link.symlink_to(node.base / "other")
    (place / "pnda-flink-no-such-user").mkdir()
    (place / "another").mkdir()
    report = node.clean("temporary")
    assert (report["deleted"], report["kept"]) == (0, {"not its user's own folder": 3})
    assert (node.base / "other" / "x").exists()
    assert (foreign / "x").exists()


def test_a_user_gets_no_more_rights_than_their_own(node: Node) -> None:
    assert os.geteuid() == 0, "run as root: the folders belong to several users"
    nobody = pwd.getpwnam("nobody")
    open_to_all(node.base)
    mine = node.base / "tmp" / "pnda-flink-nobody"
    (mine / "moved-here").mkdir(parents=True)
    for path in (mine, mine / "moved-here"):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    (mine / "own").touch()
    os.chown(mine / "own", nobody.pw_uid, nobody.pw_gid)
    (mine / "moved-here" / "of-root").mkdir()
    (mine / "moved-here" / "of-root" / "x").touch()
    done = node.run("--only", "temporary")
    assert done.returncode == 1
    assert not (mine / "own").exists()
    assert len(list(mine.rglob("of-root/x"))) + len(list(mine.rglob("x"))) >= 1


def test_folders_closed_to_their_own_user(node: Node, folder: Path) -> None:
    (folder / "read-only").mkdir()
    (folder / "read-only" / "x").touch()
    (folder / "read-only").chmod(0o500)
    report = node.clean("temporary")
    assert (report["deleted"], report["problems"]) == (1, 0)
    assert list(folder.iterdir()) == []


def test_depth_without_end_is_left_alone(node: Node, folder: Path) -> None:
    path = folder
    for _ in range(80):
        path = path / "d"
        path.mkdir()
    report = node.clean("temporary")
    assert (report["deleted"], report["kept"]) == (0, {"another file system, or too deep": 1})
    assert path.exists()


def test_other_file_systems_are_not_entered(node: Node, folder: Path) -> None:
    """A tmpfs, and the same file system again (a bind mount), in a mount namespace of its own."""
    assert os.geteuid() == 0, "run as root: only root can mount"
    (folder / "tmpfs").mkdir()
    (folder / "again").mkdir()
    kept = node.base / "kept"
    kept.mkdir()
    (kept / "x").touch()
    words = " ".join(f"'{word}'" for word in node.words("--only", "temporary"))
    script = (
        f"mount -t tmpfs none {folder}/tmpfs && touch {folder}/tmpfs/y && "
        f"mount --bind {kept} {folder}/again && "
        f"{words} && test -e {folder}/tmpfs/y && test -e {folder}/again/x"
    )
    done = subprocess.run(
        [*ALONE, "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept 2: another file system, or too deep" in done.stdout
    assert (kept / "x").exists()


def test_a_user_who_swaps_folders_for_links_while_we_delete(node: Node, folder: Path) -> None:
    """Thousands of swaps; whatever is where, nothing outside of the folder may go."""
    victim = node.base / "victim"
    for name in ("a", "b"):
        (victim / name).mkdir(parents=True)
        for number in range(40):
            (victim / name / f"f{number}").touch()
    before = tree(victim)
    over = threading.Event()

    def swap() -> None:
        number = 0
        while not over.is_set():
            number += 1
            here = folder / f"d{number % 8}"
            with contextlib.suppress(OSError):
                (here / "a").mkdir(parents=True)
                for name in range(40):
                    (here / "a" / f"f{name}").touch()
                (here / "a").rename(folder / f"was{number}")
                (here / "a").symlink_to(victim / "a")
            with contextlib.suppress(OSError):
                here.rename(folder / f"old{number}")
                here.symlink_to(victim)
                time.sleep(0.0005)
                here.unlink()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(12):
            assert node.run("--only", "temporary").returncode in (0, 1)
    finally:
        over.set()
        thread.join(timeout=30)
    assert tree(victim) == before

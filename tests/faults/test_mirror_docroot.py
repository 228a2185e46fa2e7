"""``mirror.publish --into``: beside what a PNDA mirror holds, and nothing of it touched."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirror.docroot_layout import place
from tests.faults.mirror_world import ROOT, World

FIRST = {f"file{number}.tgz": os.urandom(3000) for number in range(3)}
SECOND = {"file0.tgz": b"another file0", "file1.tgz": FIRST["file1.tgz"], "new.tgz": b"new"}
THEIRS = {
    "index.html": b"their page",
    "flink-1.4.2-HDP.tar.gz": b"old flink",
    "mirror_misc/je-5.0.73.jar": b"je",
    "mirror_python/simple/numpy/index.html": b'<a href="../../packages/numpy-1.0.tar.gz#md5=0">numpy</a>',
    "mirror_python/packages/numpy-1.0.tar.gz": b"numpy",
    "mirror_apps/avro-1.8.1-py2.7.egg": b"egg",
}


@pytest.fixture
def shared(world: World) -> Any:
    """A mirror with ``FIRST`` published, and a PNDA mirror's document root at ``folder/docroot``."""
    world.write(dict(FIRST))
    assert world.command("build").returncode == 0
    for name, data in THEIRS.items():
        path = docroot(world) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return world


def docroot(world: World) -> Path:
    return Path(world.folder) / "docroot"


def _list(**fields: Any) -> str:
    good = {"format": 1, "serial": 1, "root_digest": "", "complete": True, "folders": [], "files": {}}
    return json.dumps({**good, **fields})


def publish(world: World, *words: Any, code: int = 0) -> Any:
    done = world.command("publish", "--json", "--into", docroot(world), *words)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def second(world: World) -> None:
    world.write(dict(SECOND))
    assert world.command("build", "--allow-shrink").returncode == 0


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".publish.lock"
    }


def check(world: World, bodies: Any) -> None:
    """Theirs is as it was, ours is all there, and nothing else but our list and lock is."""
    found = tree(docroot(world))
    assert {name: found.get(name) for name in THEIRS} == THEIRS
    for name, data in bodies.items():
        assert found[f"mirror_misc/{name}"] == data
    ours = {name for name in found if name not in THEIRS and not name.startswith("mirror_flink/")}
    assert ours == {f"mirror_misc/{name}{suffix}" for name in bodies for suffix in ("", ".sha512.txt")}
    done = subprocess.run(
        ["sha512sum", "-c", "--quiet", "--strict", "mirror_flink/files.sha512.txt"], cwd=docroot(world),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_ours_comes_and_goes_and_theirs_stays(shared: World) -> None:
    before = tree(docroot(shared))
    planned = publish(shared, "--dry-run")
    assert tree(docroot(shared)) == before
    report = publish(shared)
    assert {**report, "dry_run": True} == planned
    check(shared, FIRST)
    assert (docroot(shared) / "mirror_misc" / "file0.tgz").samefile(shared.store_path("file0.tgz"))
    again = publish(shared)
    assert again["put"] == again["replaced"] == again["removed"] == []
    second(shared)
    report = publish(shared)
    assert report["removed"] == ["mirror_misc/file2.tgz", "mirror_misc/file2.tgz.sha512.txt"]
    assert "mirror_misc/file0.tgz" in report["replaced"]
    assert "mirror_misc/new.tgz" in report["put"]
    check(shared, SECOND)
    release = json.loads((docroot(shared) / "mirror_flink" / "release.json").read_text())
    assert release["serial"] == 2


def test_copies_where_links_are_not_wanted_or_not_possible(shared: World) -> None:
    report = publish(shared, "--copy")
    check(shared, FIRST)
    copy = docroot(shared) / "mirror_misc" / "file0.tgz"
    assert not copy.samefile(shared.store_path("file0.tgz"))
    assert report["copied"] > sum(map(len, FIRST.values()))
    assert copy.stat().st_mtime == shared.store_path("file0.tgz").stat().st_mtime
    again = publish(shared, "--copy")
    assert (again["put"], again["copied"]) == ([], 0)


def test_what_is_theirs_and_differs_is_refused_and_nothing_happens(shared: World) -> None:
    (docroot(shared) / "mirror_misc" / "file1.tgz").write_bytes(b"theirs")
    (docroot(shared) / "mirror_misc" / "file2.tgz").mkdir()
    before = tree(docroot(shared))
    text = publish(shared, code=1)
    assert "mirror_misc/file1.tgz" in text
    assert "mirror_misc/file2.tgz" in text
    assert "mirror_misc/file0.tgz" not in text
    assert "cure:" in text
    assert tree(docroot(shared)) == before


@pytest.mark.parametrize("kind", ["file for a folder", "link", "dangling link for a folder"])
def test_other_things_in_the_way_are_refused(shared: World, kind: str) -> None:
    shutil.rmtree(docroot(shared) / "mirror_misc")
    outside = shared.folder / "outside"
    outside.write_bytes(b"precious")
    if kind == "file for a folder":
        (docroot(shared) / "mirror_misc").write_bytes(b"x")
    elif kind == "link":
        (docroot(shared) / "mirror_misc").mkdir()
        (docroot(shared) / "mirror_misc" / "file0.tgz").symlink_to(outside)
    else:
        (docroot(shared) / "mirror_misc").symlink_to("nowhere")
    assert "mirror_misc" in publish(shared, code=1)
    assert outside.read_bytes() == b"precious"


def test_the_same_bytes_that_were_there_stay_theirs(shared: World) -> None:
    path = docroot(shared) / "mirror_misc" / "file2.tgz"
    path.write_bytes(FIRST["file2.tgz"])
    assert publish(shared)["theirs"] == ["mirror_misc/file2.tgz"]
    check(shared, FIRST)
    second(shared)
    publish(shared)
    assert path.read_bytes() == FIRST["file2.tgz"], "it was never ours, so it is not removed"


def test_what_others_changed_since_is_theirs_now(shared: World) -> None:
    publish(shared)
    path = docroot(shared) / "mirror_misc" / "file2.tgz"
    path.unlink()
    path.write_bytes(b"theirs now")
    assert "mirror_misc/file2.tgz" in publish(shared, code=1)
    second(shared)
    assert publish(shared)["left"] == ["mirror_misc/file2.tgz"]
    assert path.read_bytes() == b"theirs now"
    assert publish(shared)["left"] == []


def test_what_others_removed_is_put_again(shared: World) -> None:
    publish(shared)
    shutil.rmtree(docroot(shared) / "mirror_misc")
    report = publish(shared)
    assert "mirror_misc/file0.tgz" in report["put"]
    assert (docroot(shared) / "mirror_misc" / "file0.tgz").read_bytes() == FIRST["file0.tgz"]


@pytest.mark.parametrize(
    "text",
    [
        "nonsense", "[]", "{}", '{"format": 2}', _list(files={"../../x": ["0" * 64]}),
        _list(folders=["/etc"]), _list(files={"a": ["b"]}), _list(files={"a": []}), _list(serial="x"),
    ],
)  # fmt: skip
def test_a_damaged_list_is_never_acted_upon(shared: World, text: str) -> None:
    publish(shared)
    (docroot(shared) / "mirror_flink" / "manifest.json").write_text(text)
    before = tree(docroot(shared))
    assert "manifest.json" in publish(shared, code=1)
    assert tree(docroot(shared)) == before


def test_a_wrong_folder_is_a_wrong_call(shared: World) -> None:
    for into in (
        shared.folder / "none",
        shared.root,
        shared.root / "current",
        docroot(shared) / "index.html",
    ):
        done = shared.command("publish", "--into", into)
        assert done.returncode == 2, done.stderr
    assert tree(docroot(shared)) == THEIRS


def test_two_publications_at_once(shared: World) -> None:
    publish(shared)
    with (docroot(shared) / "mirror_flink" / ".publish.lock").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert "publication" in publish(shared, code=3)
    with (shared.root / ".builder.lock").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        publish(shared, code=3)


def test_killed_at_any_change_theirs_is_untouched_and_the_next_run_completes(shared: World) -> None:
    publish(shared)
    second(shared)
    saved = shared.folder / "saved"
    subprocess.run(["cp", "-a", docroot(shared), saved], check=True, timeout=60)
    changes = _killed(shared, 0)
    every = 1 if os.environ.get("PNDA_KILL_POINTS") == "all" else max(1, changes // 15)
    assert changes > 20
    for point in range(1 + os.getpid() % every, changes + 1, every):
        shutil.rmtree(docroot(shared))
        subprocess.run(["cp", "-a", saved, docroot(shared)], check=True, timeout=60)
        _killed(shared, point)
        found = tree(docroot(shared))
        assert {name: found.get(name) for name in THEIRS} == THEIRS, point
        for name in {*FIRST, *SECOND}:
            whole = (None, FIRST.get(name), SECOND.get(name))
            assert found.get(f"mirror_misc/{name}") in whole, (point, name)
        publish(shared)
        check(shared, SECOND)


def _killed(world: World, point: int) -> int:
    words = world.words("publish", "--into", docroot(world))[3:]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.faults.killer", *map(str, words)], cwd=ROOT, capture_output=True,
        env={**world.environment, "KILL_AT": str(point), "KILL_UNDER": str(docroot(world))}, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if point else 0), done.stderr
    return 0 if point else int(done.stdout.splitlines()[-1])


def test_a_full_disk_there_is_said_before_the_first_byte(shared: World) -> None:
    disk = shared.folder / "disk"
    disk.mkdir()
    shared.write({**FIRST, "large.tgz": os.urandom(3 << 20)})
    assert shared.command("build").returncode == 0
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True, timeout=60)
    try:
        (disk / "index.html").write_bytes(b"theirs")
        done = shared.command("publish", "--into", disk)
        assert done.returncode == 5, done.stderr
        assert "free" in done.stderr
        assert set(tree(disk)) == {"index.html"}
        shared.write(dict(FIRST))
        assert shared.command("build", "--allow-shrink").returncode == 0
        done = shared.command("publish", "--into", disk)
        assert done.returncode == 0, done.stderr
        assert (disk / "mirror_misc" / "file0.tgz").read_bytes() == FIRST["file0.tgz"]
    finally:
        subprocess.run(["umount", disk], check=True, timeout=60)


def test_bytes_that_changed_in_the_store_are_not_copied_out(shared: World) -> None:
    path = shared.store_path("file0.tgz")
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    text = publish(shared, "--copy", code=1)
    assert hashlib.sha256(FIRST["file0.tgz"]).hexdigest() in text
    assert not (docroot(shared) / "mirror_misc" / "file0.tgz").exists()


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("index.html", ""),
        ("mirror_apps/index.html", ""),
        ("mirror_python/index.html", ""),
        ("mirror_python/simple/index.html", "mirror_python/simple-flink/index.html"),
        ("mirror_python/simple/numpy/index.html", "mirror_python/simple-flink/numpy/index.html"),
        ("mirror_python/packages/a-1.whl", "mirror_python/packages/a-1.whl"),
        ("mirror_maven/index.html", "mirror_maven/index.html"),
        ("flink-1.20.5.tar.gz.sha512.txt", "flink-1.20.5.tar.gz.sha512.txt"),
        ("release.json.asc", "mirror_flink/release.json.asc"),
        ("SHA512SUMS", "mirror_flink/SHA512SUMS"),
        ("catalogue.lock", "mirror_flink/catalogue.lock"),
        ("mirror_deb/dists/bookworm/InRelease", "mirror_deb/dists/bookworm/InRelease"),
    ],
)
def test_where_a_file_goes(path: str, there: str) -> None:
    assert place(path) == there

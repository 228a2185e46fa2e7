"""Bundles that are not finished: kill -9, a full disk, a file system with a limit, two at once."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import DiskError
from mirror.audit import audit
from mirror.bundle_export import export
from mirror.bundle_import import import_bundle
from mirror.bundle_plan import plan
from mirror.ownership import builder_lock
from mirror.signing import Signer as LoadedSigner
from tests.faults.bundle_world import Sneaker
from tests.faults.mirror_world import ROOT, World
from tests.faults.upstream import tgz
from tests.fullness import FULL
from tests.unit.mirror.pgp_world import Signer

OLD = {f"file{number}.tgz": tgz(os.urandom(3000 + number) * 20) for number in range(3)}
NEW = {**OLD, "new.tgz": b"new one", "large.tgz": os.urandom(3 << 20)}  # the large one is several chunks


@pytest.fixture(scope="module")
def signer() -> Iterator[Any]:
    with Signer("sender") as made:
        yield made


@pytest.fixture
def sneaker(world: World, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The receiver has the release of ``OLD``; the sender has ``NEW`` too."""
    monkeypatch.setattr("core.console.settings.quiet", True)
    made = Sneaker(world, signer)
    made.build(dict(OLD))
    made.export()
    made.take()
    made.bundle.unlink()
    made.build(dict(NEW))
    return made


def signers(sneaker: Sneaker) -> list[LoadedSigner]:
    return [LoadedSigner(sneaker.signer.secret().encode(), "key")]


def killed(sneaker: Sneaker, under: Path, point: int, task: str, *words: Any, power: bool = False) -> int:
    """Run a task that is killed at its ``point``-th change (0: never); return how many it made.

    With ``power`` what was not durable is lost with it.
    """
    call = [sys.executable, "-B", "-m", "tests.faults.killer", f"mirror.{task}", *map(str, words)]
    told = {"KILL_AT": str(point), "KILL_UNDER": str(under), "KILL_POWER": str(int(power))}
    environment = {**sneaker.world.environment, **told}
    done = subprocess.run(
        call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == (-signal.SIGKILL if point else 0), (point, done.stderr)
    return 0 if point else int(done.stdout.splitlines()[-1])


def spread(changes: int) -> list[int]:
    """All points in a full run, else some, others each time, and the last ones."""
    assert changes > 30
    if FULL:
        return list(range(1, changes + 1))
    return sorted({*range(1 + os.getpid() % 9, changes, changes // 9), *range(changes - 6, changes + 1)})


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_an_export_ended_at_any_change_leaves_no_half_bundle_and_the_next_completes(
    sneaker: Sneaker, power: bool
) -> None:
    words = ("export", "--root", sneaker.world.root, "--sign-key", sneaker.key, "--into", sneaker.bundle)
    medium = sneaker.bundle.parent
    shutil.rmtree(medium)
    changes = killed(sneaker, medium, 0, *words)
    whole = sneaker.bundle.read_bytes()
    _, start = sneaker.layout()
    continued = 0
    for point in spread(changes):
        shutil.rmtree(medium)
        killed(sneaker, medium, point, *words, power=power)
        if sneaker.bundle.exists():
            assert sneaker.bundle.read_bytes()[start:] == whole[start:], point
        (written,) = export(plan(sneaker.world.root, None, None, None), sneaker.bundle, signers(sneaker))
        continued += 0 < written.found < written.size
        assert sneaker.bundle.read_bytes()[start:] == whole[start:], point
        assert [path.name for path in medium.iterdir()] == [sneaker.bundle.name], point
        sneaker.verify()
    assert continued > 3 or power  # what was not durable is not there to be continued


def test_what_an_earlier_export_left_is_believed_for_its_bytes_only(sneaker: Sneaker) -> None:
    sneaker.export()
    whole = sneaker.bundle.read_bytes()
    manifest, start = sneaker.layout()
    members = manifest.members(start)
    partial = sneaker.bundle.with_name(f".{sneaker.bundle.name}.partial")
    sneaker.bundle.unlink()
    spoiled = bytearray(whole[: members[3].data + 10])
    spoiled[members[2].data] ^= 1
    partial.write_bytes(spoiled)
    assert sneaker.export()["found_bytes"] == members[2].start
    sneaker.verify()
    for rubbish in (b"", b"x" * 5000, whole[:100], bytes(len(whole) + 5000)):
        sneaker.bundle.unlink()
        partial.write_bytes(rubbish)
        assert sneaker.export()["found_bytes"] == 0
        sneaker.verify()
    partial.write_bytes(whole + b"more")
    sneaker.bundle.unlink()
    sneaker.export()
    assert sneaker.bundle.read_bytes()[start:] == whole[start:]


def test_a_whole_bundle_is_not_written_again_unless_another_key_signs(sneaker: Sneaker) -> None:
    sneaker.export()
    before = sneaker.bundle.stat()
    size = before.st_size
    assert sneaker.export()["found_bytes"] == size
    assert sneaker.bundle.stat().st_ino == before.st_ino
    with Signer("other") as other:
        key = sneaker.world.folder / "other.asc"
        key.write_text(other.secret())
        words = ("--root", sneaker.world.root, "--into", sneaker.bundle, "--sign-key", key)
        assert sneaker.run("export", *words)["found_bytes"] < size
        sneaker.trust.write_text(other.public())
        assert sneaker.verify()["signer"] == other.fingerprint


def saved(sneaker: Sneaker) -> Path:
    return sneaker.other.with_name("saved")


def reset(sneaker: Sneaker) -> None:
    shutil.rmtree(sneaker.other)
    # cp keeps hard links: the copy must hold each blob once, as the original does.
    subprocess.run(["cp", "-a", saved(sneaker), sneaker.other], check=True, timeout=60)


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_an_import_ended_at_any_change_shows_whole_releases_and_the_next_completes(
    sneaker: Sneaker, power: bool
) -> None:
    sneaker.export()
    subprocess.run(["cp", "-a", sneaker.other, saved(sneaker)], check=True, timeout=60)
    words = ("import", sneaker.bundle, "--root", sneaker.other, "--trust", sneaker.trust)
    changes = killed(sneaker, sneaker.other, 0, *words)
    sneaker.assert_received()
    keyring = sneaker.trust.read_bytes()
    kept = 0
    for point in spread(changes):
        reset(sneaker)
        killed(sneaker, sneaker.other, point, *words, power=power)
        seen = sneaker.record(sneaker.other)["serial"]
        bodies = {1: OLD, 2: NEW}[seen]
        published = sneaker.other / "current" / "mirror_misc"
        assert {path.name: path.read_bytes() for path in published.glob("*.tgz")} == bodies, point
        report = import_bundle([sneaker.bundle], sneaker.other, keyring, allow_older=False)
        kept += report.published and report.taken_bytes < len(NEW["large.tgz"])
        assert report.serial == 2
        audited = audit(sneaker.other, sneaker.world.lock)
        assert audited.clean, (point, audited)
        assert list((sneaker.other / "store" / "tmp").iterdir()) == [], point
        assert not list((sneaker.other / "releases").glob(".*")), point
        assert not (sneaker.other / ".current.new").exists(), point
    assert kept > 2, "what was verified before the kill is not read again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """A file system of 4 MB of our own. Mounting wants root: without it this fails, and says so."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=30)


def test_too_little_space_for_a_bundle_is_said_before_the_first_byte(
    sneaker: Sneaker, small_disk: Path
) -> None:
    (small_disk / "mine").write_bytes(bytes(2 << 20))
    said = sneaker.export("--into", small_disk / "b", code=5)
    assert "needs" in said
    assert [path.name for path in small_disk.iterdir()] == ["mine"]


class Filling(LoadedSigner):
    """A signer during whose work somebody else fills the disk."""

    disk: Path

    def detached(self, data: bytes) -> bytes:
        with (self.disk / "theirs").open("wb") as stream:
            stream.write(bytes(4 << 20))
        return super().detached(data)


def test_a_disk_that_fills_up_on_the_way_leaves_no_bundle_and_the_next_export_goes_on(
    sneaker: Sneaker, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=6m", small_disk], check=True, timeout=30)
    shipment = plan(sneaker.world.root, None, None, None)
    filling = Filling(sneaker.signer.secret().encode(), "key")
    filling.disk = small_disk
    with pytest.raises(DiskError) as caught:
        export(shipment, small_disk / "b", [filling])
    assert "full" in caught.value.message
    assert "continued" in caught.value.cure
    assert not (small_disk / "b").exists()
    (small_disk / "theirs").unlink()
    sneaker.export("--into", small_disk / "b")
    sneaker.verify(small_disk / "b")


def test_a_file_system_that_holds_no_file_so_long_is_exit_5_and_tells_the_way(sneaker: Sneaker) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    said = sneaker.export(code=5, preexec_fn=limit)
    assert "--split" in said
    assert not sneaker.bundle.exists()
    assert sneaker.export()["found_bytes"] > 0
    sneaker.verify()


def test_an_import_that_runs_out_of_disk_keeps_what_it_has(sneaker: Sneaker, small_disk: Path) -> None:
    """The disk has room for the bytes, and not for so many files: that shows only on the way."""
    sneaker.export()
    reset_to = small_disk / "root"
    words = ("import", sneaker.bundle, "--root", reset_to, "--trust", sneaker.trust)
    subprocess.run(["mount", "-o", "remount,size=16m,nr_inodes=20", small_disk], check=True, timeout=30)
    said = sneaker.run(*words, code=5)
    assert "full" in said
    assert not (reset_to / "current").exists()
    kept = len(list((reset_to / "store").glob("sha256/*/*")))
    assert kept > 0
    subprocess.run(["mount", "-o", "remount,nr_inodes=1000", small_disk], check=True, timeout=30)
    manifest, _ = sneaker.layout()
    assert sneaker.run(*words)["taken"] == len(manifest.parts[0]) - kept
    assert audit(reset_to, sneaker.world.lock).clean


def test_too_little_space_for_an_import_is_said_before_the_first_byte(
    sneaker: Sneaker, small_disk: Path
) -> None:
    sneaker.export()
    (small_disk / "mine").write_bytes(bytes(2 << 20))
    root = small_disk / "root"
    said = sneaker.run("import", sneaker.bundle, "--root", root, "--trust", sneaker.trust, code=5)
    assert "store needs" in said
    assert list((root / "store").glob("sha256/*/*")) == []


def test_two_at_once(sneaker: Sneaker) -> None:
    partial = sneaker.bundle.with_name(f".{sneaker.bundle.name}.partial")
    with partial.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert "another export" in sneaker.export(code=3)
    sneaker.export()
    with builder_lock(sneaker.other):
        assert f"process {os.getpid()}" in sneaker.take(code=3)
    assert sneaker.take()["published"] is True

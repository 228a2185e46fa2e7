"""Carry a release from one root to another: the whole way, by the real command line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.bundle_world import Sneaker
from tests.faults.mirror_world import World
from tests.faults.upstream import tgz
from tests.unit.mirror.pgp_world import Signer

BODIES = {f"file{number}.tgz": tgz(os.urandom(3000 + number) * 20) for number in range(4)}
MORE = {**BODIES, "new.tgz": tgz(os.urandom(5000))}


@pytest.fixture(scope="module")
def signer() -> Iterator[Any]:
    with Signer("sender") as made:
        yield made


@pytest.fixture
def sneaker(world: World, signer: Signer) -> Any:
    made = Sneaker(world, signer)
    made.build(dict(BODIES))
    return made


def test_a_release_arrives_as_it_was_sent(sneaker: Sneaker) -> None:
    sent = sneaker.export()
    assert (sent["serial"], sent["signers"]) == (1, [sneaker.signer.fingerprint])
    verdict = sneaker.verify()
    assert (verdict["root_digest"], verdict["signer"]) == (sent["root_digest"], sneaker.signer.fingerprint)
    taken = sneaker.take()
    assert (taken["root_digest"], taken["published"]) == (sent["root_digest"], True)
    assert taken["taken"] == sent["blobs"]
    sneaker.assert_received()
    again = sneaker.take()
    assert (again["published"], again["taken"]) == (False, 0)


def test_tar_shows_what_is_in_it_and_can_take_it_out(sneaker: Sneaker) -> None:
    sneaker.export()
    listing = subprocess.run(
        ["tar", "-tf", sneaker.bundle], capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    assert listing[:2] == ["bundle.json", "bundle.json.asc"]
    assert all(name.startswith("blobs/") for name in listing[2:])
    assert len(listing) == len(set(listing))
    out = sneaker.world.folder / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", sneaker.bundle, "-C", out], timeout=60, check=True)
    lines = "".join(f"{path.name}  blobs/{path.name}\n" for path in (out / "blobs").iterdir())
    subprocess.run(
        ["sha256sum", "--check", "--quiet"], input=lines, text=True, cwd=out, timeout=60, check=True
    )


def test_the_same_release_gives_the_same_bytes_but_for_the_signature(sneaker: Sneaker) -> None:
    other = sneaker.bundle.with_name("again")
    sneaker.export()
    sneaker.export("--into", other)
    _, start = sneaker.layout()
    signed = slice(start - (16 << 10), start)
    one, two = sneaker.bundle.read_bytes(), other.read_bytes()
    assert len(one) == len(two)
    assert one[: signed.start] == two[: signed.start]
    assert one[signed.stop :] == two[signed.stop :]


def test_a_delta_holds_only_what_the_receiver_lacks(sneaker: Sneaker) -> None:
    sneaker.export()
    sneaker.take()
    have = sneaker.world.folder / "have.json"
    listed = sneaker.run("have", "--root", sneaker.other, "--into", have)
    sneaker.build(dict(MORE))
    sent = sneaker.export("--have", have)
    assert sent["have"] == listed["digest"]
    manifest, _ = sneaker.layout()
    unchanged = {sneaker.world.store_path(name).name for name in BODIES}
    assert not unchanged.intersection(manifest.inside)
    assert sneaker.world.store_path("new.tgz").name in manifest.inside
    assert sneaker.verify()["leaves_out"] == len(manifest.sizes) - len(manifest.inside)
    assert sneaker.take()["taken"] == sent["blobs"]
    sneaker.assert_received()


def test_a_delta_is_of_no_use_without_its_base_and_says_what_is_missing(sneaker: Sneaker) -> None:
    have = sneaker.world.folder / "have.json"
    sneaker.run("have", "--root", sneaker.world.root, "--into", have)
    sneaker.build(dict(MORE))
    sneaker.export("--have", have)
    said = sneaker.take(code=1)
    assert "mirror_misc/file0.tgz" in said
    assert "mirror.have" in said
    assert not (sneaker.other / "current").exists()
    assert list((sneaker.other / "store").glob("sha256/*/*")) == []


def test_a_have_list_of_an_empty_root_leaves_nothing_out(sneaker: Sneaker) -> None:
    have = sneaker.world.folder / "have.json"
    assert sneaker.run("have", "--root", sneaker.other, "--into", have)["blobs"] == 0
    sneaker.export("--have", have)
    sneaker.take()
    sneaker.assert_received()


def test_a_signed_have_list_is_checked_when_that_is_asked_for(sneaker: Sneaker) -> None:
    have = sneaker.world.folder / "have.json"
    words = ("--have", have, "--trust", sneaker.trust)
    sneaker.run("have", "--root", sneaker.other, "--into", have)
    assert "have.json.asc" in sneaker.export(*words, code=2)
    sneaker.run("have", "--root", sneaker.other, "--into", have, "--sign-key", sneaker.key)
    sneaker.export(*words)
    have.write_text(have.read_text() + "\n")
    assert "signature is refused" in sneaker.export(*words, code=1)


def test_parts_come_in_any_order_and_each_is_right_by_itself(sneaker: Sneaker) -> None:
    sneaker.build({f"big{number}.tgz": tgz(os.urandom(90_000)) for number in range(4)})
    sent = sneaker.export("--split", "250K")
    parts = sent["paths"]
    assert len(parts) > 1
    assert all(Path(part).stat().st_size <= 250 << 10 for part in parts)
    assert not sneaker.bundle.exists()
    assert "were not given: 1" in sneaker.verify(*parts[1:], code=1)
    assert sneaker.verify(*parts)["root_digest"] == sent["root_digest"]
    said = sneaker.take(parts[-1], code=1)
    assert "other parts of the bundle: 1" in said
    assert not (sneaker.other / "current").exists()
    kept = len(list((sneaker.other / "store").glob("sha256/*/*")))
    assert kept > 0
    taken = sneaker.take(sneaker.bundle)  # the name without .part1of3: all of them
    assert taken["taken"] == sent["blobs"] - kept
    sneaker.assert_received()


def test_parts_of_two_exports_are_not_mixed(sneaker: Sneaker) -> None:
    other = sneaker.bundle.with_name("other")
    sneaker.build({f"big{number}.tgz": tgz(os.urandom(90_000)) for number in range(4)})
    first = sneaker.export("--split", "250K")["paths"]
    sneaker.build({f"big{number}.tgz": tgz(os.urandom(90_000)) for number in range(4)})
    second = sneaker.export("--split", "250K", "--into", other)["paths"]
    assert "another bundle" in sneaker.take(f"{first[0]},{second[1]}", code=2)
    assert "another bundle" in sneaker.verify(first[0], second[1], code=1)


def test_the_receivers_serial_never_goes_back_unasked(sneaker: Sneaker) -> None:
    old = sneaker.bundle.with_name("old")
    sneaker.export("--into", old)
    sneaker.build(dict(MORE))
    sneaker.export()
    sneaker.take()
    said = sneaker.take(old, code=1)
    assert "older" in said
    assert "--allow-older" in said
    assert "older" in sneaker.verify(old, "--at-least", "2", code=1)
    assert sneaker.record(sneaker.other)["serial"] == 2
    assert sneaker.take(old, "--allow-older")["serial"] == 1
    assert not (sneaker.other / "current" / "mirror_misc" / "new.tgz").exists()
    assert sneaker.take()["serial"] == 2
    sneaker.assert_received()


def test_an_older_release_can_be_exported_too(sneaker: Sneaker) -> None:
    sneaker.build(dict(MORE))
    assert sneaker.export("--release", "1")["serial"] == 1
    assert sneaker.take()["serial"] == 1
    assert "no release 7" in sneaker.export("--release", "7", code=2)


def test_a_release_of_somebody_else_under_the_same_serial_is_refused(sneaker: Sneaker) -> None:
    sneaker.export()
    theirs = World(sneaker.world.folder / "theirs", sneaker.world.upstream, {})
    theirs.folder.mkdir()
    theirs.write(dict(MORE))
    sneaker.run("build", "--root", sneaker.other, "--lock", theirs.lock, "--catalogue", theirs.catalogue)
    assert "another release 1" in sneaker.take(code=1)


def test_a_bundle_repairs_what_the_cache_has_not(sneaker: Sneaker) -> None:
    sneaker.export()
    name = "file0.tgz"
    blob = sneaker.world.store_path(name)
    sneaker.world.cache_path(name).unlink()
    asked = len(sneaker.world.upstream.asked)
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    words = ("--root", sneaker.world.root, "--lock", sneaker.world.lock, "--bundle", sneaker.bundle)
    report = sneaker.run("repair", *words)
    assert report["bundle_bytes"] == len(BODIES[name])
    assert (report["requests"], report["fetched_bytes"]) == (0, 0)
    assert len(sneaker.world.upstream.asked) == asked
    sneaker.world.assert_whole()
    damaged = bytearray(sneaker.bundle.read_bytes())
    at = damaged.index(BODIES[name])
    damaged[at] ^= 1
    sneaker.bundle.write_bytes(damaged)
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    report = sneaker.run("repair", *words)
    assert (report["bundle_bytes"], report["requests"]) == (0, 1)
    sneaker.world.assert_whole()


def damage(path: Path, data: bytes) -> None:
    """Change the bytes and keep the date, like a failing disk."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_same_bundle_again_puts_a_damaged_release_right_under_its_own_serial(
    sneaker: Sneaker,
) -> None:
    """A site that cannot sign cannot publish anew: what it repairs keeps the sender's signatures."""
    sneaker.build(dict(BODIES), "--sign-key", sneaker.key)
    sneaker.export()
    sneaker.take()
    sneaker.assert_received()
    release = (sneaker.other / "current").resolve()
    files = release / "mirror_misc"
    damage(files / "file0.tgz", b"a flipped bit in the blob")
    (files / "file1.tgz").unlink()
    (files / "file2.tgz").unlink()
    (files / "file2.tgz").write_bytes(b"another file in its place")
    (files / "file3.tgz").unlink()
    (files / "file3.tgz").mkdir()
    (files / "extra").write_bytes(b"extra")
    (release / "release.json.asc").write_text("changed")
    (release / "SHA512SUMS.asc").unlink()
    again = sneaker.take()
    assert (again["serial"], again["published"], again["taken"]) == (2, True, 1)
    assert again["healed"] == 7
    sneaker.assert_received()
    kept = [
        path.read_bytes() for path in (sneaker.other / "store" / "quarantine").iterdir() if path.is_file()
    ]
    wrong = [b"a flipped bit in the blob", b"another file in its place", b"changed", b"extra"]
    assert sorted(kept) == wrong
    assert sneaker.take()["published"] is False
    assert list((sneaker.other / "store" / "tmp").iterdir()) == []
    sneaker.run("audit", "--root", sneaker.other, "--lock", sneaker.world.lock, "--trust", sneaker.trust)

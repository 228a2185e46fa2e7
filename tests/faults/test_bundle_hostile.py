"""Bundles that somebody damaged or made on purpose: refused by name, by the importer and by the verifier."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle_format import (
    BLOCK,
    END,
    MAX_BLOB,
    SIGNATURE_FIELD,
    Item,
    Manifest,
    head,
    head_size,
    header,
    padded,
    root_digest,
)
from mirror.signing import Signer as LoadedSigner
from tests.faults.bundle_world import Sneaker
from tests.faults.mirror_world import World
from tests.faults.upstream import Upstream, tgz
from tests.unit.mirror.pgp_world import DAY, NOW, Signer

BODIES = {f"file{number}.tgz": tgz(os.urandom(3000 + number) * 20) for number in range(3)}


@pytest.fixture(scope="module")
def signer() -> Iterator[Any]:
    with Signer("sender") as made:
        yield made


@pytest.fixture(scope="module")
def exported(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A sender with one bundle, made once; the tests only spoil copies of it."""
    upstream = Upstream()
    made = Sneaker(World(tmp_path_factory.mktemp("sender"), upstream, {}), signer)
    made.build(dict(BODIES))
    made.export()
    yield made
    upstream.close()


class Spoiled(Sneaker):
    """The same sender, a receiver of its own, and a copy of the bundle to spoil."""

    place: Path

    @property
    def other(self) -> Path:
        return self.place / "other"

    @property
    def bundle(self) -> Path:
        return self.place / "release.bundle"

    @property
    def raw(self) -> bytes:
        return self.bundle.read_bytes()

    def write(self, data: bytes) -> None:
        self.bundle.write_bytes(data)

    def flip(self, at: int) -> None:
        data = bytearray(self.raw)
        data[at] ^= 1
        self.write(bytes(data))

    def forge(self, raw: bytes, body: bytes = b"") -> None:
        """Write a bundle with another list, signed by the sender all the same."""
        signature = LoadedSigner(self.signer.secret().encode(), "key").detached(raw)
        self.write(head(raw, signature) + body)

    def assert_untouched(self) -> None:
        assert not self.other.exists()

    def blobs(self) -> list[Path]:
        return list((self.other / "store").glob("sha256/*/*"))


@pytest.fixture
def spoiled(exported: Sneaker, tmp_path: Path) -> Any:
    made = Spoiled(exported.world, exported.signer)
    made.place = tmp_path
    made.write(exported.bundle.read_bytes())
    return made


def regions(manifest: Manifest, start: int) -> dict[str, tuple[int, str]]:
    """A byte of each region, and the words that must name the fault."""
    length = len(manifest.dumps())
    first = manifest.members(start)[0]
    padding = next(m for m in manifest.members(start) if m.end > m.data + m.size)
    signature = BLOCK + padded(length)
    return {
        "list header": (3, "not a bundle"),
        "list header checksum": (150, "not a bundle"),
        "list": (BLOCK + 30, "not of these bytes"),
        "list padding": (BLOCK + length, "padding"),
        "signature header": (signature + 5, "bundle.json.asc"),
        "signature": (signature + BLOCK + 60, "sign"),
        "signature filler": (signature + BLOCK + SIGNATURE_FIELD - 1, "signature"),
        "blob header": (first.start + 2, "release.json"),
        "blob header mode": (first.start + 102, "release.json"),
        "blob": (first.data + 7, "release.json"),
        "blob padding": (padding.data + padding.size, "padding"),
        "end": (start + manifest.body - 1, "the end"),
    }


@pytest.mark.parametrize(
    "region",
    ["list header", "list header checksum", "list", "list padding", "signature header", "signature",
     "signature filler", "blob header", "blob header mode", "blob", "blob padding", "end"],
)  # fmt: skip
def test_a_changed_bit_is_found_wherever_it_is(spoiled: Spoiled, region: str) -> None:
    at, word = regions(*spoiled.layout())[region]
    spoiled.flip(at)
    spoiled.refused(word)
    spoiled.assert_untouched()


def test_of_a_bundle_with_damaged_blobs_the_others_are_kept(spoiled: Spoiled) -> None:
    whole = spoiled.raw
    manifest, start = spoiled.layout()
    for member in manifest.members(start)[2:4]:
        spoiled.flip(member.data)
    said = spoiled.take(code=1)
    assert "2 files" in said
    assert all(manifest.paths[member.sha256] in said for member in manifest.members(start)[2:4])
    assert "2 files" in spoiled.verify(code=1)
    assert not (spoiled.other / "current").exists()
    assert len(spoiled.blobs()) == len(manifest.inside) - len(manifest.outside) - 2
    assert list((spoiled.other / "store" / "tmp").iterdir()) == []
    spoiled.write(whole)
    assert spoiled.take()["taken"] == 2
    spoiled.assert_received()


def test_a_copy_that_broke_off_is_named_and_only_the_rest_is_read_then(spoiled: Spoiled) -> None:
    whole = spoiled.raw
    manifest, start = spoiled.layout()
    members = manifest.members(start)
    middle = members[len(members) // 2]
    spoiled.write(whole[: middle.data + middle.size // 2])
    words = f"{middle.data + middle.size // 2} of {len(whole)} bytes"
    said = spoiled.take(code=1)
    for text in (said, spoiled.verify(code=1)):
        assert words in text
        assert f"up to byte {middle.start}" in text
    kept = len(spoiled.blobs())
    assert kept == len(members) // 2 - len(manifest.outside)
    spoiled.write(whole)
    assert spoiled.take()["taken"] == len(members) - len(manifest.outside) - kept
    spoiled.assert_received()


def test_wherever_a_copy_breaks_off_it_is_refused(spoiled: Spoiled) -> None:
    whole = spoiled.raw
    manifest, start = spoiled.layout()
    members = manifest.members(start)
    ends = {0, 1, BLOCK, BLOCK + 100, start - SIGNATURE_FIELD, start - 1, start, start + 1, len(whole) - 1}
    for member in (members[0], members[-1]):
        ends |= {member.start + 100, member.data, member.data + member.size, member.end}
    for end in sorted({*ends, len(whole) - END, len(whole) - END + 1} - {len(whole)}):
        spoiled.write(whole[:end])
        spoiled.refused("cut off")
    assert not (spoiled.other / "current").exists()


def parts_of(spoiled: Spoiled) -> tuple[bytes, list[bytes], bytes]:
    """The bundle in pieces: head, members, end."""
    manifest, start = spoiled.layout()
    raw = spoiled.raw
    return raw[:start], [raw[m.start : m.end] for m in manifest.members(start)], raw[-END:]


def test_members_out_of_order_are_refused(spoiled: Spoiled) -> None:
    first, members, end = parts_of(spoiled)
    members[1], members[2] = members[2], members[1]
    spoiled.write(b"".join([first, *members, end]))
    spoiled.refused("out of its order")
    spoiled.assert_untouched()


def test_a_member_twice_or_one_too_many_is_refused(spoiled: Spoiled) -> None:
    first, members, end = parts_of(spoiled)
    spoiled.write(b"".join([first, members[0], *members, end]))
    spoiled.refused("out of its order")
    extra = header("blobs/extra", 3) + b"abc".ljust(BLOCK, b"\0")
    spoiled.write(b"".join([first, *members, extra, end]))
    spoiled.refused("the end")
    spoiled.write(b"".join([first, *members, end, extra]))
    spoiled.refused("bytes follow after its end")
    spoiled.write(b"".join([first, *members, end, bytes(BLOCK)]))
    spoiled.refused(f"{BLOCK} bytes follow after its end")
    spoiled.assert_untouched()


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.XHDTYPE, "an extended header"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (tarfile.GNUTYPE_LONGNAME, "a long name"),
        (tarfile.REGTYPE, "a file"),
    ],
)
def test_members_of_any_other_kind_are_refused(spoiled: Spoiled, kind: bytes, word: str) -> None:
    first, members, end = parts_of(spoiled)
    entry = tarfile.TarInfo("../../etc/cron.d/evil")
    entry.type, entry.linkname = kind, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    evil = entry.tobuf(tarfile.USTAR_FORMAT)
    spoiled.write(b"".join([first, members[0], evil, *members[2:], members[1][BLOCK:], end]))
    said = spoiled.take(code=1)
    assert word in said
    assert "cron.d/evil" in said
    assert "cron.d/evil" in spoiled.verify(code=1)
    spoiled.assert_untouched()


def test_an_absurd_length_in_the_first_header_is_not_believed(spoiled: Spoiled) -> None:
    rest = spoiled.raw[BLOCK:]
    for size in (MAX_BLOB, (16 << 20) + 1, 0):
        spoiled.write(header("bundle.json", size) + rest)
        spoiled.refused(f"{size} bytes long")


def edited(manifest: Manifest, **fields: Any) -> bytes:
    """The list with other top-level values, whatever they are."""
    data = json.loads(manifest.dumps())
    return json.dumps({**data, **fields}).encode()


def with_file(manifest: Manifest, *items: Item) -> bytes:
    files = (*manifest.files, *items)
    return replace(manifest, files=files, root_digest=root_digest(files)).dumps()


SHA = "0" * 64
LISTS: dict[str, Callable[[Manifest], bytes]] = {
    "leaves": lambda m: with_file(m, Item("../evil", m.files[0].sha256, m.files[0].size)),
    "relative path": lambda m: edited(m, files=[["/etc/evil", SHA, 1]]),
    "stands there twice": lambda m: with_file(m, m.files[0]),
    "both a file and a folder": lambda m: with_file(m, replace(m.files[0], path=m.files[0].path + "/x")),
    "two sizes": lambda m: with_file(m, replace(m.files[0], path="z", size=m.files[0].size + 1)),
    "a size of -1": lambda m: edited(m, files=[["x", SHA, -1]]),
    f"a size of {10**30}": lambda m: edited(m, files=[["x", SHA, 10**30]]),
    "a size of True": lambda m: edited(m, files=[["x", SHA, True]]),
    "a size of 1.5": lambda m: edited(m, files=[["x", SHA, 1.5]]),
    "SHA-256": lambda m: edited(m, files=[["x", SHA.upper()[:-1] + "G", 1]]),
    "path, digest and size": lambda m: edited(m, files=[["x", SHA]]),
    "missing or unknown": lambda m: edited(m, more=1),
    "no format": lambda m: edited(m, kind="tar"),
    "newer than this program": lambda m: edited(m, format=2),
    "serial": lambda m: edited(m, serial="1"),
    "root digest": lambda m: edited(m, root_digest=SHA),
    "its part": lambda m: edited(m, part=2),
    "parts is no list": lambda m: edited(m, parts={}),
    "a blob is of no file": lambda m: edited(m, parts=[[SHA]]),
    "a blob stands": lambda m: edited(m, parts=[[*m.parts[0], m.parts[0][0]]]),
    "its length": lambda m: edited(m, body=m.body + 1),
    "wrong side": lambda m: with_file(m, Item("SHA512SUMS.asc", m.files[0].sha256, m.files[0].size)),
    "not JSON": lambda m: b"[" * 100_000,
    "twice in one object": lambda m: m.dumps().replace(b"{", b'{"format": 1,', 1),
    "not an object": lambda m: b"[]",
}


@pytest.mark.parametrize("word", LISTS)
def test_a_list_that_is_signed_is_read_with_suspicion_all_the_same(spoiled: Spoiled, word: str) -> None:
    manifest, start = spoiled.layout()
    spoiled.forge(LISTS[word](manifest), spoiled.raw[start:])
    said = spoiled.take(code=1)
    theirs = spoiled.verify(code=1)
    assert word.replace("a blob is", "is") in said.replace("the blob", "blob") or word == "not an object"
    assert "its list is not one of ours" in theirs or word in theirs
    spoiled.assert_untouched()


def test_a_record_of_another_release_than_the_list_is_refused(spoiled: Spoiled) -> None:
    manifest, start = spoiled.layout()
    spoiled.forge(replace(manifest, serial=manifest.serial + 1).dumps(), spoiled.raw[start:])
    assert "another release than its list" in spoiled.take(code=1)
    spoiled.assert_untouched()


def test_nobody_else_can_sign(spoiled: Spoiled) -> None:
    with Signer("stranger") as stranger:
        spoiled.trust.write_text(stranger.public())
        try:
            assert "whom you do not trust" in spoiled.take(code=1)
            assert "nobody in the keyring" in spoiled.verify(code=1)
            spoiled.trust.write_text(stranger.public() + spoiled.signer.public())
            spoiled.verify()
            spoiled.take()
        finally:
            spoiled.trust.write_text(spoiled.signer.public())


def resigned(spoiled: Spoiled, signature: str) -> None:
    manifest, start = spoiled.layout()
    spoiled.write(head(manifest.dumps(), signature.encode()) + spoiled.raw[start:])


@pytest.mark.parametrize("case", ["none", "of another list", "SHA-1", "not a signature"])
def test_a_signature_that_says_nothing_is_refused(spoiled: Spoiled, case: str) -> None:
    raw = spoiled.layout()[0].dumps()
    signatures = {
        "none": "",
        "of another list": spoiled.signer.sign(b"another list"),
        "SHA-1": spoiled.signer.sign(raw, digest="SHA1"),
        "not a signature": spoiled.signer.public(),
    }
    resigned(spoiled, signatures[case])
    spoiled.refused("sign")
    spoiled.assert_untouched()


def test_keys_that_ended(spoiled: Spoiled) -> None:
    """Revoked: never. Expired: only what was signed before the end."""
    raw = spoiled.layout()[0].dumps()
    with Signer("mortal", expire="30d") as mortal:
        spoiled.trust.write_text(mortal.public())
        try:
            resigned(spoiled, mortal.sign(raw, at=NOW + DAY))
            spoiled.verify()
            spoiled.take()
            mortal.extend("400d", at=NOW + DAY)
            late = mortal.sign(raw, at=NOW + 60 * DAY)
            resigned(spoiled, late)
            spoiled.refused("expired")
            mortal.revoke()
            spoiled.trust.write_text(mortal.public())
            spoiled.refused("revoked")
        finally:
            spoiled.trust.write_text(spoiled.signer.public())


def test_what_is_no_bundle_is_refused(spoiled: Spoiled) -> None:
    place = spoiled.place
    os.mkfifo(place / "pipe")
    for name in (place / "nothing", place, place / "pipe"):
        spoiled.take(name, code=2)
        spoiled.verify(name, code=2)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(__file__, arcname="bundle.json")
    for data in (b"", os.urandom(3000), bytes(3000), buffer.getvalue(), tgz(b"x" * 3000)):
        spoiled.write(data)
        spoiled.take(code=1)
        spoiled.verify(code=1)
    spoiled.assert_untouched()


def test_a_wrong_call_says_what_to_do(spoiled: Spoiled, tmp_path: Path) -> None:
    root = ("--root", spoiled.world.root)
    into = ("--into", tmp_path / "b")
    assert "--sign-key" in spoiled.run("export", *root, *into, code=2)
    assert "--into is missing" in spoiled.run("export", *root, "--sign-key", spoiled.key, code=2)
    assert "--into is missing" in spoiled.run("have", *root, code=2)
    assert "--trust is missing" in spoiled.run("import", spoiled.bundle, code=2)
    assert "public key only" in spoiled.run("export", *root, *into, "--sign-key", spoiled.trust, code=2)
    assert "private key" in spoiled.run("import", spoiled.bundle, "--trust", spoiled.key, code=2)
    assert "is not a size" in spoiled.export(*into, "--split", "4 GB", code=2)
    assert "give at least" in spoiled.export(*into, "--split", "1K", code=2)
    (tmp_path / "have").write_text("[]")
    assert "no have-list" in spoiled.export(*into, "--have", tmp_path / "have", code=2)
    (tmp_path / "mine").write_text("a letter")
    assert "is no bundle" in spoiled.export("--into", tmp_path / "mine", code=2)
    assert "is no bundle" in spoiled.export("--into", tmp_path, code=2)
    assert (tmp_path / "mine").read_text() == "a letter"
    assert "nothing is published" in spoiled.run(
        "export", "--root", tmp_path / "empty", *into, "--sign-key", spoiled.key, code=1
    )
    assert not (tmp_path / "b").exists()


def test_a_release_that_was_changed_is_not_exported(spoiled: Spoiled, tmp_path: Path) -> None:
    extra = spoiled.world.current() / "mirror_misc" / "extra"
    extra.write_text("x")
    try:
        assert "root digest" in spoiled.export("--into", tmp_path / "b", code=1)
    finally:
        extra.unlink()
    extra.symlink_to("file0.tgz")
    try:
        assert "no plain file" in spoiled.export("--into", tmp_path / "b", code=1)
    finally:
        extra.unlink()
    assert head_size(0) > 0
    assert not (tmp_path / "b").exists()

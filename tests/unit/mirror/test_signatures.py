from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from mirror import keys, openpgp, states
from mirror.gpg import Judgement, Keyring, SignatureRefusedError, SignerChangedError
from tests.unit.mirror.pgp_world import DAY, NOW, Signer

DATA = b"the bytes of a release\n" * 100


@pytest.fixture(scope="module")
def ann() -> Iterator[Signer]:
    with Signer("ann") as signer:
        yield signer


@pytest.fixture(scope="module")
def bob() -> Iterator[Signer]:
    with Signer("bob") as signer:
        yield signer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.tgz"
    path.write_bytes(DATA)
    return path


def judge(file: Path, text: str, *holders: Signer, pinned: tuple[str, ...] = ()) -> Judgement:
    snapshot = file.parent / "keys.asc"
    snapshot.write_text("".join(holder.public() for holder in holders))
    with Keyring([snapshot]) as ring:
        return ring.judge("x.tgz", text, file, pinned)


def refusal(file: Path, text: str, *holders: Signer, pinned: tuple[str, ...] = ()) -> str:
    with pytest.raises(SignatureRefusedError) as caught:
        judge(file, text, *holders, pinned=pinned)
    assert caught.value.exit_code == 1
    assert caught.value.cure
    assert "x.tgz" in caught.value.message
    return caught.value.message


def test_a_good_signature_of_a_pinned_signer_is_verified(file: Path, ann: Signer, bob: Signer) -> None:
    found = judge(file, ann.sign(DATA), bob, ann, pinned=(ann.fingerprint,))
    assert found == Judgement(states.VERIFIED, (ann.fingerprint,), ("SHA512",))


def test_good_but_nobody_pinned_is_not_called_verified(file: Path, ann: Signer) -> None:
    assert judge(file, ann.sign(DATA), ann).state == states.UNPINNED


def test_an_unknown_key_is_named_from_the_packet(file: Path, ann: Signer, bob: Signer) -> None:
    for holders in ((), (bob,)):
        found = judge(file, ann.sign(DATA), *holders, pinned=(ann.fingerprint,))
        assert found == Judgement(states.NOT_HELD, (ann.fingerprint,), ("SHA512",))


def test_tampered_bytes_are_refused_pinned_or_not(file: Path, ann: Signer) -> None:
    text = ann.sign(DATA)
    file.write_bytes(DATA[:-1] + b"!")
    for pinned in ((), (ann.fingerprint,)):
        assert "not of these bytes" in refusal(file, text, ann, pinned=pinned)


def test_a_signer_who_is_not_pinned_is_refused(file: Path, ann: Signer, bob: Signer) -> None:
    assert bob.fingerprint in refusal(file, bob.sign(DATA), ann, bob, pinned=(ann.fingerprint,))


def test_two_signatures_one_of_them_unknown_verify(file: Path, ann: Signer, bob: Signer) -> None:
    both = bob.sign(DATA) + ann.sign(DATA)
    assert judge(file, both, ann, pinned=(ann.fingerprint,)).state == states.VERIFIED


def test_two_signatures_one_of_them_bad_are_refused(file: Path, ann: Signer, bob: Signer) -> None:
    both = ann.sign(DATA) + bob.sign(DATA + b"!")
    assert "not of these bytes" in refusal(file, both, ann, bob, pinned=(ann.fingerprint,))


def test_before_its_key_expired_is_good_and_after_is_not(file: Path) -> None:
    with Signer("short", expire=f"seconds={10 * DAY}") as short:
        early = short.sign(DATA, at=NOW + DAY)
        assert judge(file, early, short, pinned=(short.fingerprint,)).state == states.VERIFIED
        # Only a key that still lasted could sign later: lengthened, used, and held here as it was before.
        before = short.public()
        short.extend("never", NOW + 9 * DAY)
        late = short.sign(DATA, at=NOW + 30 * DAY)
        assert judge(file, late, short, pinned=(short.fingerprint,)).state == states.VERIFIED
        snapshot = file.parent / "before.asc"
        snapshot.write_text(before)
        with Keyring([snapshot]) as ring, pytest.raises(SignatureRefusedError) as caught:
            ring.judge("x.tgz", late, file, (short.fingerprint,))
        assert "expired" in caught.value.message


def test_a_signature_that_has_itself_expired_is_refused(file: Path, ann: Signer) -> None:
    text = ann.gpg("--armor", "--default-sig-expire", "seconds=60", "--output", "-", "--detach-sign",
                   at=NOW + DAY, data=DATA).decode()  # fmt: skip
    assert "expired" in refusal(file, text, ann, pinned=(ann.fingerprint,))


def test_a_revoked_key_is_refused(file: Path) -> None:
    with Signer("left") as left:
        text = left.sign(DATA)
        left.revoke()
        assert "revoked" in refusal(file, text, left, pinned=(left.fingerprint,))


def test_a_key_that_is_revoked_and_has_expired_too_is_refused(file: Path) -> None:
    """gpg says EXPKEYSIG of it, and not REVKEYSIG."""
    with Signer("left", expire=f"seconds={10 * DAY}") as left:
        text = left.sign(DATA)
        left.revoke()
        assert "revoked" in refusal(file, text, left, pinned=(left.fingerprint,))


@pytest.mark.parametrize("digest", ["SHA1", "RIPEMD160"])
def test_a_broken_hash_is_refused(file: Path, digest: str) -> None:
    with Signer("old", kind="rsa2048") as old:
        text = old.sign(DATA, digest=digest)
        assert digest in refusal(file, text, old, pinned=(old.fingerprint,))
        assert judge(file, text).hashes == (digest,)


def test_what_is_no_detached_signature_is_refused(file: Path, ann: Signer) -> None:
    clear = ann.gpg("--clearsign", "--output", "-", at=NOW + DAY, data=b"all is well\n").decode()
    signed = ann.gpg("--armor", "--sign", "--output", "-", at=NOW + DAY, data=DATA).decode()
    rubbish = {
        "clear-signed": clear,
        "clear-signed, then a signature": clear + ann.sign(DATA),
        "a whole message": signed,
        "a message called a signature": signed.replace("PGP MESSAGE", "PGP SIGNATURE"),
        "a key": ann.public(),
        "a key called a signature": ann.public().replace("PUBLIC KEY BLOCK", "SIGNATURE"),
        "a web page": "<!DOCTYPE html><html>Please log in</html>",
        "empty": "",
        "no body": "-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n",
        "cut off": ann.sign(DATA)[:120],
        "a flipped character": ann.sign(DATA).replace("\niHUE", "\niHUF"),
        "a signature, then a word": ann.sign(DATA) + "and more\n",
    }
    for what, text in rubbish.items():
        assert refusal(file, text, ann, pinned=(ann.fingerprint,)), what


@pytest.mark.parametrize("wrapping", [b"", bytes([0xA3, 0])])
def test_a_detached_signature_armoured_as_a_message_is_judged_as_any_other(
    file: Path, ann: Signer, wrapping: bytes
) -> None:
    (block,) = openpgp.blocks(ann.sign(DATA))
    text = openpgp.armour("MESSAGE", wrapping + block.data)
    assert judge(file, text).signers == (ann.fingerprint,)
    assert judge(file, text, ann, pinned=(ann.fingerprint,)).state == "verified"


def test_armour_is_written_as_it_is_read(ann: Signer) -> None:
    (block,) = openpgp.blocks("prose\n" + ann.public() + "more prose")
    assert not block.fault
    assert list(openpgp.blocks(openpgp.armour(block.kind, block.data))) == [
        openpgp.Block(block.kind, 1, block.data)
    ]


@given(st.text(max_size=300))
def test_no_text_passes_for_a_signature(text: str) -> None:
    framed = f"-----BEGIN PGP SIGNATURE-----\n\n{text}\n-----END PGP SIGNATURE-----"
    for candidate in (text, framed):
        with pytest.raises(openpgp.FormatError):
            openpgp.signatures(candidate)


@given(st.binary(min_size=1, max_size=200))
def test_any_packets_are_read_or_refused(raw: bytes) -> None:
    try:
        _, facts = openpgp.signatures(openpgp.armour("SIGNATURE", raw))
    except openpgp.FormatError:
        return
    assert facts


def test_an_old_signature_without_fingerprint_is_named_by_key_id() -> None:
    # A version 3 packet: type, time, key id, algorithms, check bytes, and one number.
    body = bytes([3, 5, 0]) + bytes(4) + bytes.fromhex("D3360B139CE19FE8") + bytes([1, 2, 0, 0, 0, 1, 1])
    text = openpgp.armour("SIGNATURE", bytes([0x88, len(body)]) + body)
    assert openpgp.signatures(text)[1] == (openpgp.SignatureFacts("D3360B139CE19FE8", "SHA1"),)


def test_keys_amid_prose_are_kept_and_compared(tmp_path: Path, ann: Signer, bob: Signer) -> None:
    given, folder = tmp_path / "KEYS", tmp_path / "keys"
    given.write_bytes(b"How to use this file: pgp -ka KEYS\nJos\xe9's key below\n" + ann.public().encode())
    first = keys.import_keys(given, folder, "flink")
    assert [key.fingerprint for key in first.added] == [ann.fingerprint]
    assert (first.removed, dict(first.changed), first.unusable) == ((), {}, ())
    text = first.path.read_text()
    assert f"# {ann.fingerprint}" in text
    assert "ann@example.org" in text
    assert "pgp -ka" not in text
    again = keys.import_keys(given, folder, "flink")
    assert (again.added, again.removed, dict(again.changed)) == ((), (), {})
    assert again.path.read_text() == text

    given.write_text("prose\n" + bob.public())
    swapped = keys.import_keys(given, folder, "flink")
    assert [key.fingerprint for key in swapped.added] == [bob.fingerprint]
    assert [key.fingerprint for key in swapped.removed] == [ann.fingerprint]
    assert {name: [key.fingerprint for key in found] for name, found in keys.held(folder).items()} == {
        "flink": [bob.fingerprint]
    }


def test_a_key_that_changed_is_named_with_the_change(tmp_path: Path) -> None:
    given, folder = tmp_path / "KEYS", tmp_path / "keys"
    with Signer("carol", expire=f"seconds={10 * DAY}") as carol:
        given.write_text(carol.public())
        keys.import_keys(given, folder, "flink")
        carol.extend("seconds=864000", NOW + 5 * DAY)
        given.write_text(carol.public())
        longer = keys.import_keys(given, folder, "flink")
        assert "expired 2025-06-30" in longer.changed[carol.fingerprint]
        carol.revoke()
        given.write_text(carol.public())
        assert "revoked" in keys.import_keys(given, folder, "flink").changed[carol.fingerprint]
        assert keys.held(folder)["flink"][0].state == "revoked"


def test_a_damaged_block_is_named_by_line_and_the_others_are_kept(tmp_path: Path, ann: Signer) -> None:
    given = tmp_path / "KEYS"
    broken = "one\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n-----END PGP PUBLIC KEY BLOCK-----\n"
    given.write_text(broken + ann.public())
    report = keys.import_keys(given, tmp_path / "keys", "flink")
    assert report.unusable == ((2, "its armour is damaged"),)
    assert [key.fingerprint for key in report.keys] == [ann.fingerprint]


def test_a_file_without_a_public_key_is_refused_and_the_snapshot_stays(tmp_path: Path, ann: Signer) -> None:
    given, folder = tmp_path / "KEYS", tmp_path / "keys"
    given.write_text(ann.public())
    path = keys.import_keys(given, folder, "flink").path
    before = path.read_bytes()
    unfit = ["", "just prose", ann.sign(DATA), ann.secret(), ann.public() + ann.secret()]
    unfit += [openpgp.armour("PUBLIC KEY BLOCK", b"\x99\x00\x01x")]
    for text in unfit:
        given.write_text(text)
        with pytest.raises(UsageError) as caught:
            keys.import_keys(given, folder, "flink")
        assert str(given) in caught.value.message
    with given.open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    with pytest.raises(UsageError, match="64 MiB"):
        keys.import_keys(given, folder, "flink")
    with pytest.raises(UsageError, match="snapshot"):
        keys.import_keys(given, folder, "../flink")
    assert path.read_bytes() == before


def test_without_the_key_another_signer_than_the_pinned_one_is_refused(file: Path, ann: Signer) -> None:
    text = ann.sign(DATA)
    other = "0" * 24 + "D3360B139CE19FE8"
    for pins in ((other,), (other[-16:],), ("1" * 40, other)):
        with pytest.raises(SignerChangedError) as caught:
            judge(file, text, pinned=pins)
        assert caught.value.was == pins
        assert caught.value.now == (ann.fingerprint,)
        assert f"now {ann.fingerprint}" in caught.value.message
    for pins in ((ann.fingerprint,), (ann.fingerprint[-16:],), (other, ann.fingerprint)):
        assert judge(file, text, pinned=pins).state == "present, key not held"


def test_a_key_id_alone_never_verifies(file: Path, ann: Signer) -> None:
    assert "among the entry's signers" in refusal(file, ann.sign(DATA), ann, pinned=(ann.fingerprint[-16:],))

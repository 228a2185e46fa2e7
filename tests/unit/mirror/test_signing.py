from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError, WorldError
from mirror import signing
from mirror.signing import Signer, clearsigned_by_all, load_signers, load_trusted, signed_by_all
from tests.unit.mirror.pgp_world import DAY, NOW
from tests.unit.mirror.pgp_world import Signer as Person

TEXT = b"Origin: us\n- a line with a dash\nSHA256:\n 00 12 main/Packages\n"


@pytest.fixture(scope="module")
def ann() -> Iterator[Person]:
    with Person("ann") as person:
        yield person


@pytest.fixture(scope="module")
def bob() -> Iterator[Person]:
    with Person("bob", kind="rsa2048") as person:
        yield person


def signer(person: Person) -> Signer:
    return Signer(person.secret().encode(), "key.asc")


def test_what_is_signed_verifies_by_gpg(ann: Person, bob: Person) -> None:
    for person in (ann, bob):
        made = signer(person)
        assert made.fingerprint == person.fingerprint
        signature = made.detached(TEXT)
        assert signing.verify_detached(TEXT, signature, made.public_key()) == person.fingerprint
        assert signing.verify_detached(TEXT, signature, person.public().encode()) == person.fingerprint
        assert signing.verify_clearsigned(made.clearsigned(TEXT), made.public_key(), "x") == (
            person.fingerprint, TEXT,
        )  # fmt: skip


def test_gpgv_and_so_apt_accept_it(ann: Person, bob: Person, tmp_path: Path) -> None:
    """gpgv is what apt asks; it must accept two signers when it holds the key of one."""
    both = [signer(ann), signer(bob)]
    (tmp_path / "InRelease").write_bytes(clearsigned_by_all(both, TEXT))
    (tmp_path / "Release").write_bytes(TEXT)
    (tmp_path / "Release.gpg").write_bytes(signed_by_all(both, TEXT))
    for person in (ann, bob):
        keyring = tmp_path / "keys.gpg"
        keyring.write_bytes(person.gpg("--export", person.fingerprint))
        for words in (["InRelease"], ["Release.gpg", "Release"]):
            done = subprocess.run(
                ["gpgv", "--keyring", keyring, "--status-fd", "1", *words], cwd=tmp_path, capture_output=True,
                timeout=60, check=False,
            )  # fmt: skip
            assert f"VALIDSIG {person.fingerprint}".encode() in done.stdout, done.stderr
            assert b"BADSIG" not in done.stdout


def test_signed_by_old_and_new_key_each_of_them_is_enough(ann: Person, bob: Person) -> None:
    both = [signer(ann), signer(bob)]
    for person in (ann, bob):
        keys = person.public().encode()
        assert signing.verify_detached(TEXT, signed_by_all(both, TEXT), keys) == person.fingerprint
        found = signing.verify_clearsigned(clearsigned_by_all(both, TEXT), keys, "x")
        assert found == (person.fingerprint, TEXT)


def test_other_bytes_and_strangers_are_refused(ann: Person, bob: Person) -> None:
    made = signer(ann)
    with pytest.raises(WorldError, match="not of these bytes"):
        signing.verify_detached(TEXT + b"!", made.detached(TEXT), made.public_key())
    with pytest.raises(WorldError, match=ann.fingerprint):
        signing.verify_detached(TEXT, made.detached(TEXT), bob.public().encode())
    changed = made.clearsigned(TEXT).replace(b"Origin: us", b"Origin: me")
    with pytest.raises(WorldError, match="not of these bytes"):
        signing.verify_clearsigned(changed, made.public_key(), "x")
    with pytest.raises(WorldError, match=ann.fingerprint):
        signing.verify_clearsigned(made.clearsigned(TEXT), bob.public().encode(), "x")


@pytest.mark.parametrize("text", [b"", b"nonsense", TEXT, b"-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n"])
def test_what_is_no_signature_is_refused(ann: Person, text: bytes) -> None:
    keys = ann.public().encode()
    with pytest.raises(WorldError):
        signing.verify_detached(TEXT, text, keys)
    with pytest.raises(WorldError):
        signing.verify_clearsigned(text, keys, "x")


def test_words_around_the_signed_text_are_refused(ann: Person) -> None:
    made = signer(ann)
    for text in (b"more\n" + made.clearsigned(TEXT), made.clearsigned(TEXT) + made.clearsigned(b"more\n")):
        with pytest.raises(WorldError):
            signing.verify_clearsigned(text, made.public_key(), "x")


@pytest.fixture
def save(tmp_path: Path) -> Any:
    def write(data: Any, name: str = "key.asc") -> str:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(0o600)
        return str(path)

    return write


def test_keys_that_cannot_sign_are_refused_with_the_cure(ann: Person, save: Any, tmp_path: Path) -> None:
    with Person("eve", expire="2d") as eve, Person("rob") as rob:
        rob.revoke()
        cases = [
            (save(ann.public(), "public"), "public key only"),
            (save(b"nonsense", "garbage"), "no OpenPGP key"),
            (save(b"", "empty"), "no OpenPGP key"),
            (save(ann.secret()[:300], "half"), "no OpenPGP key"),
            (save(ann.secret() + rob.secret(), "two"), "no OpenPGP key"),
            (save(eve.secret(), "expired"), "has expired"),
            (save(rob.secret(), "revoked"), "is revoked"),
            (save(b"x" * (2 << 20), "large"), "larger"),
            (str(tmp_path / "none"), "cannot be read"),
            (str(tmp_path), "cannot be read"),
        ]
        for path, words in cases:
            with pytest.raises(UsageError, match=words) as caught:
                load_signers(path)
            assert caught.value.cure
            assert path in caught.value.message
            assert "\n" not in caught.value.message


def test_a_locked_key_wants_its_passphrase(save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Person("pat", passphrase="open sesame") as pat:
        key = save(pat.secret())
        with pytest.raises(UsageError, match="no passphrase was given"):
            load_signers(key)
        with pytest.raises(UsageError, match="none of the passphrases") as caught:
            load_signers(key, save("wrong horse\n", "words"))
        assert "horse" not in str(caught.value)
        words = save("one of another key\nopen sesame\n", "words")
        (made,) = load_signers(key, words)
        assert signing.verify_detached(TEXT, made.detached(TEXT), pat.public().encode()) == pat.fingerprint
        monkeypatch.setenv("PNDA_MIRROR_SIGN_KEY", key)
        monkeypatch.setenv("PNDA_MIRROR_SIGN_PASSPHRASE_FILE", words)
        assert [made.fingerprint for made in load_signers()] == [pat.fingerprint]


def test_a_subkey_may_sign_while_the_primary_key_is_elsewhere(ann: Person, save: Any) -> None:
    with Person("sam", usage="cert") as sam:
        sam.gpg("--quick-add-key", sam.fingerprint, "ed25519", "sign", "never", at=NOW)
        secret = sam.gpg("--armor", "--export-secret-subkeys", sam.fingerprint)
        (made,) = load_signers(save(secret))
        assert made.fingerprint == sam.fingerprint
        found = signing.verify_detached(TEXT, made.detached(TEXT), sam.public().encode())
        assert found == sam.fingerprint


def test_several_keys_are_sorted_and_none_counts_twice(ann: Person, bob: Person, save: Any) -> None:
    first, second = save(ann.secret(), "a.asc"), save(bob.secret(), "b.asc")
    expected = sorted([ann.fingerprint, bob.fingerprint])
    for given in (f"{first},{second}", f" {second} , {first},"):
        assert [made.fingerprint for made in load_signers(given)] == expected
    with pytest.raises(UsageError, match="given twice"):
        load_signers(f"{first},{save(ann.secret(), 'c.asc')}")
    assert load_signers() == ()


def test_a_key_that_others_may_read_is_warned_about(ann: Person, save: Any, capsys: Any) -> None:
    path = save(ann.secret())
    Path(path).chmod(0o644)
    load_signers(path)
    assert "chmod 600" in capsys.readouterr().err


def test_trusted_keys_are_public_keys(ann: Person, save: Any) -> None:
    assert load_trusted(Path(save(ann.public()))) == ann.public().encode()
    assert load_trusted(Path(save(ann.gpg("--export", ann.fingerprint))))
    for data, words in ((ann.secret(), "private"), (b"nonsense", "no public key"), (b"", "no public key")):
        with pytest.raises(UsageError, match=words):
            load_trusted(Path(save(data)))


def test_signing_leaves_no_agent_and_no_file(
    ann: Person, save: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GNUPGHOME", str(home / "gnupg"))
    monkeypatch.setenv("TMPDIR", str(home))
    (made,) = load_signers(save(ann.secret()))
    made.detached(TEXT)
    assert list(home.iterdir()) == []


def test_a_signature_of_later_than_the_keys_end_is_refused(ann: Person) -> None:
    with Person("old", expire="10d") as old:
        signature = old.sign(TEXT, at=NOW + DAY).encode()
        assert signing.verify_detached(TEXT, signature, old.public().encode()) == old.fingerprint
        later = ann.sign(TEXT).encode()
        with pytest.raises(WorldError):
            signing.verify_detached(TEXT, later, old.public().encode())

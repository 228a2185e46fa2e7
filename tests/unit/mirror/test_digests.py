from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.digests import HEX_LENGTH, ChecksumFormatError, Hasher, disagreements, of_file, parse_checksum

NAME = "flink-1.20.5.tgz"
DIGEST = hashlib.sha512(b"flink").hexdigest()
OTHER = hashlib.sha512(b"other").hexdigest()
GPG = f"{NAME}: " + "\n      ".join(
    " ".join(DIGEST.upper()[i : i + 8] for i in range(start, start + 32, 8)) for start in range(0, 128, 32)
)

FORMS = {
    "bare": DIGEST,
    "bare with newline and carriage return": DIGEST + "\r\n",
    "upper case": DIGEST.upper(),
    "sha512sum": f"{DIGEST}  {NAME}\n",
    "binary mark": f"{DIGEST} *{NAME}\n",
    "one space": f"{DIGEST} {NAME}",
    "folder in front of the name": f"{DIGEST}  /home/release/dist/{NAME}\n",
    "no name but a dash": f"{DIGEST}  -\n",
    "BSD": f"SHA512 ({NAME}) = {DIGEST}\n",
    "list of several files": f"{OTHER}  other.tgz\n{DIGEST}  {NAME}\n",
    "list with another algorithm": f"{'0' * 64}  {NAME}\n{DIGEST}  {NAME}\n",
    "gpg --print-md": GPG,
    "byte order mark": "\ufeff" + DIGEST,
}

REFUSED = {
    "empty": "",
    "web page": "<!DOCTYPE html><html><body>Please log in</body></html>",
    "another file's digest": f"{OTHER}  flink-1.20.4.tgz\n",
    "BSD, another file": f"SHA512 (other.tgz) = {OTHER}\n",
    "too short": DIGEST[:-1],
    "another algorithm": "0" * 40,
    "two digests for the file": f"{DIGEST}  {NAME}\n{OTHER}  {NAME}\n",
    "two bare digests": f"{DIGEST}\n{OTHER}\n",
    "longer than any checksum file": f"{DIGEST}  {NAME}\n" * 2000,
    "name that only ends alike": f"{DIGEST}  my-{NAME}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_known_form_gives_the_digest(form: str) -> None:
    assert parse_checksum(FORMS[form], NAME, "sha512") == DIGEST


@pytest.mark.parametrize("form", REFUSED)
def test_everything_else_is_refused(form: str) -> None:
    with pytest.raises(ChecksumFormatError):
        parse_checksum(REFUSED[form], NAME, "sha512")


@given(st.text(max_size=400), st.sampled_from(sorted(HEX_LENGTH)))
def test_any_text_gives_a_digest_of_the_right_length_or_an_error(text: str, algorithm: Any) -> None:
    try:
        value = parse_checksum(text, NAME, algorithm)
    except ChecksumFormatError:
        return
    assert len(value) == HEX_LENGTH[algorithm]
    assert set(value) <= set("0123456789abcdef")


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_chunks_do_not_change_digests(tmp_path_factory: pytest.TempPathFactory, chunks: Any) -> None:
    hasher = Hasher(["sha1", "md5"])
    for chunk in chunks:
        hasher.update(chunk)
    whole = b"".join(chunks)
    path = tmp_path_factory.mktemp("digests") / "file"
    path.write_bytes(whole)
    assert hasher.result() == of_file(path, ["md5", "sha1"])
    assert hasher.result().sha256 == hashlib.sha256(whole).hexdigest()
    assert hasher.result().by_name["md5"] == hashlib.md5(whole).hexdigest()


def test_disagreements_name_algorithm_and_both_values(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    found = of_file(path)
    assert disagreements(found, {"sha256": found.sha256}, 1) == []
    (fault,) = disagreements(found, {"sha256": "0" * 64})
    assert found.sha256 in fault
    assert "0" * 64 in fault
    assert disagreements(found, {}, 2) == ["size 1 instead of 2"]

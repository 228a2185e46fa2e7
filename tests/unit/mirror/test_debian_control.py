from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WorldError
from mirror import debian_control, debian_licence
from mirror.debian_control import Package
from mirror.paths import path_fault

DIGEST = hashlib.sha256(b"").hexdigest()
GOOD = {
    "Package": "libc6",
    "Source": "glibc (2.36-9)",
    "Version": "1:2.36-9+deb12u14~x",
    "Architecture": "amd64",
    "Depends": "libgcc-s1,\n libcrypt1 (>= 1:4.4.10-10~)",
    "Description": "GNU C Library\n long text\n .\n more",
    "Tag": "role::shared-lib",
    "Filename": "pool/main/g/glibc/libc6_2.36-9+deb12u14~x_amd64.deb",
    "Size": "2757072",
    "MD5sum": "0" * 32,
    "SHA256": DIGEST,
}


def text(**changes: Any) -> str:
    fields = {**GOOD, **changes}
    return "".join(f"{key}: {value}\n" for key, value in fields.items() if value is not None)


def one(**changes: Any) -> Package:
    (package,) = debian_control.packages(text(**changes), "an index")
    return package


def test_a_paragraph_is_read_to_what_the_own_index_needs() -> None:
    package = one()
    assert (package.name, package.version, package.architecture) == ("libc6", GOOD["Version"], "amd64")
    assert (package.source, package.file, package.size) == (
        "glibc",
        "libc6_2.36-9+deb12u14~x_amd64.deb",
        2757072,
    )
    assert package.digests == {"sha256": DIGEST}
    assert package.control["Depends"] == "libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)"
    assert package.control["Description"] == "GNU C Library"
    assert "Tag" not in package.control


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Filename", "../../etc/passwd.deb", "leaves its folder"),
        ("Filename", "pool/../../x.deb", "leaves its folder"),
        ("Filename", "/etc/x.deb", "not a relative path"),
        ("Filename", "http://elsewhere.example/x.deb", "Filename"),
        ("Filename", "pool/x.deb\x00.txt", "Filename"),
        ("Filename", "pool/x.sh", "is no .deb"),
        ("Filename", None, "Filename"),
        ("Size", "99999999999999999999999", "Size"),
        ("Size", "5000000000", "Size"),
        ("Size", "-1", "Size"),
        ("Size", "0", "Size"),
        ("Size", "1e3", "Size"),
        ("Size", None, "Size"),
        ("SHA256", None, "only MD5 or SHA-1"),
        ("SHA256", "abc", "SHA256"),
        ("SHA256", "g" * 64, "SHA256"),
        ("SHA512", "0" * 64, "SHA512"),
        ("Package", "../x", "Package"),
        ("Package", "Two Words", "Package"),
        ("Package", None, "without a name"),
        ("Version", "1.0\n evil", "Version"),
        ("Version", "", "Version"),
        ("Architecture", "../amd64", "Architecture"),
    ],
)
def test_what_is_not_to_be_believed_is_refused_by_name(field: str, value: Any, said: str) -> None:
    with pytest.raises(WorldError, match="an index") as caught:
        one(**{field: value})
    assert said in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize("name", ["index", "i" * 300])
def test_an_index_of_one_line_is_not_taken_for_the_name_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index").write_text(text())
    assert debian_control.packages(name, "an index") == ()


@given(st.text(max_size=300))
def test_any_text_is_an_index_or_refused(junk: str) -> None:
    try:
        found = debian_control.packages(junk, "an index")
    except WorldError:
        return
    assert found == ()


@given(
    st.sampled_from(sorted(GOOD)),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=60),
    st.integers(0, 60),
)
def test_any_damage_to_a_field_leaves_what_is_safe_or_is_refused(field: str, junk: str, at: int) -> None:
    value = GOOD[field][:at] + junk + GOOD[field][at:]
    try:
        found = debian_control.packages(text(**{field: value}), "an index")
    except WorldError:
        return
    for package in found:
        assert path_fault(package.filename) == ""
        assert package.size > 0
        assert len(package.digests["sha256"]) == 64
        assert all(value.isprintable() for value in package.control.values())


RELEASE = "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n"


def test_a_release_says_whose_it_is_and_of_when() -> None:
    found = debian_control.release(RELEASE, "a suite")
    assert (found.origin, found.suite, found.codename) == ("Debian", "oldstable", "bookworm")
    assert found.date == datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC)
    offset = debian_control.release(RELEASE.replace("UTC", "+0200"), "a suite")
    assert offset.date == datetime(2026, 7, 11, 8, 16, 37, tzinfo=UTC)


@given(st.text(max_size=200))
def test_any_text_is_a_release_or_refused(junk: str) -> None:
    for candidate in (junk, RELEASE.replace("Sat, 11 Jul 2026", junk)):
        try:
            found = debian_control.release(candidate, "a suite")
        except WorldError:
            continue
        assert found.date.utcoffset() is not None


def test_ways_are_the_shortest_and_go_by_what_is_provided() -> None:
    def package(name: str, **fields: str) -> Package:
        return Package(name, "1", "all", f"{name}.deb", 1, {"sha256": DIGEST}, fields)

    found = [
        package("app", Depends="long, awk (>= 1) | other"),
        package("long", Depends="deep"),
        package("mawk", Provides="awk (= 1)", **{"Pre-Depends": "deep:any"}),
        package("deep"),
        package("stray"),
    ]
    assert debian_control.ways(found, ["app", "not-there"]) == {
        "app": (), "long": ("app",), "mawk": ("app",), "deep": ("app", "long"),
    }  # fmt: skip


COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: Apache-2.0

Files: debian/*
Copyright: somebody else
License: GPL-2+ or Artistic
 The whole text.

License: Unused-1
 nobody
"""


def test_licences_are_those_of_files_or_the_common_ones_that_are_named() -> None:
    assert debian_licence.licences(COPYRIGHT) == "Apache-2.0 and (GPL-2+ or Artistic)"
    prose = "It is free. See /usr/share/common-licenses/GPL-2, and /usr/share/common-licenses/LGPL-2.1."
    assert debian_licence.licences(prose) == "GPL-2 and LGPL-2.1"
    assert debian_licence.licences("Do what you like.") == ""


@given(st.text(max_size=200))
def test_any_copyright_file_gives_one_line(junk: str) -> None:
    for candidate in (junk, COPYRIGHT + junk, "Format: x\n\nFiles: *\nLicense: " + junk):
        assert len(debian_licence.licences(candidate)) <= 400
        assert "\n" not in debian_licence.licences(candidate)


def test_what_is_no_package_has_no_licence_and_a_warning(tmp_path: Any, capsys: Any) -> None:
    path = tmp_path / "x.deb"
    for junk in (b"", b"!<arch>\n", b"!<arch>\n" + b"debian-binary   " * 10, b"\0" * 500):
        path.write_bytes(junk)
        assert debian_licence.of_package(path, "x") == ""
        assert "x: its copyright file" in capsys.readouterr().err

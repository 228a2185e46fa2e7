from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from mirror import apt_machine
from mirror.apt_root import AptRoot


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let apt have these ``sources`` (by file name) and ``settings``, and nothing else of the machine's."""

    def set_up(sources: dict[str, str], settings: str = "") -> None:
        parts = tmp_path / "parts"
        parts.mkdir()
        for name, text in sources.items():
            (parts / name).write_text(text)
        (tmp_path / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{parts}";\n'
            f'Dir::Etc::netrc "{tmp_path}/auth.conf";\nDir::Etc::netrcparts "{tmp_path}/auth.d";\n'
            f'Dir::Etc::trusted "{tmp_path}/trusted.gpg";\nDir::Etc::trustedparts "{tmp_path}/trusted.d";\n'
            f"#clear APT::Architectures;\n{settings}\n"
        )
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))

    return set_up


DEB822 = """\
Types: deb
URIs: http://one.example/debian
Suites: stable stable-updates
Components: main contrib
Signed-By: /keys/one.gpg

Types: deb
URIs: http://user:secret@two.example/security/
Suites: stable-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""
ONE_LINE = """\
deb-src http://one.example/debian older main
# deb http://no.example/debian older main
deb [arch=amd64 signed-by=/keys/a.gpg,/keys/b.gpg trusted=yes] http://three.example/debian older main
deb http://four.example/debian plain main
"""


def test_sources_of_both_styles_are_found_with_their_keys(machine: Any) -> None:
    machine({"d.sources": DEB822, "o.list": ONE_LINE})
    (one,) = apt_machine.repositories(["stable"], ["main"])
    assert (one.uri, one.components, one.signed_by) == (
        "http://one.example/debian/",
        ("main",),
        "/keys/one.gpg",
    )
    (two,) = apt_machine.repositories(["stable-security"], ["main"])
    assert "BEGIN PGP" in two.signed_by
    assert "secret" not in f"{two!r} {two}"
    (three,) = apt_machine.repositories(["older"], ["main"])
    assert three.signed_by == "/keys/a.gpg /keys/b.gpg"
    (four,) = apt_machine.repositories(["plain"], ["main"])
    assert four.signed_by == ""
    both = apt_machine.repositories(["stable", "stable-updates"], ["main", "contrib"])
    assert [item.suite for item in both] == ["stable", "stable-updates"]
    assert both[0].components == ("main", "contrib")


def test_what_no_source_has_is_named(machine: Any) -> None:
    machine({"d.sources": DEB822})
    with pytest.raises(UsageError, match="no suite older with main"):
        apt_machine.repositories(["stable", "older"], ["main"])
    with pytest.raises(UsageError, match="no suite stable with non-free"):
        apt_machine.repositories(["stable"], ["non-free"])


def test_proxies_certificates_and_logins_are_apts(machine: Any, tmp_path: Path) -> None:
    settings = (
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::http::Proxy::near.example "DIRECT";\nAcquire::https::CaInfo "/ca.pem";'
    )
    machine({}, settings)
    (tmp_path / "auth.d").mkdir()
    (tmp_path / "auth.conf").write_text("machine far.example/debian\nlogin me\npassword secret\n")
    (tmp_path / "auth.d" / "x.conf").write_text("machine http://near.example login you password other\n")
    found = apt_machine.Settings()
    far = found.location("http://far.example/debian/pool/x.deb")
    assert (far.proxies["http"], far.auth) == ("http://proxy.example:3128", ("me", "secret"))
    assert found.location("http://far.example/other/x.deb").auth is None
    near = found.location("http://near.example:8080/x.deb")
    assert (near.proxies, near.auth) == ({"no_proxy": "near.example"}, ("you", "other"))
    assert found.location("https://far.example/x.deb").verify == "/ca.pem"
    assert "secret" not in repr(far)
    for kind in ("file:/srv/debian/x.deb", "cdrom:[x]/", "mirror+file:/x"):
        with pytest.raises(UsageError, match="only apt can fetch"):
            found.location(kind)


def test_keys_that_apt_trusts_by_itself_are_found(machine: Any, tmp_path: Path) -> None:
    machine({})
    (tmp_path / "trusted.d").mkdir()
    for name in ("b.gpg", "a.asc", "no.txt"):
        (tmp_path / "trusted.d" / name).touch()
    assert [path.name for path in apt_machine.Settings().key_files()] == ["b.gpg", "a.asc"]


@given(st.text(max_size=300))
def test_any_text_is_a_dump_of_settings(junk: str) -> None:
    assert all(isinstance(value, str) for value in apt_machine.parse_settings(junk).values())


def test_a_folder_that_would_break_apts_configuration_is_refused(tmp_path: Path) -> None:
    for name in ('a"b', "a b", "a;b", "a{b"):
        folder = tmp_path / name
        folder.mkdir()
        with pytest.raises(UsageError, match="TMPDIR"):
            AptRoot(folder, [], ["amd64"])

"""The host's apt sources, as they are found in the wild."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from lab import sources

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/other
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://mirror.example/off
Suites: bookworm
Components: main
"""


def _apt(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        base, _, suffix = name.rpartition("_")
        path = folder / "sources.list" if name == "list" else folder / "sources.list.d" / f"{base}.{suffix}"
        path.write_text(text)
    return folder


def test_deb822_keeps_the_suite_and_drops_other_and_disabled_stanzas(tmp_path: Path) -> None:
    found = sources.sources(_apt(tmp_path, debian_sources=DEB822))
    assert found.count("http://mirror.example/debian") == 1
    assert "Suites: bookworm bookworm-updates\n" in found
    assert "Types: deb\n" in found
    assert "main\n contrib" in found
    assert "other" not in found
    assert "/off" not in found


def test_one_line_form_with_options(tmp_path: Path) -> None:
    text = """\
# deb http://mirror.example/commented bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # trailing
deb-src http://mirror.example/source bookworm main
deb http://mirror.example/security bookworm-security main
"""
    found = sources.sources(_apt(tmp_path, list=text))
    assert "Uris: http://mirror.example/debian\nSuites: bookworm\n" in found
    assert "Components: main contrib\nArchitectures: amd64\n" in found
    assert "Signed-By: /k.gpg" in found
    assert "http://mirror.example/security" in found
    assert "commented" not in found
    assert "/source" not in found


def test_files_that_apt_ignores_are_ignored(tmp_path: Path) -> None:
    folder = _apt(tmp_path, debian_sources=DEB822)
    (folder / "sources.list.d" / "x.sources.disabled").write_text(
        DEB822.replace("mirror.example", "disabled.example")
    )
    assert "disabled.example" not in sources.sources(folder)


def test_no_source_of_the_suite_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bookworm") as caught:
        sources.sources(_apt(tmp_path, list="deb http://mirror.example/debian trixie main\n"))
    assert caught.value.cure


def test_only_updates_of_the_suite_are_not_enough(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        sources.sources(_apt(tmp_path, list="deb http://mirror.example/s bookworm-security main\n"))

"""Like :mod:`test_any_input`, for what a mirror writes and reads again, and for what Debian publishes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError, WorldError
from mirror import (
    apt_machine,
    bundle_list,
    debian_control,
    debian_licence,
    docroot_manifest,
    have,
    memo,
    record,
)
from tests.unit.mirror.test_any_input import changed, json_of, pieces

ANY = json_of("format", "kind", "serial", "blobs", "files") | st.sampled_from(
    ["../x", "/x", "", "0" * 64, -1, 1 << 60, True]
)
HAVE: dict[str, Any] = {"format": 1, "kind": "x", "serial": 1, "root_digest": "0" * 64, "blobs": ["0" * 64]}
RECORD: dict[str, Any] = {
    "format": 1, "serial": 1, "root_digest": "0" * 64, "lock_digest": "0" * 64, "entries": ["a"],
    "groups": ["g"], "files": 1, "date": "2024-01-01", "bytes": 1, "signers": ["0" * 40],
}  # fmt: skip


@given(changed({**HAVE, "kind": have.KIND}, ANY) | ANY)
def test_any_have_list_is_read_or_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "have.json"
    path.write_text(json.dumps(document))
    with contextlib.suppress(UsageError):
        found = have.load(path)
        assert json.loads(found.dumps())["blobs"] == list(found.blobs)


@given(changed(RECORD, ANY) | ANY)
def test_any_record_is_read_or_a_world_error(document: Any) -> None:
    with contextlib.suppress(WorldError):
        found = record.loads(json.dumps(document).encode(), "release.json")
        assert found.serial > 0
        assert record.loads(record.dumps(found), "again") == found


@given(st.binary(max_size=200))
def test_any_bytes_as_a_record_or_the_list_of_a_bundle_are_a_world_error(raw: bytes) -> None:
    with pytest.raises(WorldError):
        record.loads(raw, "release.json")
    with pytest.raises(WorldError):
        bundle_list.loads(raw, "x.bundle")


@given(json_of("format", "kind", "serial", "root_digest", "have", "part", "body", "blobs", "outside"))
def test_any_json_as_the_list_of_a_bundle_is_a_world_error(document: Any) -> None:
    with pytest.raises(WorldError):
        bundle_list.loads(json.dumps(document).encode(), "x.bundle")


@given(json_of("format", "program", "read", "made", "entries") | st.just({"format": 1}))
def test_any_memo_is_none_or_its_own(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    root = tmp_path_factory.getbasetemp()
    memo.place(root).parent.mkdir(parents=True, exist_ok=True)
    memo.place(root).write_text(json.dumps(document))
    assert memo.recall(root, {"x": "0"}) is None


@given(json_of("format", "files", "serial", "release", "sha256"))
def test_any_manifest_in_a_document_root_is_read_or_a_world_error(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    folder = tmp_path_factory.mktemp("docroot")
    docroot_manifest.save(folder, docroot_manifest.load(folder))
    (written,) = [path for path in folder.rglob("*") if path.is_file()]
    written.write_text(json.dumps(document))
    with contextlib.suppress(WorldError):
        docroot_manifest.load(folder)


CONTROL = pieces(
    "Package", "Version", "Architecture", "Filename", "Size",
    "SHA256", "Depends", "Suite", "Codename", "Date",
    "Valid-Until", "Components", "Architectures", ": ", "\n", "\n\n",
    " ", "a", "1", "-1", "0" * 64, "../x.deb",
    "pool/a_1_amd64.deb", "Thu, 01 Jan 1970 00:00:00 UTC", "|", ",", "(>= 1)",
    "[", "<", "\0", "\xe9", ".", "#",
    "-----BEGIN PGP SIGNED MESSAGE-----", most=40,
)  # fmt: skip


@given(st.text(max_size=200) | CONTROL)
def test_any_index_of_debian_is_read_or_a_world_error(text: str) -> None:
    with contextlib.suppress(WorldError):
        for item in debian_control.packages(text, "Packages"):
            assert ".." not in item.filename.split("/")
    with contextlib.suppress(WorldError):
        debian_control.release(text, "Release")


@given(
    st.text(max_size=200)
    | pieces("Format: ", "https://", "License: ", "Files: *", "\n", "\n\n", " ", "GPL-2+")
)
def test_any_copyright_file_gives_licences(text: str) -> None:
    assert isinstance(debian_licence.licences(text), str)


@given(st.text(max_size=200) | pieces("APT", "::", ' "', '";', "\n", "Dir", "Acquire", "{", "}", "#"))
def test_any_settings_of_apt_are_read(text: str) -> None:
    apt_machine.parse_settings(text)


def test_a_whole_record_is_read() -> None:
    """The properties above start from one that is right."""
    assert record.loads(json.dumps(RECORD).encode(), "x").serial == 1


def test_a_whole_have_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "have.json").write_text(json.dumps({**HAVE, "kind": have.KIND, "format": have.FORMAT}))
    assert have.load(tmp_path / "have.json").serial == 1

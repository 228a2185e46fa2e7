from __future__ import annotations

import ast
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PndaError, WorldError
from mirror import bundle_list, have
from mirror.bundle_format import (
    BLOCK,
    END,
    MAX_BLOB,
    Item,
    Manifest,
    head,
    head_size,
    header,
    padded,
    root_digest,
)
from mirror.bundle_plan import file_size, file_system
from mirror.bundle_read import opened

ROOT = Path(__file__).resolve().parents[3]
VERIFIER = ROOT / "programs" / "mirror" / "verify-bundle"
FILES = tuple(Item(f"mirror_misc/{number}", f"{number:064x}", number * 700) for number in range(4))
OUTSIDE = (Item("release.json", "f" * 64, 10),)
LIST = Manifest(3, root_digest(FILES), "", 1, (tuple(item.sha256 for item in FILES),), OUTSIDE, FILES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


UNSIGNED = b"-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n"


def refusal(work: Callable[[], object]) -> PndaError | None:
    """The error that ``work`` ends with, None if it does not."""
    try:
        work()
    except PndaError as error:
        return error
    return None


@contextmanager
def a_file(data: bytes) -> Iterator[Path]:
    """A file of its own for one example."""
    with tempfile.NamedTemporaryFile(prefix="bundle-test-") as stream:
        stream.write(data)
        stream.flush()
        yield Path(stream.name)


def test_a_list_comes_back_as_it_was_written() -> None:
    assert bundle_list.loads(LIST.dumps(), "b") == LIST
    assert LIST.dumps() == LIST.dumps()
    second = replace(LIST, part=2, parts=((FILES[0].sha256,), (FILES[2].sha256,)), have="0" * 64)
    assert bundle_list.loads(second.dumps(), "b") == second
    assert second.inside == (OUTSIDE[0].sha256, FILES[2].sha256)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    with pytest.raises(WorldError):
        bundle_list.loads(data, "b")


@given(st.sampled_from(sorted(json.loads(LIST.dumps()))), JSON)
def test_any_value_of_any_field_is_right_or_refused(name: str, value: Any) -> None:
    data = json.loads(LIST.dumps())
    raw = json.dumps({**data, name: value}).encode()
    error = refusal(lambda: bundle_list.loads(raw, "b"))
    if error is None:
        assert value == data[name] or name in ("serial", "have")
        assert bundle_list.loads(raw, "b").files == LIST.files
    else:
        assert error.message.startswith("b: ")
        assert error.cure


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=64), st.integers()), max_size=5))
def test_any_files_are_right_or_refused(rows: list[tuple[str, str, int]]) -> None:
    data = json.loads(LIST.dumps())
    with pytest.raises(WorldError):
        bundle_list.loads(json.dumps({**data, "files": [list(row) for row in rows]}).encode(), "b")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_have_list_or_refused(data: bytes) -> None:
    with a_file(data) as path, pytest.raises(PndaError):
        have.load(path)


@given(JSON, JSON, JSON)
def test_any_values_are_a_have_list_or_refused(serial: Any, digest: Any, blobs: Any) -> None:
    data = {"format": 1, "kind": have.KIND, "serial": serial, "root_digest": digest, "blobs": blobs}
    with a_file(json.dumps(data).encode()) as path:
        error = refusal(lambda: have.load(path))
        if error is None:
            found = have.load(path)
            assert (found.serial, found.root_digest, list(found.blobs)) == (serial, digest, list(blobs))
        else:
            assert error.cure


@given(st.integers(0, MAX_BLOB), st.from_regex(r"[a-z0-9][a-z0-9/.]{0,97}[a-z0-9]", fullmatch=True))
def test_headers_are_what_tar_reads(size: int, name: str) -> None:
    found = tarfile.TarInfo.frombuf(header(name, size), "ascii", "strict")
    assert (found.name, found.size, found.type) == (name, size, tarfile.REGTYPE)
    assert (found.mode, found.uid, found.gid, found.mtime) == (0o444, 0, 0, 315532800)


def test_the_head_is_as_long_as_it_says_whatever_signs() -> None:
    for count in (1, 511, 512, 513):
        for signature in (b"x", b"y" * (16 << 10)):
            assert len(head(b"z" * count, signature)) == head_size(count)
    with pytest.raises(WorldError, match="fewer keys"):
        head(b"z", b"y" * ((16 << 10) + 1))


def test_members_follow_each_other_to_the_end() -> None:
    start = head_size(len(LIST.dumps()))
    members = LIST.members(start)
    assert members[0].start == start
    assert all(one.end == other.start for one, other in itertools.pairwise(members))
    assert members[-1].end + END == file_size(LIST)
    assert padded(0) == 0
    assert padded(1) == padded(BLOCK) == BLOCK


@given(st.binary(max_size=2000), st.integers(0, 4000))
def test_any_bytes_are_a_bundle_or_refused(data: bytes, at: int) -> None:
    """Bytes put into a bundle anywhere: it is refused, or what they change is in no blob that is read."""
    whole = head(LIST.dumps(), UNSIGNED)
    whole += b"".join(header(m.name, m.size) + bytes(padded(m.size)) for m in LIST.members(0)) + bytes(END)

    def read(path: Path) -> None:
        with opened(path) as found:
            envelope = found.envelope()
            assert found.manifest(envelope) == LIST
            assert len(found.members(envelope, LIST)) == len(LIST.inside)
            assert found.cut_off(envelope, LIST) == 0

    with a_file(whole[:at] + data + whole[at + len(data) :]) as path:
        error = refusal(lambda: read(path))
        assert error is None or str(path) in error.message


def test_the_verifier_is_written_for_an_old_python_and_imports_nothing_of_ours() -> None:
    tree = ast.parse(VERIFIER.read_text(), feature_version=(3, 6))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
    # These came with 3.7 or later.
    assert not names & {"dataclasses", "__future__", "contextvars", "importlib.resources", "graphlib"}
    words = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    assert not words & {"capture_output", "text", "missing_ok", "required", "exit_on_error"}
    methods = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not methods & {"removeprefix", "removesuffix", "fromisoformat", "file_digest", "is_relative_to"}


def test_the_verifier_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(head(LIST.dumps(), UNSIGNED))
    cases: list[tuple[bytes, dict[str, str], str]] = [
        (b"", {"PATH": str(tmp_path)}, "gpgv is not installed"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n!!!\n-----END PGP PUBLIC KEY BLOCK-----\n", {}, "armour"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", {}, "private key"),
        (b"no key", {}, "keyring is damaged"),
    ]
    for keys, environment, word in cases:
        (tmp_path / "keys").write_bytes(keys)
        done = subprocess.run(
            [sys.executable, VERIFIER, tmp_path / "b", tmp_path / "keys"], capture_output=True, text=True,
            timeout=60, env={"PATH": os.environ["PATH"], **environment}, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert word in done.stderr
    usage = subprocess.run([sys.executable, VERIFIER, "x"], capture_output=True, timeout=60, check=False)
    assert usage.returncode == 2


@given(st.binary(max_size=400))
def test_any_keyring_is_read_or_refused(data: bytes) -> None:
    loaded: dict[str, Any] = {"__name__": "verify_bundle"}
    exec(compile(VERIFIER.read_text(), str(VERIFIER), "exec"), loaded)
    for raw in (data, b"\x98" + bytes([len(data) % 256]) + data):
        try:
            found = loaded["revocations"](raw)
        except loaded["CallError"]:
            continue
        assert all(len(fingerprint) == 40 for fingerprint in found)


def test_the_file_system_of_a_folder_is_what_the_kernel_says() -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(Path("/sys")) == "sysfs"


def test_headers_of_an_archive_made_by_tar_itself_are_no_bundle(tmp_path: Path) -> None:
    raw = LIST.dumps()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("bundle.json")
        entry.size = len(raw)
        tar.addfile(entry, io.BytesIO(raw))
    (tmp_path / "b").write_bytes(buffer.getvalue())
    with opened(tmp_path / "b") as found, pytest.raises(WorldError, match="is not a bundle"):
        found.envelope()

"""Archives made to do harm, and damaged ones: each is a WorldError, and writes nothing outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import WorldError
from mirror.archives import open_zip, read_member, unpack_tar
from mirror.resolve_python import licence_in
from mirror.wheels import normalise
from tests.fullness import examples

DEFLATED, BZIP, LZMA = zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA


def a_zip(method: int) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as packed:
        packed.writestr("x-1.dist-info/RECORD", "a,b,c\n")
        packed.writestr("x-1.dist-info/METADATA", "Name: x\nLicense: MIT\n")
        packed.writestr("pkg/a.py", "print(1)\n" * 40)
        packed.writestr("deps/\xe9.txt", "x" * 100)
    return raw.getvalue()


def a_tar(mode: Any, form: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode, format=form) as packed:
        for name in ("top/a", "top/" + "b" * (90 if form == tarfile.USTAR_FORMAT else 120), "top/\xe9"):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 300, {"comment": "y" * 50}
            packed.addfile(info, io.BytesIO(b"z" * 300))
    return raw.getvalue()


ZIPS = [a_zip(method) for method in (zipfile.ZIP_STORED, DEFLATED, BZIP, LZMA)]
PLAIN = [a_tar("w:", form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
TARS = [*PLAIN, a_tar("w:gz", 2), a_tar("w:bz2", 1), a_tar("w:xz", 0)]


def damaged(whole: list[bytes]) -> Any:
    """One of ``whole`` with some bytes changed, taken out, put in, or cut off."""

    def damage(raw: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
        for where, length, put in changes:
            at = int(where * len(raw))
            raw = raw[:at] + put + raw[at + length :]
        return raw

    change = st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0, 1, 1, 1, 2, 8, 512, 1 << 20]),
        st.binary(max_size=3) | st.sampled_from([b"\0", b"\xff", b"\x80\0\0\0\0\0\0\1", b"../"]),
    )
    return st.builds(damage, st.sampled_from(whole), st.lists(change, min_size=1, max_size=6))


@given(damaged(ZIPS))
@settings(max_examples=examples(300, 20_000))
def test_a_damaged_zip_is_a_world_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "x.zip"
    path.write_bytes(raw)
    with contextlib.suppress(WorldError), open_zip(path) as opened:
        for info in opened.infolist():
            read_member(opened, info.filename, 1 << 20)
    with contextlib.suppress(WorldError):
        licence_in(path, "x.whl")
    with contextlib.suppress(WorldError):
        normalise(path, folder / "y.whl")


@given(damaged(TARS) | damaged(PLAIN).map(lambda raw: gzip.compress(raw, 1)))
@settings(max_examples=examples(300, 20_000))
def test_a_damaged_tar_is_a_world_error_or_stays_inside(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    folder = tmp_path_factory.mktemp("tar")
    (folder / "x.tar").write_bytes(raw)
    with contextlib.suppress(WorldError):
        names = unpack_tar(folder / "x.tar", folder / "inside")
        assert all((folder / "inside" / name).is_file() for name in names)
    assert {path.name for path in folder.iterdir()} <= {"x.tar", "inside"}


def tar_of(path: Path, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as packed:
        for info in infos:
            packed.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def test_a_header_of_a_gigabyte_is_not_read_into_memory(tmp_path: Path) -> None:
    """A pax header is read as a whole before anybody sees the member; compressed it is next to nothing."""
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        head = info("header", kind, size=1 << 30).tobuf(tarfile.GNU_FORMAT)
        with gzip.open(tmp_path / "x.tar.gz", "wb", 1) as packed:
            packed.write(head)
            packed.write(bytes(4 << 20))
        with pytest.raises(WorldError) as caught:
            unpack_tar(tmp_path / "x.tar.gz", tmp_path / "inside")
        assert "header" in caught.value.message
        assert str(1 << 30) in caught.value.message


def test_a_negative_size_does_not_send_us_round_in_circles(tmp_path: Path) -> None:
    head = bytearray(info("a", size=0).tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b"\xff" * 11 + b"\0"  # base 256, as GNU writes it: -256
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    (tmp_path / "x.tar").write_bytes(bytes(head) + bytes(1024))
    with pytest.raises(WorldError):
        unpack_tar(tmp_path / "x.tar", tmp_path / "inside")


@pytest.mark.parametrize(
    "infos",
    [
        (info("a"), info("a/b")),
        (info("a/b"), info("a")),
        (info("a"), info("a", tarfile.DIRTYPE)),
        (info("a/b/c"), info("a/b")),
        (info("x" * 300),),
        (info("x/" * 2500 + "y"),),
        (info("a"), info("./a")),
        (info("a//b"),),
        (info("a/./b"),),
        (info("s", tarfile.SYMTYPE, linkname="../out"), info("s/x")),
    ],
    ids=lambda infos: "+".join(item.name[:12] for item in infos),
)
def test_names_that_do_not_go_together_are_refused(tmp_path: Path, infos: Any) -> None:
    path, inside = tar_of(tmp_path / "x.tar", *infos), tmp_path / "inside"
    with pytest.raises(WorldError) as caught:
        unpack_tar(path, inside)
    assert len(caught.value.message) < 500
    assert {found.name for found in tmp_path.iterdir()} <= {"x.tar", "inside"}


def test_too_many_members_are_refused_folders_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.archives._MAX_MEMBERS", 10)
    path = tar_of(tmp_path / "x.tar", *(info(f"d{number}", tarfile.DIRTYPE) for number in range(12)))
    with pytest.raises(WorldError) as caught:
        unpack_tar(path, tmp_path / "inside")
    assert "more than 10 members" in caught.value.message


def test_a_bomb_of_many_small_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.archives._MAX_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", DEFLATED) as packed:
        for number in range(12):
            packed.writestr(f"{number}", bytes(1000))
    with pytest.raises(WorldError), open_zip(tmp_path / "x.zip"):
        pass
    with pytest.raises(WorldError):
        unpack_tar(tar_of(tmp_path / "x.tar", *(info(str(n), size=1000) for n in range(12))), tmp_path / "i")


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    raw = a_zip(DEFLATED)
    true, lie = (360).to_bytes(4, "little"), (3).to_bytes(4, "little")
    assert raw.count(true) == 2  # the local header and the directory
    (tmp_path / "x.zip").write_bytes(raw.replace(true, lie))
    with pytest.raises(WorldError), open_zip(tmp_path / "x.zip") as opened:
        opened.read("pkg/a.py")


def test_metadata_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w", DEFLATED) as packed:
        packed.writestr("x-1.dist-info/METADATA", bytes(17 << 20))
    with pytest.raises(WorldError) as caught:
        licence_in(tmp_path / "x.whl", "x.whl")
    assert "at most" in caught.value.message


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/", "a"), ("a", "a/"), ("x" * 300,)])
def test_a_zip_whose_names_do_not_go_together_is_refused(tmp_path: Path, names: Any) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for name in names:
            packed.writestr(name, b"")
    with pytest.raises(WorldError), open_zip(tmp_path / "x.zip"):
        pass


def test_an_encrypted_member_is_a_world_error(tmp_path: Path) -> None:
    raw = bytearray(a_zip(zipfile.ZIP_STORED))
    raw[6] |= 1
    raw[raw.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(raw)
    with pytest.raises(WorldError), open_zip(tmp_path / "x.zip") as opened:
        opened.read(opened.namelist()[0])


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(ZIPS[0])
    with pytest.raises(OSError, match="No space"), open_zip(tmp_path / "x.zip"):
        raise OSError(28, "No space left on device")

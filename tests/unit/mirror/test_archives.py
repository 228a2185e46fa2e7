from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WorldError
from mirror import assembly
from mirror.archives import open_zip, unpack_tar
from mirror.assembly import FlinkParts
from mirror.tarball import StoredGzip, bytes_member, write_tar_gz
from mirror.wheels import empty_wheel, normalise


@given(st.lists(st.binary(max_size=70_000), max_size=6))
def test_a_stored_gzip_unpacks_to_what_went_in_however_it_was_cut(chunks: Any) -> None:
    raw = io.BytesIO()
    out = StoredGzip(raw)
    for chunk in chunks:
        out.write(chunk)
    out.finish()
    assert gzip.decompress(raw.getvalue()) == b"".join(chunks)
    whole = io.BytesIO()
    one = StoredGzip(whole)
    one.write(b"".join(chunks))
    one.finish()
    assert whole.getvalue() == raw.getvalue()


@pytest.mark.parametrize("size", [0, 1, 65534, 65535, 65536, 131070])
def test_block_boundaries(size: int) -> None:
    raw = io.BytesIO()
    out = StoredGzip(raw)
    out.write(bytes(size))
    out.finish()
    assert gzip.decompress(raw.getvalue()) == bytes(size)


def test_a_tarball_does_not_depend_on_the_order_of_its_members() -> None:
    def made(order: Any) -> Any:
        members = {name: bytes_member(name.encode(), 0o755 if "bin" in name else 0o644) for name in order}
        raw = io.BytesIO()
        write_tar_gz(raw, "flink-1", members, ["log"])
        return raw.getvalue()

    data = made(["bin/flink", "lib/a.jar", "README.txt"])
    assert data == made(["README.txt", "lib/a.jar", "bin/flink"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert names == sorted(names)
        assert names[0] == "flink-1"
        assert tar.getmember("flink-1/log").isdir()
        assert tar.getmember("flink-1/bin/flink").mode == 0o755
        assert tar.getmember("flink-1/README.txt").mode == 0o644
        assert {(item.uid, item.gid, item.uname, item.gname, item.mtime) for item in tar} == {
            (0, 0, "", "", 315532800)
        }


def test_a_name_too_long_for_the_format_is_refused() -> None:
    with pytest.raises(WorldError):
        write_tar_gz(io.BytesIO(), "top", {"x" * 300: bytes_member(b"")})


def hostile_tar(path: Any, change: Any) -> Any:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("top/file")
        info.size = 1
        for key, value in change.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(b"x") if info.isreg() else None)
    return path


CHANGES: dict[str, dict[str, Any]] = {
    "parent": {"name": "../file"},
    "parent inside": {"name": "top/../../file"},
    "absolute": {"name": "/etc/cron.d/x"},
    "backslash": {"name": "top\\file"},
    "symbolic link": {"type": tarfile.SYMTYPE, "linkname": "/etc"},
    "hard link": {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"},
    "device": {"type": tarfile.CHRTYPE},
    "pipe": {"type": tarfile.FIFOTYPE},
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_hostile_tar_is_refused_and_writes_nothing_outside(tmp_path: Path, case: str) -> None:
    inside = tmp_path / "inside"
    with pytest.raises(WorldError):
        unpack_tar(hostile_tar(tmp_path / "x.tar.gz", CHANGES[case]), inside)
    assert not inside.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def test_a_repeated_member_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a"), io.BytesIO())
    with pytest.raises(WorldError):
        unpack_tar(tmp_path / "x.tar", tmp_path / "inside")


@pytest.mark.parametrize("raw", [b"", b"nonsense", gzip.compress(b"nonsense")[:-5], b"PK\x03\x04"])
def test_a_damaged_archive_is_a_world_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.archive"
    path.write_bytes(raw)
    with pytest.raises(WorldError):
        unpack_tar(path, tmp_path / "inside")
    with pytest.raises(WorldError), open_zip(path):
        pass


def test_an_announced_size_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("bomb")
    info.size = 9 << 30
    (tmp_path / "x.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(WorldError):
        unpack_tar(tmp_path / "x.tar", tmp_path / "inside")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_a_hostile_zip_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(name, b"x")
    with pytest.raises(WorldError), open_zip(tmp_path / "x.zip"):
        pass


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(WorldError), open_zip(tmp_path / "x.zip"):
        pass


def wheel(path: Any, order: Any) -> Any:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in order:
            packed.writestr(name, f"content of {name}")
    return path


FILES = ["pkg/__init__.py", "pkg-1.dist-info/METADATA", "pkg-1.dist-info/WHEEL", "pkg-1.dist-info/RECORD"]


def test_a_wheel_is_the_same_bytes_whatever_its_zip_was_like(tmp_path: Path) -> None:
    normalise(wheel(tmp_path / "a.whl", FILES), tmp_path / "a1.whl")
    normalise(wheel(tmp_path / "b.whl", FILES[::-1]), tmp_path / "b1.whl")
    normalise(tmp_path / "a1.whl", tmp_path / "a2.whl")
    assert (tmp_path / "a1.whl").read_bytes() == (tmp_path / "b1.whl").read_bytes()
    assert (tmp_path / "a1.whl").read_bytes() == (tmp_path / "a2.whl").read_bytes()
    with zipfile.ZipFile(tmp_path / "a1.whl") as packed:
        assert packed.testzip() is None
        record = packed.read("pkg-1.dist-info/RECORD").decode()
    assert "pkg-1.dist-info/RECORD,," in record


def test_a_zip_without_record_is_no_wheel(tmp_path: Path) -> None:
    with pytest.raises(WorldError):
        normalise(wheel(tmp_path / "a.whl", FILES[:1]), tmp_path / "b.whl")


def test_the_stand_in_for_provided_packages_is_a_wheel_of_metadata_only(tmp_path: Path) -> None:
    path = empty_wheel("apache-flink-libraries", "1.20.5", tmp_path)
    assert path.name == "apache_flink_libraries-1.20.5+provided-py3-none-any.whl"
    with zipfile.ZipFile(path) as packed:
        assert all(".dist-info/" in name for name in packed.namelist())


def flink_parts(folder: Path, version: Any = "9.9.9", skip: Any = ()) -> Any:
    """Make a small distribution wheel and libraries sdist laid out as upstream lays them out."""
    folder.mkdir()
    wheel_files = [
        "pyflink/__init__.py", "pyflink/bin/flink", "pyflink/bin/config.sh", "pyflink/conf/config.yaml",
        "pyflink/examples/table/word_count.py", "pyflink/README.txt", "pyflink/fast.so",
        "apache_flink-9.dist-info/licenses/LICENSE",
    ]  # fmt: skip
    library_files = [
        "deps/lib/flink-dist-9.9.9.jar", "deps/opt/flink-python.jar", "deps/plugins/gpu/find.sh",
        "deps/bin/bash-java-utils.jar", "deps/licenses/LICENSE.asm", "LICENSE", "NOTICE", "setup.py",
        "pyflink/version.py",
    ]  # fmt: skip
    distribution = wheel(folder / "d.whl", [name for name in wheel_files if name not in skip])
    libraries = folder / "libraries-9.tar.gz"
    with tarfile.open(libraries, "w:gz") as tar:
        for name in library_files:
            if name not in skip:
                data = f"content of {name}".encode()
                info = tarfile.TarInfo(f"libraries-9/{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    jar = folder / "added.jar"
    jar.write_bytes(b"jar")
    return FlinkParts(version, distribution, libraries, libraries.name, {"opt/added.jar": jar})


def assemble(folder: Path, parts: Any) -> Any:
    scratch = folder / "scratch"
    scratch.mkdir()
    assembly.assemble(parts, folder / "out.tar.gz", scratch)
    return (folder / "out.tar.gz").read_bytes()


def test_assembling_twice_gives_the_same_bytes_in_apaches_layout(tmp_path: Path) -> None:
    first = assemble(tmp_path / "one", flink_parts(tmp_path / "one"))
    assert first == assemble(tmp_path / "two", flink_parts(tmp_path / "two"))
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        modes = {item.name.removeprefix("flink-9.9.9/"): item.mode for item in tar if item.isreg()}
        jar = tar.extractfile("flink-9.9.9/lib/flink-dist-9.9.9.jar")
        assert jar is not None
        assert jar.read().endswith(b"flink-dist-9.9.9.jar")
    assert modes == {
        "LICENSE": 0o644, "NOTICE": 0o644, "README.txt": 0o644, "bin/bash-java-utils.jar": 0o644,
        "bin/config.sh": 0o755, "bin/flink": 0o755, "conf/config.yaml": 0o644,
        "examples/python/table/word_count.py": 0o644, "lib/flink-dist-9.9.9.jar": 0o644,
        "licenses/LICENSE.asm": 0o644, "opt/added.jar": 0o644, "opt/flink-python.jar": 0o644,
        "opt/python/pyflink.zip": 0o644, "plugins/gpu/find.sh": 0o755,
    }  # fmt: skip


@pytest.mark.parametrize(
    "gone", ["deps/bin/bash-java-utils.jar", "pyflink/bin/flink", "deps/lib/flink-dist-9.9.9.jar"]
)
def test_an_archive_that_could_not_start_is_refused(tmp_path: Path, gone: Any) -> None:
    with pytest.raises(WorldError) as caught:
        assemble(tmp_path / "one", flink_parts(tmp_path / "one", skip=(gone,)))
    assert gone.split("/", 1)[1] in caught.value.message


def test_an_addition_cannot_replace_what_is_there(tmp_path: Path) -> None:
    parts = flink_parts(tmp_path / "one")
    parts = FlinkParts(
        parts.version, parts.distribution, parts.libraries, parts.libraries_name,
        {"opt/flink-python.jar": parts.libraries},
    )  # fmt: skip
    with pytest.raises(WorldError):
        assemble(tmp_path / "one", parts)

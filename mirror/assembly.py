"""Assemble ``flink-<version>.tar.gz`` from the Python index's two packages and jars from Maven.

Where each part lies in those packages was read from 1.20.5 and 2.3.0; the result has the layout of
Apache's own archive: ``flink-<version>/{bin,conf,lib,opt,plugins,examples,licenses,log}``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import WorldError
from core.files import writing
from mirror.archives import open_zip, unpack_tar
from mirror.tarball import Member, bytes_member, write_tar_gz

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_LIBRARY_FOLDERS = ("lib", "opt", "plugins", "licenses")
# Without one of these the archive would look whole and not start.
_REQUIRED = ("bin/flink", "bin/config.sh", "bin/bash-java-utils.jar", "conf/config.yaml", "LICENSE", "NOTICE")


@dataclass(frozen=True)
class FlinkParts:
    """What an archive is made of.

    ``distribution`` is the wheel of apache-flink (scripts, configuration, Python), ``libraries`` the
    wheel or source archive of apache-flink-libraries (jars), ``additions`` further jars by their
    path in the archive.
    """

    version: str
    distribution: Path
    libraries: Path
    libraries_name: str
    additions: Mapping[str, Path]


def assemble(parts: FlinkParts, output: Path, scratch: Path) -> None:
    """Write the archive to ``output``; ``scratch`` is an empty folder for unpacking.

    Equal parts give equal bytes. Raises WorldError when a part is hostile, damaged, or lacks what
    an archive cannot do without.
    """
    with ExitStack() as stack:
        wheel = stack.enter_context(
            open_zip(parts.distribution, f"the wheel of apache-flink {parts.version}")
        )
        members = dict(_from_distribution(wheel))
        if parts.libraries_name.endswith(".whl"):
            members.update(
                _from_library_wheel(stack.enter_context(open_zip(parts.libraries, parts.libraries_name)))
            )
        else:
            members.update(_from_library_sdist(parts, scratch))
        for path, jar in parts.additions.items():
            if path in members:
                raise WorldError(
                    f"flink-{parts.version}: {path} is there already", "take it out of the entry's additions"
                )
            members[path] = _path_member(jar)
        _check(parts.version, members)
        with writing(output), output.open("wb") as raw:
            write_tar_gz(raw, f"flink-{parts.version}", members, ["log"])


def _from_distribution(wheel: zipfile.ZipFile) -> Iterator[tuple[str, Member]]:
    for info in wheel.infolist():
        if info.is_dir():
            continue
        head, _, rest = info.filename.partition("/")
        if head != "pyflink":
            if head.endswith(".dist-info") and rest.rsplit("/", 1)[-1] in ("LICENSE", "NOTICE"):
                yield rest.rsplit("/", 1)[-1], _zip_member(wheel, info, 0o644)
        elif rest.startswith(("bin/", "conf/")):
            yield rest, _zip_member(wheel, info, _mode(rest))
        elif rest.startswith("examples/"):
            yield f"examples/python/{rest.removeprefix('examples/')}", _zip_member(wheel, info, 0o644)
        elif rest == "README.txt":
            yield rest, _zip_member(wheel, info, 0o644)
    yield "opt/python/pyflink.zip", bytes_member(_python_sources(wheel))


def _python_sources(wheel: zipfile.ZipFile) -> bytes:
    """Return pyflink's Python sources as a zip, as Apache's opt/python holds them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name in sorted(wheel.namelist()):
            if name.startswith("pyflink/") and name.endswith((".py", ".pyi")):
                info = zipfile.ZipInfo(name, _ZIP_DATE)
                info.create_system, info.external_attr = 3, 0o100644 << 16
                packed.writestr(info, wheel.read(name))
    return buffer.getvalue()


def _from_library_wheel(wheel: zipfile.ZipFile) -> Iterator[tuple[str, Member]]:
    for info in wheel.infolist():
        if not info.is_dir():
            target = _library_path(info.filename, "pyflink")
            if target:
                yield target, _zip_member(wheel, info, _mode(target))


def _from_library_sdist(parts: FlinkParts, scratch: Path) -> Iterator[tuple[str, Member]]:
    def place(name: str) -> str:
        return _library_path(name.partition("/")[2], "deps")

    for name in unpack_tar(parts.libraries, scratch, lambda name: bool(place(name)), parts.libraries_name):
        yield place(name), _path_member(scratch / name, _mode(place(name)))


def _library_path(name: str, top: str) -> str:
    """Return where a file of the libraries package goes, or "" if it does not belong in the archive."""
    head, _, rest = name.partition("/")
    last = name.rsplit("/", 1)[-1]
    if last in ("LICENSE", "NOTICE") and (not rest or head.endswith(".dist-info")):
        return last
    folder = rest.partition("/")[0]
    if head == top and (folder in _LIBRARY_FOLDERS or rest == "bin/bash-java-utils.jar"):
        return rest
    return ""


def _mode(path: str) -> int:
    script = path.endswith(".sh") or path == "bin/flink"
    return 0o755 if script and path.startswith(("bin/", "plugins/")) else 0o644


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, mode: int) -> Member:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with archive.open(info) as stream:
            yield stream  # type: ignore[misc] # typeshed: IO[bytes] instead of BinaryIO

    return Member(info.file_size, opened, mode)


def _path_member(path: Path, mode: int = 0o644) -> Member:
    return Member(path.stat().st_size, lambda: path.open("rb"), mode)


def _check(version: str, members: Mapping[str, Member]) -> None:
    missing = [path for path in (*_REQUIRED, f"lib/flink-dist-{version}.jar") if path not in members]
    if missing:
        raise WorldError(
            f"flink-{version}: the packages that it is assembled from have no {', '.join(missing)}",
            "this version is laid out in another way: use another version, or `origin: apache`",
        )

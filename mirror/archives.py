"""Read archives that others made, with suspicion: no escaping names, no links, bounded sizes."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import WorldError
from core.files import CHUNK, writing

_MAX_MEMBERS = 100_000
_MAX_BYTES = 8 << 30


def safe_name(name: str, archive: str) -> str:
    """Return a member's name if it stays inside. Raises WorldError when it does not."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise WorldError(
            f"{archive}: the member {name!r} would leave the folder it is unpacked into",
            "this archive is hostile or broken: do not use it",
        )
    return name.rstrip("/")


def unpack_tar(
    archive: Path, into: Path, wanted: Callable[[str], bool] = lambda _name: True, title: str = ""
) -> list[str]:
    """Unpack the regular files of a tar (of any compression) that ``wanted`` accepts, below ``into``.

    Returns their names. ``title`` names the archive in messages. Every member is checked, wanted or
    not. Raises WorldError for links, devices, escaping or repeated names, too many members or bytes,
    or a damaged archive.
    """
    label = title or archive.name
    names: list[str] = []
    seen: set[str] = set()
    total = 0
    with _readable(label), tarfile.open(archive, mode="r:*") as tar:
        for member in tar:
            name = safe_name(member.name.removeprefix("./") or "top", label)
            total += member.size
            _check_bounds(label, len(seen), total)
            if member.isdir():
                continue
            if not member.isreg():
                raise WorldError(f"{label}: {name!r} is a link or a device", "do not use this archive")
            if name in seen:
                raise WorldError(f"{label}: {name!r} stands there twice", "do not use this archive")
            seen.add(name)
            if wanted(name):
                source = tar.extractfile(member)
                assert source is not None  # it is a regular file
                target = into / name
                with writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as stream:
                        shutil.copyfileobj(source, stream, CHUNK)
                names.append(name)
    return names


@contextmanager
def open_zip(archive: Path, title: str = "") -> Iterator[zipfile.ZipFile]:
    """Open a zip whose members are all regular, inside, distinct and of bounded size.

    ``title`` names it in messages. Raises WorldError otherwise.
    """
    label = title or archive.name
    with _readable(label), zipfile.ZipFile(archive) as opened:
        seen: set[str] = set()
        total = 0
        for info in opened.infolist():
            name = safe_name(info.filename, label)
            total += info.file_size
            _check_bounds(label, len(seen), total)
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise WorldError(f"{label}: {name!r} is a link or a device", "do not use this archive")
            if name in seen:
                raise WorldError(f"{label}: {name!r} stands there twice", "do not use this archive")
            seen.add(name)
        yield opened


@contextmanager
def _readable(label: str) -> Iterator[None]:
    try:
        yield
    # zipfile answers an unknown compression or version with NotImplementedError.
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise WorldError(
            f"{label}: a damaged archive ({error})",
            "fetch it again; compare its digest with upstream's",
        ) from error


def _check_bounds(label: str, members: int, total: int) -> None:
    if members > _MAX_MEMBERS or total > _MAX_BYTES:
        raise WorldError(
            f"{label}: more than {_MAX_MEMBERS} members or {_MAX_BYTES >> 30} GiB unpacked",
            "this cannot be an archive that belongs here",
        )

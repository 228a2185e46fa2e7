"""A Flink distribution from the mirror, checked against the lock, unpacked as far as it is needed."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from core import debian
from core.errors import UsageError, WorldError
from core.files import CHUNK, sha256_of, writing
from mirror.lockfile import Lock
from provision.releases import locked_versions


def require_java() -> None:
    """Make sure that there is a Java with its compiler: Flink's own code is asked here."""
    if shutil.which("javac") is None:
        debian.require(["openjdk-17-jdk-headless"], "asking Flink itself needs")


@contextmanager
def unpacked(root: Path, lock: Lock, version: str, wanted: Callable[[PurePosixPath], bool]) -> Iterator[Path]:
    """Unpack what is ``wanted`` of Flink ``version`` from the mirror at ``root``, for as long as this lasts.

    ``wanted`` gets paths inside ``flink-<version>/``. Yields that folder. Raises UsageError when lock or
    mirror lack the version, WorldError when the archive is not the locked one.
    """
    name = f"flink-{version}.tar.gz"
    if version not in locked_versions(lock):
        raise UsageError(
            f"{lock.path} has no Flink {version}",
            f"it has {', '.join(locked_versions(lock))}; or lock it first",
        )
    archive = root / "current" / name
    if not archive.is_file():
        raise UsageError(
            f"{archive}: there is no such file, so Flink itself cannot be asked",
            f"build the mirror first (./inv mirror.build --root {root}), or name another by --root",
        )
    if sha256_of(archive) != lock.file(name).sha256:
        raise WorldError(
            f"{archive}: its digest is not the one in {lock.path}",
            "build a release from this lock: ./inv mirror.build, or look with ./inv mirror.audit",
        )
    with tempfile.TemporaryDirectory(prefix="pnda-flink-") as folder, writing(Path(folder)):
        home = Path(folder) / f"flink-{version}"
        with tarfile.open(archive) as tar:
            for member in tar:
                inside = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                if member.isfile() and ".." not in inside.parts and wanted(inside):
                    _write(tar, member, home / inside)
        yield home


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # a plain file has content
    with source, path.open("wb") as target:
        shutil.copyfileobj(source, target, CHUNK)

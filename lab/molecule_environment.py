"""Molecule's own environment: Molecule by pip, and the one collection that it needs, out of Ansible's wheel.

Ansible's package index of collections is another registry, which a closed site does not reach; the
same collections lie in the wheel ``ansible`` of the Python index. It is checked by its digest, and
only what is needed of it is kept (community.docker holds the connection to containers).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

from core import bootstrap
from core.errors import UpstreamError
from core.files import replacing
from core.process import run
from lab.places import locked

_KEPT = ("ansible_collections/community/docker/",)
_SECONDS = 900.0


def ensure(checkout: Path) -> Path:
    """Make ``.venv-molecule`` of ``checkout`` complete, with the collections, and return its folder.

    Quick when nothing changed. Raises UpstreamError where pip does not get what it needs.
    """
    try:
        folder = bootstrap.ensure("molecule", checkout)
    except bootstrap.BootstrapError as error:
        raise UpstreamError(str(error), "check that pip reaches its package index") from error
    requirements = checkout / "requirements" / "collections.txt"
    stamp = hashlib.sha256("\n".join(_KEPT).encode() + requirements.read_bytes()).hexdigest()[:16]
    target = collections(folder)
    with locked(f"collections-{hashlib.sha256(bytes(target)).hexdigest()[:8]}"):
        if not (target / f".complete-{stamp}").exists():
            _take_out(folder, requirements, target, stamp)
    return folder


def collections(folder: Path) -> Path:
    """Return where the collections of the environment ``folder`` lie (ANSIBLE_COLLECTIONS_PATH)."""
    return folder / "collections"


def variables(folder: Path, home: Path) -> dict[str, str]:
    """Return the environment variables with which Molecule of ``folder`` writes only under ``home``."""
    return {
        "PATH": f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}{os.environ.get('PATH', '')}",
        "HOME": str(home),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections(folder)),
    }


def _take_out(folder: Path, requirements: Path, target: Path, stamp: str) -> None:
    with tempfile.TemporaryDirectory(prefix="flink-on-pnda-collections-") as work:
        run(
            [
                folder / "bin" / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", work,
                "--requirement", requirements,
            ],
            timeout=_SECONDS, what="fetching Ansible's collections", failure=UpstreamError,
            cure="check that pip reaches its package index",
        )  # fmt: skip
        (wheel,) = Path(work).glob("*.whl")
        with replacing(target) as made, zipfile.ZipFile(wheel) as archive:
            archive.extractall(made, [name for name in archive.namelist() if name.startswith(_KEPT)])
            (made / f".complete-{stamp}").touch()

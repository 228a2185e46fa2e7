"""Build pure wheels from source-only packages: no network, hashed tools, the same bytes each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shutil
import zipfile
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from core import bootstrap, namespace
from core.errors import UpstreamError, WorldError
from core.process import run
from mirror.archives import open_zip, read_member, unpack_tar

_DATE = (1980, 1, 1, 0, 0, 0)
_EPOCH = "315532800"  # the same moment, for tools that read SOURCE_DATE_EPOCH
_TIMEOUT = 600.0
_MAX_MEMBER = 256 << 20  # held in memory one at a time

# Runs in the source folder, in the hashed environment, cut off from the network. Setuptools' own
# PEP 517 backend; an optional C extension would tie the wheel to this machine's compiler, so none
# is built, and nothing is translated to C: a stand-in is what a setup.py finds that asks for Cython.
_DRIVER = """
import sys
import types
build = types.ModuleType("Cython.Build")
build.cythonize = lambda *_, **__: []
sys.modules.update({"Cython": types.ModuleType("Cython"), "Cython.Build": build})
from setuptools.build_meta import __legacy__ as backend
from setuptools.dist import Distribution
original = Distribution.__init__
def pure(self, attrs=None):
    original(self, {key: value for key, value in (attrs or {}).items() if key != "ext_modules"})
Distribution.__init__ = pure
backend.build_wheel(sys.argv[1])
"""


def build_wheel(sdist: Path, name: str, scratch: Path) -> Path:
    """Build the source archive ``sdist`` (its file name is ``name``) and return the normalised wheel.

    ``scratch`` is an empty folder, where the wheel is left. Raises WorldError when the package
    cannot be built as a pure wheel, UsageError when the machine cannot cut a process off.
    """
    sources, built = scratch / "sources", scratch / "built"
    built.mkdir()
    unpack_tar(sdist, sources, title=name)
    tops = sorted(sources.iterdir())
    if len(tops) != 1 or not (tops[0] / "setup.py").is_file():
        raise WorldError(
            f"{name}: not one folder with a setup.py", "take it out of `build:` in the catalogue"
        )
    try:
        python = bootstrap.ensure("wheels") / "bin" / "python"
    except bootstrap.BootstrapError as error:
        raise UpstreamError(f"the wheel-building environment cannot be made: {error}", "see above") from error
    run(
        [*namespace.command(), python, "-c", _DRIVER, built],
        timeout=_TIMEOUT,
        cwd=tops[0],
        env={
            "SOURCE_DATE_EPOCH": _EPOCH, "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8",
            "CC": "/bin/false", "HOME": str(scratch),
        },
        what=f"building {name} without network",
        cure="only packages that build as pure Python with setuptools can stand under `build:`",
    )  # fmt: skip
    wheels = sorted(built.glob("*.whl"))
    if len(wheels) != 1 or not _is_pure(wheels[0].name):
        made = ", ".join(wheel.name for wheel in wheels) or "no wheel"
        raise WorldError(
            f"{name}: its build made {made}, not one pure wheel",
            "take it out of `build:` in the catalogue",
        )
    target = scratch / wheels[0].name
    normalise(wheels[0], target)
    shutil.rmtree(sources)
    return target


def _is_pure(filename: str) -> bool:
    try:
        parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return False
    return filename.endswith("-none-any.whl")


def normalise(wheel: Path, target: Path) -> None:
    """Write ``wheel`` anew to ``target``: sorted, stored, fixed dates and modes, RECORD sorted."""
    with open_zip(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        names = sorted(info.filename for info in source.infolist() if not info.is_dir())
        records = [name for name in names if name.endswith(".dist-info/RECORD")]
        if len(records) != 1:
            raise WorldError(f"{wheel.name}: not a wheel (no RECORD)", "do not use this file")
        lines = []
        for name in names:
            if name != records[0]:
                data = read_member(source, name, _MAX_MEMBER)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                lines.append((name, f"sha256={digest}", str(len(data))))
                _add(packed, name, data)
        _add(packed, records[0], _record([*lines, (records[0], "", "")]))


def _record(lines: list[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _add(packed: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system, info.external_attr = 3, 0o100644 << 16
    packed.writestr(info, data)


def empty_wheel(project: str, version: str, folder: Path) -> Path:
    """Write a wheel that holds only metadata, for a package that nodes have in another way.

    Its local version label ranks it above any published wheel of that version, so that resolving
    never fetches the real one. It is never locked and never served.
    """
    distribution = project.replace("-", "_")
    info = f"{distribution}-{version}+provided.dist-info"
    target = folder / f"{distribution}-{version}+provided-py3-none-any.whl"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}+provided\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: mirror\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name, text in files.items():
            _add(packed, name, text.encode())
        rows = [(name, "", "") for name in [*files, f"{info}/RECORD"]]
        _add(packed, f"{info}/RECORD", _record(rows))
    return target

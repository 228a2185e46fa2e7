"""Make the hashed requirement files again from the short ones that people edit (``*.in``)."""

from __future__ import annotations

import sys
from pathlib import Path

from core.bootstrap import ROOT
from core.errors import UpstreamError
from core.process import run

# Left out of the hashed file: Salt's optional C extension (a node has no compiler), and the build
# tools, which have a hashed file of their own.
_LEFT_OUT = {"salt": ("timelib", "setuptools")}
# Taken apart instead of installed: what it depends on is in another file.
_ALONE = {"collections"}


def lock(folder: Path = ROOT / "requirements") -> list[Path]:
    """Write ``NAME.txt`` for each ``NAME.in`` in ``folder``: exact versions with their hashes.

    Only the index that pip and uv are configured for is asked, and its address is not written.
    Raises UpstreamError when it does not answer or a requirement cannot be met.
    """
    written = []
    for source in sorted(folder.glob("*.in"), key=lambda path: (path.stem != "main", path.stem)):
        target = source.with_suffix(".txt")
        left_out = [word for name in _LEFT_OUT.get(source.stem, ()) for word in ("--no-emit-package", name)]
        run(
            [
                Path(sys.executable).parent / "uv", "pip", "compile", "--quiet", "--generate-hashes",
                "--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11",
                "--python-platform", "x86_64-manylinux_2_28",
                "--custom-compile-command", "./inv requirements.lock",
                *left_out, *(["--no-deps"] if source.stem in _ALONE else []), source, "--output-file", target,
            ],
            timeout=600,
            cwd=folder,
            what=f"resolving {source.name}",
            failure=UpstreamError,
            cure="check that the package index is reached and that the versions in that file exist",
        )  # fmt: skip
        written.append(target)
    return written

"""The licences that a Debian package states in its own copyright file."""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from pathlib import Path

from debian.arfile import ArError
from debian.debfile import DebFile

from core import console
from mirror import debian_control

_LIMIT = 8 << 20
_LONGEST = 400
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, ArError, lzma.LZMAError, tarfile.TarError, zlib.error)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9])")


def of_package(deb: Path, name: str) -> str:
    """Return the licences of the package ``name`` in the file ``deb``, joined by "and"; "" if it states none.

    Machine-readable copyright files (Debian's format 1.0) are read as such; of others the names of
    the common licences that they refer to are taken.
    """
    try:
        with DebFile(str(deb)) as package:
            path = f"usr/share/doc/{name}/copyright"
            raw = package.data.get_content(path) if package.data.has_file(path) else b""
    except _UNREADABLE as error:
        console.warn(f"{name}: its copyright file cannot be read ({error!r:.100})")
        return ""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")
    return licences(text[:_LIMIT])


def licences(text: str) -> str:
    """Return the licences that a copyright file's ``text`` names; see :func:`of_package`."""
    names = _machine_readable(text) if text.lstrip().lower().startswith("format:") else []
    found = sorted(set(names) or set(_COMMON.findall(text)))
    joined = " and ".join(
        f"({name})" if " or " in name.lower() and len(found) > 1 else name for name in found
    )
    return joined if len(joined) <= _LONGEST else f"{joined[: _LONGEST - 4].rsplit(' and ', 1)[0]} ..."


def _machine_readable(text: str) -> list[str]:
    """Return the short names of the licences of all files, or [] where the text breaks the format."""
    try:
        paragraphs = debian_control.paragraphs(text)
    except ValueError:
        return []
    lines = [
        str(paragraph.get("License", "")).strip().splitlines()
        for paragraph in paragraphs
        if "Files" in paragraph
    ]
    return [" ".join(line[0].split()) for line in lines if line and line[0].strip()]

"""Debian's control files, read with suspicion: what an index says of a package, and a Release of itself.

What the fields mean is described in Debian's policy, chapter 5, and in its wiki page RepositoryFormat.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from core.errors import WorldError
from mirror.paths import path_fault

# What our own index repeats of upstream's, in this order. Left out is what points elsewhere
# (translations) or is said anew (file name, size, digests).
FIELDS = (
    "Source", "Version", "Architecture", "Essential", "Protected", "Important", "Build-Essential",
    "Multi-Arch", "Section", "Priority", "Maintainer", "Installed-Size", "Provides", "Pre-Depends",
    "Depends", "Recommends", "Suggests", "Enhances", "Breaks", "Conflicts", "Replaces", "Homepage",
    "Description",
)  # fmt: skip
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*")
_ARCHITECTURE = re.compile(r"[a-z][a-z0-9-]*")
_DIGESTS = {"sha256": ("SHA256", 64), "sha512": ("SHA512", 128)}
_HEX = re.compile(r"[0-9a-f]+")
_LARGEST = 4 << 30  # bytes; Debian's largest packages have a fifth of it
_CURE = "compare with another mirror of the suite, and do not use this one before you know why"


@dataclass(frozen=True)
class Package:
    """What an index says of one package file: ``filename`` below the repository, ``size`` in bytes.

    ``digests`` by algorithm (always SHA-256), ``control`` its other fields, each on one line.
    """

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    digests: Mapping[str, str]
    control: Mapping[str, str]

    @property
    def source(self) -> str:
        """Return the name of the source package that it was built from."""
        return (self.control.get("Source") or self.name).split()[0]

    @property
    def file(self) -> str:
        """Return the file's base name."""
        return self.filename.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Release:
    """What a ``Release`` file says of its suite; ``date`` is aware."""

    origin: str
    suite: str
    codename: str
    date: datetime


def paragraphs(text: str) -> list[Mapping[str, str]]:
    """Return each paragraph's fields, found in any case. Raises ValueError where a line is none."""
    from debian.deb822 import Deb822

    # Lines: a text of one line would be taken for the name of a file, and that file would be read.
    return list(Deb822.iter_paragraphs(text.split("\n"), use_apt_pkg=False))


def packages(text: str, where: str) -> tuple[Package, ...]:
    """Return the packages that the paragraphs in ``text`` describe; ``where`` is named in messages.

    Raises WorldError, naming package and fault, for a paragraph that is not to be believed: no
    SHA-256, a path that leaves the repository, a name, version or size that can be none.
    """
    try:
        return tuple(_package(dict(found), where) for found in paragraphs(text))
    except (ValueError, TypeError, UnicodeError) as error:
        raise WorldError(f"{where}: an index that cannot be read ({error!r:.100})", _CURE) from error


def release(text: str, where: str) -> Release:
    """Return what the ``Release`` in ``text`` says. Raises WorldError when it is none."""
    from debian.deb822 import Deb822

    try:
        fields = {key.lower(): str(value) for key, value in Deb822(text).items()}
        date = parsedate_to_datetime(fields["date"])
        # Debian writes UTC; a date without a zone is meant so too.
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        origin, suite, codename = (
            _one_line(fields.get(name, "")) for name in ("origin", "suite", "codename")
        )
        return Release(origin, suite, codename, date)
    except (ValueError, TypeError, KeyError, OverflowError, UnicodeError) as error:
        raise WorldError(f"{where}: a Release that cannot be read ({error!r:.100})", _CURE) from error


def ways(found: Sequence[Package], named: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return per package, by name, how it is reached from one that is ``named``: the names before it.

    The shortest way counts; Depends, Pre-Depends and Recommends are gone, by name or by what is provided.
    """
    by_name = {item.name: item for item in found}
    providers: dict[str, list[str]] = {}
    for item in found:
        for name in (item.name, *_related(item, "Provides")):
            providers.setdefault(name, []).append(item.name)
    result: dict[str, tuple[str, ...]] = {name: () for name in named if name in by_name}
    queue = deque(result)
    while queue:
        name = queue.popleft()
        for wanted in _related(by_name[name], "Pre-Depends", "Depends", "Recommends"):
            for other in providers.get(wanted, ()):
                if other not in result:
                    result[other] = (*result[name], name)
                    queue.append(other)
    return result


def _related(item: Package, *fields: str) -> list[str]:
    from debian.deb822 import PkgRelation

    return [
        str(choice["name"])
        for field in fields
        if field in item.control
        for choices in PkgRelation.parse_relations(item.control[field])
        for choice in choices
    ]


def _package(fields: Mapping[str, Any], where: str) -> Package:
    name = str(fields.get("Package", ""))
    label = f"{where}: {name or 'a package without a name':.80}"

    def refuse(reason: str) -> WorldError:
        return WorldError(f"{label}: {reason}, refused", _CURE)

    def matching(key: str, pattern: re.Pattern[str]) -> str:
        value = str(fields.get(key, ""))
        if len(value) > 200 or not pattern.fullmatch(value):
            raise refuse(f"its {key} {value!r:.60} can be none")
        return value

    matching("Package", _NAME)
    version, architecture = matching("Version", _VERSION), matching("Architecture", _ARCHITECTURE)
    filename = str(fields.get("Filename", "")).removeprefix("./")
    fault = path_fault(filename)
    if fault or not filename.endswith(".deb"):
        raise refuse(f"its Filename {filename!r:.80} {fault or 'is no .deb'}")
    size = str(fields.get("Size", ""))
    if not re.fullmatch(r"[0-9]{1,12}", size) or not 0 < int(size) <= _LARGEST:
        raise refuse(f"its Size {size!r:.40} can be none")
    digests: dict[str, str] = {}
    for algorithm, (key, length) in _DIGESTS.items():
        value = str(fields.get(key, "")).strip().lower()
        if value and (len(value) != length or not _HEX.fullmatch(value)):
            raise refuse(f"its {key} {value!r:.80} can be none")
        digests |= {algorithm: value} if value else {}
    if "sha256" not in digests:
        weak = " (only MD5 or SHA-1, which can be forged)" if {"MD5sum", "SHA1"} & fields.keys() else ""
        raise refuse(f"the index has no SHA256 of it{weak}")
    control = {key: _one_line(str(fields[key]), key == "Description") for key in FIELDS if fields.get(key)}
    return Package(name, version, architecture, filename, int(size), digests, control)


def _one_line(value: str, first_only: bool = False) -> str:
    """Return a folded value on one line, or only its first line (a description's synopsis)."""
    lines = value.strip().splitlines() or [""]
    text = " ".join(" ".join(lines[:1] if first_only else lines).split())
    return "".join(char for char in text if char.isprintable())

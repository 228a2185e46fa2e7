"""The apt repository of a release: indexes over its packages, computed from their locked rows alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from core.errors import UsageError
from mirror.debian_control import FIELDS
from mirror.lock_model import LockedFile
from mirror.tarball import StoredGzip

FOLDER = "mirror_deb"
KIND, SUITE_KIND = "deb", "suite"
_COMPONENT = "main"
_DAMAGED = "run ./inv mirror.build --refresh-debs to resolve the packages anew"


def pool_path(suite: str, file: str) -> str:
    """Return where the package file ``file`` lies in a release."""
    return f"{FOLDER}/pool/{suite}/{file}"


def repository(files: Iterable[LockedFile], suites: Iterable[LockedFile]) -> dict[str, bytes]:
    """Return the indexes over the packages among ``files``, by path: Packages, Packages.gz, Release.

    ``suites`` are the locked rows of the signed indexes that the packages were found by; the newest
    of their dates is the Release's. Nothing else decides a byte. Raises UsageError for a damaged row.
    """
    by_suite: dict[str, list[LockedFile]] = {}
    for item in files:
        if item.source["kind"] == KIND:
            by_suite.setdefault(item.path.split("/")[2], []).append(item)
    signed = [item for item in suites if item.source["kind"] == SUITE_KIND]
    made: dict[str, bytes] = {}
    for suite, packages in by_suite.items():
        try:
            rows = [row for row in signed if row.source["into"] == suite]
            date = max(datetime.fromisoformat(row.source["date"]) for row in rows)
            if date.tzinfo is None:
                raise ValueError(f"{date}: of no time zone")
            architectures = sorted({name for row in rows for name in row.source["architectures"]})
            made |= _suite(suite, packages, architectures, date)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"the resolved packages of {suite} are damaged ({error!r})", _DAMAGED) from error
    return made


def _suite(
    suite: str, packages: Sequence[LockedFile], architectures: Sequence[str], date: datetime
) -> dict[str, bytes]:
    indexes: dict[str, bytes] = {}
    for architecture in architectures:
        chosen = [item for item in packages if item.source["architecture"] in (architecture, "all")]
        ordered = sorted(chosen, key=lambda item: (item.source["package"], item.source["version"], item.path))
        text = "\n".join(_paragraph(item) for item in ordered).encode()
        name = f"{_COMPONENT}/binary-{architecture}/Packages"
        indexes |= {name: text, f"{name}.gz": _stored(text)}
    fields = {
        "Origin": "PNDA mirror",
        "Label": "PNDA mirror",
        "Suite": suite,
        "Codename": suite,
        "Date": format_datetime(date.astimezone(UTC)).replace("+0000", "UTC"),
        "Architectures": " ".join(architectures),
        "Components": _COMPONENT,
        "Description": f"Packages of {suite} as this release pins them",
    }
    lines = [f"{key}: {value}" for key, value in fields.items()]
    for title, algorithm in (("SHA256", "sha256"), ("SHA512", "sha512")):
        lines.append(f"{title}:")
        lines += [
            f" {hashlib.new(algorithm, data).hexdigest()} {len(data)} {name}"
            for name, data in sorted(indexes.items())
        ]
    folder = f"{FOLDER}/dists/{suite}"
    release = ("\n".join(lines) + "\n").encode()
    return {f"{folder}/Release": release, **{f"{folder}/{name}": data for name, data in indexes.items()}}


def _stored(data: bytes) -> bytes:
    """Return a gzip stream of stored blocks: the same with every zlib, and next to the packages nothing."""
    raw = io.BytesIO()
    stream = StoredGzip(raw)
    stream.write(data)
    stream.finish()
    return raw.getvalue()


def _paragraph(item: LockedFile) -> str:
    control: Mapping[str, Any] = item.source["control"]
    fields = {
        "Package": item.source["package"],
        **{key: control[key] for key in FIELDS if key in control},
        "Filename": item.path.removeprefix(f"{FOLDER}/"),
        "Size": str(item.size),
        "SHA256": item.sha256,
        "SHA512": item.sha512,
    }
    if not {"Version", "Architecture"} <= fields.keys():
        raise ValueError(f"{item.path}: of no version or architecture")
    for key, value in fields.items():
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{item.path}: {key}")
    return "".join(f"{key}: {value}\n" for key, value in fields.items())

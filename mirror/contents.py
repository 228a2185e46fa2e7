"""What a release holds besides the locked files: sidecars, sums, Python index, pages. All computed."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from mirror.lockfile import Lock, LockedFile
from mirror.paths import SIDECAR, wants_sidecar

LOCK = "catalogue.lock"
RECORD = "release.json"
SUMS = "SHA512SUMS"
SIGNATURE = ".asc"
SITE_KEY = "mirror_keys/site.asc"
_SIGNED = frozenset({RECORD, RECORD + SIGNATURE, SUMS + SIGNATURE, SITE_KEY})
_SIGNED_INDEX = re.compile(r"mirror_deb/dists/[^/]+/(InRelease|Release\.gpg)")
_PYTHON = "mirror_python"


@dataclass(frozen=True)
class Content:
    """One file of a release: its SHA-256 and size in bytes; ``data`` if it is made here."""

    sha256: str
    size: int
    data: bytes | None = None


def contents(lock: Lock, lock_bytes: bytes, entries: Sequence[str]) -> dict[str, Content]:
    """Return all unsigned content of a release of the lock's ``entries``, by path.

    It depends on nothing but its arguments: no date, no machine, no serial.
    """
    files = lock.files_of(entries)
    found = locked(files)
    sums = {item.path: item.sha512 for item in files}

    def make(path: str, data: bytes) -> None:
        found[path] = Content(hashlib.sha256(data).hexdigest(), len(data), data)
        sums[path] = hashlib.sha512(data).hexdigest()

    for item in files:
        if wants_sidecar(item.path):
            make(item.path + SIDECAR, f"{item.sha512}  {item.name}\n".encode())
    for path, text in _python_index(files).items():
        make(path, text.encode())
    make(LOCK, lock_bytes)
    make("index.html", _front_page(lock, entries, files).encode())
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))
    make(SUMS, lines.encode())
    return found


def unsigned(path: str) -> bool:
    """Tell whether ``path`` is unsigned content, which the root digest counts.

    Outside it stand the record, the signatures, and the public key of whoever made them: the same
    content may be published again, under another serial and by another signer.
    """
    return path not in _SIGNED and not _SIGNED_INDEX.fullmatch(path)


def locked(files: Iterable[LockedFile]) -> dict[str, Content]:
    """Return what of a release's content the lock names itself, by path."""
    return {item.path: Content(item.sha256, item.size) for item in files}


def root_digest(found: Mapping[str, Content]) -> str:
    """Return the one digest of a release's content: SHA-256 over its sorted ``sha256  path`` lines."""
    lines = "".join(f"{item.sha256}  {path}\n" for path, item in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _python_index(files: Iterable[LockedFile]) -> dict[str, str]:
    """Return the pages of a simple index (PEP 503, and PEP 691 as index.json) over the wheels."""
    projects: dict[str, list[LockedFile]] = {}
    for item in files:
        if item.path.startswith(f"{_PYTHON}/packages/"):
            projects.setdefault(canonicalize_name(item.source["project"]), []).append(item)
    if not projects:
        return {}
    pages = {}
    for project, wheels in projects.items():
        folder = f"{_PYTHON}/simple/{project}"
        pages[f"{folder}/index.html"] = _page(project, [_wheel_link(item) for item in wheels])
        pages[f"{folder}/index.json"] = _json(
            {"meta": {"api-version": "1.0"}, "name": project, "files": [_wheel_json(item) for item in wheels]}
        )
    names = sorted(projects)
    links = [f'<a href="{name}/">{name}</a>' for name in names]
    pages[f"{_PYTHON}/simple/index.html"] = _page("Simple index", links)
    pages[f"{_PYTHON}/simple/index.json"] = _json(
        {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in names]}
    )
    return pages


def _wheel_link(item: LockedFile) -> str:
    requires = str(item.source.get("requires_python", ""))
    limit = f' data-requires-python="{html.escape(requires)}"' if requires else ""
    return f'<a href="../../packages/{item.name}#sha256={item.sha256}"{limit}>{item.name}</a>'


def _wheel_json(item: LockedFile) -> dict[str, object]:
    row: dict[str, object] = {
        "filename": item.name,
        "url": f"../../packages/{item.name}",
        "hashes": {"sha256": item.sha256},
        "size": item.size,
    }
    if item.source.get("requires_python"):
        row["requires-python"] = item.source["requires_python"]
    return row


def _json(data: Mapping[str, object]) -> str:
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _page(title: str, links: Iterable[str]) -> str:
    body = "<br>\n".join(links)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _front_page(lock: Lock, entries: Sequence[str], files: Sequence[LockedFile]) -> str:
    links = [f"<b>Lock</b> {lock.digest}", f"<b>Holds</b> {', '.join(sorted(entries))}"]
    top = [item for item in files if "/" not in item.path]
    for item in top:
        links.append(
            f'<a href="{item.path}">{item.path}</a> <a href="{item.path}{SIDECAR}">sha512</a> '
            f"({item.size / 1e6:.0f} MB)"
        )
    if any(item.path.startswith(f"{_PYTHON}/") for item in files):
        links.append(f'<a href="{_PYTHON}/simple/">{_PYTHON}/simple/</a> Python packages')
    links += [f'<a href="{name}">{name}</a>' for name in (SUMS, LOCK, RECORD)]
    return _page("PNDA mirror: Apache Flink", links)

"""Pages for people: what a release holds, what each file is, and how to use it.

One page at the top, one in each folder; below Maven's, pip's and apt's folders only one each, since those
have indexes of their own. No scripts, nothing from elsewhere, readable without styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirror.contents import LOCK, RECORD, SUMS
from mirror.licence_names import expression
from mirror.licences import NOT_STATED
from mirror.lockfile import Lock, LockedFile
from mirror.page_uses import uses
from mirror.paths import SIDECAR, wants_sidecar

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_PAGE = "index.html"
_ABOUT = {
    "mirror_apps": "jars for Flink's lib/ and opt/ folders, by Flink's line, and for other applications",
    "mirror_misc": "single files",
    "mirror_maven": "a repository for Maven: what applications are built with",
    "mirror_python": "an index for pip: PyFlink and what it needs",
    "mirror_deb": "a repository for apt: Debian packages that nodes need",
}
_WHOLE = ("mirror_maven", "mirror_python", "mirror_deb")  # one page for all that is below
_DOCUMENTS = (
    (RECORD, "serial, date, root digest; with a signature beside it if the site signs"),
    (SUMS, "SHA-512 of every file, for sha512sum -c"),
    ("sbom.cdx.json", "bill of materials (CycloneDX): origin, licence and evidence of every file"),
    (LOCK, "the lock that this release was made from"),
)


def files(lock: Lock, entries: Sequence[str], served: Sequence[LockedFile]) -> dict[str, bytes]:
    """Return the pages of a release of the lock's ``entries``, which serves ``served``, by path."""
    pages = {_PAGE: _top(lock, entries, served)}
    for folder in sorted({folder for item in served for folder in _folders(item.path)}):
        pages[f"{folder}/{_PAGE}"] = _folder(folder, served)
    return {path: _render(page) for path, page in pages.items()}


def _top(lock: Lock, entries: Sequence[str], served: Sequence[LockedFile]) -> dict[str, Any]:
    groups = sorted({group for name in entries for group in lock.entry_table[name].groups})
    return {
        "title": "PNDA mirror: Apache Flink",
        "about": "A release of a mirror: every file is pinned by a lock, and was checked against it.",
        "facts": [
            ("lock", lock.digest),
            ("groups", ", ".join(groups)),
            ("files", f"{len(served)}, {_size(served)}"),
        ],
        "folders": _below("", served),
        "sections": _sections("", [item for item in served if "/" not in item.path]),
        "uses": uses(served),
        "documents": _DOCUMENTS,
    }


def _folder(folder: str, served: Sequence[LockedFile]) -> dict[str, Any]:
    inside = [item for item in served if item.path.startswith(f"{folder}/")]
    parts = folder.split("/")
    up = [("top", "../" * len(parts) + _PAGE)]
    up += [(name, "../" * (len(parts) - 1 - depth) + _PAGE) for depth, name in enumerate(parts[:-1])]
    if folder in _WHOLE:
        sections = _sections(folder, inside)
        folders = []
    else:
        sections = _sections(folder, [item for item in inside if "/" not in item.path[len(folder) + 1 :]])
        folders = _below(folder, inside)
    about = _ABOUT.get(parts[0], "")
    return {
        "title": f"{folder}/",
        "about": f"{about[:1].upper()}{about[1:]}. {len(inside)} files, {_size(inside)}." if about else "",
        "trail": up,
        "folders": folders,
        "sections": sections,
        "uses": uses(inside) if folder in _WHOLE else [],
        "how_first": True,  # before what may be a long list
        "documents": [("simple/index.html", "the index that pip reads")] if folder == "mirror_python" else [],
    }


def _folders(path: str) -> list[str]:
    """Return the folders above ``path`` that have a page."""
    parts = path.split("/")[:-1]
    depth = 1 if parts and parts[0] in _WHOLE else len(parts)
    return ["/".join(parts[: count + 1]) for count in range(depth)]


def _below(folder: str, served: Iterable[LockedFile]) -> list[dict[str, Any]]:
    """Return a row for each folder directly below ``folder``."""
    start = f"{folder}/" if folder else ""
    inside: dict[str, list[LockedFile]] = {}
    for item in served:
        head, slash, _ = item.path.removeprefix(start).partition("/")
        if slash:
            inside.setdefault(head, []).append(item)
    return [
        {"name": name, "count": len(items), "size": _size(items), "about": _about(start + name, items)}
        for name, items in sorted(inside.items())
    ]


def _about(folder: str, items: Iterable[LockedFile]) -> str:
    return _ABOUT.get(folder) or ", ".join(sorted({group for item in items for group in item.groups}))


def _sections(folder: str, items: Iterable[LockedFile]) -> list[dict[str, Any]]:
    """Return tables of files: one for a plain folder, one per group of Maven's or suite of Debian's."""
    tables: dict[str, list[LockedFile]] = {}
    for item in items:
        inner = item.path.removeprefix(f"{folder}/").split("/")[:-1]
        if folder == "mirror_maven":
            title = ".".join(inner[:-2])
        else:
            title = inner[1] if folder == "mirror_deb" and len(inner) > 1 else "Files"
        tables.setdefault(title, []).append(item)
    return [
        {"title": title or "Files", "rows": [_row(folder, item) for item in rows]}
        for title, rows in sorted(tables.items())
    ]


def _row(folder: str, item: LockedFile) -> dict[str, str]:
    link = item.path.removeprefix(f"{folder}/") if folder else item.path
    return {
        "name": item.name,
        "link": link,
        "size": _size([item]),
        "sha256": item.sha256,
        "sidecar": link + SIDECAR if wants_sidecar(item.path) else "",
        "licence": expression(item.licence) or item.licence or NOT_STATED,
        "groups": ", ".join(item.groups),
    }


def _size(items: Iterable[LockedFile]) -> str:
    size = float(sum(item.size for item in items))
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _render(page: dict[str, Any]) -> bytes:
    empty: dict[str, Any] = {"trail": [], "facts": [], "uses": [], "documents": [], "how_first": False}
    text: str = _template().render(empty | page)
    return text.encode()


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))

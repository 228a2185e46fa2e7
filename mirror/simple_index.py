"""The index that pip reads: pages (PEP 503), and the same as JSON (PEP 691, PEP 700)."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping

from packaging.utils import canonicalize_name, parse_wheel_filename

from mirror.lockfile import LockedFile

_TOP = "mirror_python"
_API = "1.1"  # with sizes and versions (PEP 700)


def files(served: Iterable[LockedFile]) -> dict[str, bytes]:
    """Return the pages over the wheels among the ``served`` files, by path (none if there are none)."""
    projects: dict[str, list[LockedFile]] = {}
    for item in served:
        if item.path.startswith(f"{_TOP}/packages/"):
            projects.setdefault(canonicalize_name(item.source["project"]), []).append(item)
    if not projects:
        return {}
    pages = {}
    for project, wheels in projects.items():
        folder = f"{_TOP}/simple/{project}"
        pages[f"{folder}/index.html"] = _page(project, [_wheel_link(item) for item in wheels])
        pages[f"{folder}/index.json"] = _json(
            {
                "meta": {"api-version": _API},
                "name": project,
                "versions": _versions(wheels),
                "files": [_wheel_json(item) for item in wheels],
            }
        )
    names = sorted(projects)
    links = [f'<a href="{name}/">{name}</a>' for name in names]
    pages[f"{_TOP}/simple/index.html"] = _page("Simple index", links)
    listed = [{"name": name} for name in names]
    pages[f"{_TOP}/simple/index.json"] = _json({"meta": {"api-version": _API}, "projects": listed})
    return {path: text.encode() for path, text in pages.items()}


def _versions(wheels: Iterable[LockedFile]) -> list[str]:
    return [str(version) for version in sorted({parse_wheel_filename(item.name)[1] for item in wheels})]


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
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="pypi:repository-version" content="{_API}"><title>{html.escape(title)}</title>'
        f"</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )

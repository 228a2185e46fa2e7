"""Pages for people: what a release holds and how to use it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mirror.contents import LOCK, RECORD, SUMS
from mirror.lockfile import Lock, LockedFile
from mirror.paths import SIDECAR


def _page(title: str, links: Iterable[str]) -> str:
    body = "<br>\n".join(links)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def files(lock: Lock, entries: Sequence[str], served: Sequence[LockedFile]) -> dict[str, bytes]:
    """Return the pages of a release of the lock's ``entries``, which serves ``served``, by path."""
    links = [f"<b>Lock</b> {lock.digest}", f"<b>Holds</b> {', '.join(sorted(entries))}"]
    for item in served:
        if "/" not in item.path:
            links.append(
                f'<a href="{item.path}">{item.path}</a> <a href="{item.path}{SIDECAR}">sha512</a> '
                f"({item.size / 1e6:.0f} MB)"
            )
    if any(item.path.startswith("mirror_python/") for item in served):
        links.append('<a href="mirror_python/simple/">mirror_python/simple/</a> Python packages')
    links += [f'<a href="{name}">{name}</a>' for name in (SUMS, LOCK, RECORD)]
    return {"index.html": _page("PNDA mirror: Apache Flink", links).encode()}

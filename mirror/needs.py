"""Which files of a release need which others, as far as the lock recorded how it came to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from mirror.lockfile import LockedFile


@dataclass(frozen=True)
class Needs:
    """``named``: paths of files that an entry names itself. ``needs``: per path those that it needs."""

    named: tuple[str, ...]
    needs: Mapping[str, tuple[str, ...]]


def needs(served: Iterable[LockedFile], entries: Iterable[str]) -> Needs:
    """Return who needs whom among ``served``, by the ways that the lock has for ``entries``.

    The last step of a way is a coordinate, project or package, which several files may be: copies in
    other folders, and wheels for other machines. Those in the same folder are meant, if there are any.
    """
    listed, wanted = sorted(served, key=lambda item: item.path), set(entries)
    by_name: dict[tuple[str, str], list[str]] = {}
    for item in listed:
        for entry in wanted.intersection(item.entries):
            by_name.setdefault((entry, _name(item)), []).append(item.path)
    named, found = set(), {item.path: set[str]() for item in listed}
    for item in listed:
        for entry in wanted.intersection(item.entries):
            way = item.via.get(entry, ())
            if not way:
                named.add(item.path)
                continue
            above = by_name.get((entry, _step(way[-1])), [])
            near = [path for path in above if _area(path) == _area(item.path)] or above
            for path in near:
                if path != item.path:
                    found[path].add(item.path)
    return Needs(tuple(sorted(named)), {path: tuple(sorted(found[path])) for path in found})


def _name(item: LockedFile) -> str:
    source = item.source
    return _step(str(source.get("coordinate") or source.get("project") or source.get("package") or item.path))


def _step(word: str) -> str:
    return word if ":" in word or "/" in word else canonicalize_name(word)


def _area(path: str) -> str:
    """Return the repository or folder that ``path`` belongs to."""
    parts = path.split("/")
    return parts[0] if parts[0] in ("mirror_maven", "mirror_python", "mirror_deb") else "/".join(parts[:-1])

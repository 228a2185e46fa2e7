"""What a lock says of one file: the evidence for it, and why it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import UsageError
from core.marked_yaml import nearest
from mirror import derived
from mirror.evidence import describe
from mirror.lockfile import Lock, LockedFile


def find(lock: Lock, name: str) -> tuple[LockedFile, ...]:
    """Return the files and inputs called ``name``: by path, base name, coordinate, project or artifact.

    The most exact kind of name that fits anything wins. Raises UsageError when none does.
    """
    items = (*lock.files, *lock.inputs)
    names = [(item, _names(item)) for item in items]
    for rank in range(4):
        found = tuple(item for item, ranks in names if name in ranks[rank])
        if found:
            return found
    known = {word for _, ranks in names for words in ranks for word in words}
    raise UsageError(f"{lock.path}: nothing called {name!r} is locked", _offer(name, known))


def evidence(lock: Lock, item: LockedFile) -> dict[str, Any]:
    """Return all that the lock holds for believing ``item``, with that of the parts it is made of."""
    document = {
        "path": item.path,
        "size": item.size,
        "sha256": item.sha256,
        "sha512": item.sha512,
        "source": dict(item.source),
        "licence": item.licence,
        "agreed": list(item.evidence.get("agreed", [])),
        "signature": item.evidence.get("signature", "unknown"),
        "signers": list(item.evidence.get("signers", [])),
        "hashes": list(item.evidence.get("hashes", [])),
    }
    if "index" in item.evidence:
        document["index"] = dict(item.evidence["index"])
    parts = [lock.input(name) for name in _inputs(item)]
    return {**document, "made_from": [evidence(lock, part) for part in parts]} if parts else document


def evidence_text(lock: Lock, item: LockedFile, indent: str = "") -> list[str]:
    """Return :func:`evidence` as lines for people."""
    agreed = ", ".join(item.evidence.get("agreed", []))
    made = item.source["kind"] in derived.KINDS
    published = "made here, so nobody publishes one" if made else agreed or "none published"
    lines = [
        f"{indent}{item.path}",
        f"{indent}  {item.size} bytes, sha256 {item.sha256}",
        f"{indent}  from {source_text(item.source)}; licence {item.licence or 'not stated'}",
        f"{indent}  checksums that agree: {published}",
        f"{indent}  signature: {describe(item)}{_index_text(item)}",
    ]
    for name in _inputs(item):
        lines += evidence_text(lock, lock.input(name), indent + "    ")
    return lines


def why(lock: Lock, item: LockedFile) -> list[dict[str, Any]]:
    """Return per entry that brings ``item`` in: the entry, its groups, and the way to the file.

    An input's ``needed_for`` are the served files that are made of it.
    """
    needed = [file.path for file in lock.files if item.path in _inputs(file)] if _is_input(lock, item) else []
    return [
        {
            "path": item.path,
            "entry": name,
            "groups": list(lock.entry_table[name].groups),
            "via": list(item.via.get(name, ())),
            "needed_for": [path for path in needed if name in lock.file(path).entries],
        }
        for name in item.entries
    ]


def why_text(row: Mapping[str, Any]) -> str:
    """Return one row of :func:`why` as a line for people."""
    way = f": {' -> '.join(row['via'])} -> it" if row["via"] else ""
    use = f", to make {', '.join(row['needed_for'])}" if row["needed_for"] else ""
    return f"  {row['entry']} ({', '.join(row['groups'])}){way}{use}"


def source_text(source: Mapping[str, Any]) -> str:
    """Return where a file comes from, in a few words."""
    kind = str(source["kind"])
    what = (
        source.get("coordinate")
        or _package_text(source)
        or source.get("filename")
        or source.get("url")
        or source.get("path")
    )
    instead = f", instead of {source['instead_of']}" if "instead_of" in source else ""
    return f"{kind} {what}{instead}" if what else f"{kind} of {len(source.get('additions', ())) + 2} parts"


def _index_text(item: LockedFile) -> str:
    """Return which index a signature is of, where a signed index vouches for the file."""
    index = item.evidence.get("index")
    return f", on the index of {index['suite']} (sha256 {index['sha256']})" if index else ""


def _package_text(source: Mapping[str, Any]) -> str:
    """Return a Debian package as apt names it, and its suite; for a suite's index the suite."""
    if "package" not in source:
        return str(source.get("suite", ""))
    return f"{source['package']}={source['version']} of {source.get('suite', '')}"


def _names(item: LockedFile) -> tuple[set[str], ...]:
    """Return what ``item`` may be called, the most exact kind of name first; never an empty word."""
    coordinate = str(item.source.get("coordinate", ""))
    parts = coordinate.split(":")
    short = {":".join(parts[:2]), parts[1]} if len(parts) > 2 else set()
    loose = short | {str(item.source.get(key, "")) for key in ("project", "package")}
    return {item.path}, {item.name}, {coordinate} - {""}, loose - {""}


def _inputs(item: LockedFile) -> tuple[str, ...]:
    try:
        return derived.inputs_of(item.source)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{item.path}: its source in the lock is damaged ({error!r})", "restore the lock from git"
        ) from error


def _is_input(lock: Lock, item: LockedFile) -> bool:
    return any(item is known for known in lock.inputs)


def _offer(name: str, known: Iterable[str]) -> str:
    words = set(known)
    inside = sorted(word for word in words if name in word)
    if inside:
        return "these contain it: " + ", ".join(inside[:8])
    offer = nearest(name, words)
    return offer if "did you mean" in offer else "./inv mirror.list shows what is locked"

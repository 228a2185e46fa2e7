"""What a lab is made of, as its cluster file says: its hosts, and Flink's versions there."""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import UsageError
from core.files import write_atomic
from lab.model import HOSTS, Lab

_EDGE = re.compile(r"^ +(edge-(?:[2-9]|[1-9][0-9]))\s*:", re.MULTILINE)
_FIRST_EDGE = re.compile(r"^( +)edge-1:.*$", re.MULTILINE)
_VERSIONS = re.compile(r"^( *versions): *\[([^]]*)\]", re.MULTILINE)
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_MOST_EDGES = 9


def hosts(lab: Lab) -> tuple[str, ...]:
    """Return the hosts of ``lab``: those of every lab, then its further EDGE nodes."""
    return (*HOSTS, *_EDGE.findall(_text(lab)))


def versions(lab: Lab) -> tuple[str, ...]:
    """Return Flink's versions in the cluster file of ``lab``, the default first."""
    found = _VERSIONS.search(_text(lab))
    return tuple(word.strip(" \"'") for word in found[2].split(",")) if found else ()


def describe(lab: Lab, edges: int = 0, flink: tuple[str, ...] = ()) -> None:
    """Write the cluster file of a lab that is not the default one: a copy under the lab's own name.

    ``edges`` is how many EDGE nodes it gets and ``flink`` which versions; 0 and none keep what the lab
    has, or else what the default one has. Raises UsageError for the default lab, whose file is the
    user's, and for a number or version that cannot be.
    """
    _check(lab, edges, flink)
    if lab.name == "lab":
        return
    had = lab.cluster_file.exists()
    edges = edges or (len(_EDGE.findall(_text(lab))) + 1 if had else 0)
    flink = flink or (versions(lab) if had else ())
    original = lab.checkout / "clusters" / "lab.yml"
    text = _read(original)
    for pattern, line in (
        (r"^name: *lab *$", f"name: {lab.name}"),
        (r"^( *)ssh_config: *build/lab/ssh_config *$", rf"\1ssh_config: build/{lab.name}/ssh_config"),
    ):
        text, count = re.subn(pattern, line, text, flags=re.MULTILINE)
        if count != 1:
            raise UsageError(
                f"{original}: no single line matches {pattern!r}",
                "keep `name: lab` and `ssh_config: build/lab/ssh_config` on lines of their own",
            )
    further = "".join(rf"\n\1edge-{number}: {{roles: [EDGE]}}" for number in range(2, edges + 1))
    text = _FIRST_EDGE.sub(rf"\g<0>{further}", text)
    if flink:
        text = _VERSIONS.sub(rf"\1: [{', '.join(flink)}]", text)
    write_atomic(lab.cluster_file, text)


def _check(lab: Lab, edges: int, flink: tuple[str, ...]) -> None:
    if not 0 <= edges <= _MOST_EDGES:
        raise UsageError(f"--edges {edges}: that many EDGE nodes cannot be", f"give 1 to {_MOST_EDGES}")
    for version in flink:
        if not _VERSION.fullmatch(version):
            raise UsageError(f"--flink: {version!r} is no version of Flink", "write --flink 2.3.0,1.20.5")
    if lab.name == "lab" and (edges or flink):
        raise UsageError(
            "--edges and --flink are for labs with a name of their own",
            f"give --name, or change {lab.cluster_file.relative_to(lab.checkout)}",
        )


def _text(lab: Lab) -> str:
    """Return the cluster file of ``lab``; before there is one, that of the default lab, else nothing."""
    for path in (lab.cluster_file, lab.checkout / "clusters" / "lab.yml"):
        if path.exists():
            return _read(path)
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing", "restore it from git") from error

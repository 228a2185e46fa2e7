"""Which wheels a target needs, and why: pip is asked, as it would install them there."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.errors import UsageError, WorldError
from core.process import run
from mirror.catalogue import PythonEntry, Target

_TIMEOUT = 1800.0
_LEGACY = {
    "x86_64": {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"},
    "aarch64": {17: "manylinux2014"},
}


@dataclass(frozen=True)
class Chosen:
    """A wheel that was chosen, and the way to it: projects from a requirement down to what needs it."""

    project: str
    filename: str
    via: tuple[str, ...] = ()


def platforms(target: Target) -> tuple[str, ...]:
    """Return the platform tags whose wheels run on ``target``, newest first (PEP 600 and before)."""
    minor = int(target.glibc.split(".")[1])
    legacy = _LEGACY[target.machine]
    tags = []
    for step in range(minor, min(legacy) - 1, -1):
        tags.append(f"manylinux_2_{step}_{target.machine}")
        if step in legacy:
            tags.append(f"{legacy[step]}_{target.machine}")
    return (*tags, f"linux_{target.machine}")


def ask_pip(entry: PythonEntry, target: Target, links: Path, scratch: Path) -> list[Chosen]:
    """Return the wheels that pip would install on ``target``, without those that are provided.

    ``links`` holds the wheels built here and the stubs of what is provided. Raises WorldError with
    pip's own words when there is no such set, UsageError for another Python than this one.
    """
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if target.python != running:
        raise UsageError(
            f"{entry.name}: pip decides for the Python that it runs on ({running}), not for {target.python}",
            f"write the lock with Python {target.python}, or change the target",
        )
    report = scratch / f"report-{target.name}.json"
    words: list[str | Path] = [
        sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
        "--disable-pip-version-check", "--no-input", "--only-binary", ":all:", "--report", report,
        "--target", scratch / "target", "--find-links", links, "--implementation", "cp",
        "--python-version", target.python,
    ]  # fmt: skip
    for platform in platforms(target):
        words += ["--platform", platform]
    done = run([*words, *entry.requirements], timeout=_TIMEOUT, check=False, what="pip")
    if done.code != 0:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.tail().splitlines()
        raise WorldError(
            f"{entry.name}: pip finds no set of wheels for {target.name}\n  " + "\n  ".join(lines[-8:]),
            "name packages that are published as source only under `build:` (project==version)",
        )
    provided = {canonicalize_name(pinned.split("==")[0]) for pinned in entry.provided}
    return [item for item in parse_report(report.read_text()) if item.project not in provided]


def parse_report(text: str) -> list[Chosen]:
    """Return the wheels of a pip installation report (format 1, PEP 566 metadata inside)."""
    rows: list[tuple[str, str]] = []
    needs: dict[str, list[str]] = {}
    asked = []
    for item in json.loads(text)["install"]:
        filename = unquote(urlsplit(item["download_info"]["url"]).path).rsplit("/", 1)[-1]
        project = canonicalize_name(item["metadata"]["name"])
        rows.append((project, filename))
        needs[project] = _needs(item["metadata"].get("requires_dist") or [])
        if item.get("requested"):
            asked.append(project)
    found = ways(asked, needs)
    return [Chosen(project, filename, found.get(project, ())) for project, filename in rows]


def ways(asked: Iterable[str], needs: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the shortest way to each project that ``asked`` lead to, by what each one ``needs``."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(asked, ())
    waiting = deque(sorted(found))
    while waiting:
        project = waiting.popleft()
        for needed in sorted(needs.get(project, ())):
            if needed not in found:
                found[needed] = (*found[project], project)
                waiting.append(needed)
    return found


def _needs(lines: Iterable[Any]) -> list[str]:
    """Return the projects that ``Requires-Dist`` lines name; markers count, but not for extras."""
    found: list[str] = []
    for line in lines:
        try:
            wanted = Requirement(str(line))
        except InvalidRequirement:
            continue  # only the explanation is poorer; what is installed is pip's decision
        if wanted.marker is None or "extra" in str(wanted.marker) or wanted.marker.evaluate():
            found.append(canonicalize_name(wanted.name))
    return found

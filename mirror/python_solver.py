"""Which wheels a target needs, and why.

pip is asked for the Python that it runs on. It evaluates the markers of that Python whatever target
it is told, so for every other one uv is asked, which evaluates them for the target; both get the
index, proxy and certificates of pip's settings, and only resolve: we choose and fetch the files.
"""

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
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from core import bootstrap, console
from core.errors import UpstreamError, WorldError
from core.process import run
from mirror.catalogue import PythonEntry, Target
from mirror.maven_run import redact_addresses
from mirror.python_index import Settings
from mirror.resolving import Missing, NotPublishedError
from mirror.upstreams import Upstreams
from mirror.wheel_tags import best_wheel, platforms

_TIMEOUT = 1800.0


@dataclass(frozen=True)
class Chosen:
    """A wheel that was chosen, and the way to it: projects from a requirement down to what needs it."""

    project: str
    filename: str
    via: tuple[str, ...] = ()


def ask(entry: PythonEntry, target: Target, links: Path, scratch: Path, upstreams: Upstreams) -> list[Chosen]:
    """Return the wheels that ``target`` needs, without those that are provided.

    ``links`` holds the wheels built here and the stubs of what is provided. Raises NotPublishedError
    for what the entry pins and the index has no fitting wheel of, WorldError with the resolver's own
    words when there is no set of wheels.
    """
    _check_pinned(entry, target, upstreams)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if target.python == running:
        console.say(f"   {entry.name}: pip resolves for {target.name}")
        chosen = _ask_pip(entry, target, links, scratch)
    else:
        console.say(f"   {entry.name}: uv resolves for {target.name}")
        chosen = _ask_uv(entry, target, links, scratch, upstreams)
    provided = {canonicalize_name(pinned.split("==")[0]) for pinned in entry.provided}
    return [item for item in chosen if item.project not in provided]


def _check_pinned(entry: PythonEntry, target: Target, upstreams: Upstreams) -> None:
    elsewhere = {canonicalize_name(pinned.split("==")[0]) for pinned in (*entry.provided, *entry.build)}
    missing = []
    for text in entry.requirements:
        wanted = Requirement(text)
        exact = [part.version for part in wanted.specifier if part.operator == "=="]
        if not exact or "*" in exact[0] or canonicalize_name(wanted.name) in elsewhere:
            continue
        names = [item.filename for item in upstreams.project(wanted.name)]
        if not best_wheel(names, Version(exact[0]), target):
            missing.append(Missing(entry.name, f"{wanted.name}: a wheel for {target.name}", (exact[0],)))
    if missing:
        raise NotPublishedError(missing)


def _ask_uv(
    entry: PythonEntry, target: Target, links: Path, scratch: Path, upstreams: Upstreams
) -> list[Chosen]:
    try:
        uv = bootstrap.ensure("solver") / "bin" / "uv"
    except bootstrap.BootstrapError as error:
        raise UpstreamError(f"the environment of the solver cannot be made: {error}", "see above") from error
    wanted = scratch / f"requirements-{target.name}.in"
    wanted.write_text("".join(f"{line}\n" for line in entry.requirements), encoding="utf-8")
    settings, insecure = _uv_settings(upstreams.index_settings())
    done = run(
        [
            uv, "pip", "compile", "--no-config", "--no-header", "--no-progress", "--quiet", "--only-binary",
            ":all:", "--annotation-style", "line", "--python", sys.executable, "--no-python-downloads",
            "--python-version", target.python, "--cache-dir", scratch / "uv",
            "--python-platform", f"{target.machine}-manylinux_{target.glibc.replace('.', '_')}",
            "--find-links", links, *insecure, wanted,
        ],
        timeout=_TIMEOUT,
        env=settings,
        check=False,
        what="uv",
    )  # fmt: skip
    if done.code != 0:
        text = redact_addresses(done.tail())
        raise WorldError(
            f"{entry.name}: uv finds no set of wheels for {target.name}\n{text}",
            "name packages that are published as source only under `build:` (project==version)",
        )
    pins, found = parse_compiled(done.stdout)
    local = [path.name for path in links.iterdir()]
    chosen, missing = [], []
    for project, version in pins.items():
        listed = () if canonicalize_name(project) in _stubs(entry) else upstreams.project(project)
        names = [*local_wheels(local, project), *(item.filename for item in listed)]
        filename = best_wheel(names, Version(version), target)
        if filename:
            chosen.append(Chosen(project, filename, found.get(project, ())))
        else:
            missing.append(Missing(entry.name, f"{project}: a wheel for {target.name}", (version,)))
    if missing:
        raise NotPublishedError(missing)
    return chosen


def _stubs(entry: PythonEntry) -> set[str]:
    return {canonicalize_name(pinned.split("==")[0]) for pinned in entry.provided}


def local_wheels(filenames: Iterable[str], project: str) -> list[str]:
    """Return those of ``filenames`` that are wheels of ``project``."""
    return [name for name in filenames if parse_wheel_filename(name)[0] == canonicalize_name(project)]


def _uv_settings(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Return pip's settings as uv reads them from its environment (addresses may hold credentials)."""
    first, *others = settings.indexes
    told = {
        "UV_DEFAULT_INDEX": first.url,
        "UV_INDEX": " ".join(place.url for place in others),
        # pip takes the best version of all indexes.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    if isinstance(first.verify, str):
        told["SSL_CERT_FILE"] = first.verify
    if first.cert:
        told["SSL_CLIENT_CERT"] = first.cert
    for scheme, proxy in first.proxies.items():
        told[f"{scheme.upper()}_PROXY"] = proxy
    hosts = {urlsplit(place.url).hostname or "" for place in settings.indexes if place.verify is False}
    return told, [word for host in sorted(hosts) for word in ("--allow-insecure-host", host)]


def parse_compiled(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return what ``uv pip compile`` wrote (annotations on the line): versions, and the way to each.

    Raises WorldError for a line that is no exact pin.
    """
    pins: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    asked = []
    for raw in text.splitlines():
        line, _, note = raw.partition("#")
        if not line.strip():
            continue
        project, sign, version = line.strip().partition("==")
        if not sign:
            raise WorldError(f"uv wrote a line that is no exact pin: {raw[:80]!r}", "name it by its version")
        project = canonicalize_name(project)
        pins[project] = version.strip()
        for parent in note.strip().removeprefix("via ").split(", "):
            if parent.startswith("-r ") or not parent:
                asked.append(project)
            else:
                needs.setdefault(canonicalize_name(parent), []).append(project)
    return pins, ways(asked, needs)


def _ask_pip(entry: PythonEntry, target: Target, links: Path, scratch: Path) -> list[Chosen]:
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
    return parse_report(report.read_text())


def parse_report(text: str) -> list[Chosen]:
    """Return the wheels of a pip installation report (format 1, PEP 566 metadata inside).

    Raises WorldError when it is no such report.
    """
    try:
        return _read_report(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorldError(
            f"pip's report cannot be read: {error!r:.200}",
            "try pip --version; pip 23 and later are known good",
        ) from error


def _read_report(report: Any) -> list[Chosen]:
    rows: list[tuple[str, str]] = []
    needs: dict[str, list[str]] = {}
    asked = []
    for item in report["install"]:
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

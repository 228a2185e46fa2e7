"""pip installs each entry for each of its targets, from the mirror's index and with hashes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from core.bootstrap import system_python
from core.process import Finished, run
from mirror.entries import PythonEntry, Target
from mirror.lockfile import LockedFile
from mirror.proofs.model import Task, World
from mirror.wheel_tags import best_wheel, platforms

_SECONDS = 1800.0
# These win over `cert` in pip.conf.
_TRUST = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}


@dataclass(frozen=True)
class _Wheel:
    """A wheel that a target gets, and what it needs there (``Requires-Dist``)."""

    version: Version
    needs: tuple[str, ...]


def tasks(world: World) -> Iterator[Task]:
    """Yield a proof for each target of each Python entry, and another where this machine is the target."""
    for entry in world.entries:
        if not isinstance(entry, PythonEntry):
            continue
        for target in entry.targets:
            subject = f"{entry.name} for {target.name}"
            yield Task("pip", subject, partial(_resolve, world, entry, target))
            if target.python == f"{sys.version_info.major}.{sys.version_info.minor}":
                yield Task(
                    "pip, installed",
                    subject,
                    partial(_install, world, entry, target),
                )


def requirements(files: Sequence[LockedFile], target: Target) -> str:
    """Return a hashed requirements file of the wheels among ``files`` that suit ``target`` best."""
    versions: dict[tuple[NormalizedName, Version], list[LockedFile]] = {}
    for item in files:
        name, release, _, _ = parse_wheel_filename(item.name)
        versions.setdefault((name, release), []).append(item)
    lines = []
    for (project, version), wheels in sorted(versions.items()):
        best = best_wheel([item.name for item in wheels], version, target)
        lines += [f"{project}=={version} --hash=sha256:{item.sha256}" for item in wheels if item.name == best]
    return "\n".join([*lines, ""])


def _resolve(world: World, entry: PythonEntry, target: Target) -> list[str]:
    """Let pip take all for ``target``; return what is not there, or needed and not among it."""
    folder = _folder(world, entry, target, "resolve")
    wanted, report = folder / "requirements.txt", folder / "report.json"
    wanted.write_text(requirements(world.of(entry), target), encoding="utf-8")
    words: list[str | Path] = ["--dry-run", "--ignore-installed", "--target", folder / "none"]
    words += ["--report", report]
    words += ["--implementation", "cp", "--python-version", target.python]
    for platform in platforms(target):
        words += ["--platform", platform]
    done = _pip(world, Path(sys.executable), *words, "--requirement", wanted)
    if done.code != 0:
        return _reasons(done)
    return _holes(entry, target, _read(json.loads(report.read_text(encoding="utf-8"))))


def _install(world: World, entry: PythonEntry, target: Target) -> list[str]:
    """Make a fresh environment as a node does, and let pip check it."""
    folder = _folder(world, entry, target, "install")
    wanted, python = folder / "requirements.txt", folder / "environment" / "bin" / "python"
    wanted.write_text(requirements(world.of(entry), target), encoding="utf-8")
    run([system_python(), "-m", "venv", python.parent.parent], timeout=_SECONDS, what="making an environment")
    done = _pip(world, python, "--requirement", wanted)
    if done.code != 0:
        return _reasons(done)
    provided = {canonicalize_name(pinned.split("==")[0]) for pinned in entry.provided}
    checked = run([python, "-m", "pip", "check"], timeout=_SECONDS, check=False)
    lines = checked.stdout.splitlines() if checked.code else []
    missing = re.compile(r"\S+ \S+ requires (\S+), which is not installed\.")
    return [
        line
        for line in lines
        if not ((match := missing.match(line)) and canonicalize_name(match[1]) in provided)
    ]


def _folder(world: World, entry: PythonEntry, target: Target, what: str) -> Path:
    folder = world.scratch / f"python-{entry.name}-{target.name}-{what}"
    folder.mkdir()
    return folder


def _pip(world: World, python: Path, *words: str | Path) -> Finished:
    # What this machine's environment tells pip is not what a client of the mirror has.
    names = [name for name in sorted(os.environ) if name.startswith("PIP_") or name in _TRUST]
    unset = [word for name in names for word in ("-u", name)]
    return run(
        [
            "env", *unset, python, "-m", "pip", "install", "--no-deps", "--require-hashes", "--quiet",
            "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check",
            "--retries", "1", *words,
        ],
        timeout=_SECONDS, check=False, env={"PIP_CONFIG_FILE": str(world.settings / "pip.conf")}, what="pip",
    )  # fmt: skip


def _reasons(done: Finished) -> list[str]:
    lines = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line]
    return lines or done.tail().splitlines()[-5:]


def _read(report: Any) -> dict[str, _Wheel]:
    return {
        canonicalize_name(item["metadata"]["name"]): _Wheel(
            Version(item["metadata"]["version"]), tuple(item["metadata"].get("requires_dist") or ())
        )
        for item in report["install"]
    }


def _holes(entry: PythonEntry, target: Target, found: Mapping[str, _Wheel]) -> list[str]:
    """Return what is needed on ``target``, from the entry's requirements down, and not there."""
    there = {name: wheel.version for name, wheel in found.items()}
    for pinned in entry.provided:
        project, _, version = pinned.partition("==")
        there[canonicalize_name(project)] = Version(version)
    environment = {
        "implementation_name": "cpython", "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine, "platform_python_implementation": "CPython",
        "platform_release": "", "platform_system": "Linux", "platform_version": "",
        "python_full_version": f"{target.python}.0", "python_version": target.python, "sys_platform": "linux",
    }  # fmt: skip
    faults: list[str] = []
    seen: set[tuple[str, str]] = set()
    waiting = [(f"the entry {entry.name}", Requirement(text)) for text in entry.requirements]
    while waiting:
        by, wanted = waiting.pop()
        project = canonicalize_name(wanted.name)
        if project not in there:
            faults.append(f"{by} needs {wanted}: no wheel of it is on the mirror")
            continue
        if not wanted.specifier.contains(there[project], prereleases=True):
            faults.append(f"{by} needs {wanted}: the mirror has {there[project]}")
        for extra in {"", *wanted.extras}:
            if (project, extra) in seen or project not in found:
                continue
            seen.add((project, extra))
            waiting += [(project, need) for need in _needs(found[project], {**environment, "extra": extra})]
    return sorted(set(faults))


def _needs(wheel: _Wheel, environment: dict[str, str]) -> Iterator[Requirement]:
    for line in wheel.needs:
        try:
            need = Requirement(line)
        except InvalidRequirement:
            continue  # pip does not read it either
        if need.marker is None or need.marker.evaluate(environment):
            yield need

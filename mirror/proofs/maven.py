"""Maven builds and resolves with the mirror as its only repository, in strict checksum mode."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from core.process import Finished, run
from mirror.entries import MavenEntry
from mirror.maven import parse_coordinate
from mirror.maven_run import absent_artifacts, write_pom
from mirror.proofs.model import Task, World

_SECONDS = 1800.0
_PLUGIN = re.compile(r"^mirror_maven/org/apache/maven/plugins/maven-dependency-plugin/([^/]+)/")


def tasks(world: World) -> Iterator[Task]:
    """Yield a proof for each entry that fills a repository."""
    for entry in world.entries:
        if isinstance(entry, MavenEntry) and entry.repository:
            if entry.project is not None:
                yield Task("Maven, building", entry.name, partial(_build, world, entry))
            if entry.artifacts:
                yield Task("Maven, resolving", entry.name, partial(_resolve, world, entry))


def _build(world: World, entry: MavenEntry) -> list[str]:
    """Build a copy of the entry's project, tests and all, and call what else a developer calls."""
    assert entry.project is not None
    folder = _folder(world, entry, "build")
    shutil.copytree(entry.project.folder, folder / "project", ignore=shutil.ignore_patterns("target"))
    profiles = [f"-P{','.join(entry.project.profiles)}"] if entry.project.profiles else []
    return _faults(_maven(world, folder, folder / "project", *profiles, "verify", *entry.project.goals))


def _resolve(world: World, entry: MavenEntry) -> list[str]:
    """Let a pom depend on what the entry names, and Maven fetch all of it."""
    versions = sorted(match[1] for item in world.files if (match := _PLUGIN.match(item.path)))
    if not versions:
        return ["cannot be shown: the release lacks maven-dependency-plugin (the group `application`)"]
    folder = _folder(world, entry, "resolve")
    named = {artifact.label for artifact in entry.artifacts}
    roots = []
    for item in world.of(entry):
        coordinate = parse_coordinate(str(item.source["coordinate"]))
        label = ":".join(
            part for part in (coordinate.group, coordinate.artifact, coordinate.classifier) if part
        )
        if coordinate.extension == "jar" and label in named and item.path.startswith("mirror_maven/"):
            roots.append(coordinate)
    write_pom(folder, roots)
    goal = f"org.apache.maven.plugins:maven-dependency-plugin:{versions[-1]}:resolve"
    return _faults(_maven(world, folder, folder, goal, "-DincludeScope=runtime"))


def _folder(world: World, entry: MavenEntry, what: str) -> Path:
    folder = world.scratch / f"maven-{entry.name}-{what}"
    folder.mkdir()
    return folder


def _maven(world: World, folder: Path, project: Path, *words: str) -> Finished:
    settings = world.settings / "settings.xml"
    store = world.settings / "truststore.p12"
    options = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStoreType=PKCS12"
    try:
        return run(
            [
                "mvn", "--batch-mode", "--no-transfer-progress", "--strict-checksums", "--quiet",
                "--settings", settings, "--global-settings", settings,
                f"-Dmaven.repo.local={folder / 'repository'}", "--file", project / "pom.xml", *words,
            ],
            timeout=_SECONDS, cwd=project, check=False, what="Maven",
            env={"MAVEN_OPTS": f"{options} -Djavax.net.ssl.trustStorePassword=changeit"},
        )  # fmt: skip
    finally:
        shutil.rmtree(folder / "repository", ignore_errors=True)


def _faults(done: Finished) -> list[str]:
    if done.code == 0:
        return []
    absent = absent_artifacts(done.stdout + done.stderr)
    if absent:
        return [f"{name}: not on the mirror" for name in absent]
    errors = [line.strip() for line in done.tail().splitlines() if "[ERROR]" in line]
    return errors[:8] or [f"Maven ended with {done.code}", *done.tail().splitlines()[-5:]]

"""What Maven needs, told by Maven itself: it works in an empty local repository, and we look what landed.

A pom of a version that lost against another, an imported BOM, a relocated name: Maven reads them all,
and no tree shows them. Maven's tools come from a repository name of their own, so that they are not
mistaken for what the roots need (the resolver notes in ``_remote.repositories`` where a file is from).
"""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from core.errors import WorldError
from mirror import maven_run
from mirror.catalogue import Project
from mirror.maven import Coordinate, parse_coordinate
from mirror.maven_settings import Repository

_DEPENDENCY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_WANTED = "wanted"
_TOOLS = "tools"
# What makes a build read all that its own plugins need, and publish nothing.
_BUILD = ("clean", "deploy", "-Dmaven.deploy.skip=true")


@dataclass(frozen=True)
class Landed:
    """A file that Maven fetched into its local repository: what it is, and its bytes."""

    coordinate: Coordinate
    file: Path


@dataclass(frozen=True)
class Closure:
    """What some roots need: the artifacts, each with the way to it, and every pom that Maven read.

    A way holds the coordinates from a root down to what needs the artifact.
    """

    ways: dict[Coordinate, tuple[str, ...]]
    poms: tuple[Landed, ...]


def closure(roots: Iterable[Coordinate], repositories: Sequence[Repository], scratch: Path) -> Closure:
    """Return ``roots`` and all that they need at run time, as Maven resolves it, sorted.

    ``scratch`` is an empty private folder. Raises ArtifactsAbsentError when something in the closure
    is not published, UpstreamError with Maven's own words when it cannot tell.
    """
    pom, output = maven_run.write_pom(scratch, roots), scratch / "tree.json"
    maven_run.maven(
        scratch,
        pom,
        *_private(scratch, repositories, tools_apart=True),
        f"{_DEPENDENCY}:tree",
        "-DoutputType=json",
        f"-DoutputFile={output}",
        "-Dscope=runtime",
    )
    try:
        ways = parse_tree(output.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorldError(
            f"Maven's dependency tree cannot be read: {error}", "try `mvn -version`; Maven 3.8 is known good"
        ) from error
    for item in ways:
        _refuse_snapshot(item.version, str(item))
    return Closure(ways, tuple(item for item in landed(scratch) if item.coordinate.extension == "pom"))


def build(project: Project, repositories: Sequence[Repository], scratch: Path) -> tuple[Landed, ...]:
    """Build a copy of ``project`` up to ``deploy``, call its goals, and return all that was fetched.

    The plugins that the pom names run; what they make stays in ``scratch``, an empty private folder.
    Raises as :func:`closure` does.
    """
    copy = scratch / "project"
    copy.mkdir()
    shutil.copy(project.folder / "pom.xml", copy / "pom.xml")
    if (project.folder / "src").is_dir():
        shutil.copytree(project.folder / "src", copy / "src")
    profiles = [f"-P{','.join(project.profiles)}"] if project.profiles else []
    private = _private(scratch, repositories, tools_apart=False)
    maven_run.maven(copy, copy / "pom.xml", *private, *profiles, *_BUILD, *project.goals)
    return landed(scratch)


def parse_tree(text: str) -> dict[Coordinate, tuple[str, ...]]:
    """Return the distinct artifacts below the root of a ``dependency:tree`` JSON document, sorted.

    Each comes with the (shortest) way to it, as in :class:`Closure`.
    """
    found: dict[Coordinate, tuple[str, ...]] = {}
    waiting: deque[tuple[Any, tuple[str, ...]]] = deque((node, ()) for node in _children(json.loads(text)))
    while waiting:
        node, via = waiting.popleft()
        kind = node["type"]
        # test-jar, bundle, maven-plugin and the like are all files ending in .jar.
        extension = kind if kind in ("pom", "war", "zip", "tar.gz") else "jar"
        classifier = node.get("classifier", "") or ("tests" if kind == "test-jar" else "")
        coordinate = Coordinate(node["groupId"], node["artifactId"], node["version"], extension, classifier)
        waiting.extend((child, (*via, str(coordinate))) for child in _children(node))
        if extension != "pom":
            found.setdefault(parse_coordinate(str(coordinate)), via)
    return dict(sorted(found.items()))


def landed(scratch: Path) -> tuple[Landed, ...]:
    """Return what Maven fetched into the local repository in ``scratch``, without its own tools, sorted.

    Raises WorldError for a name that cannot stand in a repository, or a snapshot.
    """
    local = scratch / "local"
    found = []
    for notes in sorted(local.rglob("_remote.repositories")):
        for line in notes.read_text(encoding="utf-8").splitlines():
            name, separator, origin = line.partition(">")
            if separator and origin.startswith(_WANTED):
                file = notes.parent / name
                found.append(Landed(coordinate_of(file.relative_to(local).as_posix()), file))
    return tuple(sorted(set(found), key=lambda item: item.coordinate))


def coordinate_of(path: str) -> Coordinate:
    """Return the coordinate of the file at ``path`` of a repository. Raises WorldError for no such thing.

    >>> str(coordinate_of("org/example/a/1.0/a-1.0-tests.jar"))
    'org.example:a:jar:tests:1.0'
    """
    parts = path.split("/")
    cure = "such an artifact cannot be mirrored"
    if len(parts) < 4 or not parts[-1].startswith(f"{parts[-3]}-{parts[-2]}"):
        raise WorldError(f"{path}: no file of Maven's layout", cure)
    group, artifact, version = ".".join(parts[:-3]), parts[-3], parts[-2]
    _refuse_snapshot(version, path)
    rest = parts[-1].removeprefix(f"{artifact}-{version}")
    extension = "tar.gz" if rest.endswith(".tar.gz") else rest.rpartition(".")[2]
    classifier = rest.removesuffix(f".{extension}").removeprefix("-")
    try:
        return parse_coordinate(str(Coordinate(group, artifact, version, extension, classifier)))
    except ValueError as error:
        raise WorldError(f"{path}: {error}", cure) from error


def _refuse_snapshot(version: str, what: str) -> None:
    if version.endswith("-SNAPSHOT"):
        raise WorldError(f"{what}: a snapshot, which may change every day", "name a release instead")


def _children(node: Any) -> list[Any]:
    return list(node.get("children", []))


def _private(scratch: Path, repositories: Sequence[Repository], tools_apart: bool) -> list[str | Path]:
    """Write settings that name ``repositories`` and nothing else, and return the words that apply them."""
    settings = scratch / "settings.xml"
    settings.touch(mode=0o600)  # it may hold a password
    settings.write_text(settings_for(repositories, tools_apart), encoding="utf-8")
    return ["-s", settings, "-gs", settings, f"-Dmaven.repo.local={scratch / 'local'}"]


def settings_for(repositories: Sequence[Repository], tools_apart: bool) -> str:
    """Return Maven settings by which every repository that any pom names is one of ``repositories``.

    With ``tools_apart`` plugins come from the same places under another name.
    """
    names = [f"{_WANTED}-{number}" for number in range(len(repositories))]
    tools = [f"{_TOOLS}-{number}" for number in range(len(repositories))] if tools_apart else []
    rest = "".join(f",!{name}" for name in (*names[1:], *tools))
    places = list(zip((*names, *tools), (*repositories, *repositories), strict=False))
    parts = [
        "<settings><mirrors>",
        _node("mirror", id=names[0], mirrorOf=f"*{rest}", url=repositories[0].base.url),
        "</mirrors><servers>",
    ]
    for name, repository in places:
        if repository.base.auth:
            user, password = repository.base.auth
            parts.append(_node("server", id=name, username=user, password=password))
    parts.append("</servers><proxies>")
    parts += _proxies(repositories)
    parts.append("</proxies><profiles><profile><id>here</id><repositories>")
    parts += [_repository("repository", name, where) for name, where in places[1 : len(names)]]
    parts.append("</repositories><pluginRepositories>")
    parts += [_repository("pluginRepository", name, where) for name, where in places[len(names) :]]
    if not tools_apart:
        parts += [_repository("pluginRepository", name, where) for name, where in places[1:]]
    parts.append("</pluginRepositories></profile></profiles>")
    parts.append("<activeProfiles><activeProfile>here</activeProfile></activeProfiles></settings>\n")
    return "\n".join(parts)


def _repository(tag: str, name: str, repository: Repository) -> str:
    return (
        f"<{tag}><id>{name}</id><url>{escape(repository.base.url)}</url>"
        f"<releases><enabled>true</enabled></releases><snapshots><enabled>false</enabled></snapshots></{tag}>"
    )


def _proxies(repositories: Sequence[Repository]) -> list[str]:
    found = []
    proxied = [item for item in repositories if item.base.proxies]
    for number, repository in enumerate(proxied):
        proxy = urlsplit(repository.base.proxies["https"])
        spared = [urlsplit(other.base.url).hostname or "" for other in repositories if not other.base.proxies]
        fields = {
            "id": f"proxy-{number}", "active": "true", "protocol": urlsplit(repository.base.url).scheme,
            "host": proxy.hostname or "", "port": str(proxy.port or 8080),
            "username": unquote(proxy.username or ""), "password": unquote(proxy.password or ""),
            "nonProxyHosts": "|".join(spared),
        }  # fmt: skip
        found.append(_node("proxy", **{key: value for key, value in fields.items() if value}))
    return found


def _node(tag: str, **fields: str) -> str:
    inner = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in fields.items())
    return f"<{tag}>{inner}</{tag}>"

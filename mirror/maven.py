"""Maven, asked through the user's own settings: which repositories, and what a closure holds.

Only resolution is Maven's (pinned plugins, machine-readable output in files); bytes are fetched by
us, with the mirrors, proxies and credentials that Maven's effective settings name.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from core import debian
from core.errors import UpstreamError, UsageError, WorldError
from core.process import Finished, run
from mirror.locations import Location, scheme_and_host

_HELP = "org.apache.maven.plugins:maven-help-plugin:3.4.1"
_DEPENDENCY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_TIMEOUT = 900.0


@dataclass(frozen=True, order=True)
class Coordinate:
    """A concrete artifact; ``extension`` is that of its file (``jar``, ``pom``)."""

    group: str
    artifact: str
    version: str
    extension: str = "jar"
    classifier: str = ""

    def __str__(self) -> str:
        middle = f":{self.classifier}" if self.classifier else ""
        return f"{self.group}:{self.artifact}:{self.extension}{middle}:{self.version}"

    @property
    def file(self) -> str:
        """Return the file's name in a repository."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.{self.extension}"

    @property
    def path(self) -> str:
        """Return the file's path in a repository of Maven's layout."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file}"

    @property
    def pom(self) -> Coordinate:
        """Return the coordinate of its pom."""
        return Coordinate(self.group, self.artifact, self.version, "pom")


def parse_coordinate(text: str) -> Coordinate:
    """Return the Coordinate that ``str(coordinate)`` wrote. Raises ValueError for anything else."""
    parts = text.split(":")
    if len(parts) not in (4, 5) or not all(re.fullmatch(r"[A-Za-z0-9_.+-]+", part) for part in parts):
        raise ValueError(f"not a coordinate: {text!r}")
    if ".." in parts:
        raise ValueError(f"not a coordinate: {text!r}")
    return Coordinate(parts[0], parts[1], parts[-1], parts[2], parts[3] if len(parts) == 5 else "")


@dataclass(frozen=True)
class Repository:
    """A repository as Maven would use it, mirrors applied; holds credentials, so never printed."""

    name: str
    base: Location = field(repr=False)

    def locate(self, coordinate: Coordinate) -> Location:
        """Return where the artifact's file would be."""
        return self.base.at(f"{self.base.url.rstrip('/')}/{quote(coordinate.path)}")


def repositories() -> tuple[Repository, ...]:
    """Ask Maven for its effective settings and model, and return the repositories in order.

    Raises UsageError when Maven is missing or its settings cannot be used, UpstreamError when
    Maven cannot get its own plugins.
    """
    with tempfile.TemporaryDirectory(prefix="maven-") as name:
        folder = Path(name)  # private (mode 0700): effective settings hold passwords
        pom = _write_pom(folder, ())
        settings, model = folder / "settings.xml", folder / "model.xml"
        _maven(folder, pom, f"{_HELP}:effective-settings", f"-Doutput={settings}", "-DshowPasswords=true")
        _maven(folder, pom, f"{_HELP}:effective-pom", f"-Doutput={model}")
        return effective_repositories(settings.read_bytes(), model.read_bytes())


def effective_repositories(settings: bytes, model: bytes) -> tuple[Repository, ...]:
    """Return the repositories of an effective model with an effective settings' mirrors applied.

    Both arguments are XML as ``help:effective-settings`` and ``help:effective-pom`` write it.
    """
    told = parse_xml(settings, "Maven's effective settings")
    wanted = parse_xml(model, "Maven's effective model")
    found: dict[str, Repository] = {}
    for repository in wanted.iterfind("repositories/repository"):
        if _text(repository, "releases/enabled") == "false":
            continue
        name, url = _text(repository, "id"), _text(repository, "url")
        mirror = _mirror_of(told, name, url)
        if mirror is not None:
            if _text(mirror, "blocked") == "true":
                raise UsageError(
                    f"Maven's settings block the repository {name!r} (mirror {_text(mirror, 'id')!r})",
                    "give it an https address in Maven's settings",
                )
            name, url = _text(mirror, "id"), _text(mirror, "url")
        scheme, host = scheme_and_host(url)
        if scheme not in ("http", "https") or not host:
            raise UsageError(
                f"the Maven repository {name!r} is not reached by http or https",
                "name one that is, as a mirror in Maven's settings",
            )
        location = Location(url, _credentials(told, name), _proxies(told, url))
        found.setdefault(name, Repository(name, location))
    if not found:
        raise UsageError("Maven knows no repository for releases", "name one in Maven's settings")
    return tuple(found.values())


def closure(roots: Iterable[Coordinate]) -> dict[Coordinate, tuple[str, ...]]:
    """Return ``roots`` and all that they need at run time, as Maven resolves it, sorted.

    Each comes with the way to it: the coordinates from a root down to what needs it.

    Raises WorldError with Maven's own words when something in the closure is not published.
    """
    with tempfile.TemporaryDirectory(prefix="maven-") as name:
        folder = Path(name)
        pom, output = _write_pom(folder, roots), folder / "tree.json"
        _maven(
            folder,
            pom,
            f"{_DEPENDENCY}:tree",
            "-DoutputType=json",
            f"-DoutputFile={output}",
            "-Dscope=runtime",
        )
        try:
            return parse_tree(output.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorldError(
                f"Maven's dependency tree cannot be read: {error}",
                "try `mvn -version`; Maven 3.8 is known good",
            ) from error


def parse_tree(text: str) -> dict[Coordinate, tuple[str, ...]]:
    """Return the distinct artifacts below the root of a ``dependency:tree`` JSON document, sorted.

    Each comes with the (shortest) way to it, as in :func:`closure`.
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


def _children(node: Any) -> list[Any]:
    return list(node.get("children", []))


@dataclass(frozen=True)
class PomFacts:
    """What we read of a pom: its parent (if any) and the names of its licences (if stated there)."""

    parent: Coordinate | None
    licences: tuple[str, ...]


def pom_facts(raw: bytes, name: str) -> PomFacts:
    """Read a pom. Raises WorldError when it is no XML or a hostile one (entities, DTD)."""
    root = parse_xml(raw, name)
    parent = root.find("parent")
    above = None
    if parent is not None:
        group, artifact, version = (_text(parent, key) for key in ("groupId", "artifactId", "version"))
        try:
            above = parse_coordinate(str(Coordinate(group, artifact, version, "pom")))
        except ValueError as error:
            raise WorldError(f"{name}: its parent is {error}", "such a pom cannot be mirrored") from error
    licences = (_text(item, "name") or _text(item, "url") for item in root.iterfind("licenses/license"))
    return PomFacts(above, tuple(" ".join(licence.split()) for licence in licences if licence))


def parse_xml(raw: bytes, name: str) -> Element:
    """Return the root of an XML document with namespaces stripped; entities and DTDs are refused."""
    try:
        root: Element = ElementTree.fromstring(raw, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise WorldError(
            f"{name}: not XML that can be trusted: {error!r:.200}", "look at the file"
        ) from error
    for node in root.iter():
        if isinstance(node.tag, str):
            node.tag = node.tag.rsplit("}", 1)[-1]
    return root


def _text(node: Element, path: str) -> str:
    return (node.findtext(path) or "").strip()


def _mirror_of(settings: Element, name: str, url: str) -> Element | None:
    mirrors = settings.findall("mirrors/mirror")
    # Maven takes a mirror that names the repository exactly before any that matches by pattern.
    for mirror in mirrors:
        if _text(mirror, "mirrorOf") == name:
            return mirror
    return next((mirror for mirror in mirrors if matches(_text(mirror, "mirrorOf"), name, url)), None)


def matches(pattern: str, name: str, url: str) -> bool:
    """Tell whether a ``mirrorOf`` pattern covers repository ``name`` at ``url``.

    As Maven's DefaultMirrorSelector: ``*``, ``external:*``, ``external:http:*``, lists, ``!name``.
    """
    scheme, host = scheme_and_host(url)
    external = host not in ("localhost", "127.0.0.1") and scheme != "file"
    result = False
    for word in (word.strip() for word in pattern.split(",")):
        if word == f"!{name}":
            return False
        if word == name:
            return True
        result = result or (
            word == "*"
            or (word == "external:*" and external)
            or (word == "external:http:*" and external and scheme == "http")
        )
    return result


def _credentials(settings: Element, name: str) -> tuple[str, str] | None:
    for server in settings.iterfind("servers/server"):
        if _text(server, "id") == name and _text(server, "username"):
            password = _text(server, "password")
            if re.fullmatch(r".*\{.+\}.*", password):
                raise UsageError(
                    f"Maven's password for the server {name!r} is encrypted, and only Maven can read it",
                    "write it as ${env.SOME_NAME} in Maven's settings and set that variable",
                )
            return _text(server, "username"), password
    return None


def _proxies(settings: Element, url: str) -> dict[str, str]:
    _, to = scheme_and_host(url)
    for proxy in settings.iterfind("proxies/proxy"):
        spared = _text(proxy, "nonProxyHosts").split("|")
        if _text(proxy, "active") == "false" or any(
            host and fnmatchcase(to, host.strip()) for host in spared
        ):
            continue
        user = ""
        if _text(proxy, "username"):
            user = f"{quote(_text(proxy, 'username'), safe='')}:{quote(_text(proxy, 'password'), safe='')}@"
        address = f"http://{user}{_text(proxy, 'host')}:{_text(proxy, 'port') or '8080'}"
        return {"http": address, "https": address}
    return {}


def _write_pom(folder: Path, roots: Iterable[Coordinate]) -> Path:
    lines = [
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>',
        "<groupId>local</groupId><artifactId>closure</artifactId><version>1</version><packaging>pom</packaging>",
        "<dependencies>",
    ]
    for root in roots:
        fields: dict[str, str] = {
            "groupId": root.group, "artifactId": root.artifact, "version": root.version,
            "type": root.extension, "classifier": root.classifier,
        }  # fmt: skip
        inner = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in fields.items() if value)
        lines.append(f"<dependency>{inner}</dependency>")
    pom = folder / "pom.xml"
    pom.write_text("\n".join([*lines, "</dependencies></project>", ""]), encoding="utf-8")
    return pom


def _maven(folder: Path, pom: Path, *words: str) -> Finished:
    if shutil.which("mvn") is None:
        debian.require(("maven",), "fetching Maven artefacts needs")
    done = run(
        ["mvn", "-B", "-ntp", "-q", "-f", pom, *words],
        timeout=_TIMEOUT,
        cwd=folder,
        check=False,
        what="Maven",
        failure=UpstreamError,
    )
    if done.code != 0:
        text = "\n".join(line for line in done.tail().splitlines() if "[ERROR]" in line)[:3000] or done.tail()
        unpublished = "Could not find artifact" in text
        kind: Any = WorldError if unpublished else UpstreamError
        cure = (
            "name versions in the catalogue whose whole closure is published"
            if unpublished
            else "check the network and Maven's settings (mvn help:effective-settings)"
        )
        raise kind(f"Maven ended with {done.code}\n{redact_addresses(text)}", cure)
    return done


def redact_addresses(text: str) -> str:
    """Return Maven's words without user and password in addresses."""
    return re.sub(r"(https?://)[^/@\s]+@", r"\1", text)

"""Which repositories Maven would ask, as the user's own settings have it: mirrors, proxies, credentials."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from core.errors import UsageError
from mirror import maven_run
from mirror.locations import Location, scheme_and_host
from mirror.maven import Coordinate
from mirror.poms import parse_xml, text_of

_HELP = "org.apache.maven.plugins:maven-help-plugin:3.4.1"
# Both questions in one run of Maven, each with a file of its own for the answer.
_ASKING = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>asking</artifactId><version>1</version><packaging>pom</packaging>
<build><plugins><plugin><artifactId>maven-help-plugin</artifactId><version>3.4.1</version><executions>
<execution><id>settings</id><configuration><output>{settings}</output><showPasswords>true</showPasswords>
</configuration></execution>
<execution><id>model</id><configuration><output>{model}</output></configuration></execution>
</executions></plugin></plugins></build></project>
"""


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
        settings, model = folder / "settings.xml", folder / "model.xml"
        pom = folder / "pom.xml"
        pom.write_text(_ASKING.format(settings=escape(str(settings)), model=escape(str(model))))
        maven_run.maven(folder, pom, f"{_HELP}:effective-settings@settings", f"{_HELP}:effective-pom@model")
        return effective_repositories(settings.read_bytes(), model.read_bytes())


def effective_repositories(settings: bytes, model: bytes) -> tuple[Repository, ...]:
    """Return the repositories of an effective model with an effective settings' mirrors applied.

    Both arguments are XML as ``help:effective-settings`` and ``help:effective-pom`` write it.
    """
    told = parse_xml(settings, "Maven's effective settings")
    wanted = parse_xml(model, "Maven's effective model")
    found: dict[str, Repository] = {}
    for repository in wanted.iterfind("repositories/repository"):
        if text_of(repository, "releases/enabled") == "false":
            continue
        name, url = text_of(repository, "id"), text_of(repository, "url")
        mirror = _mirror_of(told, name, url)
        if mirror is not None:
            if text_of(mirror, "blocked") == "true":
                raise UsageError(
                    f"Maven's settings block the repository {name!r} (mirror {text_of(mirror, 'id')!r})",
                    "give it an https address in Maven's settings",
                )
            name, url = text_of(mirror, "id"), text_of(mirror, "url")
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


def _mirror_of(settings: Element, name: str, url: str) -> Element | None:
    mirrors = settings.findall("mirrors/mirror")
    # Maven takes a mirror that names the repository exactly before any that matches by pattern.
    for mirror in mirrors:
        if text_of(mirror, "mirrorOf") == name:
            return mirror
    return next((mirror for mirror in mirrors if matches(text_of(mirror, "mirrorOf"), name, url)), None)


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
        if text_of(server, "id") == name and text_of(server, "username"):
            password = text_of(server, "password")
            if re.fullmatch(r".*\{.+\}.*", password):
                raise UsageError(
                    f"Maven's password for the server {name!r} is encrypted, and only Maven can read it",
                    "write it as ${env.SOME_NAME} in Maven's settings and set that variable",
                )
            return text_of(server, "username"), password
    return None


def _proxies(settings: Element, url: str) -> dict[str, str]:
    _, to = scheme_and_host(url)
    for proxy in settings.iterfind("proxies/proxy"):
        spared = text_of(proxy, "nonProxyHosts").split("|")
        if text_of(proxy, "active") == "false" or any(
            host and fnmatchcase(to, host.strip()) for host in spared
        ):
            continue
        user = ""
        if text_of(proxy, "username"):
            user = (
                f"{quote(text_of(proxy, 'username'), safe='')}:{quote(text_of(proxy, 'password'), safe='')}@"
            )
        address = f"http://{user}{text_of(proxy, 'host')}:{text_of(proxy, 'port') or '8080'}"
        return {"http": address, "https": address}
    return {}

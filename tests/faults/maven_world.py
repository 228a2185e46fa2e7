"""A small Maven repository on loopback, resolved by the real Maven, which finds its tools there too."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from mirror.maven import Coordinate, parse_coordinate
from tests.faults.upstream import Answer, Handler, Upstream

GROUP = "org.pnda.test"
# What our program calls; the machine's own Maven fetches them once into the user's repository.
TOOLS = (
    "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:tree",
    "org.apache.maven.plugins:maven-help-plugin:3.4.1:effective-settings",
    "org.apache.maven.plugins:maven-help-plugin:3.4.1:effective-pom",
)


def fetch_tools(scratch: Path) -> Path:
    """Let the machine's own Maven have the plugins, and return its local repository."""
    pom = scratch / "pom.xml"
    pom.write_text(model("", "<packaging>pom</packaging>", name="tools"))
    local = subprocess.run(
        ["mvn", "-B", "-q", "-f", pom, "org.apache.maven.plugins:maven-help-plugin:3.4.1:evaluate",
         "-Dexpression=settings.localRepository", f"-Doutput={scratch / 'local'}"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert local.returncode == 0, local.stdout
    done = subprocess.run(["mvn", "-B", "-q", "-f", pom, *TOOLS], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    return Path((scratch / "local").read_text().strip())


def model(inner: str, *more: str, name: str = "a", version: str = "1") -> str:
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>{GROUP}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        f"{''.join(more)}{inner}</project>"
    )


def needs(*coordinates: str, extra: str = "") -> str:
    """Dependencies as a pom writes them; each ``name:version[:classifier]``."""
    found = []
    for text in coordinates:
        name, version, classifier = [*text.split(":"), ""][:3]
        tail = f"<classifier>{classifier}</classifier>" if classifier else ""
        found.append(
            f"<dependency><groupId>{GROUP}</groupId><artifactId>{name}</artifactId>"
            f"<version>{version}</version>{tail}{extra}</dependency>"
        )
    return f"<dependencies>{''.join(found)}</dependencies>"


def jar(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(zipfile.ZipInfo("name.txt"), text)
    return buffer.getvalue()


class MavenRepository:
    """``offer`` puts artifacts there; what nobody offered comes from ``tools`` (a local repository)."""

    def __init__(self, upstream: Upstream, tools: Path) -> None:
        self.upstream, self.base = upstream, f"{upstream.base}/maven"
        for path in tools.rglob("*"):
            if path.suffix in (".jar", ".pom"):
                place = f"/maven/{path.relative_to(tools).as_posix()}"
                upstream.answers[place] = [_from(path)]
                upstream.answers[place + ".sha1"] = [_sha1_of(path)]

    def offer(
        self, name: str, version: str, *, pom: Any = None, classifier: str = "", body: Any = None
    ) -> None:
        """Put a jar (``body``, none if "") and its ``pom`` there, with their SHA-1."""
        item = Coordinate(GROUP, name, version, "jar", classifier)
        if body != "":
            self.put(item, body if body is not None else jar(str(item)))
        if not classifier:
            self.put(item.pom, (pom if pom is not None else model("", name=name, version=version)))

    def put(self, item: Coordinate, body: Any, sha1: str = "") -> None:
        raw = body.encode() if isinstance(body, str) else body
        self.upstream.set(f"/maven/{item.path}", raw)
        digest = sha1 or hashlib.sha1(raw).hexdigest()
        self.upstream.set(f"/maven/{item.path}.sha1", digest.encode())

    def versions(self, name: str, *versions: str) -> None:
        listed = "".join(f"<version>{version}</version>" for version in versions)
        text = f"<metadata><versioning><versions>{listed}</versions></versioning></metadata>"
        self.upstream.set(f"/maven/{GROUP.replace('.', '/')}/{name}/maven-metadata.xml", text.encode())

    def settings(self, home: Path, local: Path) -> None:
        """Make ``home`` that of a user whose Maven knows this repository and no other.

        ``local`` is that user's local repository, in which the help plugin is kept between tests.
        """
        (home / ".m2").mkdir(parents=True)
        (home / ".m2" / "settings.xml").write_text(
            f"<settings><localRepository>{local}</localRepository><mirrors><mirror><id>here</id><mirrorOf>*</mirrorOf>"
            f"<url>{self.base}</url></mirror></mirrors></settings>"
        )


def coordinate(text: str) -> Coordinate:
    return parse_coordinate(f"{GROUP}:{text}")


def _from(path: Path) -> Answer:
    def answer(handler: Handler) -> None:
        handler.give(200, path.read_bytes())

    return answer


def _sha1_of(path: Path) -> Answer:
    def answer(handler: Handler) -> None:
        handler.give(200, hashlib.sha1(path.read_bytes()).hexdigest().encode())

    return answer

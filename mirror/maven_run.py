"""Maven as a program: called with pinned plugins and a private pom, its failures turned into our errors."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from core import debian
from core.errors import UpstreamError, WorldError
from core.process import Finished, run
from mirror.maven import Coordinate

_TIMEOUT = 900.0
# What Maven's resolver says of an artifact that its repositories answered 404 for.
_ABSENT = re.compile(r"Could not find artifact ([^\s:]+(?::[^\s:]+){2,4})")
_ABSENT_LIST = re.compile(r"The following artifacts could not be resolved: (.+?): Could not")


class ArtifactsAbsentError(WorldError):
    """Maven needs artifacts that no repository has; ``names`` are their coordinates as Maven writes them."""

    def __init__(self, names: Iterable[str], words: str) -> None:
        self.names = tuple(sorted(set(names)))
        super().__init__(
            f"Maven cannot find {', '.join(self.names)}\n{words}",
            "name versions in the catalogue whose whole closure is published",
        )


def maven(folder: Path, pom: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run ``mvn`` on ``pom`` with ``words``, in ``folder``.

    Raises UsageError when Maven is missing, ArtifactsAbsentError when something is not published,
    UpstreamError with Maven's own words for every other failure.
    """
    if shutil.which("mvn") is None:
        debian.require(("maven",), "fetching Maven artefacts needs")
    done = run(
        ["mvn", "-B", "-ntp", "-q", "-f", pom, *words],
        timeout=_TIMEOUT,
        cwd=folder,
        env=env,
        check=False,
        what="Maven",
        failure=UpstreamError,
    )
    if done.code == 0:
        return done
    errors = "\n".join(line for line in done.tail().splitlines() if "[ERROR]" in line)
    text = redact_addresses((errors or done.tail())[:3000])
    absent = absent_artifacts(text)
    if absent:
        raise ArtifactsAbsentError(absent, text)
    raise UpstreamError(
        f"Maven ended with {done.code}\n{text}",
        "check the network and Maven's settings (mvn help:effective-settings)",
    )


def absent_artifacts(text: str) -> tuple[str, ...]:
    """Return the coordinates that Maven's words call not found, sorted."""
    found = set(_ABSENT.findall(text))
    for names in _ABSENT_LIST.findall(text) if found else ():
        found |= set(names.split(", "))
    return tuple(sorted(found))


def redact_addresses(text: str) -> str:
    """Return Maven's words without user and password in addresses."""
    return re.sub(r"(https?://)[^/@\s]+@", r"\1", text)


def write_pom(folder: Path, roots: Iterable[Coordinate]) -> Path:
    """Write a pom that depends on ``roots`` and does nothing; return its path."""
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

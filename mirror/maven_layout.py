"""What makes a folder of locked files a repository that Maven takes as its only one. All computed.

Maven's strict mode (``-C``) asks for a ``.sha1`` beside each file that it reads; version ranges,
``LATEST`` and plugin prefixes (``mvn dependency:tree``) are looked up in ``maven-metadata.xml``
(maven.apache.org/ref/current/maven-repository-metadata).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from mirror.lockfile import LockedFile
from mirror.maven import Coordinate, parse_coordinate

ROOT = "mirror_maven"
METADATA = "maven-metadata.xml"
# A plugin's prefix by the naming rule of Maven's guide to plugin prefixes. A plugin may state another
# one inside its jar; then it is called by its whole name.
_PLUGIN = re.compile(r"maven-(?P<own>[A-Za-z0-9_.-]+)-plugin|(?P<other>[A-Za-z0-9_.-]+)-maven-plugin")
_WORD = re.compile(r"[0-9]+|[a-z]+")
_QUALIFIERS = {
    "alpha": -5, "a": -5, "beta": -4, "b": -4, "milestone": -3, "m": -3, "rc": -2, "cr": -2, "snapshot": -1,
    "ga": 0, "final": 0, "release": 0,
}  # fmt: skip


def files(served: Iterable[LockedFile]) -> dict[str, bytes]:
    """Return what lies beside the Maven files among the ``served``: checksums and metadata, by path.

    Only files below ``mirror_maven/`` count. One whose SHA-1 the lock does not have (a lock of an
    earlier version of this program) gets no checksum file.
    """
    found: dict[str, bytes] = {}
    kept = [item for item in served if item.path.startswith(f"{ROOT}/") and item.source["kind"] == "maven"]
    for item in kept:
        if item.sha1:
            found[item.path + ".sha1"] = item.sha1.encode()
    coordinates = [parse_coordinate(str(item.source["coordinate"])) for item in kept]
    parts = defaultdict(list, _artifacts(coordinates))
    for path, lines in _plugins(coordinates).items():
        parts[path] += lines  # a group may have the path of an artifact: g.a for g:a
    for path, lines in parts.items():
        data = _page(lines).encode()
        found[path] = data
        found[path + ".sha1"] = hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()
    return found


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what versions are sorted by: numbers as numbers, ``alpha`` to ``snapshot`` before none.

    Near to Maven's own order (its ``ComparableVersion``), which decides where Maven itself chooses;
    here it only says which version the metadata calls the latest.

    >>> sorted(["1.10", "1.9", "1.10-rc1", "1.10.1"], key=version_key)
    ['1.9', '1.10-rc1', '1.10', '1.10.1']
    """
    words: list[tuple[int, int, str]] = []
    for word in _WORD.findall(version.lower()):
        if word.isdigit():
            words.append((1, int(word), ""))
        elif word in _QUALIFIERS:
            words.append((0, _QUALIFIERS[word], ""))
        else:
            words.append((0, 1, word))
    while words and words[-1][:2] in ((1, 0), (0, 0)):
        words.pop()
    return (*words, (0, 0, ""))


def _artifacts(coordinates: Sequence[Coordinate]) -> dict[str, list[str]]:
    versions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item in coordinates:
        versions[item.group, item.artifact].add(item.version)
    pages = {}
    for (group, artifact), found in versions.items():
        ordered = sorted(found, key=lambda version: (version_key(version), version))
        lines = [
            f"  <groupId>{escape(group)}</groupId>",
            f"  <artifactId>{escape(artifact)}</artifactId>",
            "  <versioning>",
            f"    <latest>{escape(ordered[-1])}</latest>",
            f"    <release>{escape(ordered[-1])}</release>",
            "    <versions>",
            *(f"      <version>{escape(version)}</version>" for version in ordered),
            "    </versions>",
            "  </versioning>",
        ]
        pages[f"{ROOT}/{group.replace('.', '/')}/{artifact}/{METADATA}"] = lines
    return pages


def _plugins(coordinates: Sequence[Coordinate]) -> dict[str, list[str]]:
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for item in coordinates:
        match = _PLUGIN.fullmatch(item.artifact)
        if match and item.extension == "jar" and not item.classifier:
            groups[item.group][item.artifact] = match["own"] or match["other"]
    pages = {}
    for group, found in groups.items():
        lines = ["  <plugins>"]
        for artifact, prefix in sorted(found.items()):
            lines += [
                "    <plugin>",
                f"      <name>{escape(artifact)}</name>",
                f"      <prefix>{escape(prefix)}</prefix>",
                f"      <artifactId>{escape(artifact)}</artifactId>",
                "    </plugin>",
            ]
        pages[f"{ROOT}/{group.replace('.', '/')}/{METADATA}"] = [*lines, "  </plugins>"]
    return pages


def _page(lines: Iterable[str]) -> str:
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<metadata>", *lines, "</metadata>", ""])

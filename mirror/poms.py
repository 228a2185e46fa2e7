"""What we read of poms and of Maven's other XML ourselves: little, and nothing that XML can do to us."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from core.errors import WorldError
from mirror.maven import Coordinate, parse_coordinate


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
        group, artifact, version = (text_of(parent, key) for key in ("groupId", "artifactId", "version"))
        try:
            above = parse_coordinate(str(Coordinate(group, artifact, version, "pom")))
        except ValueError as error:
            raise WorldError(f"{name}: its parent is {error}", "such a pom cannot be mirrored") from error
    licences = (text_of(item, "name") or text_of(item, "url") for item in root.iterfind("licenses/license"))
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


def text_of(node: Element, path: str) -> str:
    """Return the text of the element at ``path`` below ``node``, or ""."""
    return (node.findtext(path) or "").strip()

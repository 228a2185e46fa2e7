"""The bill of materials of a release: CycloneDX 1.6 as JSON, the same bytes for the same lock.

Every served file is a component, under its path as ``bom-ref``. What an assembled archive contains are
components within it; the source archive that a wheel was built from is its pedigree.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mirror import identity
from mirror.licence_names import expression
from mirror.licences import parts
from mirror.lockfile import Lock, LockedFile
from mirror.needs import needs

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.dependency import Dependency
    from cyclonedx.model.license import License

PATH = "sbom.cdx.json"
_SPACE = uuid.UUID("2ba7ae0f-0f8d-5c2c-8f0c-4b1d7d0f8a11")  # ours, for serial numbers that follow from a lock
_ROOT = "release"
_PREFIX = "flink-on-pnda:"


def files(lock: Lock, entries: Sequence[str], served: Sequence[LockedFile]) -> dict[str, bytes]:
    """Return the bill of materials of a release of the lock's ``entries``, which serves ``served``."""
    from cyclonedx.output.json import JsonV1Dot6

    bom = _bom(lock, entries, served)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library cannot leave out the time, which would make the same lock two different releases.
    del document["metadata"]["timestamp"]
    return {PATH: (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()}


def _bom(lock: Lock, entries: Sequence[str], served: Sequence[LockedFile]) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    root = Component(
        name="pnda-mirror",
        type=ComponentType.PLATFORM,
        bom_ref=_ROOT,
        version=lock.digest,
        description="A mirror of Apache Flink and what it needs on PNDA; its version is its lock's digest.",
        properties=_properties({"entries": sorted(entries)}),
    )
    tool = Component(name="flink-on-pnda", type=ComponentType.APPLICATION)
    graph = needs(served, entries)
    # Made at once: the library's own way of adding one looks through all that are there.
    dependencies = [_dependency(_ROOT, graph.named), *(_dependency(*row) for row in graph.needs.items())]
    return Bom(
        serial_number=uuid.uuid5(_SPACE, " ".join([lock.digest, *sorted(entries), *_digests(served)])),
        components=[_component(lock, item, item.path) for item in served],
        metadata=BomMetaData(component=root, tools=ToolRepository(components=[tool])),
        dependencies=dependencies,
    )


def _digests(served: Iterable[LockedFile]) -> list[str]:
    """Return what tells releases of one lock apart, whose Debian packages are resolved later."""
    return sorted(f"{item.sha256} {item.path}" for item in served)


def _dependency(ref: str, needed: Iterable[str]) -> Dependency:
    from cyclonedx.model.bom_ref import BomRef
    from cyclonedx.model.dependency import Dependency

    return Dependency(BomRef(ref), [Dependency(BomRef(other)) for other in needed])


def _component(lock: Lock, item: LockedFile, ref: str) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    what = identity.of(item)
    kinds = {"assembly": ComponentType.APPLICATION}
    kind = kinds.get(str(item.source["kind"]))
    made_of = [lock.input(str(item.source["input"]))] if item.source["kind"] == "built" else []
    inner = [_component(lock, part, f"{ref}#{part.path}") for part in parts(lock, item)]
    ancestors = [_component(lock, part, f"{ref}#{part.path}") for part in made_of]
    return Component(
        name=what.name,
        group=what.group or None,
        version=what.version or None,
        type=kind or (ComponentType.FILE if what.kind == "generic" else ComponentType.LIBRARY),
        bom_ref=ref,
        purl=what.purl(),
        hashes=[
            HashType(alg=HashAlgorithm.SHA_256, content=item.sha256),
            HashType(alg=HashAlgorithm.SHA_512, content=item.sha512),
        ],
        licenses=_licences(item.licence),
        properties=_properties(_facts(item)),
        components=inner,
        pedigree=Pedigree(ancestors=ancestors) if ancestors else None,
    )


def _facts(item: LockedFile) -> dict[str, Iterable[str]]:
    """Return what is known of a file that CycloneDX has no field for."""
    return {
        "path": [item.path],
        "size": [str(item.size)],
        "entries": sorted(item.entries),
        "signature": [str(item.evidence.get("signature", "unknown"))],
        "signer": sorted(map(str, item.evidence.get("signers", []))),
        "published-checksum": sorted(map(str, item.evidence.get("agreed", []))),
    }


def _properties(facts: dict[str, Iterable[str]]) -> list[Property]:
    from cyclonedx.model import Property

    return [Property(name=_PREFIX + name, value=value) for name, values in facts.items() for value in values]


def _licences(stated: str) -> list[License]:
    from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
    from cyclonedx.spdx import is_supported_id

    declared = LicenseAcknowledgement.DECLARED
    spdx, words = expression(stated), " ".join(stated.split())
    if is_supported_id(spdx):
        return [DisjunctiveLicense(id=spdx, acknowledgement=declared)]
    if spdx:
        return [LicenseExpression(spdx, acknowledgement=declared)]
    return [DisjunctiveLicense(name=words, acknowledgement=declared)] if words else []

"""How the clients of a mirror use it: examples for its pages, made of what a release really holds."""

from __future__ import annotations

from collections.abc import Sequence

from mirror import identity
from mirror.lockfile import LockedFile
from mirror.paths import SIDECAR

_MAVEN = """<settings>
  <mirrors>
    <mirror><id>pnda</id><mirrorOf>*</mirrorOf><url>BASE/mirror_maven</url></mirror>
  </mirrors>
</settings>"""


def uses(served: Sequence[LockedFile]) -> list[dict[str, str]]:
    """Return a title and a text for each way in which the ``served`` files are used."""
    found = []
    archives = [item for item in served if "/" not in item.path and item.name.endswith((".tar.gz", ".tgz"))]
    if archives:
        name = archives[0].name
        address, sums = f"BASE/{name}", f"{name}{SIDECAR}"
        found.append(_use("By hand: fetch and check", f"wget {address} BASE/{sums}\nsha512sum -c {sums}"))
        state = f"- source: {address}\n    - source_hash: BASE/{sums}"
        found.append(_use("Salt", f"/opt/pnda:\n  archive.extracted:\n    {state}"))
    if _any(served, "mirror_maven/"):
        found.append(_use("Maven: ~/.m2/settings.xml", _MAVEN))
    wheels = [item for item in served if item.path.startswith("mirror_python/packages/")]
    if wheels:
        example = next((item for item in wheels if item.source.get("project") == "apache-flink"), wheels[0])
        what = identity.of(example)
        pinned = f"{what.name}=={what.version}" if what.version else what.name
        found.append(_use("pip", f"pip install --index-url BASE/mirror_python/simple/ {pinned}"))
    suites = sorted({item.path.split("/")[2] for item in served if item.path.startswith("mirror_deb/pool/")})
    for suite in suites:
        lines = ["Types: deb", "URIs: BASE/mirror_deb", f"Suites: {suite}", "Components: main"]
        lines.append("Signed-By: /etc/apt/keyrings/pnda-mirror.asc")
        found.append(_use(f"apt: /etc/apt/sources.list.d/pnda-{suite}.sources", "\n".join(lines)))
    return found


def _use(title: str, text: str) -> dict[str, str]:
    return {"title": title, "text": text}


def _any(served: Sequence[LockedFile], folder: str) -> bool:
    return any(item.path.startswith(folder) for item in served)

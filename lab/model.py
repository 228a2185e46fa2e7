"""What one lab is called and where its things lie: pure names and paths, no I/O but path resolution."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError

CHECKOUT = Path(__file__).resolve().parent.parent
HOSTS = ("mirror-1", "edge-1", "manager-1", "kafka-1", "graphite-1")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_TAKEN = {"mirror", "lab-mirror", "lab-site", "molecule"}  # folders under build/ that are something else


@dataclass(frozen=True)
class Lab:
    """One lab of one checkout. Two checkouts, or two names, never share a container or a network."""

    name: str
    checkout: Path

    @property
    def id(self) -> str:
        """Eight hex digits that name this lab on the Docker engine."""
        return hashlib.sha256(f"{self.checkout}\n{self.name}".encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """Where everything that is generated for this lab lies."""
        return self.checkout / "build" / self.name

    @property
    def network(self) -> str:
        """The name of its Docker network."""
        return f"pnda-{self.id}"

    @property
    def shared_volume(self) -> str:
        """The volume that plays HDFS, mounted at /pnda."""
        return f"pnda-{self.id}-hdfs"

    @property
    def salt_volume(self) -> str:
        """The volume that holds Salt's environment, mounted at /opt/pnda-salt; empty until Salt is used."""
        return f"pnda-{self.id}-salt"

    @property
    def cluster_file(self) -> Path:
        """The cluster description that provisioning gets."""
        original = self.checkout / "clusters" / "lab.yml"
        return original if self.name == "lab" else self.folder / "cluster.yml"

    @property
    def mirror_root(self) -> Path:
        """The root of the mirror that the nodes are served from."""
        return Path(os.environ.get("PNDA_MIRROR_ROOT") or self.checkout / "build" / "mirror").absolute()

    @property
    def own_mirror_root(self) -> Path:
        """The root of the lab's second, own mirror: what only the lab needs."""
        return self.checkout / "build" / "lab-mirror"

    @property
    def site(self) -> Path:
        """Where the signing key and the certificate of the labs of this checkout lie."""
        return self.checkout / "build" / "lab-site"

    @property
    def site_id(self) -> str:
        """Eight hex digits that name this checkout."""
        return hashlib.sha256(f"{self.checkout}".encode()).hexdigest()[:8]

    @property
    def ssh_config(self) -> Path:
        """The ssh configuration whose Host names are the lab's hosts."""
        return self.folder / "ssh_config"

    def container(self, host: str) -> str:
        """Return the name of the container that is ``host``."""
        return f"pnda-{self.id}-{host}"


def molecule_lab(checkout: Path = CHECKOUT) -> Lab:
    """Return what stands for Molecule's containers, network and folder: no lab that ``up`` makes."""
    return Lab("molecule", checkout)


def lab_named(name: str, checkout: Path = CHECKOUT) -> Lab:
    """Return the lab ``name`` of ``checkout``; raises UsageError for a name that cannot be one."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise UsageError(
            f"{name!r} cannot be the name of a lab",
            "use lower-case letters, digits and '-', beginning with a letter; not "
            + ", ".join(sorted(_TAKEN)),
        )
    return Lab(name, checkout)

"""The lab's private network: its members and the host reach each other, and nothing else."""

from __future__ import annotations

from lab.engine import docker
from lab.model import Lab

LABEL = "flink-on-pnda.lab"


def ensure(lab: Lab) -> None:
    """Make the internal network of ``lab`` if it is not there."""
    if not exists(lab):
        docker("network", "create", "--internal", "--label", f"{LABEL}={lab.id}", lab.network)


def exists(lab: Lab) -> bool:
    """Return whether the network of ``lab`` is there."""
    return docker("network", "inspect", lab.network, check=False).code == 0


def remove(lab: Lab) -> None:
    """Remove the network of ``lab``; its containers must be gone."""
    if exists(lab):
        docker("network", "rm", lab.network)


def addresses(lab: Lab) -> dict[str, str]:
    """Return the current IP address of every host of ``lab`` that runs, by host name."""
    form = '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{"\\n"}}{{end}}'
    done = docker("network", "inspect", "--format", form, lab.network, check=False)
    prefix = lab.container("")
    result = {}
    for line in done.stdout.splitlines():
        name, _, address = line.partition(" ")
        if name.startswith(prefix):
            result[name.removeprefix(prefix)] = address.partition("/")[0]
    return result

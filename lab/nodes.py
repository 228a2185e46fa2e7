"""Bare nodes: engine, images, network, containers and ssh, before anything is provisioned."""

from __future__ import annotations

from core import console, locks
from lab import containers, engine, images, salt_environment, shape, site, ssh
from lab.model import Lab


def bring_up(lab: Lab, provisioner: str, edges: int = 0) -> tuple[str, ...]:
    """Make the nodes of ``lab`` be there and reachable by ssh; return the hosts made anew.

    ``provisioner`` is ``ansible`` or ``salt``; for Salt its environment is put on the nodes too.
    ``edges`` is how many EDGE nodes the lab gets (0: as it is described).
    """
    with locks.held(lab.folder / "lab.lock", f"run on the lab {lab.name}"):
        shape.describe(lab, edges)
        with console.step("images"):
            tags = build_images(lab)
        with console.step("containers"):
            return start(lab, tags, provisioner)


def build_images(lab: Lab) -> dict[str, str]:
    """Make sure of the engine and of the images; return their tags by image name."""
    engine.ensure()
    return images.ensure(tuple(sorted(set(containers.IMAGES.values()))), lab.folder / "logs")


def start(lab: Lab, tags: dict[str, str], provisioner: str) -> tuple[str, ...]:
    """Start the containers that the cluster file of ``lab`` names, and let ssh reach them."""
    fresh = containers.ensure(lab, tags)
    ssh.ensure(lab)
    site.install_certificate(lab)
    if provisioner == "salt":
        salt_environment.ensure(lab)
    return fresh

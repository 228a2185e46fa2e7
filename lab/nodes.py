"""Bare nodes: engine, images, network, containers and ssh, before anything is provisioned."""

from __future__ import annotations

import re

from core import console, locks
from core.errors import UsageError
from core.files import write_atomic
from lab import containers, engine, images, salt_environment, site, ssh
from lab.model import Lab


def bring_up(lab: Lab, provisioner: str) -> tuple[str, ...]:
    """Make the nodes of ``lab`` be there and reachable by ssh; return the hosts made anew.

    ``provisioner`` is ``ansible`` or ``salt``; for Salt its environment is put on the nodes too.
    """
    with locks.held(lab.folder / "lab.lock", f"run on the lab {lab.name}"):
        with console.step("images"):
            tags = build_images(lab)
        with console.step("containers"):
            return start(lab, tags, provisioner)


def build_images(lab: Lab) -> dict[str, str]:
    """Make sure of the engine and of the images; return their tags by image name."""
    engine.ensure()
    return images.ensure(tuple(sorted(set(containers.IMAGES.values()))), lab.folder / "logs")


def start(lab: Lab, tags: dict[str, str], provisioner: str) -> tuple[str, ...]:
    """Start the containers, put the ssh key on them and write the files that name them."""
    fresh = containers.ensure(lab, tags)
    ssh.ensure(lab)
    site.install_certificate(lab)
    if provisioner == "salt":
        salt_environment.ensure(lab)
    describe_cluster(lab)
    return fresh


def describe_cluster(lab: Lab) -> None:
    """Write the cluster file of a lab that is not the default one: a copy under the lab's own name."""
    if lab.name == "lab":
        return
    original = lab.checkout / "clusters" / "lab.yml"
    try:
        text = original.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{original} is missing", "restore it from git") from error
    for pattern, line in (
        (r"^name: *lab *$", f"name: {lab.name}"),
        (r"^( *)ssh_config: *build/lab/ssh_config *$", rf"\1ssh_config: build/{lab.name}/ssh_config"),
    ):
        text, count = re.subn(pattern, line, text, flags=re.MULTILINE)
        if count != 1:
            raise UsageError(
                f"{original}: no single line matches {pattern!r}",
                "keep `name: lab` and `ssh_config: build/lab/ssh_config` on lines of their own",
            )
    write_atomic(lab.cluster_file, text)

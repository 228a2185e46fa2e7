"""``./inv down``: remove what ``up`` made."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from core import locks
from lab import containers, engine, images, network, ssh
from lab.model import Lab


@dataclass(frozen=True)
class DownReport:
    """What was removed: containers, images, and whether the Docker engine was stopped."""

    containers: int
    images: int
    engine_stopped: bool


def down(lab: Lab, with_images: bool = False) -> DownReport:
    """Remove the containers, network, volumes and generated files of ``lab``; the mirror stays.

    ``with_images`` removes the lab's images too, as far as no other lab uses them. An engine that
    the lab started is stopped where no container runs on it any more.
    """
    removed = gone = 0
    with locks.held(lab.folder / "lab.lock", f"run on the lab {lab.name}"):
        ssh.forget(lab)
        if engine.alive():
            removed = containers.remove(lab)
            network.remove(lab)
            gone = images.remove_all() if with_images else 0
        if lab.folder.is_dir():
            shutil.rmtree(lab.folder)
    return DownReport(removed, gone, engine.stop_if_ours())

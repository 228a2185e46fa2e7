"""Debian packages that our own programs need on the machine that they run on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from core import console
from core.errors import UpstreamError, UsageError
from core.process import run


def require(packages: Sequence[str], why: str) -> None:
    """Make sure that ``packages`` are installed; ``why`` is a phrase such as "the lab needs".

    As root on Debian what is missing is installed, and said. Otherwise raises UsageError with
    the exact command to run.
    """
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UsageError(f"{why} {', '.join(missing)}", f"run as root: {' '.join(command)}")
    console.say(f"   {why} {', '.join(missing)}: installing from Debian")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    cure = "check apt's sources and the network (apt-get update)"
    # A new machine has no package lists yet.
    run(["apt-get", "update", "-q"], timeout=300, env=environment, failure=UpstreamError, cure=cure)
    run(command, timeout=900, env=environment, what="apt-get install", failure=UpstreamError, cure=cure)


def _installed(name: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    done = run(["dpkg-query", "-W", "-f", "${Status}", name], timeout=30, check=False)
    return done.stdout.strip().endswith("ok installed")

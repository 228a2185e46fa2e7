"""Salt's environment for the nodes: copied once into a volume that they mount read-only.

A volume instead of a mount of the host's folder: it is there, empty, from the start, so that
switching from Ansible to Salt neither remakes a container nor leaves a stale mount behind.
"""

from __future__ import annotations

from core import bootstrap
from core.errors import UpstreamError
from lab import images
from lab.engine import docker
from lab.model import Lab

_COPY = """
[ "$(cat /to/.complete 2>/dev/null)" != "$1" ] || exit 0
rm -rf /to/.complete /to/* && cp -a /from/. /to/ && printf %s "$1" >/to/.complete
"""


def ensure(lab: Lab) -> None:
    """Make ``.venv-salt`` of the checkout and have the nodes of ``lab`` see it at /opt/pnda-salt."""
    try:
        folder = bootstrap.ensure("salt", lab.checkout)
    except bootstrap.BootstrapError as error:
        raise UpstreamError(str(error), "check that pip reaches its package index") from error
    stamp = " ".join(sorted(path.name for path in folder.glob(".complete-*")))
    docker(
        "run", "--rm", "--network", "none", "-v", f"{folder}:/from:ro", "-v", f"{lab.salt_volume}:/to",
        images.recipe("base").tag, "/bin/sh", "-ec", _COPY, "sh", stamp,
        timeout=300, what="copying Salt's environment to the nodes",
    )  # fmt: skip

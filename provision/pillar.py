"""What a masterless Salt run needs on a host: states, the host's facts as pillar, and a minion config."""

from __future__ import annotations

import io
import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from core.files import replacing, write_passing
from provision.cluster import Cluster
from provision.hosts_section import Host

ROOT = Path(__file__).resolve().parent.parent
STATES = ROOT / "salt-states"
# Where all of it lies on a node; root's alone.
NODE = "/var/lib/pnda/salt"
# Where it lies for the length of a dry run: in memory, for that changes nothing on the disk.
PLAN = "/run/pnda-salt-plan"
_PILLAR_TOP = "base:\n  '*':\n    - flink\n"
# The grains that PNDA sets, by our role.
_GRAINS = {
    "EDGE": "hadoop_edge",
    "FLINK": "flink",
    "GRAPHITE": "graphite",
    "KAFKA": "kafka",
    "MIRROR": "mirror",
    "YARN": "yarn",
}


def write(cluster: Cluster, host: Host, facts: str, check: bool = False) -> Path:
    """Write minion config and pillar of ``host`` under the build folder; return the host's folder.

    ``facts`` are the host's, as JSON (:class:`FactTexts`); ``check`` is for a dry run. What an earlier
    run left there goes.
    """
    folder = cluster.build / "salt" / host.name
    with replacing(folder) as made:
        write_passing(made / "minion", minion(host, PLAN if check else NODE).encode(), 0o600)
        write_passing(made / "pillar" / "top.sls", _PILLAR_TOP.encode(), 0o600)
        # Not Jinja: braces in a fact are no template.
        write_passing(made / "pillar" / "flink.sls", f"#!json\n{facts}".encode(), 0o600)
    return folder


def minion(host: Host, base: str = NODE) -> str:
    """Return the configuration of a masterless minion that keeps all it writes under ``base``."""
    settings = {
        "id": host.name,
        "file_client": "local",
        "root_dir": f"{base}/root",
        "log_file": f"{base}/minion.log",
        "file_roots": {"base": [f"{base}/states"]},
        "pillar_roots": {"base": [f"{base}/pillar"]},
        # As in the role: nothing runs after a failure.
        "failhard": True,
        # Each costs seconds of name look-ups or probing, and no state asks for them.
        "enable_fqdns_grains": False,
        "enable_gpu_grains": False,
        "grains": grains(host),
    }
    return json.dumps(settings, indent=2) + "\n"


def grains(host: Host) -> dict[str, Any]:
    """Return the grains that PNDA sets on ``host``; they target only, facts are pillar."""
    edge = {"hadoop": {"role": "EDGE"}} if "EDGE" in host.roles else {}
    return {"roles": [_GRAINS[role] for role in host.roles], **edge}


def bundle(folder: Path) -> bytes:
    """Return the tar archive that a host gets: ``folder`` of :func:`write`, and the states.

    The states' links to the shared templates and programs are followed: the node gets files.
    """
    buffer = io.BytesIO()
    buffer.write(_states())
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=".", filter=_rooted)
    return buffer.getvalue()


@cache
def _states() -> bytes:
    """Return the states as an archive without its end, which is the same for all hosts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        tar.add(STATES, arcname="states", filter=_rooted)
        length = buffer.tell()
    return buffer.getvalue()[:length]


def _rooted(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if member.name == ".":
        member.mode = 0o700  # the folder on the node: what is in it is root's alone
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member

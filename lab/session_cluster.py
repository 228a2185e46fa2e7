"""The standalone Flink cluster on edge-1 that plays YARN until the Hadoop lab replaces it.

Its units belong to the lab's image; they run the Flink that was provisioned, with its
configuration, as the user yarn.
"""

from __future__ import annotations

from core.errors import WorldError
from lab import http, network
from lab.containers import execute
from lab.model import Lab

_PORT = 8081
_START_SECONDS = 150.0
_MOST_RESTARTS = 4
_UNITS = ("lab-jobmanager.service", "lab-taskmanager.service")

# Restarted when, and only when, what it runs has changed since it was started.
_START = """
stamp=$({ readlink -f /opt/pnda/flink /opt/pnda/flink/conf; cat /etc/lab/session-cluster.env
          find -L /opt/pnda/flink/conf /opt/pnda/flink/lib -type f -exec sha256sum {} + | sort; } | sha256sum)
mkdir -p /run/lab
if [ "$stamp" = "$(cat /run/lab/session-cluster 2>/dev/null)" ] && systemctl is-active --quiet "$@"; then
  echo kept
else
  systemctl reset-failed "$@" 2>/dev/null || :
  systemctl restart "$@"
  printf '%s\\n' "$stamp" >/run/lab/session-cluster
  echo started
fi
"""


def address(lab: Lab) -> str:
    """Return the base URL of its REST interface, as the host reaches it."""
    return f"http://{network.addresses(lab).get('edge-1', 'edge-1')}:{_PORT}"


def start(lab: Lab) -> bool:
    """Start the cluster, or keep it where it runs what is provisioned now; return whether it was started.

    Waits until a TaskManager has registered. Raises WorldError where edge-1 has no Flink or the
    cluster does not come up.
    """
    if not execute(lab, "edge-1", "sh", "-c", "ls -d /opt/pnda/flink/bin 2>/dev/null", check=False).strip():
        raise WorldError(
            "edge-1 has no /opt/pnda/flink yet", "provision it: ./inv up, or ./inv provision.apply"
        )
    said = execute(lab, "edge-1", "sh", "-ec", _START, "sh", *_UNITS, timeout=120)
    if not http.wait(lambda: _ready(lab), _START_SECONDS, lambda reason: _late(lab, reason)):
        raise _late(lab, "(it starts and fails again and again)")
    return said.strip().endswith("started")


def _ready(lab: Lab) -> bool | None:
    """Return True once a TaskManager has registered, False where a unit fails again and again."""
    shown = execute(lab, "edge-1", "systemctl", "show", "--property", "NRestarts", "--value", *_UNITS)
    if any(int(count) >= _MOST_RESTARTS for count in shown.split()):
        return False
    return http.get_json(f"{address(lab)}/overview")["taskmanagers"] >= 1 or None


def _late(lab: Lab, reason: str) -> WorldError:
    log = execute(lab, "edge-1", "journalctl", "--no-pager", "-n", "25", "-u", "lab-*", check=False)
    return WorldError(
        f"the session cluster on edge-1 has no TaskManager {reason}\n{log}".rstrip(),
        f"look inside: docker exec -it {lab.container('edge-1')} journalctl -u 'lab-*'",
    )

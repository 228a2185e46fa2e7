"""The lab's Kafka broker on kafka-1: a real one, whose jars come from the lab's own mirror."""

from __future__ import annotations

import socket

from core.errors import WorldError
from lab import http, network
from lab.containers import execute
from lab.model import Lab

BOOTSTRAP = "kafka-1:9092"
_PORT = 9092
_START_SECONDS = 90.0


def start(lab: Lab) -> None:
    """Start the broker (nothing happens where it runs); does not wait.

    Raises WorldError where its jars are not there.
    """
    if not (lab.own_mirror_root / "current" / "kafka" / "libs").is_dir():
        raise WorldError(
            f"the lab's own mirror {lab.own_mirror_root} has no Kafka broker",
            "run ./inv up, which builds it from lab/catalogue.lock",
        )
    execute(lab, "kafka-1", "systemctl", "start", "--no-block", "kafka.service")


def wait(lab: Lab) -> None:
    """Wait until the broker listens; raises WorldError with the end of its log otherwise."""
    address = network.addresses(lab).get("kafka-1", "")

    def listening() -> bool | None:
        try:
            socket.create_connection((address, _PORT), timeout=2).close()
        except OSError:
            return None
        return True

    http.wait(listening, _START_SECONDS, lambda _: _silent(lab))


def _silent(lab: Lab) -> WorldError:
    log = execute(
        lab, "kafka-1", "sh", "-c",
        "systemctl status kafka --no-pager -n 5; tail -n 15 /var/log/kafka/server.log", check=False,
    )  # fmt: skip
    return WorldError(
        f"the broker on kafka-1 does not listen on port {_PORT} after {_START_SECONDS:g} s\n{log}".rstrip(),
        f"look inside: docker exec -it {lab.container('kafka-1')} journalctl -u kafka",
    )

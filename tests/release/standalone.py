"""A standalone Flink cluster of one JobManager and one TaskManager, on loopback ports of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.release.edge_node import EdgeNode

_SECONDS = 240


@contextmanager
def cluster(edge: EdgeNode, version: str) -> Iterator[int]:
    """Run a cluster of ``version`` and give its REST port, once its task slots are there."""
    home = edge.path(f"/opt/pnda/flink-{version}")
    rest, rpc = _free_port(), _free_port()
    options = [
        f"-Drest.port={rest}", "-Drest.bind-address=127.0.0.1", "-Djobmanager.rpc.address=127.0.0.1",
        f"-Djobmanager.rpc.port={rpc}", "-Dmetrics.reporters=", "-Dtaskmanager.host=127.0.0.1",
        f"-Djobmanager.archive.fs.dir=file://{edge.tmp}", "-Dtaskmanager.numberOfTaskSlots=2",
    ]  # fmt: skip
    environment = edge.environment(
        FLINK_LOG_DIR=str(edge.tmp),
        FLINK_PID_DIR=str(edge.tmp),
        JAVA_HOME="/usr/lib/jvm/java-17-openjdk-amd64",
    )
    processes = []
    try:
        for name in ("jobmanager.sh", "taskmanager.sh"):
            with (edge.tmp / f"{name}.out").open("w") as said:
                processes.append(
                    subprocess.Popen(
                        [str(home / "bin" / name), "start-foreground", *options],
                        env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                    )
                )  # fmt: skip
        _wait(rest, processes)
        yield rest
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def _wait(rest: int, processes: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        assert all(process.poll() is None for process in processes), "the cluster ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{rest}/overview", timeout=10) as answer:
                if json.load(answer)["slots-available"] > 0:
                    return
        except (urllib.error.URLError, OSError):
            pass
        assert time.monotonic() < end, "no task slots came"
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

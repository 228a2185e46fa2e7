"""The mirror's web server beside Debian's nginx, on the same tree of files, over loopback."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import console, debian
from core.bootstrap import ROOT
from core.errors import WorldError
from core.files import sha256_of
from core.process import run
from mirror.certificates import CertificateRequest, issue

_PACKAGES = ("nginx-light", "wrk", "curl")
_SMALL, _LARGE = 10_000, 250_000_000
_CONNECTIONS = (32, 500)
_NGINX = """daemon off;
worker_processes 1;
worker_rlimit_nofile 4096;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server {{
    listen 127.0.0.1:{port}{tls};
    ssl_certificate {folder}/tls/server.pem;
    ssl_certificate_key {folder}/tls/server.key;
    root {folder}/root/current;
  }}
}}
"""


@dataclass(frozen=True)
class Running:
    """A server that answers: its process and its address."""

    process: int
    base: str

    def seconds(self) -> float:
        """Return the processor seconds of the process and its children so far."""
        children = Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()
        ticks = 0
        for number in (str(self.process), *children):
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def run_all(folder: Path, seconds: int) -> dict[str, Any]:
    """Measure both servers below ``folder`` (made anew, removed at the end), ``seconds`` for each case.

    Raises WorldError when one fails, answers an error, or gives wrong bytes.
    """
    debian.require(_PACKAGES, "the comparison needs")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        digest = _tree(folder)
        rows = []
        for scheme in ("http", "https"):
            for name, words in (("mirror.serve", _ours), ("nginx, 1 worker", _nginx)):
                with console.step(f"{name}, {scheme}"), _serving(folder, words, scheme) as server:
                    rows.append(
                        {"server": name, "scheme": scheme, **_measure(server, folder, digest, seconds)}
                    )
        return {"rows": rows, "cores": os.cpu_count(), "small": _SMALL, "large": _LARGE}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tree(folder: Path) -> str:
    """Write the published tree; return the SHA-256 of the large file."""
    release = folder / "root" / "releases" / "1"
    release.mkdir(parents=True)
    (folder / "root" / "current").symlink_to("releases/1")
    (release / "release.json").write_text("{}\n")
    (release / "small.bin").write_bytes(os.urandom(_SMALL))
    with (release / "large.bin").open("wb") as stream:
        for _ in range(_LARGE // 1_000_000):
            stream.write(os.urandom(1_000_000))
    issue(CertificateRequest(("127.0.0.1",), folder / "tls"))
    return sha256_of(release / "large.bin")


def _ours(folder: Path, port: int, scheme: str) -> list[str]:
    tls = ["--tls-cert", f"{folder}/tls/server.pem", "--tls-key", f"{folder}/tls/server.key"]
    words = [sys.executable, "-m", "core.program", "mirror.serve", "--root", f"{folder}/root"]
    return [*words, "--port", str(port), *(tls if scheme == "https" else ())]


def _nginx(folder: Path, port: int, scheme: str) -> list[str]:
    text = _NGINX.format(port=port, folder=folder, tls=" ssl" if scheme == "https" else "")
    (folder / "nginx.conf").write_text(text)
    return [
        shutil.which("nginx") or "/usr/sbin/nginx",
        "-p",
        str(folder),
        "-c",
        "nginx.conf",
        "-e",
        "error.log",
    ]


@contextmanager
def _serving(folder: Path, words: Any, scheme: str) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            words(folder, port, scheme), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        _wait(port, process, folder / "server.log")
        yield Running(process.pid, f"{scheme}://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + 30
    while time.monotonic() < limit and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise WorldError(f"a server did not start\n{log.read_text()[-2000:]}", "see above")


def _measure(server: Running, folder: Path, digest: str, seconds: int) -> dict[str, float]:
    fetch = ["curl", "-sfk", "--max-time", "120", f"{server.base}/large.bin", "-o"]
    run([*fetch, folder / "got.bin"], timeout=130)
    if sha256_of(folder / "got.bin") != digest:
        raise WorldError(f"{server.base} gave wrong bytes", "look at server.log")
    row: dict[str, float] = {}
    for connections in _CONNECTIONS:
        before = server.seconds()
        count, rate = _wrk(server.base, connections, seconds)
        row[f"rate_{connections}"] = rate
        row[f"cpu_ms_{connections}"] = 1000 * (server.seconds() - before) / count
    times, before = [], server.seconds()
    for _ in range(3):
        started = time.monotonic()
        run([*fetch, "/dev/null"], timeout=130)
        times.append(time.monotonic() - started)
    row["mb_s"] = _LARGE / 1e6 / min(times)
    row["cpu_s_gb"] = (server.seconds() - before) / (3 * _LARGE / 1e9)
    return row


def _wrk(base: str, connections: int, seconds: int) -> tuple[int, float]:
    """Return (requests, requests a second) for the small file, ``connections`` at a time."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", f"{base}/small.bin"]
    text = run(words, timeout=seconds + 60).stdout
    count, rate = re.search(r"(\d+) requests in", text), re.search(r"Requests/sec:\s+([\d.]+)", text)
    if "Non-2xx" in text or "Socket errors" in text or not count or not rate or count[1] == "0":
        raise WorldError(f"wrk with {connections} connections:\n{text}", "see what it says")
    return int(count[1]), float(rate[1])


def table(document: Mapping[str, Any]) -> str:
    """Return the document as plain lines."""
    heading = "requests/s, 32 and 500 at once"
    lines = [f"{'10 kB files':24} {heading:>32} {'cpu ms each':>16}   250 MB: MB/s {'cpu s/GB':>9}"]
    rows: Sequence[Mapping[str, Any]] = document["rows"]
    lines += [
        f"{row['server'] + ', ' + row['scheme']:24} {row['rate_32']:18.0f} {row['rate_500']:13.0f} "
        f"{row['cpu_ms_32']:8.3f} {row['cpu_ms_500']:7.3f} {row['mb_s']:14.0f} {row['cpu_s_gb']:9.2f}"
        for row in rows
    ]
    return "\n".join(lines)

"""The Docker engine: a live one is used; otherwise, as root, Debian's is installed and started.

Two checkouts on one machine share one engine. Whether *we* started it is recorded beside its
process id, so that ``down`` stops it only then, and only when no container runs on it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core import console, debian
from core.errors import PndaError, UsageError, WorldError
from core.process import Finished, run

STATE = Path("/run/flink-on-pnda-lab")
PACKAGES = ("docker.io", "iptables", "mmdebstrap")
_START_SECONDS = 60.0
# A container's systemd and its services hold four or five instances; the kernel's own limit is 128 a user.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INSTANCES = 1024


def client() -> str:
    """Return the Docker client to call: Debian's own where it is installed, else the first on PATH."""
    debians = Path("/usr/bin/docker")
    return str(debians) if os.access(debians, os.X_OK) else shutil.which("docker") or "docker"


def docker(
    *args: str | Path,
    timeout: float = 120,
    stdin: str | bytes | None = None,
    check: bool = True,
    what: str = "",
    failure: type[PndaError] = WorldError,
    cure: str = "",
) -> Finished:
    """Run the Docker client with ``args``; the parameters are those of :func:`core.process.run`."""
    return run(
        [client(), *args],
        timeout=timeout,
        stdin=stdin,
        check=check,
        what=what or f"docker {args[0]}",
        failure=failure,
        cure=cure,
    )


def alive() -> bool:
    """Return whether an engine answers."""
    if shutil.which(client()) is None:
        return False
    return docker("version", "--format", "{{.Server.Version}}", timeout=30, check=False).code == 0


def ensure() -> None:
    """Make sure that a Docker engine answers, and that many a systemd has room on this machine.

    Raises UsageError with the commands to run where this user may neither reach nor start one,
    WorldError with the tail of its log where the engine does not come up.
    """
    debian.require([name for name in PACKAGES if not _present(name)], "the lab needs")
    _make_room()
    if alive():
        return
    if os.geteuid() != 0:
        raise UsageError(
            "no Docker engine answers this user",
            "start one (systemctl start docker) and join its group (usermod -aG docker USER), or run as root",
        )
    with _locked():
        if alive():
            return
        if Path("/run/systemd/system").is_dir():
            run(["systemctl", "start", "docker"], timeout=120, what="starting the Docker engine")
        else:
            _start()


def _make_room() -> None:
    """Raise the kernel's limit of inotify instances, as root; one more systemd would end without a word."""
    if os.geteuid() != 0 or not INOTIFY.exists():
        return
    now = int(INOTIFY.read_text())
    if now < _INSTANCES:
        console.say(f"   fs.inotify.max_user_instances: from {now} to {_INSTANCES}, until the next boot")
        try:
            INOTIFY.write_text(f"{_INSTANCES}\n")
        except OSError as error:  # in a container of its own: few labs still fit
            console.warn(f"{INOTIFY} cannot be written: {error.strerror}")


def stop_if_ours() -> bool:
    """Stop the engine if this program started it and no container runs on it; return whether it did."""
    pidfile = STATE / "dockerd.pid"
    if not pidfile.exists() or os.geteuid() != 0:
        return False
    with _locked():
        if not alive() or docker("ps", "--quiet").stdout.strip():
            return False
        pid = int(pidfile.read_text())
        if not _is_dockerd(pid):
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _START_SECONDS
        while _is_dockerd(pid):
            if time.monotonic() > deadline:
                raise WorldError(
                    f"the Docker engine (process {pid}) does not stop", f"see {STATE}/dockerd.log"
                )
            time.sleep(0.2)
        pidfile.unlink(missing_ok=True)
    return True


def _present(package: str) -> bool:
    """Return whether what ``package`` is needed for is here already, from wherever it came."""
    programs = {"docker.io": "dockerd", "iptables": "iptables", "mmdebstrap": "mmdebstrap"}
    if package == "docker.io" and alive():
        return True
    if package == "iptables" and alive():
        return True
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(programs[package], path=path) is not None


def _start() -> None:
    console.say("   no Docker engine is running: starting Debian's (./inv down stops it again)")
    log = STATE / "dockerd.log"
    environment = {**os.environ, "PATH": f"/usr/sbin:/sbin:{os.environ.get('PATH', '')}"}
    with log.open("ab") as stream:
        process = subprocess.Popen(
            ["dockerd", "--pidfile", str(STATE / "dockerd.pid")],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # it outlives this program
            cwd="/",
            env=environment,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not alive():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise WorldError(f"the Docker engine did not start:\n{tail}", f"see {log}")
        time.sleep(0.3)


def _is_dockerd(pid: int) -> bool:
    try:
        return b"dockerd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@contextmanager
def _locked() -> Iterator[None]:
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (STATE / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def names(lines: str) -> Sequence[str]:
    """Return the non-empty lines of a Docker listing."""
    return [line for line in lines.splitlines() if line.strip()]

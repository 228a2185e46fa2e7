"""The lab's containers: systemd in each, made from the images, reused while alive and unchanged."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core.errors import WorldError
from lab import network, shape
from lab.engine import INOTIFY, docker, names
from lab.model import Lab

_RECIPE = "flink-on-pnda.recipe"
_BOOT_SECONDS = 300.0  # on a busy machine each of many nodes boots slowly

# The image of each kind of host: of edge-1 and of edge-2 it is `edge`.
IMAGES = {"mirror": "base", "edge": "edge", "manager": "node", "kafka": "kafka", "graphite": "graphite"}

# What systemd needs in an unprivileged container on either cgroup version; /tmp stays on the disk,
# because Docker's tmpfs is noexec and Java unpacks native libraries there. Names of the outside are
# asked of the container itself, where lab-resolver says at once that there is no such name.
SYSTEMD = (
    "--cap-add", "SYS_ADMIN", "--cgroupns", "private", "--tmpfs", "/sys/fs/cgroup",
    "--tmpfs", "/run", "--tmpfs", "/run/lock", "--stop-signal", "SIGRTMIN+3",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--dns", "127.0.0.1", "--dns-option", "timeout:1", "--dns-option", "attempts:1",
)  # fmt: skip


@dataclass(frozen=True)
class Container:
    """One container as it should be: ``arguments`` of ``docker run``, and a digest of them."""

    host: str
    arguments: tuple[str, ...]
    recipe: str


def plan(lab: Lab, tags: dict[str, str]) -> tuple[Container, ...]:
    """Return the containers of ``lab`` as they should be; ``tags`` maps image names to tags.

    The folders that they mount must exist: their inode is part of the recipe, so that a folder
    that was removed and made again is not mistaken for the one that is mounted.
    """
    result = []
    for host in shape.hosts(lab):
        mounts, seen = _mounts(lab, host)
        arguments = (
            "--name", lab.container(host), "--hostname", host, "--network", lab.network,
            "--network-alias", host, "--label", f"{network.LABEL}={lab.id}",
            *SYSTEMD, *(word for mount in mounts for word in ("-v", mount)),
            tags[IMAGES[_kind(host)]],
        )  # fmt: skip
        digest = hashlib.sha256("\n".join([*arguments, *seen]).encode()).hexdigest()[:16]
        result.append(Container(host, arguments, digest))
    return tuple(result)


def ensure(lab: Lab, tags: dict[str, str]) -> tuple[str, ...]:
    """Make the containers of ``lab`` be there and booted; return the hosts that were made anew.

    One that is alive and unchanged is kept; one that is stopped, half-booted or of another
    recipe is replaced. Raises WorldError naming the host whose systemd does not come up.
    """
    for volume in (lab.shared_volume, lab.salt_volume):
        docker("volume", "create", "--label", f"{network.LABEL}={lab.id}", volume)
    network.ensure(lab)
    alive = _alive(lab)
    fresh = [one for one in plan(lab, tags) if alive.get(one.host) != one.recipe]
    with ThreadPoolExecutor(max_workers=len(IMAGES)) as pool:
        list(pool.map(lambda one: _make(lab, one), fresh))
    return tuple(one.host for one in fresh)


def remove(lab: Lab) -> int:
    """Remove all containers and volumes of ``lab``, whatever their state; return how many containers."""
    mine = f"label={network.LABEL}={lab.id}"
    there = names(docker("ps", "--all", "--quiet", "--filter", mine).stdout)
    if there:
        docker("rm", "--force", "--volumes", *there, timeout=180)
    volumes = names(docker("volume", "ls", "--quiet", "--filter", mine).stdout)
    if volumes:
        docker("volume", "rm", *volumes)
    return len(there)


def states(lab: Lab) -> dict[str, str]:
    """Return what Docker says of each container of ``lab``, by host; absent ones are left out."""
    form = "{{.Names}} {{.State}}"
    done = docker("ps", "--all", "--filter", f"label={network.LABEL}={lab.id}", "--format", form)
    prefix = lab.container("")
    pairs = (line.split(" ", 1) for line in names(done.stdout))
    return {name.removeprefix(prefix): state for name, state in pairs}


def execute(
    lab: Lab, host: str, *command: str, timeout: float = 60, check: bool = True, stdin: str | None = None
) -> str:
    """Run ``command`` as root in the container of ``host`` and return its standard output."""
    options = ["-i"] if stdin is not None else []
    done = docker(
        "exec", *options, lab.container(host), *command,
        timeout=timeout, check=check, stdin=stdin, what=f"{host}: {command[0]}",
    )  # fmt: skip
    return done.stdout


def _kind(host: str) -> str:
    return host.partition("-")[0]


def _mounts(lab: Lab, host: str) -> tuple[list[str], list[str]]:
    folders: dict[str, tuple[Path, str]] = {
        "mirror-1": (lab.mirror_root, "/srv/mirror"),
        "kafka-1": (lab.own_mirror_root, "/srv/lab-mirror"),
    }
    if host in folders:
        source, target = folders[host]
        source.mkdir(parents=True, exist_ok=True)
        more = [f"{lab.salt_volume}:/opt/pnda-salt:ro"] if host == "mirror-1" else []
        return [f"{source}:{target}:ro", *more], [f"{target} {source.stat().st_ino}"]
    if _kind(host) in {"edge", "manager"}:
        return [f"{lab.shared_volume}:/pnda", f"{lab.salt_volume}:/opt/pnda-salt:ro"], []
    return ([f"{lab.salt_volume}:/opt/pnda-salt:ro"] if _kind(host) == "graphite" else []), []


def _alive(lab: Lab) -> dict[str, str]:
    """Return the recipe of every container of ``lab`` that runs and whose systemd has booted."""
    form = '{{.Names}} {{.State}} {{.Label "' + _RECIPE + '"}}'
    done = docker("ps", "--all", "--filter", f"label={network.LABEL}={lab.id}", "--format", form)
    result = {}
    for line in names(done.stdout):
        name, state, recipe = [*line.split(" "), "", ""][:3]
        if state == "running" and _systemd(name) in {"running", "degraded"}:
            result[name.removeprefix(lab.container(""))] = recipe
    return result


def _make(lab: Lab, one: Container) -> None:
    name = lab.container(one.host)
    docker("rm", "--force", "--volumes", name, check=False)
    docker(
        "run", "--detach", "--label", f"{_RECIPE}={one.recipe}", *one.arguments, what=f"starting {one.host}"
    )
    deadline = time.monotonic() + _BOOT_SECONDS
    while (state := _systemd(name)) != "running":
        gone = not state and _exited(name)
        if state == "degraded" or gone or time.monotonic() > deadline:
            failed = docker("exec", name, "systemctl", "--failed", "--no-legend", check=False).stdout
            log = docker("logs", "--tail", "20", name, check=False).tail()
            raise WorldError(
                f"{one.host}: systemd is {state or 'not there'} after its start\n{failed}{log}".rstrip(),
                f"raise {INOTIFY}, and see that cgroups are mounted"
                if gone
                else f"look inside: docker exec -it {name} journalctl -b",
            )
        time.sleep(0.3)


def _exited(container: str) -> bool:
    done = docker("inspect", "--format", "{{.State.Running}}", container, check=False, timeout=30)
    return done.stdout.strip() == "false"


def _systemd(container: str) -> str:
    done = docker("exec", container, "systemctl", "is-system-running", check=False, timeout=30)
    return done.stdout.strip()

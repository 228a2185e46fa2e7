"""How the lab's nodes are reached by ssh: a key of its own, known host keys, one configuration file."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.errors import WorldError
from core.files import write_atomic
from core.process import Finished, run
from lab import network, shape
from lab.containers import execute
from lab.model import Lab

_INSTALL_KEY = """
for home in /root /home/pnda; do
  install -d -m 700 -o "$(stat -c %U "$home")" "$home/.ssh"
  printf '%s\\n' "$1" >"$home/.ssh/authorized_keys"
  chown "$(stat -c %U "$home")" "$home/.ssh/authorized_keys"
  chmod 600 "$home/.ssh/authorized_keys"
done
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


def ensure(lab: Lab) -> None:
    """Make the key, put it on every node, and write ``ssh_config`` and the known host keys.

    The host keys are read through Docker, so that the first connection is checked already.
    """
    folder = lab.folder / "ssh"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = folder / "id_ed25519"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {lab.name}", "-f", key], timeout=30)
    public = (folder / "id_ed25519.pub").read_text().strip()
    addresses, hosts = network.addresses(lab), shape.hosts(lab)
    missing = [host for host in hosts if host not in addresses]
    if missing:
        raise WorldError(f"not on the lab's network: {', '.join(missing)}", "run ./inv down, then ./inv up")
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        keys = list(pool.map(lambda host: execute(lab, host, "sh", "-ec", _INSTALL_KEY, "sh", public), hosts))
    known = [
        f"{host},{addresses[host]} {' '.join(line.split()[:2])}"
        for host, line in zip(hosts, keys, strict=True)
    ]
    write_atomic(folder / "known_hosts", "\n".join(known) + "\n", 0o600)
    write_atomic(lab.ssh_config, _config(lab, folder, addresses), 0o600)


def remote(
    lab: Lab,
    host: str,
    *command: str,
    user: str = "root",
    timeout: float = 120,
    check: bool = True,
    stdin: str | bytes | None = None,
) -> Finished:
    """Run ``command`` (words, quoted here) on ``host`` as ``user`` by ssh."""
    return run(
        ["ssh", "-F", lab.ssh_config, "-l", user, host, "--", shlex.join(command)],
        timeout=timeout, check=check, stdin=stdin, what=f"{host}: {command[0]}",
    )  # fmt: skip


def forget(lab: Lab) -> None:
    """Close the connections that are kept open to the nodes (their containers are going away)."""
    folder = Path(tempfile.gettempdir()) / _control_name(lab)
    if lab.ssh_config.exists():
        for host in shape.hosts(lab):
            run(["ssh", "-F", lab.ssh_config, "-O", "exit", host], timeout=10, check=False)
            run(["ssh", "-F", lab.ssh_config, "-l", "pnda", "-O", "exit", host], timeout=10, check=False)
    if folder.is_dir() and not folder.is_symlink():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()


def _control_name(lab: Lab) -> str:
    return f"pnda-{lab.id}-ssh"


def _control_folder(lab: Lab) -> Path:
    """Return a private folder with a short path: a socket's path may not be longer than 107 bytes."""
    folder = Path(tempfile.gettempdir()) / _control_name(lab)
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise WorldError(f"{folder} is not a private folder of this user", "remove it")
    return folder


def _config(lab: Lab, folder: Path, addresses: dict[str, str]) -> str:
    blocks = [f"Host {host}\n    HostName {addresses[host]}\n" for host in shape.hosts(lab)]
    common = f"""Host *
    User root
    IdentityFile {folder}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    BatchMode yes
    ConnectTimeout 10
    ServerAliveInterval 5
    ServerAliveCountMax 3
    LogLevel ERROR
    ControlMaster auto
    ControlPath {_control_folder(lab)}/%C
    ControlPersist 60s
"""
    return "# Written by the lab at every start.\n" + "\n".join([*blocks, common])

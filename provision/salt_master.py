"""What a Salt master, or salt-ssh, needs for a cluster: states, pillar, top files, a roster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.files import replacing, write_passing
from core.process import run
from provision import nodes, pillar
from provision.cluster import Cluster
from provision.fact_text import FactTexts
from provision.facts import Facts
from provision.hosts_section import Host
from provision.manifest import FORMULAS, MIRROR_SERVER, has_components

# The grains that PNDA sets, and which formulas hosts with them get; what a host has none of does nothing.
_OTHERS = tuple(one.name for one in FORMULAS if one is not MIRROR_SERVER)
_TARGETS = {
    "roles:mirror": (MIRROR_SERVER.name,),
    "hadoop:role:EDGE": _OTHERS,
    "roles:flink": _OTHERS,
    "roles:graphite": _OTHERS,
    "roles:yarn": _OTHERS,
}
_PILLAR = "pnda"
# What `ssh -G` says that reaching a host may hang on; all else is left to ssh.
_SSH_OPTIONS = (
    "userknownhostsfile",
    "globalknownhostsfile",
    "stricthostkeychecking",
    "hostkeyalias",
    "identitiesonly",
    "proxyjump",
    "proxycommand",
)
_DEFAULTS = frozenset({"none", "ask", "no"})


def write(cluster: Cluster, facts: Mapping[str, Facts]) -> Path:
    """Write states, pillar, a minion file for each host, and a configuration for salt-ssh; return the folder.

    ``states`` and ``pillar`` are complete: they can be carried to the master. Every host has pillar, as a
    role may target one that gets nothing; the roster holds those with something. Raises UsageError where
    ssh cannot make sense of a host's settings.
    """
    folder = cluster.build / "salt-master"
    hosts = [host for host in cluster.hosts if has_components(facts[host.name])]
    with replacing(folder) as made:
        shutil.copytree(pillar.STATES, made / "states")  # links are followed: files arrive
        write_passing(made / "states" / "top.sls", _states_top().encode())
        texts = FactTexts()
        for host in cluster.hosts:
            text = texts.text(facts[host.name])
            # Not Jinja: braces in a fact are no template.
            write_passing(made / "pillar" / _PILLAR / f"{_sls(host)}.sls", f"#!json\n{text}".encode(), 0o600)
            write_passing(made / "minions" / host.name, _json(_minion(host)).encode())
        write_passing(made / "pillar" / "top.sls", _pillar_top(cluster.hosts).encode())
        write_passing(made / "master", _json(_master(folder)).encode())
        write_passing(made / "roster", _json(_roster(cluster, hosts)).encode(), 0o600)
    return folder


def _sls(host: Host) -> str:
    """Return the name of a host's pillar file: a dot in it would be a folder. No host name has a `_`."""
    return host.name.replace(".", "_")


def _states_top() -> str:
    """Return a top file that a site can merge into its own."""
    lines = ["base:"]
    for target, formulas in _TARGETS.items():
        lines += [f"  '{target}':", "    - match: grain", *(f"    - {name}" for name in formulas)]
    return "\n".join([*lines, ""])


def _pillar_top(hosts: Sequence[Host]) -> str:
    lines = ["base:"]
    for host in hosts:
        lines += [f"  '{host.name}':", f"    - {_PILLAR}.{_sls(host)}"]
    return "\n".join([*lines, ""])


def _minion(host: Host) -> dict[str, Any]:
    # failhard: as in the role, nothing runs after a failure.
    return {"id": host.name, "failhard": True, "grains": pillar.grains(host)}


def _master(folder: Path) -> dict[str, Any]:
    """Return a configuration folder's `master` for salt-ssh, which keeps all it writes beside it."""
    return {
        "root_dir": f"{folder}/root",
        "file_roots": {"base": [f"{folder}/states"]},
        "pillar_roots": {"base": [f"{folder}/pillar"]},
        "roster_file": f"{folder}/roster",
        "log_file": f"{folder}/salt-ssh.log",
        "ssh_log_file": f"{folder}/salt-ssh.log",
    }


def _roster(cluster: Cluster, hosts: list[Host]) -> dict[str, Any]:
    found = nodes.everywhere([host.name for host in hosts], lambda name: _ssh(cluster, name), cluster.at_once)
    return {
        host.name: {**found[host.name], "minion_opts": {**_minion(host), "enable_fqdns_grains": False}}
        for host in hosts
    }


def _ssh(cluster: Cluster, host: str) -> dict[str, Any]:
    """Return how ``host`` is reached, as ssh itself reads its settings; salt-ssh takes no file of them."""
    options = ["-F", str(cluster.ssh_config)] if cluster.ssh_config else []
    done = run(
        ["ssh", *options, "-G", host], timeout=30, what=f"ssh -G {host}", failure=UsageError,
        cure="see connection.ssh_config in the cluster file",
    )  # fmt: skip
    return {**entry(done.stdout), **({"sudo": True} if cluster.become else {})}


def entry(said: str) -> dict[str, Any]:
    """Return the roster's entry for what ``ssh -G`` said: one `key value` a line, keys may repeat."""
    pairs = [line.partition(" ")[::2] for line in said.splitlines()]
    settings = dict(reversed(pairs))  # the first one counts, as for ssh
    keys = [str(path) for key, value in pairs if key == "identityfile" and (path := _path(value)).is_file()]
    extra = [f"{key}={settings[key]}" for key in _SSH_OPTIONS if settings.get(key, "none") not in _DEFAULTS]
    return {
        "host": settings["hostname"],
        "user": settings["user"],
        "port": int(settings["port"]),
        # What Salt calls it where it is to name no key: ssh finds one by itself, or has an agent.
        "priv": keys[0] if keys else "agent-forwarding",
        # Salt does not quote: two files of known hosts, the default, are left to ssh.
        "ssh_options": [option for option in extra if " " not in option],
    }


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"

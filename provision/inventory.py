"""Ansible's inventory, host variables and settings for a cluster, written under its build folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from core.files import replacing, write_atomic, write_passing
from provision import nodes
from provision.cluster import Cluster
from provision.fact_text import FactTexts
from provision.facts import Facts
from provision.manifest import FORMULAS, formulas_of

ROOT = Path(__file__).resolve().parent.parent
PLAYBOOK = Path(__file__).with_name("ansible") / "site.yml"
CALLBACKS = Path(__file__).with_name("ansible") / "callback"


def write(cluster: Cluster, facts: Mapping[str, Facts]) -> Path:
    """Write inventory, host variables and ansible.cfg of the hosts in ``facts``; return their folder.

    Each role of the cluster file is a group (``role_edge``), and so is each formula that a host gets
    something of (``mirror_server``); ``flink`` has all hosts, as it takes away what they had before.
    """
    folder = cluster.build / "ansible"
    groups: dict[str, dict[str, dict[str, dict[str, str]]]] = {
        formula.name: {"hosts": {}} for formula in FORMULAS
    }
    for host in cluster.hosts:
        if host.name not in facts:
            continue
        formulas = formulas_of(facts[host.name])
        for name in [*formulas, *(f"role_{role.lower()}" for role in host.roles)]:
            groups.setdefault(name, {"hosts": {}})["hosts"][host.name] = {}
    texts = FactTexts()
    with replacing(folder / "inventory") as made:
        write_passing(made / "hosts.json", _json({"all": {"children": groups}}).encode())
        for name, its in facts.items():
            write_passing(made / "host_vars" / f"{name}.json", texts.text(its).encode())
    write_atomic(folder / "ansible.cfg", _settings(cluster, folder))
    return folder


def _settings(cluster: Cluster, folder: Path) -> str:
    ssh = (
        f'-F "{cluster.ssh_config}"' if cluster.ssh_config else "-o ControlMaster=auto -o ControlPersist=60s"
    )
    silent = " ".join(f"-o {setting}" for setting in nodes.SSH_ALIVE)
    return "\n".join(
        [
            "[defaults]",
            f"inventory = {folder / 'inventory'}",
            f"roles_path = {ROOT / 'roles'}",
            f"callback_plugins = {CALLBACKS}",
            "callbacks_enabled = summary",
            f"home = {folder / 'home'}",
            f"forks = {cluster.at_once}",
            "timeout = 20",
            "inject_facts_as_vars = false",
            "interpreter_python = /usr/bin/python3",
            "retry_files_enabled = false",
            "nocows = true",
            "[privilege_escalation]",
            f"become = {str(cluster.become).lower()}",  # by sudo, which Ansible calls with -n
            "[ssh_connection]",
            "pipelining = true",
            f"ssh_args = {ssh} {silent}",
            "",
        ]
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"

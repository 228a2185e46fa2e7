"""Preview, Ansible and Salt write the same bytes, modes and owners: real engines, real role and formula.

The role's `files.yml` and the formula's macros run with the facts of a host, whose every path is
moved under a temporary folder. Odd values stand in for what a cluster file may hold.
"""

from __future__ import annotations

import copy
import getpass
import grp
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import bootstrap
from core.process import run
from provision import cluster as clusters
from provision import facts as fact_module
from provision import pillar, preview
from provision.cluster import ROOT, Host
from provision.facts import Facts
from provision.manifest import FLINK, FORMULAS
from tests.unit.provision import samples

ODD = {
    "odd.apostrophe": "it's 'quoted'",
    "odd.quote": 'say "x"',
    "odd.unicode": "naïve Ω 😀",
    "odd.boolean": "true",
    "odd.number": "0123",
    "odd.spaces": "a  b   c",
    "odd.hash": "a #b",
    "odd.backslash": r"C:\new\tab\\",
    "odd.percent": "%d %s %%",
    "odd.html": "<a href='x'>&amp;</a>",
    "odd.yaml": "- [x]: {y}, &a *b !c | > @d `e`",
    "odd.dollar": "${HOME} $(id) `id`",
    "odd.one-brace": "{ } {x} }{",
    "odd.long": "x" * 5000,
    "Odd.Upper": "after the lower case ones, or before",
}


def odd(facts: Facts) -> None:
    facts["flink_managed_by"] = 'Managed by Ω\'s "odd" & <strange> tool'
    facts["flink_history_configuration"] |= ODD
    facts["flink_java_home"] = "/opt/it's java"
    for release in facts["flink_releases"]:
        release["configuration"] |= ODD


def queued(facts: Facts) -> None:
    facts["yarn_queues_rules"].append({"member": ':été\'s "x" & <y> $z', "queue": "root.a-b_c@d+e"})


FIXTURES: dict[str, tuple[str, tuple[tuple[str, str], ...], Callable[[Facts], None]]] = {
    "both-lines": ("both-1", (), lambda _: None),
    "history-server-1.20": ("manager-1", (("[1.20.5, 2.3.0]", "[1.20.5]"),), lambda _: None),
    "history-server-2.3": ("manager-2", (), lambda _: None),
    "production": (
        "both-1",
        (("flavor: pico", "flavor: production"), ("interval_seconds: 10", "interval_seconds: 60")),
        lambda _: None,
    ),
    "queues": ("edge-1", samples.QUEUES, queued),
    "graphite-alone": (
        "kafka-1",
        (
            ("{roles: [FLINK, GRAPHITE]}", "{roles: [FLINK]}"),
            ("kafka-1: {roles: [KAFKA]}", "kafka-1: {roles: [GRAPHITE]}"),
            ("{interval_seconds: 10}", "{interval_seconds: 10, carbon: {creates_per_minute: 0}}"),
        ),
        lambda _: None,
    ),
    "mirror-server": ("mirror-1", samples.SERVED, lambda _: None),
    "mirror-by-tls": ("both-1", samples.BY_TLS, lambda _: None),
    "logs-by-rsyslog": ("both-1", samples.SHIPPED, lambda _: None),
    "logs-by-logstash": ("both-1", samples.BY_LOGSTASH, lambda _: None),
    "odd-values": ("both-1", (), odd),
    "odd-values-1.20": ("both-1", (("[1.20.5, 2.3.0]", "[1.20.5]"),), odd),
}


def entries(facts: Facts, kind: str) -> list[dict[str, str]]:
    """Return the manifest's entries of ``kind`` (directories or files) of all formulas."""
    return [entry for formula in FORMULAS for entry in facts[f"{formula.name}_{kind}"]]


def moved(facts: Facts, base: Path) -> Facts:
    """Return ``facts`` with every managed path under ``base``, owned by who runs the tests."""
    result = copy.deepcopy(facts)
    group = grp.getgrgid(os.getgid()).gr_name
    managed = {f"{base}{entry['destination']}" for entry in entries(facts, "directories")}
    for entry in (*entries(result, "directories"), *entries(result, "files")):
        entry["destination"] = f"{base}{entry['destination']}"
        entry["owner"], entry["group"] = getpass.getuser(), group
        parent = Path(entry["destination"]).parent
        if str(parent) not in managed:
            parent.mkdir(parents=True, exist_ok=True)  # /etc/systemd/system and the like: every node has them
    return result


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Facts]:
    folder = tmp_path_factory.mktemp("facts")
    lock = samples.lock(folder / "catalogue.lock")
    found = {}
    for name, (host, changes, change) in FIXTURES.items():
        path = samples.cluster_file(folder / f"{name}.yml", *changes)
        found[name] = copy.deepcopy(fact_module.resolve(clusters.load(path), lock)[host])
        change(found[name])
    return found


@pytest.fixture(scope="module")
def by_ansible(fixtures: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All fixtures in one play, each as a host of its own; return where each one's files are."""
    folder = tmp_path_factory.mktemp("ansible")
    bases = {name: folder / "out" / name for name in fixtures}
    for name, facts in fixtures.items():
        bases[name].mkdir(parents=True)
        variables = folder / "inventory" / "host_vars" / f"{name}.json"
        variables.parent.mkdir(parents=True, exist_ok=True)
        variables.write_text(json.dumps(moved(facts, bases[name])))
    hosts = {name: {"ansible_connection": "local"} for name in fixtures}
    (folder / "inventory" / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    tasks = [
        {
            "name": f"Write {component}",
            "ansible.builtin.include_role": {"name": "flink", "tasks_from": "files"},
            "vars": {"flink_component": component},
        }
        for component in FLINK.components
    ]
    tasks.append(
        {
            "name": "Write the mirror's server",
            "ansible.builtin.include_role": {"name": "mirror_server", "tasks_from": "files"},
        }
    )
    tasks.append(
        {
            "name": "Write the queue policy",
            "ansible.builtin.include_role": {"name": "yarn_queues", "tasks_from": "policy"},
        }
    )
    handlers = [
        {"name": f"Restart the {what}", "ansible.builtin.meta": "noop"}
        for what in ("history server", "mirror server", "log shipper")
    ]
    play = [{"name": "Parity", "hosts": "all", "gather_facts": False, "tasks": tasks, "handlers": handlers}]
    (folder / "play.json").write_text(json.dumps(play))
    environment = {
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "LC_ALL": "C.UTF-8",
    }
    words = [sys.executable, "-P", "-m", "ansible", "playbook", "-i", str(folder / "inventory")]
    run([*words, str(folder / "play.json")], timeout=500, cwd=folder, env=environment)
    return bases


@pytest.fixture(scope="module")
def by_salt(fixtures: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each fixture by one masterless salt-call; return where each one's files are."""
    python = bootstrap.ensure("salt") / "bin" / "python"
    bases = {}
    for name, facts in fixtures.items():
        folder = tmp_path_factory.mktemp("salt")
        bases[name] = folder / "out"
        bases[name].mkdir()
        settings = json.loads(pillar.minion(Host("parity", ("EDGE",)), str(folder)))
        settings["file_roots"]["base"] = [str(folder / "states"), str(ROOT / "salt-states")]
        settings["user"] = getpass.getuser()
        (folder / "minion").write_text(json.dumps(settings))
        (folder / "pillar").mkdir()
        (folder / "pillar" / "top.sls").write_text("base:\n  '*':\n    - facts\n")
        (folder / "pillar" / "facts.sls").write_text("#!json\n" + json.dumps(moved(facts, bases[name])))
        (folder / "states").mkdir()
        (folder / "states" / "parity.sls").write_text(
            "{%- from 'flink/map.jinja' import facts, common with context %}\n"
            "{%- from 'flink/macros.jinja' import files %}\n"
            "{%- from 'mirror_server/map.jinja' import facts as own, common as own_common with context %}\n"
            "{%- from 'mirror_server/macros.jinja' import files as own_files %}\n"
            "{{ own_files(own, own_common) }}\n"
            "{%- from 'yarn_queues/map.jinja' import facts as policy, common as its_common with context %}\n"
            "{%- from 'yarn_queues/macros.jinja' import files as policy_files %}\n"
            "{{ policy_files(policy, its_common) }}\n"
            + "".join(f"{{{{ files(facts, common, '{component}') }}}}\n" for component in FLINK.components)
        )
        call = "import sys; from salt.scripts import salt_call; sys.argv[0] = 'salt-call'; salt_call()"
        words = [str(python), "-c", call, "--local", "-c", str(folder), "--retcode-passthrough", "--out=json"]
        run([*words, "state.apply", "parity"], timeout=300, cwd=folder, env={"LC_ALL": "C.UTF-8"})
    return bases


def tree(base: Path) -> dict[str, Any]:
    """Return what lies under ``base``: kind, mode, owner and bytes by path."""
    found = {}
    for path in sorted(base.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(base))] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return found


@pytest.mark.parametrize("name", FIXTURES)
def test_both_engines_leave_the_same_tree(
    name: str, by_ansible: dict[str, Path], by_salt: dict[str, Path]
) -> None:
    first, second = tree(by_ansible[name]), tree(by_salt[name])
    assert len(first) > 10
    assert list(first) == list(second)
    for path, found in first.items():
        assert found == second[path], path


@pytest.mark.parametrize("name", FIXTURES)
def test_the_preview_shows_the_bytes_that_land(
    name: str, fixtures: dict[str, Facts], by_ansible: dict[str, Path]
) -> None:
    facts = fixtures[name]
    shown = preview.render(facts)
    assert set(shown) == {entry["destination"] for entry in entries(facts, "files")}
    for destination, content in shown.items():
        path = Path(f"{by_ansible[name]}{destination}")
        assert path.read_bytes() == content, destination
    for entry in entries(facts, "files"):
        path = Path(f"{by_ansible[name]}{entry['destination']}")
        assert oct(path.stat().st_mode & 0o7777) == oct(int(entry["mode"], 8)), entry


def test_every_template_is_in_a_fixture(fixtures: dict[str, Facts]) -> None:
    used = {entry["source"] for facts in fixtures.values() for entry in entries(facts, "files")}
    assert {path.name for formula in FORMULAS for path in formula.templates.glob("*.j2")} <= used


def test_odd_values_reach_the_files_as_they_are(by_salt: dict[str, Path]) -> None:
    import yaml

    text = (by_salt["odd-values"] / "etc/flink/2.3.0/config.yaml").read_text()
    found = yaml.load(text, Loader=yaml.BaseLoader)
    assert {key: found[key] for key in ODD} == ODD

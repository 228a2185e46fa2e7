"""Preview, Ansible and Salt write the same bytes, modes and owners: real engines, real role and formula.

Every template, for every flavour, both Flink lines and every optional feature: of all the files of all
these clusters, each one that differs from the others in more than its numbers is written once by each
engine, from the facts of its host with every path moved under a temporary folder (`machines`). Odd
values stand in for what a cluster file may hold.
"""

from __future__ import annotations

import copy
import getpass
import grp
import itertools
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import bootstrap
from core.process import run
from provision import cluster as clusters
from provision import facts as fact_module
from provision import flavours, pillar, preview
from provision.cluster import ROOT
from provision.facts import Facts
from provision.hosts_section import Host
from provision.manifest import FLINK, FORMULAS, YARN_QUEUES, Formula
from tests.unit.provision import samples

Changes = tuple[tuple[str, str], ...]
# The formulas whose files are written a component at a time, with the variable that names it.
BY_COMPONENT = (FLINK, YARN_QUEUES)
LINES: dict[str, Changes] = {
    "both-lines": (),
    "1.20": (("[1.20.5, 2.3.0]", "[1.20.5]"),),
    "2.3": (("[1.20.5, 2.3.0]", "[2.3.0]"), ("default: 1.20.5", "default: 2.3.0")),
}
# Every optional feature of a cluster file that changes a file; each alone, with each flavour and line.
FEATURES: dict[str, Changes] = {
    "plain": (),
    "mirror-server": samples.SERVED,
    "mirror-by-tls": samples.BY_TLS,
    "logs-by-rsyslog": samples.SHIPPED,
    "logs-by-logstash": samples.BY_LOGSTASH,
    "graphite-alone": (
        ("{roles: [FLINK, GRAPHITE]}", "{roles: [FLINK]}"),
        ("kafka-1: {roles: [KAFKA]}", "kafka-1: {roles: [GRAPHITE]}"),
        ("metrics: {interval", "metrics: {carbon: {creates_per_minute: 0}, interval"),
    ),
    "queues": samples.QUEUES,
    "queue-mappings": samples.MAPPED,
    "history-tls": (samples.TLS,),
    "history-limits": (("    retained_jobs: 7\n", "    heap: 2g\n    cpu_percent: 150\n"),),
    "history-age": (samples.OLD_ARCHIVES_GO,),
}
REFUSED = {("1.20", "history-age")}  # by cluster.check: this line keeps archives by number only

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
    facts["yarn_queues_mappings"].append('g:été\'s "x" & <y> $z:root.a-b_c@d+e')
    facts["yarn_queues_managed_by"] = "Managed -- by Ω"


# Whole hosts whose facts are changed by hand: (host, what changes the sample, what changes the facts).
CHANGED: dict[str, tuple[str, Changes, Callable[[Facts], None]]] = {
    "odd-queues": ("both-1", samples.MAPPED, queued),
    "odd-values": ("both-1", (), odd),
    "odd-values-1.20": ("both-1", LINES["1.20"], odd),
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


def described(folder: Path) -> Iterator[tuple[str, Facts]]:
    """Yield a name and the facts of each host of each cluster."""
    lock = samples.lock(folder / "catalogue.lock")
    for flavour, line, feature in itertools.product(flavours.flavours(), LINES, FEATURES):
        if (line, feature) in REFUSED:
            continue
        size = [] if flavour == "pico" else [("flavor: pico", f"flavor: {flavour}")]
        size += [] if flavour == "pico" else [("interval_seconds: 10", "interval_seconds: 60")]
        name = f"{flavour}.{line}.{feature}"
        path = samples.cluster_file(folder / f"{name}.yml", *size, *LINES[line], *FEATURES[feature])
        for host, facts in fact_module.resolve(clusters.load(path), lock).items():
            yield f"{name}.{host}", facts
    for name, (host, changes, change) in CHANGED.items():
        path = samples.cluster_file(folder / f"{name}.yml", *changes)
        facts = copy.deepcopy(fact_module.resolve(clusters.load(path), lock)[host])
        change(facts)
        yield name, facts


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Facts]:
    """The facts of the hosts that have a file like no host before, each with those files alone."""
    seen: set[tuple[str, str]] = set()
    found = {}
    renderer = preview.Renderer()
    for name, its in described(tmp_path_factory.mktemp("facts")):
        texts, facts = renderer.render(its), copy.copy(its)
        for formula in FORMULAS:
            for kind in ("directories", "files"):
                marks = [
                    (
                        like(json.dumps([formula.name, entry], sort_keys=True)),
                        like(texts.get(entry["destination"], b"").decode()),
                    )
                    for entry in its[f"{formula.name}_{kind}"]
                ]
                facts[f"{formula.name}_{kind}"] = [
                    entry
                    for entry, mark in zip(its[f"{formula.name}_{kind}"], marks, strict=True)
                    if mark not in seen
                ]
                seen.update(marks)
        if entries(facts, "files"):
            found[name] = facts
    return found


def like(text: str) -> str:
    """Return ``text`` without its numbers: two files that differ in nothing else are written alike."""
    return re.sub("[0-9]+", "0", text)


def components(formula: Formula) -> tuple[str, ...]:
    """Return what the files of ``formula`` are asked for by."""
    return formula.components if formula in BY_COMPONENT else ("all",)


def wanted(facts: Facts) -> list[str]:
    """Return the components of which ``facts`` have anything."""
    found = []
    for formula in FORMULAS:
        there = [*facts[f"{formula.name}_directories"], *facts[f"{formula.name}_files"]]
        if formula in BY_COMPONENT:
            found += sorted({f"{formula.name}.{entry['component']}" for entry in there})
        elif there:
            found.append(f"{formula.name}.all")
    return found


@pytest.fixture(scope="module")
def by_ansible(machines: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All fixtures in one play, each as a host of its own; return where each one's files are."""
    folder = tmp_path_factory.mktemp("ansible")
    bases = {name: folder / "out" / name for name in machines}
    for name, facts in machines.items():
        bases[name].mkdir(parents=True)
        variables = folder / "inventory" / "host_vars" / f"{name}.json"
        variables.parent.mkdir(parents=True, exist_ok=True)
        variables.write_text(json.dumps({**moved(facts, bases[name]), "parity_components": wanted(facts)}))
    hosts = {name: {"ansible_connection": "local"} for name in machines}
    (folder / "inventory" / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    tasks = [
        {
            "name": f"Write {component} of {formula.name}",
            "ansible.builtin.include_role": {
                "name": formula.name,
                "tasks_from": "files",
            },
            "vars": {f"{formula.name}_component": component},
            "when": f"'{formula.name}.{component}' in parity_components",
        }
        for formula in FORMULAS
        for component in components(formula)
    ]
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
    run([*words, str(folder / "play.json")], timeout=900, cwd=folder, env=environment)
    return bases


@pytest.fixture(scope="module")
def by_salt(machines: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All machines by one masterless salt-call; return where each one's files are."""
    python = bootstrap.ensure("salt") / "bin" / "python"
    folder = tmp_path_factory.mktemp("salt")
    bases = {name: folder / "out" / name for name in machines}
    facts = {}
    for name, its in machines.items():
        bases[name].mkdir(parents=True)
        facts[name] = moved(its, bases[name])
    settings = json.loads(pillar.minion(Host("parity", ("EDGE",)), str(folder)))
    settings["file_roots"]["base"] = [str(folder / "states"), str(ROOT / "salt-states")]
    settings["user"] = getpass.getuser()
    (folder / "minion").write_text(json.dumps(settings))
    (folder / "pillar").mkdir()
    (folder / "pillar" / "top.sls").write_text("base:\n  '*':\n    - facts\n")
    (folder / "pillar" / "facts.sls").write_text("#!json\n" + json.dumps({"machines": facts}))
    (folder / "states").mkdir()
    (folder / "states" / "parity.sls").write_text("".join(map(states, machines, machines.values())))
    call = "import sys; from salt.scripts import salt_call; sys.argv[0] = 'salt-call'; salt_call()"
    words = [str(python), "-c", call, "--local", "-c", str(folder), "--retcode-passthrough", "--out=json"]
    run([*words, "state.apply", "parity"], timeout=900, cwd=folder, env={"LC_ALL": "C.UTF-8"})
    return bases


def states(name: str, facts: Facts) -> str:
    """Return the states of one machine: the formulas' own maps and macros see its facts as the pillar."""
    text = ""
    for formula in FORMULAS:
        its = f"'{formula.name}/map.jinja' import facts, common with context"
        text += f"{{%- from {its} %}}\n{{%- from '{formula.name}/macros.jinja' import files %}}\n"
        for component in components(formula):
            if f"{formula.name}.{component}" in wanted(facts):
                more = f", '{component}'" if formula in BY_COMPONENT else ""
                text += f"{{{{ files(facts, common{more}) }}}}\n"
    return f"{{%- with pillar = pillar.machines['{name}'] %}}\n{text}{{%- endwith %}}\n"


def tree(base: Path) -> dict[str, Any]:
    """Return what lies under ``base``: kind, mode, owner and bytes by path."""
    found = {}
    for path in sorted(base.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(base))] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return found


def test_both_engines_leave_the_same_tree(
    machines: dict[str, Facts], by_ansible: dict[str, Path], by_salt: dict[str, Path]
) -> None:
    assert len(machines) > 10
    for name in machines:
        first, second = tree(by_ansible[name]), tree(by_salt[name])
        assert first
        assert list(first) == list(second), name
        for path, found in first.items():
            assert found == second[path], (name, path)


def test_the_preview_shows_the_bytes_that_land(
    machines: dict[str, Facts], by_ansible: dict[str, Path]
) -> None:
    for name, facts in machines.items():
        shown = preview.render(facts)
        assert set(shown) == {entry["destination"] for entry in entries(facts, "files")}
        for entry in entries(facts, "files"):
            path = Path(f"{by_ansible[name]}{entry['destination']}")
            assert path.read_bytes() == shown[entry["destination"]], (name, entry)
            assert oct(path.stat().st_mode & 0o7777) == oct(int(entry["mode"], 8)), (name, entry)


def test_every_template_is_rendered_for_all_that_it_depends_on(machines: dict[str, Facts]) -> None:
    """A new template that no cluster here gets fails; give it a feature."""
    used = {entry["source"] for facts in machines.values() for entry in entries(facts, "files")}
    assert {path.name for formula in FORMULAS for path in formula.templates.glob("*.j2")} <= used
    assert not [feature for feature in FEATURES if not [name for name in machines if f".{feature}." in name]]


def test_odd_values_reach_the_files_as_they_are(by_salt: dict[str, Path]) -> None:
    import yaml

    text = (by_salt["odd-values"] / "etc/flink/2.3.0/config.yaml").read_text()
    found = yaml.load(text, Loader=yaml.BaseLoader)
    assert {key: found[key] for key in ODD} == ODD

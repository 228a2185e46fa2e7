"""A role and a formula used without a cluster run: what they take, by the real engines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import bootstrap
from core.process import Finished, run
from provision import pillar
from provision.cluster import ROOT
from provision.hosts_section import Host
from provision.manifest import FORMULAS, Formula

FORMULA = pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.name)


def example(formula: Formula) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (ROOT / "salt-states" / formula.name / "pillar.example").read_text()
    )
    return found


def play(folder: Path, facts: dict[str, dict[str, Any]]) -> Finished:
    """Run a playbook with each role in ``facts`` alone, on this machine, in a dry run."""
    plays = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [f"{name}.json"],
            "roles": [{"role": name}],
        }
        for name in facts
    ]
    for name, its in facts.items():
        (folder / f"{name}.json").write_text(json.dumps(its))
    (folder / "play.json").write_text(json.dumps(plays))
    environment = {
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "LC_ALL": "C.UTF-8",
    }
    words = [sys.executable, "-P", "-m", "ansible", "playbook", "--check", str(folder / "play.json")]
    return run(words, timeout=300, cwd=folder, env=environment, check=False)


def nothing_to_do(formula: Formula) -> dict[str, Any]:
    """Return the facts of a host that has no component of ``formula``: its lists are empty."""
    return {key: [] if isinstance(value, list) else value for key, value in example(formula).items()}


def test_a_role_alone_takes_a_facts_file_and_does_what_its_components_say(tmp_path: Path) -> None:
    done = play(tmp_path, {formula.name: nothing_to_do(formula) for formula in FORMULAS})
    assert done.code == 0, done.tail()
    assert "changed=0" in done.stdout
    assert done.stdout.count("Validating arguments against arg spec") == len(FORMULAS)


@FORMULA
def test_a_fact_that_is_missing_is_named_before_the_first_task(formula: Formula, tmp_path: Path) -> None:
    facts = nothing_to_do(formula)
    gone = next(key for key in facts if key != f"{formula.name}_components")
    del facts[gone]
    done = play(tmp_path, {formula.name: facts})
    assert done.code != 0
    assert f"missing required arguments: {gone}" in done.stdout
    assert done.stdout.count("TASK [") == 1


@FORMULA
def test_a_formula_alone_takes_the_example_as_its_pillar(formula: Formula, tmp_path: Path) -> None:
    python = bootstrap.ensure("salt") / "bin" / "python"
    settings = json.loads(pillar.minion(Host("alone", ("EDGE",)), str(tmp_path)))
    settings["file_roots"]["base"] = [str(ROOT / "salt-states")]
    (tmp_path / "minion").write_text(json.dumps(settings))
    (tmp_path / "pillar").mkdir()
    (tmp_path / "pillar" / "top.sls").write_text("base:\n  '*':\n    - facts\n")
    (tmp_path / "pillar" / "facts.sls").write_text("#!json\n" + json.dumps(example(formula)))
    call = "import sys; from salt.scripts import salt_call; sys.argv[0] = 'salt-call'; salt_call()"
    words = [str(python), "-c", call, "--local", "-c", str(tmp_path), "--out=json", "--log-level=error"]
    done = run([*words, "state.show_low_sls", formula.name], timeout=300, env={"LC_ALL": "C.UTF-8"})
    states = json.loads(done.stdout)["local"]
    assert isinstance(states[0], dict), states
    components = {state["__sls__"] for state in states}
    assert {f"{formula.name}.{name}" for name in example(formula)[f"{formula.name}_components"]} <= components

"""Roles and formulas stand alone: each is whole, named the same on both sides, and says what it wants."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mirror import lockfile
from provision import cluster as clusters
from provision import facts as fact_module
from provision.cluster import ROOT
from provision.facts import Facts
from provision.manifest import FORMULAS, Formula
from tests.unit.provision.test_facts import own, shape

FORMULA = pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.name)


def options(formula: Formula) -> dict[str, Any]:
    text = (ROOT / "roles" / formula.name / "meta" / "argument_specs.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return found


@pytest.fixture(scope="module")
def production() -> dict[str, Facts]:
    """The facts of the production example, whose lock is the real one."""
    lock = lockfile.load(ROOT / "mirror" / "catalogue.lock")
    return fact_module.resolve(clusters.load(ROOT / "clusters" / "production.yml"), lock)


@FORMULA
def test_every_host_of_the_production_example_has_just_the_declared_facts(
    formula: Formula, production: dict[str, Facts]
) -> None:
    assert len(production) == 20
    for host, its in production.items():
        shape(own(its, formula), options(formula), host)


def test_no_fact_is_nobodys(production: dict[str, Facts]) -> None:
    prefixes = tuple(f"{formula.name}_" for formula in FORMULAS)
    assert [key for its in production.values() for key in its if not key.startswith(prefixes)] == []


@FORMULA
def test_role_and_formula_are_whole_and_alike(formula: Formula) -> None:
    role, states = ROOT / "roles" / formula.name, ROOT / "salt-states" / formula.name
    for folder, names in (
        (role, ("README.md", "meta/main.yml", "tasks/main.yml")),
        (states, ("README.md", "init.sls", "map.jinja", "pillar.example")),
    ):
        assert [name for name in names if not (folder / name).is_file()] == []
    for component in formula.components:
        assert (role / "tasks" / f"{component}.yml").is_file(), component
        assert (states / f"{component}.sls").is_file(), component
    for folder in (role / "templates", states / "templates"):
        assert folder.resolve() == formula.templates
    for folder in (role / "files", states / "files"):
        assert folder.resolve() == formula.programs


@FORMULA
def test_the_readmes_name_every_component_and_the_other_side(formula: Formula) -> None:
    role = (ROOT / "roles" / formula.name / "README.md").read_text()
    states = (ROOT / "salt-states" / formula.name / "README.md").read_text()
    assert f"salt-states/{formula.name}" in role
    assert f"roles/{formula.name}" in states
    if len(formula.components) > 1:
        for component in formula.components:
            assert f"{component}.yml" in role
            assert f"{formula.name}.{component}" in states

"""Molecule's scenario, as a user of the role runs it; its checks are counted: Molecule does not mind none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.engine import docker
from lab.model import molecule_lab
from tests.lab.conftest import inv

STEPS = ["destroy", "syntax", "create", "converge", "idempotence", "verify", "destroy"]
CHECKS = 30


@pytest.fixture
def nothing_left() -> Iterator[None]:
    yield
    prefix = molecule_lab().container("")
    listed = docker("ps", "--all", "--format", "{{.Names}}").stdout.split()
    left = [name for name in listed if name.startswith(prefix)]
    if left:
        inv("lab.molecule", "--command", "destroy")
    assert left == []


@pytest.mark.usefixtures("nothing_left")
def test_the_role_alone_passes_through_molecule_on_a_bare_host() -> None:
    done = json.loads(inv("--json", "lab.molecule").stdout)
    assert done["steps"] == STEPS
    assert done["checks"] >= CHECKS
    log = (molecule_lab().folder / "molecule.log").read_text()
    assert "The task includes an option with an undefined variable" not in log
    assert "skipping vars_files" not in log

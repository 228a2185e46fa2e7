"""Labs of the tests' own, brought up as a user does it and removed again, also after a failure."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from lab.engine import alive, docker
from lab.model import CHECKOUT, Lab, lab_named
from lab.network import LABEL
from lab.up import mirror

_SECONDS = 1800
# Which labs a fixture stands for, and the files whose tests do not use the two that both engines made.
_LABS = {"ansible_lab": "engines", "salt_lab": "engines", "any_lab": "engines", "bare_lab": "bare"}
_APART = {
    "test_bare_node.py": "bare",
    "test_become.py": "bare",
    "test_mirror_tls.py": "bare",
    "test_salt_ways.py": "bare",
    "test_molecule.py": "molecule",
    "test_upgrade.py": "upgrade",
}


def pytest_configure() -> None:
    """Give the labs of a second worker a mirror of their own: tests tamper with what is served."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if worker != "gw0":
        os.environ["PNDA_MIRROR_ROOT"] = str(CHECKOUT / "build" / f"mirror-{worker}")


class _ByLabs(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types for it
    """Keeps the tests of one lab in one worker; the labs of two workers are up at the same time."""

    def _split_scope(self, nodeid: str) -> str:
        return _APART.get(Path(nodeid.partition("::")[0]).name, "engines")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Have pytest-xdist spread the tests by their labs."""
    return _ByLabs(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that would use a lab of another worker's."""
    for item in items:
        used = {_LABS[name] for name in getattr(item, "fixturenames", ()) if name in _LABS}
        apart = _APART.get(item.path.name, "engines")
        if used - {apart}:
            raise pytest.UsageError(f"{item.nodeid}: it is one of {apart}, and uses a lab of {used}")


@dataclass(frozen=True)
class UpLab:
    """A lab that is up, the engine that provisioned it, and what ``up --json`` said the first time."""

    lab: Lab
    engine: str
    report: dict[str, Any]


def inv(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``./inv`` with ``words`` as a user does."""
    done = subprocess.run(
        [str(CHECKOUT / "inv"), *words],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode != 0:
        pytest.fail(f"./inv {' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def up(name: str, engine: str, *words: str) -> dict[str, Any]:
    """Run ``./inv up --json`` and return its document."""
    report: dict[str, Any] = json.loads(
        inv("--json", "up", "--name", name, "--engine", engine, *words).stdout
    )
    return report


def leftovers(lab: Lab) -> list[str]:
    """Return what Docker still has of ``lab``."""
    mine = f"label={LABEL}={lab.id}"
    found = docker("ps", "--all", "--quiet", "--filter", mine).stdout.split()
    found += docker("volume", "ls", "--quiet", "--filter", mine).stdout.split()
    return found + docker("network", "ls", "--quiet", "--filter", mine).stdout.split()


def lab_up(name: str, engine: str, *words: str) -> Iterator[UpLab]:
    """Yield the lab ``name``, brought up with ``words``, and remove it after."""
    lab = lab_named(name)
    inv("down", "--name", name)  # what an interrupted run left
    try:
        yield UpLab(lab, engine, up(name, engine, *words))
    finally:
        if os.environ.get("PNDA_KEEP_LABS") != "1":
            inv("down", "--name", name)
            # An engine that the lab had started is gone with the last lab, and all of it with that.
            assert not alive() or leftovers(lab) == []
            assert not lab.folder.exists()


@pytest.fixture(scope="session")
def ansible_lab() -> Iterator[UpLab]:
    yield from lab_up("test-ansible", "ansible")


@pytest.fixture(scope="session")
def salt_lab() -> Iterator[UpLab]:
    yield from lab_up("test-salt", "salt")


@pytest.fixture(scope="session")
def bare_lab() -> Iterator[Lab]:
    """Nodes with nothing but Salt's environment, and their mirror, which they reach by TLS.

    Who uses it leaves the nodes as bare as they were.
    """
    lab = lab_named("test-bare")
    inv("down", "--name", lab.name)
    try:
        mirror(lab)
        inv("lab.nodes", "--name", lab.name, "--engine", "salt")
        text = lab.cluster_file.read_text()
        plain = "  base_uri: http://mirror-1 "
        assert plain in text
        authority = (lab.site / "tls" / "ca.pem").relative_to(lab.checkout)
        lab.cluster_file.write_text(text.replace(plain, f"  ca: {authority}\n  base_uri: https://mirror-1 "))
        inv("provision.apply", "--cluster", str(lab.cluster_file), "--limit", "mirror-1")
        yield lab
    finally:
        if os.environ.get("PNDA_KEEP_LABS") != "1":
            inv("down", "--name", lab.name)


@pytest.fixture
def any_lab(request: pytest.FixtureRequest) -> UpLab:
    """The lab of the engine that the test is parametrised with."""
    lab: UpLab = request.getfixturevalue(f"{request.param}_lab")
    return lab

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision.cluster import Cluster
from provision.facts import Facts
from tests.unit.provision import samples


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return samples.lock(tmp_path / "catalogue.lock")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return clusters.load(samples.cluster_file(tmp_path / "sample.yml"))


@pytest.fixture
def facts(cluster: Cluster, lock: Lock) -> dict[str, Facts]:
    return fact_module.resolve(cluster, lock)


@pytest.fixture
def served(tmp_path: Path, lock: Lock) -> dict[str, Facts]:
    """The facts of a cluster whose mirror has a web server of ours."""
    return fact_module.resolve(
        clusters.load(samples.cluster_file(tmp_path / "served.yml", *samples.SERVED)), lock
    )

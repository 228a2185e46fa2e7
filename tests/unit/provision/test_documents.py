"""What people and editors read about a cluster file says what the program does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench import render_case
from core.marked_yaml import load
from mirror import lockfile
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import history_server, preview, releases
from provision.cluster import ROOT, SCHEMA, Cluster
from provision.facts import Facts
from provision.flavours import Flavour, flavours
from tests.unit.provision import samples

FILES = sorted((ROOT / "clusters").glob("*.yml"))
SCHEMA_LINE = "# yaml-language-server: $schema=../provision/cluster.schema.json"


def rows(path: Path, columns: int) -> list[list[str]]:
    """Return the rows of the tables in ``path`` that have ``columns``, without back quotes."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if len(row) == columns]


def test_the_table_of_flavours_is_true() -> None:
    known = flavours()
    head, *body = rows(ROOT / "docs" / "reference" / "flavours.md", 3 + len(known))
    assert head[3:] == list(known)
    found = {row[0]: dict(zip(head[3:], row[3:], strict=True)) for row in body}
    keys = [item.name for item in fields(Flavour) if item.name != "name"]
    assert found == {
        key: {name: str(getattr(flavour, key)) for name, flavour in known.items()} for key in keys
    }


def test_each_size_arrives_in_the_option_that_the_table_names(tmp_path: Path) -> None:
    found = clusters.load(samples.cluster_file(tmp_path / "sample.yml", *PLAIN))
    settings = releases.configuration(found, "1.20.5") | history_server.configuration(found)
    for key, _, option, *_ in rows(ROOT / "docs" / "reference" / "flavours.md", 3 + len(flavours()))[1:]:
        if option:
            numbers = re.findall(r"[0-9]+m?", settings[option])
            assert str(getattr(found.flavour, key)) in numbers, (key, option, settings[option])


# Nothing of the sample's own stands over the flavour.
PLAIN = (
    ("flavor: pico", "flavor: production"),
    ("\n  metrics: {interval_seconds: 10}", ""),
    ("  configuration:\n    taskmanager.numberOfTaskSlots: 4\n", ""),
    (
        "  history_server:\n    retained_jobs: 7\n"
        "    configuration:\n      historyserver.archive.clean-expired-jobs: false\n",
        "",
    ),
)


def properties(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each property of ``schema`` that a person may write, with its place."""
    if isinstance(schema, dict):
        for name, its in schema.get("properties", {}).items():
            yield f"{where}.{name}", its
            yield from properties(its, f"{where}.{name}")
        for key in ("items", "additionalProperties"):
            yield from properties(schema.get(key), f"{where}.*")


def test_every_property_of_the_schema_is_described() -> None:
    found = dict(properties(json.loads(SCHEMA.read_text())))
    assert len(found) > 25
    assert not [name for name, its in found.items() if len(its.get("description", "")) < 10]


def test_the_reference_has_a_row_for_every_property() -> None:
    known = {name.removeprefix(".") for name, _ in properties(json.loads(SCHEMA.read_text()))}
    told = {row[0].strip("`") for row in rows(ROOT / "docs" / "reference" / "cluster.md", 3)}
    assert {name for name in known if not name.startswith("hosts.")} <= told


def test_the_schema_is_one_and_names_no_host() -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].startswith("urn:uuid:")


def test_editors_are_told_the_schema_of_each_cluster_file() -> None:
    from jsonschema import Draft202012Validator

    assert {path.name for path in FILES} >= {"lab.yml", "production.yml"}
    for path in FILES:
        first = path.read_text().splitlines()[0]
        assert first == SCHEMA_LINE
        schema = json.loads((path.parent / first.partition("=")[2]).read_text())
        Draft202012Validator(schema).validate(load(path).data)


@pytest.fixture(scope="module")
def production() -> tuple[Cluster, dict[str, Facts]]:
    """The example and its hosts' facts, by the lock that is shipped with it."""
    cluster = clusters.load(ROOT / "clusters" / "production.yml")
    return cluster, fact_module.resolve(cluster, lockfile.load(ROOT / "mirror" / "catalogue.lock"))


@pytest.mark.parametrize("hosts", [6, 20, 100])
def test_the_cluster_that_is_measured_is_one(hosts: int, tmp_path: Path, lock: Lock) -> None:
    (tmp_path / "bench.yml").write_text(render_case.cluster_file(hosts))
    found = fact_module.resolve(clusters.load(tmp_path / "bench.yml"), lock)
    assert len(found) == hosts
    assert any(
        its["flink_components"] == ["client", "history_server", "housekeeping"] for its in found.values()
    )


def test_the_production_example_is_a_whole_cluster(production: tuple[Cluster, dict[str, Facts]]) -> None:
    cluster, facts = production
    assert len(facts) == 20
    counts = {role: len(cluster.with_role(role)) for role in ("EDGE", "FLINK", "GRAPHITE", "KAFKA", "MIRROR")}
    assert counts == {"EDGE": 10, "FLINK": 2, "GRAPHITE": 1, "KAFKA": 5, "MIRROR": 2}
    assert len({version.split(".")[0] for version in cluster.versions}) == 2
    assert cluster.mirror_server is not None
    assert cluster.mirror_uri == f"http://{cluster.with_role('MIRROR')[0].name}"


def test_the_production_example_is_rendered(production: tuple[Cluster, dict[str, Facts]]) -> None:
    _, facts = production
    edge, manager, mirror, kafka = (
        preview.render(facts[f"{name}-1.example.org"]) for name in ("edge", "manager", "mirror", "kafka")
    )
    assert b"restart-strategy.type: 'exponential-delay'" in edge["/etc/flink/2.3.0/config.yaml"]
    assert b"parallelism.default: 1\n" in edge["/etc/flink/1.20.5/flink-conf.yaml"]
    assert b"-Xmx1024m" in manager["/etc/flink-history/2.3.0/config.yaml"]
    assert b"listen 0.0.0.0:80" in mirror["/etc/pnda-mirror/nginx.conf"]
    assert b"443" not in mirror["/etc/pnda-mirror/nginx.conf"]
    assert kafka == {}

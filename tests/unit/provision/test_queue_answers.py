"""queues.explain and queues.mappings."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from core.errors import UsageError, WorldError
from provision import cluster as clusters
from provision import queue_answers
from provision.cluster import Cluster
from tests.unit.provision import samples
from tests.unit.provision.test_queues import by_file


@pytest.fixture
def queued(tmp_path: Path) -> Cluster:
    return clusters.load(samples.cluster_file(tmp_path / "queued.yml", *samples.QUEUES))


def test_the_rule_that_decides_is_named(queued: Cluster) -> None:
    answer = queue_answers.explain(queued, "prod1", "users,prod", "")
    assert answer.queue == "prod"
    assert answer.rule == "rule 2: :prod prod (group prod)"
    assert answer.others == ("dev (rule 3: :prod dev)",)
    assert answer.text().splitlines()[1] == "  decided by rule 2: :prod prod (group prod)"
    assert queue_answers.explain(queued, "prod1", "prod", "dev").rule == "rule 3: :prod dev (group prod)"
    assert queue_answers.explain(queued, "pnda", ",", "").rule == "rule 1: pnda: default (user pnda)"


@pytest.mark.parametrize(
    ("user", "groups", "requested", "words"),
    [
        ("prod1", "prod", "default", "prod1 may not use the queue `default`"),
        ("prod1", "users", "", "gives prod1 a queue"),
        ("prod", ",", "", "gives prod a queue"),
    ],
)
def test_no_is_an_error_that_names_the_cluster_file(
    queued: Cluster, user: str, groups: str, requested: str, words: str
) -> None:
    with pytest.raises(WorldError) as caught:
        queue_answers.explain(queued, user, groups, requested)
    assert words in caught.value.message
    assert caught.value.cure
    assert str(queued.document.path) in f"{caught.value.message}{caught.value.cure}"
    assert "/map.txt" not in f"{caught.value.message}{caught.value.cure}"


def test_only_hosts_with_a_policy_are_asked(queued: Cluster) -> None:
    with pytest.raises(UsageError) as caught:
        queue_answers.explain_on(queued, "kafka-1", "x", "")
    assert "edge-1, edge-2, both-1" in caught.value.cure
    with pytest.raises(UsageError, match="empty"):
        queue_answers.explain(queued, "", "x", "")


def test_a_cluster_without_queues_says_so(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="has no queues"):
        queue_answers.explain(cluster, "u", "g", "")
    with pytest.raises(UsageError, match="has no queues"):
        queue_answers.mappings(cluster)


def test_mappings_say_each_members_first_rule_in_order(queued: Cluster) -> None:
    found = queue_answers.mappings(queued)
    assert found.mappings == ("u:pnda:default", "g:prod:prod", "g:dev:dev")
    assert [line.split(":")[0:2] for line in found.second] == [["", "prod dev"]]
    assert [number for number, _ in found.wrong] == [-1]
    assert len(found.unsaid) == 2
    read = ElementTree.fromstring(f"<configuration>{queue_answers.properties(found)}</configuration>")
    pairs = {one.findtext("name"): one.findtext("value") for one in read}
    assert pairs == {
        "yarn.scheduler.capacity.queue-mappings": "u:pnda:default,g:prod:prod,g:dev:dev",
        "yarn.scheduler.capacity.queue-mappings-override.enable": "false",
    }


def test_mappings_of_everybody_and_of_odd_names(tmp_path: Path) -> None:
    policy = b"a,b: dev\nroot dev\nx:ignored prod\n:<g> dev\n* default\n* dev\n:%user dev\n"
    found = queue_answers.mappings(clusters.load(by_file(tmp_path, policy)))
    assert found.mappings == ("u:root:dev", "u:x:prod", "g:<g>:dev", "u:%user:default")
    assert [number for number, _ in found.wrong] == [0, 6]
    assert len(found.unsaid) == 3
    assert "<g>" not in queue_answers.properties(found)


def test_the_fair_scheduler_has_no_mappings(tmp_path: Path) -> None:
    change = ("scheduler: capacity", "scheduler: fair")
    described = clusters.load(samples.cluster_file(tmp_path / "fair.yml", *samples.QUEUES, change))
    with pytest.raises(UsageError, match="fair scheduler has no such mappings"):
        queue_answers.mappings(described)


def test_the_tasks_answer(tmp_path: Path) -> None:
    import json

    from core.process import run
    from provision.cluster import ROOT

    path = samples.cluster_file(tmp_path / "queued.yml", *samples.QUEUES)
    words = [str(ROOT / "inv"), "queues.explain", "prod1", "--cluster", str(path)]
    done = run([*words, "--groups", "prod", "--requested", "dev", "--json"], timeout=120)
    assert json.loads(done.stdout)["queue"] == "dev"
    assert run([*words, "--groups", "prod", "--requested", "default"], timeout=120, check=False).code == 1
    assert run(words, timeout=120, check=False).code == 2
    done = run([str(ROOT / "inv"), "queues.mappings", "--cluster", str(path)], timeout=120)
    assert "u:pnda:default" in done.stdout
    assert "second choice" in done.stderr
    assert "second choice" not in done.stdout

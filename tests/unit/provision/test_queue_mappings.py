"""The policy as YARN's own mappings: where their file lands, and what they cannot say is refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview, queue_answers
from tests.unit.provision import samples
from tests.unit.provision.test_queues import by_file

FILE = "/opt/pnda/rm-wrapper/policies/queue-mappings.xml"
ASKED = ("  scheduler: capacity\n", "  scheduler: capacity\n  mappings: true\n")
WITH_YARN = ("kafka-1: {roles: [KAFKA]}", "kafka-1: {roles: [KAFKA, YARN]}")
ALL = (
    "    - {group: dev, queue: dev}\n",
    "    - {group: dev, queue: dev}\n    - {everyone: true, queue: default}\n",
)


def test_hosts_with_yarn_get_the_file_and_no_others(tmp_path: Path, lock: Lock) -> None:
    described = clusters.load(samples.cluster_file(tmp_path / "sample.yml", *samples.MAPPED))
    facts = fact_module.resolve(described, lock)
    shown = {host: preview.render(its) for host, its in facts.items()}
    assert {host for host, files in shown.items() if FILE in files} == {"both-1", "rm-1"}
    assert set(shown["rm-1"]) == {FILE, "/usr/lib/pnda/flink/take-away"}
    assert f"yarn_queues.mappings file {FILE}" in facts["rm-1"]["flink_managed"]
    read = {
        one.findtext("name"): one.findtext("value") for one in ElementTree.fromstring(shown["rm-1"][FILE])
    }
    printed = queue_answers.properties(queue_answers.mappings(described))
    assert read == {
        one.findtext("name"): one.findtext("value")
        for one in ElementTree.fromstring(f"<configuration>{printed}</configuration>")
    }


def test_without_the_key_nobody_gets_it(tmp_path: Path, lock: Lock) -> None:
    described = clusters.load(samples.cluster_file(tmp_path / "sample.yml", *samples.QUEUES, WITH_YARN))
    for its in fact_module.resolve(described, lock).values():
        assert its["yarn_queues_mappings"] == []
        assert FILE not in preview.render(its)


@pytest.mark.parametrize(
    ("changes", "line", "words", "cure"),
    [
        ((ASKED, WITH_YARN), "  mappings: true", "others get no queue", "everyone: true"),
        ((ASKED, ALL), "  mappings: true", "no host has the role YARN", "ResourceManager"),
        (
            (ASKED, WITH_YARN, ALL, ("scheduler: capacity", "scheduler: fair")),
            "  mappings: true",
            "the fair scheduler has no such mappings",
            "leave this key out",
        ),
        (
            (ASKED, WITH_YARN, ALL, ("user: pnda", "user: 'a,b'")),
            "    - {user: 'a,b'",
            "a name with a comma",
            "otherwise",
        ),
        (
            (ASKED, WITH_YARN, ALL, ("group: dev", "group: 'a%user'")),
            "    - {group: 'a%user'",
            "YARN's variables",
            "otherwise",
        ),
        (
            (ASKED, WITH_YARN, ALL, ("mappings: true", "mappings: yes please")),
            "  mappings:",
            "mappings",
            "true",
        ),
    ],
)
def test_what_mappings_cannot_say_is_refused_with_its_line(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], line: str, words: str, cure: str
) -> None:
    path = samples.cluster_file(tmp_path / "sample.yml", *samples.QUEUES, *changes)
    number = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith(line))
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    assert caught.value.exit_code == 2
    assert f"{path.name}:{number}" in caught.value.message
    assert words in caught.value.message
    assert cure in caught.value.cure


def test_a_policy_file_with_such_a_name_is_refused_at_the_key(tmp_path: Path) -> None:
    path = by_file(tmp_path, b"a,b dev\n* default\n")
    path.write_text(path.read_text().replace(*ASKED).replace(*WITH_YARN))
    with pytest.raises(UsageError, match="a name with a comma"):
        clusters.load(path)

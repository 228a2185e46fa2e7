"""The section ``queues`` of a cluster file, and what of it reaches a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import inventory, manifest, preview, remove, status
from provision.cluster import Cluster
from provision.facts import Facts
from provision.queues_section import Rule
from tests.unit.provision import samples

FIRST = "    - {user: pnda, queue: default}\n"
RULES = "".join(
    f"    - {rule}\n"
    for rule in (
        "{user: pnda, queue: default}",
        "{group: prod, queue: prod}",
        "{group: prod, queue: dev}",
        "{group: dev, queue: dev}",
    )
)
POLICY = "/opt/pnda/rm-wrapper/policies/map.txt"
PROGRAM = "/opt/pnda/rm-wrapper/bin/queue-for"


@pytest.fixture
def queued(tmp_path: Path, lock: Lock) -> dict[str, Facts]:
    return fact_module.resolve(
        clusters.load(samples.cluster_file(tmp_path / "queued.yml", *samples.QUEUES)), lock
    )


def by_file(tmp_path: Path, policy: bytes) -> Path:
    """Return a cluster file whose rules stand in a file that holds ``policy``."""
    (tmp_path / "policy.txt").write_bytes(policy)
    change = ("  rules:\n" + RULES, f"  policy_file: {tmp_path}/policy.txt\n")
    return samples.cluster_file(tmp_path / "file.yml", *samples.QUEUES, change)


def test_edge_hosts_get_policy_and_program(queued: dict[str, Facts]) -> None:
    found = {host: its["yarn_queues_components"] for host, its in queued.items()}
    assert [host for host, components in found.items() if components] == ["edge-1", "edge-2", "both-1"]
    assert "yarn_queues.policy" in manifest.components_of(queued["edge-1"])
    rendered = preview.render(queued["edge-1"])
    lines = [line for line in rendered[POLICY].decode().splitlines() if not line.startswith("#")]
    assert lines == ["pnda: default", ":prod prod", ":prod dev", ":dev dev"]
    assert rendered[PROGRAM] == (manifest.YARN_QUEUES.programs / "queue-for").read_bytes()
    modes = {entry["destination"]: entry["mode"] for entry in queued["edge-1"]["yarn_queues_files"]}
    assert modes == {POLICY: "0644", PROGRAM: "0755"}


def test_the_launchers_are_told_of_the_program(queued: dict[str, Facts]) -> None:
    text = preview.render(queued["edge-1"])["/etc/flink/client.env"].decode()
    assert f"PNDA_FLINK_QUEUE_PROGRAM='{PROGRAM}'\n" in text


def test_without_a_section_nothing_is_on_a_node(facts: dict[str, Facts]) -> None:
    its = facts["edge-1"]
    assert its["yarn_queues_components"] == its["yarn_queues_files"] == its["yarn_queues_rules"] == []
    assert its["flink_queue_program"] == ""
    rendered = preview.render(its)
    assert POLICY not in rendered
    assert b"QUEUE" not in rendered["/etc/flink/client.env"]


def test_status_and_remove_know_it(queued: dict[str, Facts], facts: dict[str, Facts]) -> None:
    wanted = status.expected(queued["edge-1"])
    assert wanted[POLICY]["mode"] == "0o644"
    assert wanted["/opt/pnda/rm-wrapper/bin"]["type"] == "directory"
    going = remove.wanted(queued["edge-1"], dry=False)
    assert {POLICY, PROGRAM} <= set(going["files"])
    folders = going["folders"]
    assert folders.index("/opt/pnda/rm-wrapper/bin") < folders.index("/opt/pnda/rm-wrapper")
    assert not [path for path in status.expected(facts["edge-1"]) if "rm-wrapper" in path]


def test_the_inventory_knows_the_hosts(
    queued: dict[str, Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path))
    cluster = clusters.load(samples.cluster_file(tmp_path / "queued.yml", *samples.QUEUES))
    folder = inventory.write(cluster, queued)
    groups = json.loads((folder / "inventory" / "hosts.json").read_text())["all"]["children"]
    assert set(groups["yarn_queues"]["hosts"]) == {"edge-1", "edge-2", "both-1"}


def test_a_file_of_rules_means_what_it_means_on_a_node(tmp_path: Path) -> None:
    policy = b"# ours\r\n\r\npnda: default\r\n\t:prod   prod\nroot dev\n* dev"
    queues = clusters.load(by_file(tmp_path, policy)).queues
    assert queues is not None
    assert queues.policy() == "pnda: default\n:prod prod\nroot dev\n* dev\n"


def test_everyone_is_a_star(tmp_path: Path) -> None:
    change = (FIRST, "    - {everyone: true, queue: default}\n")
    queues = clusters.load(samples.cluster_file(tmp_path / "open.yml", *samples.QUEUES, change)).queues
    assert queues is not None
    assert queues.rules[0] == Rule("*", "default")


# What is replaced, by what, the text on the line that the error must name, words of message and cure.
BAD = [
    ("scheduler: capacity", "scheduler: fifo", "scheduler:", "'fifo'", "capacity"),
    ("scheduler: capacity", "sheduler: capacity", "sheduler:", "unknown key", "did you mean 'scheduler'"),
    ("  scheduler: capacity\n", "", "queues:", "'scheduler' is missing", "add it"),
    ("  names: [default, dev, prod]\n", "", "queues:", "'names' is missing", "add it"),
    ("[default, dev, prod]", "[]", "names:", "names", "a list of the different queues"),
    ("[default, dev, prod]", "default", "names:", "not of type array", "a list of the different queues"),
    ("[default, dev, prod]", "[default, dev, dev]", "names:", "non-unique", "different queues"),
    ("[default, dev, prod]", "[default, dev, root.dev]", "names:", "dev and root.dev are one", "keep one"),
    ("[default, dev, prod]", "[default, 'a b']", "names:", "'a b'", "the name or the path of a queue"),
    ("[default, dev, prod]", "[default, dev.]", "names:", "'dev.'", "the name or the path of a queue"),
    ("[default, dev, prod]", "[dev, prod]", "queue: default", "no queue 'default'", "queues.names"),
    ("{group: dev, queue: dev}", "{group: dev, queue: dve}", "dve", "no queue 'dve'", "did you mean 'dev'"),
    ("{group: dev, queue: dev}", "{group: dev}", "- {group: dev}", "'queue' is missing", "add it"),
    ("{group: dev, queue: dev}", "{queue: dev}", "- {queue: dev}", "for a user, for a group", "everyone"),
    (
        "{group: dev, queue: dev}",
        "{group: dev, user: dev, queue: dev}",
        "user: dev",
        "for a user, for a group",
        "write one of",
    ),
    (
        "{group: dev, queue: dev}",
        "{everyone: false, queue: dev}",
        "everyone",
        "for a user, for a group",
        "everyone: true",
    ),
    ("{group: dev, queue: dev}", "{group: 'a b', queue: dev}", "'a b'", "'a b'", "without spaces"),
    ("{group: dev, queue: dev}", "{group: 'a:b', queue: dev}", "'a:b'", "'a:b'", "without spaces, colons"),
    ("{group: dev, queue: dev}", "{group: '*', queue: dev}", "'*'", "'*'", "stars"),
    ("{group: dev, queue: dev}", "{group: '', queue: dev}", "''", "''", "of a group on the nodes"),
    ("{group: dev, queue: dev}", "{group: '{{ x }}', queue: dev}", "{{", "{{", "braces"),
    ("{group: dev, queue: dev}", "{group: '#x', queue: dev}", "#x", "#x", "of a group on the nodes"),
    ("{group: dev, queue: dev}", "{group: 1000, queue: dev}", "1000", "not of type string", "of a group"),
    ("{group: dev, queue: dev}", "{grup: dev, queue: dev}", "grup", "unknown key 'grup'", "'group'"),
    ("{group: dev, queue: dev}", "':dev dev'", ":dev dev", "not of type object", "a rule such as"),
    (RULES, "    []\n", "rules:", "rules", "a list of rules"),
    ("  rules:\n" + RULES, "", "queues:", "rules and policy_file", "write one of them"),
    ("  rules:\n", "  policy_file: x\n  rules:\n", "queues:", "rules and policy_file", "one of them"),
    ("  rules:\n" + RULES, "  policy_file: no/such\n", "policy_file", "is missing", "file of the rules"),
    ("  rules:\n" + RULES, "  policy_file: docs\n", "policy_file", "is no file", "file of the rules"),
    ("  storage:", "  yarn_queue: prd\n  storage:", "yarn_queue:", "'prd'", "did you mean 'prod'"),
    (
        "[default, dev, prod]\n  rules:\n" + RULES,
        "[dev]\n  rules: [{everyone: true, queue: dev}]\n",
        "names:",
        "'default' (its default)",
        "dev",
    ),
]


@pytest.mark.parametrize(("old", "new", "at", "message", "cure"), BAD)
def test_a_bad_section_is_refused(
    tmp_path: Path, old: str, new: str, at: str, message: str, cure: str
) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", *samples.QUEUES, (old, new))
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    lines = path.read_text().splitlines()
    number = next(count for count, line in enumerate(lines, 1) if at in line)
    assert caught.value.message.startswith(f"{path}:{number}: ")
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    ("policy", "line", "message"),
    [
        (b"pnda: default\n:prod\n", 2, "no queue after"),
        (b"pnda: default # all\n", 1, "more than a member and a queue"),
        (b"# x\n\npnda: default\n:dev nosuch", 4, "no queue 'nosuch'"),
        (b":d{{ x }}v dev\n", 1, "more than a member"),
        (b":d{{x}}v dev\n", 1, "brace"),
        (b":d\xffv dev\n", 1, "not UTF-8"),
        (b": dev\n", 1, "no member"),
        (b":dev dev\x07\n", 1, "control character"),
    ],
)
def test_a_bad_file_of_rules_is_refused(tmp_path: Path, policy: bytes, line: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        clusters.load(by_file(tmp_path, policy))
    assert caught.value.message.startswith(f"{tmp_path}/policy.txt:{line}: ")
    assert message in caught.value.message
    assert caught.value.cure


def test_a_file_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rule"):
        clusters.load(by_file(tmp_path, b"# nothing\n"))

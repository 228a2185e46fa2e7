"""The queue policy on a node, asked as somebody without any rights."""

from __future__ import annotations

from typing import Any

from tests.infra.looks import stat

COMPONENT = "yarn_queues"


def ask(host: Any, facts: dict[str, Any], *words: str) -> Any:
    quoted = " ".join(["%s"] * len(words))
    program = f"{facts['yarn_queues_home']}/bin/queue-for"
    return host.run(f"runuser -u nobody -- env -i PATH=/usr/bin:/bin %s {quoted}", program, *words)


def groups_of(member: str) -> tuple[str, str]:
    """Return somebody (user, groups) whom the rule for ``member`` is about."""
    user, _, group = member.partition(":")
    return ("no-such-user", group) if not user or member == "*" else (user, "no-such-group")


def test_files_are_roots_and_readable(host: Any, facts: dict[str, Any]) -> None:
    files = {entry["destination"]: entry for entry in facts["yarn_queues_files"]}
    seen = stat(host, list(files))
    assert set(seen) == set(files)
    for path, entry in files.items():
        assert (seen[path].owner, seen[path].group, seen[path].mode) == ("root", "root", entry["mode"]), path


def test_the_node_reads_the_rules_that_were_described(host: Any, facts: dict[str, Any]) -> None:
    done = ask(host, facts, "--rules")
    assert done.rc == 0, done.stderr
    found = [tuple(line.split("\t")[1:]) for line in done.stdout.splitlines()]
    assert found == [(rule["member"], rule["queue"]) for rule in facts["yarn_queues_rules"]]


def test_each_rule_gives_its_queue_to_whom_asks_for_it(host: Any, facts: dict[str, Any]) -> None:
    for rule in facts["yarn_queues_rules"]:
        user, groups = groups_of(rule["member"])
        done = ask(host, facts, "--user", user, "--groups", groups, rule["queue"])
        assert (done.rc, done.stdout) == (0, f"{rule['queue']}\n"), done.stderr


def test_a_queue_that_no_rule_gives_is_refused(host: Any, facts: dict[str, Any]) -> None:
    user, groups = groups_of(facts["yarn_queues_rules"][0]["member"])
    done = ask(host, facts, "--user", user, "--groups", groups, "no-such-queue")
    assert (done.rc, done.stdout) == (3, "")
    assert "cure: " in done.stderr


def test_nobody_without_a_rule_gets_a_queue(host: Any, facts: dict[str, Any]) -> None:
    done = ask(host, facts, "--user", "no-such-user", "--groups", "no-such-group")
    everybody = [rule["queue"] for rule in facts["yarn_queues_rules"] if rule["member"] == "*"]
    wanted = (0, f"{everybody[0]}\n") if everybody else (2, "")
    assert (done.rc, done.stdout) == wanted


def test_the_launchers_ask_it(host: Any, facts: dict[str, Any]) -> None:
    settings = host.file("/etc/flink/client.env").content_string
    assert f"PNDA_FLINK_QUEUE_PROGRAM='{facts['yarn_queues_home']}/bin/queue-for'" in settings

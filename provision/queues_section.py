"""The section ``queues`` of a cluster file: the cluster's YARN queues, and who may use which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError, in_file
from core.marked_yaml import Document, Path_, nearest
from core.process import run

# What nodes decide with, and what reads a policy here as well: one reader, one meaning.
PROGRAM = Path(__file__).resolve().parent.parent / "programs" / "yarn_queues" / "queue-for"
_WHERE: Path_ = ("queues",)
_UNFIT = re.compile("[{}\N{REPLACEMENT CHARACTER}]")


@dataclass(frozen=True)
class Rule:
    """A line of the policy: its ``member`` (``USER:``, ``:GROUP`` or ``*``) and the queue that it gives."""

    member: str
    queue: str


@dataclass(frozen=True)
class Queues:
    """The queues of a cluster, its scheduler (``capacity`` or ``fair``), and the policy's rules, in order.

    ``mappings`` tells that the scheduler gets the policy as well.
    """

    scheduler: str
    names: tuple[str, ...]
    rules: tuple[Rule, ...]
    mappings: bool = False

    def policy(self) -> str:
        """Return the rules as the lines of a policy file."""
        return "".join(f"{rule.member} {rule.queue}\n" for rule in self.rules)


def read(document: Document, yarn_queue: str, folder: Path) -> Queues | None:
    """Return the queues that ``document`` describes; None where it has no section.

    ``yarn_queue`` is the queue that Flink's configuration names; ``folder`` is what a policy file's
    relative path is relative to. Raises UsageError with file, line and cure.
    """
    section: Mapping[str, Any] | None = document.data.get("queues")
    if section is None:
        return None
    names = tuple(section["names"])
    _no_twins(document, names)
    if ("rules" in section) == ("policy_file" in section):
        raise document.fault(
            _WHERE, "rules and policy_file: one of the two says who may use which queue", "write one of them"
        )
    if "rules" in section:
        rules = tuple(_written(document, section["rules"], names))
    else:
        rules = tuple(_from_file(document, folder / section["policy_file"], names))
    if yarn_queue not in names:
        key = "yarn_queue" in document.data["flink"]
        raise document.fault(
            ("flink", "yarn_queue") if key else (*_WHERE, "names"),
            f"flink.yarn_queue is {yarn_queue!r}{'' if key else ' (its default)'}, "
            "which is not among queues.names",
            nearest(yarn_queue, names),
        )
    return Queues(section["scheduler"], names, rules, section.get("mappings", False))


def _no_twins(document: Document, names: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        short = name.removeprefix("root.")
        if short in seen:
            raise document.fault(
                (*_WHERE, "names", index), f"{seen[short]} and {name} are one queue", "keep one of them"
            )
        seen[short] = name


def _written(document: Document, rules: list[dict[str, Any]], names: tuple[str, ...]) -> Iterator[Rule]:
    for index, rule in enumerate(rules):
        where = (*_WHERE, "rules", index)
        who = [key for key in ("user", "group", "everyone") if key in rule]
        if len(who) != 1 or rule.get("everyone") is False:
            raise document.fault(
                where,
                "a rule is for a user, for a group or for everyone",
                "write one of `user: NAME`, `group: NAME`, `everyone: true`",
            )
        if rule["queue"] not in names:
            raise document.fault(
                (*where, "queue"),
                f"the cluster has no queue {rule['queue']!r}",
                f"add it to queues.names, or {nearest(rule['queue'], names)}",
            )
        member = {"user": f"{rule.get('user')}:", "group": f":{rule.get('group')}", "everyone": "*"}[who[0]]
        yield Rule(member, rule["queue"])


def _from_file(document: Document, path: Path, names: tuple[str, ...]) -> Iterator[Rule]:
    done = run([str(PROGRAM), "--rules", "--policy", str(path)], timeout=60, check=False)
    if done.code != 0:
        message, _, cure = done.stderr.strip().removeprefix("queue-for: ").partition("; cure: ")
        if message.startswith(f"{path}:"):
            raise UsageError(message, cure)
        raise document.fault((*_WHERE, "policy_file"), message, "name the file of the rules")
    for line in done.stdout.splitlines():
        number, member, queue = line.split("\t")
        if _UNFIT.search(member):
            raise UsageError(
                in_file(path, int(number), f"{member!r} holds a brace, or is not UTF-8"),
                "name the user or the group otherwise: Ansible would read a brace as its own",
            )
        if queue not in names:
            raise UsageError(
                in_file(path, int(number), f"the cluster has no queue {queue!r}"),
                f"add it to queues.names in {document.path}, or {nearest(queue, names)}",
            )
        yield Rule(member, queue)

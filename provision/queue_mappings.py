"""The queue policy in the words of YARN's capacity scheduler: its queue mappings, and what they cannot say.

As the scheduler reads them (tests/release/test_queue_mappings.py asks Hadoop's own classes, 3.4.2).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.marked_yaml import Document, Path_
from provision.queues_section import Queues, Rule

# On the left this is every user; wherever it stands in a name, YARN puts a variable's value in.
_EVERYBODY, _VARIABLE = "u:%user", "%"
_NOBODY = "that others get no queue: YARN puts them into its queue `default`, if its access lists let them"


@dataclass(frozen=True)
class Mappings:
    """The mappings in order, and what they leave unsaid.

    ``second`` are rules that give a queue which a user may ask for: YARN keeps a queue that was asked for,
    and its access lists allow it, or do not. ``wrong`` is what would lead somebody to another queue than the
    policy does: the number of the rule (-1 for the policy as a whole), and why.
    """

    mappings: tuple[str, ...]
    second: tuple[str, ...]
    wrong: tuple[tuple[int, str], ...]

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Return all that they leave unsaid, in words."""
        return (*(why for _, why in self.wrong), *self.second)


def of_rules(rules: Sequence[Rule]) -> Mappings:
    """Return ``rules`` as mappings: each member's first rule alone, in the policy's order. Pure."""
    said: dict[str, str] = {}
    second, wrong = [], []
    for number, rule in enumerate(rules):
        user, _, group = rule.member.partition(":")
        source = _EVERYBODY if rule.member == "*" else f"u:{user}" if user else f"g:{group}"
        name = user or group
        if "," in name or _VARIABLE in name:
            what = "a comma" if "," in name else f"a {_VARIABLE}, as YARN's variables have"
            wrong.append((number, f"{rule.member} {rule.queue}: a name with {what}"))
        elif source in said:
            second.append(
                f"{rule.member} {rule.queue}: a second choice (YARN's access lists allow it, or do not)"
            )
        else:
            said[source] = rule.queue
    if _EVERYBODY not in said:
        wrong.append((-1, _NOBODY))
    pairs = tuple(f"{source}:{queue}" for source, queue in said.items())
    return Mappings(pairs, tuple(second), tuple(wrong))


def check(document: Document, queues: Queues | None, roles: Collection[str]) -> None:
    """Raise UsageError, with the line, where ``queues.mappings`` asks for what mappings cannot say.

    ``roles`` are those that any host has.
    """
    if queues is None or not queues.mappings:
        return
    where: Path_ = ("queues", "mappings")
    if queues.scheduler != "capacity":
        raise document.fault(
            where,
            f"the {queues.scheduler} scheduler has no such mappings",
            "only the capacity scheduler has: leave this key out, and let the launchers decide",
        )
    if "YARN" not in roles:
        raise document.fault(
            where,
            "no host has the role YARN, which gets their file",
            "give it to the ResourceManager's host, or leave this key out",
        )
    for number, why in of_rules(queues.rules).wrong:
        written = number >= 0 and "rules" in document.data["queues"]
        raise document.fault(
            ("queues", "rules", number) if written else where,
            f"the scheduler's mappings cannot say {why}"
            if number < 0
            else f"the scheduler's mappings cannot say {why!r}",
            "end the rules with `everyone: true` and a queue whose access list keeps strangers out, "
            "or leave queues.mappings out"
            if number < 0
            else "name the user or the group otherwise, or leave queues.mappings out",
        )

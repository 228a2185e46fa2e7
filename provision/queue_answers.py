"""What the queue policy of a cluster says: of one user, and as the capacity scheduler's mappings."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from core.errors import UsageError, WorldError
from core.process import Finished, run
from provision import nodes, queue_mappings, yarn_queues
from provision.cluster import Cluster
from provision.queue_mappings import Mappings
from provision.queues_section import PROGRAM, Queues

_DECIDED, _MAY = "decided by ", "may also ask for: "
_MAPPINGS = "yarn.scheduler.capacity.queue-mappings"
# queue-for's exit codes for an answer that is no.
_DENIED = (2, 3)


@dataclass(frozen=True)
class Answer:
    """The queue of a user, the rule that decides, and what else the user may ask for, each with its rule."""

    queue: str
    rule: str
    others: tuple[str, ...]

    def text(self) -> str:
        """Return the answer for people."""
        return "\n".join(
            [self.queue, f"  {_DECIDED}{self.rule}", *(f"  {_MAY}{other}" for other in self.others)]
        )


def of(cluster: Cluster) -> Queues:
    """Return the cluster's queues. Raises UsageError where its file describes none."""
    if cluster.queues is None:
        raise cluster.document.fault(
            (), "this cluster has no queues", "write a section `queues` (docs/reference/queues.md)"
        )
    return cluster.queues


def explain(cluster: Cluster, user: str, groups: str, requested: str) -> Answer:
    """Return what the cluster file's policy gives ``user``, a member of ``groups`` (separated by commas).

    ``requested`` is the queue that the user asks for, or empty. Raises WorldError where the answer is no.
    """
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "map.txt"
        policy.write_text(of(cluster).policy(), encoding="utf-8")
        words = [str(PROGRAM), "--policy", str(policy), "--groups", groups, *_asking(user, requested)]
        done = run(words, timeout=60, check=False)
    # Without comments, the policy's line is the rule's number.
    return _answer(done, (f"{policy}:", "rule "), (str(policy), str(cluster.document.path)))


def explain_on(cluster: Cluster, host: str, user: str, requested: str) -> Answer:
    """Return the same by the policy and the groups that ``host`` has, asked by ssh.

    Raises UsageError where ``host`` is not one that gets a policy, WorldError where it does not answer.
    """
    of(cluster)
    edges = [one.name for one in cluster.with_role("EDGE")]
    if host not in edges:
        raise UsageError(f"{host} is no host with the role EDGE", f"ask one of: {', '.join(edges)}")
    done = nodes.remote(cluster, host, [yarn_queues.program(cluster), *_asking(user, requested)])
    return _answer(done)


def _asking(user: str, requested: str) -> list[str]:
    if not user:
        raise UsageError("the user's name is empty", "./inv queues.explain USER")
    return ["--user", user, "--explain", "--", requested]


def _answer(done: Finished, *shown: tuple[str, str]) -> Answer:
    out, err = done.stdout, done.stderr.strip()
    for old, new in shown:
        out, err = out.replace(old, new), err.replace(old, new)
    message, _, cure = err.removeprefix("queue-for: ").partition("; cure: ")
    if done.code != 0:
        said = message or f"queue-for ended with {done.code}"
        raise WorldError(said, cure if done.code in _DENIED else cure or "provision this node")
    queue, *lines = out.splitlines()
    rule = next(line.removeprefix(_DECIDED) for line in lines if line.startswith(_DECIDED))
    return Answer(queue, rule, tuple(line.removeprefix(_MAY) for line in lines if line.startswith(_MAY)))


def mappings(cluster: Cluster) -> Mappings:
    """Return the policy as the capacity scheduler's mappings. Raises UsageError for another scheduler."""
    queues = of(cluster)
    if queues.scheduler != "capacity":
        raise cluster.document.fault(
            ("queues", "scheduler"),
            f"the {queues.scheduler} scheduler has no such mappings",
            "only the capacity scheduler has: let the launchers decide",
        )
    return queue_mappings.of_rules(queues.rules)


def properties(found: Mappings) -> str:
    """Return the two properties as they stand in ``capacity-scheduler.xml``.

    Without the override: with it, YARN would silently move an application whose user chose another queue
    (seen on Hadoop 3.4.2).
    """
    pairs = ((_MAPPINGS, ",".join(found.mappings)), (f"{_MAPPINGS}-override.enable", "false"))
    return "\n".join(
        f"<property><name>{name}</name><value>{escape(value)}</value></property>" for name, value in pairs
    )

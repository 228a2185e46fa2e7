"""The tasks about queues: they parse, call and print."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

_CLUSTER = "the cluster file (default: clusters/lab.yml)"
_CLUSTER_PATH = "clusters/lab.yml"


@task(
    positional=["user"],
    help={
        "user": "whose queue it is about",
        "cluster": _CLUSTER,
        "groups": "the user's groups, separated by commas (none: a comma); the cluster file is asked",
        "host": "a host with the role EDGE: its own policy is asked there, and the groups that it knows",
        "requested": "the queue that the user asks for",
    },
)
def explain(
    _: Context, user: str, cluster: str = _CLUSTER_PATH, groups: str = "", host: str = "", requested: str = ""
) -> None:
    """Say which queue a user gets and which rule decides; exit 1 where the answer is none."""
    from dataclasses import asdict
    from pathlib import Path

    from core import console
    from core.errors import UsageError
    from provision import cluster as clusters
    from provision import queue_answers

    if bool(groups) == bool(host):
        raise UsageError(
            "the user's groups are not known here",
            "give them (--groups dev,users), or a host to ask (--host)",
        )
    described = clusters.load(Path(cluster))
    if host:
        answer = queue_answers.explain_on(described, host, user, requested)
    else:
        answer = queue_answers.explain(described, user, groups, requested)
    console.result(asdict(answer), answer.text())


@task(help={"cluster": _CLUSTER})
def mappings(_: Context, cluster: str = _CLUSTER_PATH) -> None:
    """Print the policy as queue mappings of YARN's capacity scheduler, and what they cannot say."""
    from pathlib import Path

    from core import console
    from provision import cluster as clusters
    from provision import queue_answers

    found = queue_answers.mappings(clusters.load(Path(cluster)))
    for line in found.unsaid:
        console.warn(f"not said by these mappings: {line}")
    document = {"value": ",".join(found.mappings), "unsaid": list(found.unsaid)}
    console.result(document, queue_answers.properties(found))


ns = Collection("queues", explain, mappings)

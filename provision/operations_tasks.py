"""The tasks that look at what is on the hosts, and go back: they parse, call and print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

if TYPE_CHECKING:
    from provision.cluster import Cluster
    from provision.facts import Facts

CLUSTER = "the cluster file (default: clusters/lab.yml)"
LOCK = "the mirror's lock (default: mirror/catalogue.lock)"
LIMIT = "only this host, role:ROLE or pattern such as edge-*; may be given more than once"
ENGINE = "ansible or salt"
CLUSTER_PATH = "clusters/lab.yml"
LOCK_PATH = "mirror/catalogue.lock"


def _described(cluster: str, lock: str, limit: list[str]) -> tuple[Cluster, dict[str, Facts]]:
    from pathlib import Path

    from provision.apply import described

    return described(Path(cluster), Path(lock), tuple(limit))


@task(iterable=["limit"], help={"cluster": CLUSTER, "lock": LOCK, "limit": LIMIT, "engine": ENGINE})
def plan(
    _: Context,
    limit: list[str],
    cluster: str = CLUSTER_PATH,
    lock: str = LOCK_PATH,
    engine: str = "ansible",
) -> None:
    """Show what an apply would change on each host, with differences; exit 1 where it would change any."""
    from pathlib import Path

    from core import console
    from core.errors import WorldError
    from provision.apply import ApplyError, ApplyRequest, apply
    from provision.report import plan_document, plan_text

    try:
        report = apply(ApplyRequest(Path(cluster), Path(lock), engine, tuple(limit), check=True))
    except ApplyError as failure:
        console.result(plan_document(failure.report), plan_text(failure.report))
        raise
    console.result(plan_document(report), plan_text(report))
    count = sum(result.changed for result in report.hosts.values())
    if count:
        raise WorldError(
            f"{count} things would change", f"./inv provision.apply --cluster {cluster} makes it so"
        )


@task(iterable=["limit"], help={"cluster": CLUSTER, "lock": LOCK, "limit": LIMIT})
def status(_: Context, limit: list[str], cluster: str = CLUSTER_PATH, lock: str = LOCK_PATH) -> None:
    """Say what is on each host, and what of it is not as described; exit 1 for drift or no answer."""
    from core import console
    from core.errors import WorldError
    from provision import status as looking

    found = looking.status(*_described(cluster, lock, limit))
    console.result({host: one.document() for host, one in found.items()}, looking.table(found))
    other = [host for host, one in found.items() if not one.same]
    if other:
        raise WorldError(
            f"not as described, or not reachable: {', '.join(other)}",
            f"see the list above; ./inv provision.apply --cluster {cluster} puts it right",
        )


@task(iterable=["limit"], help={"cluster": CLUSTER, "lock": LOCK, "limit": LIMIT})
def rollback(_: Context, limit: list[str], cluster: str = CLUSTER_PATH, lock: str = LOCK_PATH) -> None:
    """Go back to the version before on each host: links flip, nothing is fetched; recorded on the host."""
    from core import console
    from provision.report import ApplyError
    from provision.rollback import rollback as go_back

    try:
        report = go_back(*_described(cluster, lock, limit))
    except ApplyError as failure:
        console.result(failure.report.document(), failure.report.text())
        raise
    console.result(report.document(), report.text())


@task(
    iterable=["limit"],
    help={"cluster": CLUSTER, "lock": LOCK, "limit": LIMIT, "dry-run": "say what would go, remove nothing"},
)
def remove(
    _: Context,
    limit: list[str],
    cluster: str = CLUSTER_PATH,
    lock: str = LOCK_PATH,
    dry_run: bool = False,
) -> None:
    """Remove from the hosts all that was provisioned there; logs and archives stay."""
    from core import console
    from provision.remove import remove as take_off
    from provision.report import ApplyError

    try:
        report = take_off(*_described(cluster, lock, limit), dry_run)
    except ApplyError as failure:
        console.result(failure.report.document(), failure.report.text())
        raise
    console.result(report.document(), report.text())

"""The tasks of this room: they parse, call and print; imports of the work stay inside them."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from provision.operations_tasks import plan, status

_CLUSTER = "the cluster file (default: clusters/lab.yml)"
_LOCK = "the mirror's lock (default: mirror/catalogue.lock)"
_CLUSTER_PATH = "clusters/lab.yml"
_LOCK_PATH = "mirror/catalogue.lock"


@task(help={"cluster": _CLUSTER, "lock": _LOCK})
def check(_: Context, cluster: str = _CLUSTER_PATH, lock: str = _LOCK_PATH) -> None:
    """Check a cluster file, and that the lock has what it asks for."""
    from pathlib import Path

    from core import console
    from mirror import lockfile
    from provision import cluster as clusters
    from provision import facts
    from provision.manifest import components_of

    found = facts.resolve(clusters.load(Path(cluster)), lockfile.load(Path(lock)))
    hosts = {host: components_of(its) for host, its in found.items()}
    lines = [
        f"{host}: {', '.join(components) or 'nothing to provision'}" for host, components in hosts.items()
    ]
    console.result({"hosts": hosts}, "\n".join(lines))


@task(help={"cluster": _CLUSTER, "lock": _LOCK, "facts": "print the facts of this host instead"})
def render(_: Context, cluster: str = _CLUSTER_PATH, lock: str = _LOCK_PATH, facts: str = "") -> None:
    """Write what will land on each host to build/NAME/preview, and the facts to build/NAME/facts."""
    import json
    from pathlib import Path

    from core import console
    from core.errors import UsageError
    from core.marked_yaml import nearest
    from mirror import lockfile
    from provision import cluster as clusters
    from provision import facts as fact_module
    from provision import preview

    described = clusters.load(Path(cluster))
    found = fact_module.resolve(described, lockfile.load(Path(lock)))
    if facts:
        if facts not in found:
            raise UsageError(f"--facts: there is no host {facts!r}", nearest(facts, found))
        print(json.dumps(found[facts], indent=2, sort_keys=True))
        return
    folder = preview.write(described.build, found)
    count = sum(1 for path in folder.rglob("*") if path.is_file())
    console.result({"preview": str(folder), "files": count}, f"{count} files of {len(found)} hosts: {folder}")


@task(
    iterable=["limit"],
    help={
        "cluster": _CLUSTER,
        "lock": _LOCK,
        "engine": "ansible or salt",
        "limit": "only this host; may be given more than once",
        "check": "dry run: say what would change, change nothing",
    },
)
def apply(
    _: Context,
    limit: list[str],
    cluster: str = _CLUSTER_PATH,
    lock: str = _LOCK_PATH,
    engine: str = "ansible",
    check: bool = False,
) -> None:
    """Provision the cluster's hosts, and say what changed where."""
    from pathlib import Path

    from core import console
    from provision.apply import ApplyError, ApplyRequest
    from provision.apply import apply as roll_out

    request = ApplyRequest(Path(cluster), Path(lock), engine, tuple(limit), check)
    try:
        report = roll_out(request)
    except ApplyError as failure:
        console.result(failure.report.document(), failure.report.text())
        raise
    console.result(report.document(), report.text())


cluster_ns = Collection("cluster", check, render)
ns = Collection("provision", apply, plan, status)

"""The tasks of this room: they parse, call and print; imports of the work stay inside them."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from provision.operations_tasks import plan, remove, rollback, status

_CLUSTER = "the cluster file (default: clusters/lab.yml)"
_LOCK = "the mirror's lock (default: mirror/catalogue.lock)"
_CLUSTER_PATH = "clusters/lab.yml"
_LOCK_PATH = "mirror/catalogue.lock"
_ROOT = "the mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror"


def _root(given: str) -> Path:
    return Path(given or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")


@task(
    help={
        "cluster": _CLUSTER,
        "lock": _LOCK,
        "deep": "also ask Flink itself, from the mirror, whether it takes the memory settings",
        "root": _ROOT + " (only with --deep)",
    }
)
def check(
    _: Context, cluster: str = _CLUSTER_PATH, lock: str = _LOCK_PATH, deep: bool = False, root: str = ""
) -> None:
    """Check a cluster file, its Flink options, and that the lock has what it asks for."""
    from core import console
    from mirror import lockfile
    from provision import cluster as clusters
    from provision import facts, memory_check, option_check
    from provision.manifest import components_of

    described, locked = clusters.load(Path(cluster)), lockfile.load(Path(lock))
    found = facts.resolve(described, locked)
    warnings = option_check.warnings(described)
    hosts = {host: components_of(its) for host, its in found.items()}
    lines = [
        f"{host}: {', '.join(components) or 'nothing to provision'}" for host, components in hosts.items()
    ]
    document: dict[str, object] = {"hosts": hosts, "warnings": warnings}
    if deep:
        memory = memory_check.check(described, found, locked, _root(root))
        document["memory"] = [asdict(its) for its in memory]
        lines += [f"Flink {its.version} takes the {its.process}'s memory settings" for its in memory]
    console.result(document, "\n".join([*lines, *(f"warning: {warning}" for warning in warnings)]))


@task(
    help={
        "version": "the Flink version (default: all in the lock)",
        "lock": _LOCK,
        "root": _ROOT,
    }
)
def refresh(_: Context, version: str = "", lock: str = _LOCK_PATH, root: str = "") -> None:
    """Ask the Flink on the mirror which options it knows, and write provision/options/VERSION.tsv."""
    from core import console
    from mirror import lockfile
    from provision import option_refresh
    from provision.releases import locked_versions

    locked = lockfile.load(Path(lock))
    versions = [version] if version else locked_versions(locked)
    paths = {its: option_refresh.refresh(locked, _root(root), its) for its in versions}
    document = {its: str(path) for its, path in paths.items()}
    console.result({"options": document}, "\n".join(f"Flink {its}: {path}" for its, path in document.items()))


@task(
    help={
        "cluster": _CLUSTER,
        "lock": _LOCK,
        "facts": "print the facts of this host instead",
        "salt": "also write states, pillar and roster for a Salt master or salt-ssh: build/NAME/salt-master",
    }
)
def render(
    _: Context, cluster: str = _CLUSTER_PATH, lock: str = _LOCK_PATH, facts: str = "", salt: bool = False
) -> None:
    """Write what will land on each host to build/NAME/preview, and the facts to build/NAME/facts."""
    import json

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
    folder, count = preview.write(described.build, found)
    document: dict[str, object] = {"preview": str(folder), "files": count}
    lines = [f"{count} files of {len(found)} hosts: {folder}"]
    if salt:
        from provision import salt_master

        master = salt_master.write(described, found)
        document["salt"] = str(master)
        lines.append(f"for a Salt master or salt-ssh: {master}")
    console.result(document, "\n".join(lines))


@task(
    iterable=["limit"],
    help={
        "cluster": _CLUSTER,
        "lock": _LOCK,
        "engine": "ansible or salt",
        "limit": "only this host, role:ROLE or pattern such as edge-*; may be given more than once",
        "check": "dry run: say what would change, change nothing",
        "batch": "how many hosts change their version at a time, after the first (default: 10)",
        "again": "go on where a host was rolled back from the version that is asked for",
    },
)
def apply(
    _: Context,
    limit: list[str],
    cluster: str = _CLUSTER_PATH,
    lock: str = _LOCK_PATH,
    engine: str = "ansible",
    check: bool = False,
    again: bool = False,
    batch: int = 10,
) -> None:
    """Provision the cluster's hosts, and say what changed where."""
    from core import console
    from provision.apply import ApplyError, ApplyRequest
    from provision.apply import apply as roll_out

    request = ApplyRequest(Path(cluster), Path(lock), engine, tuple(limit), check, again, batch)
    try:
        report = roll_out(request)
    except ApplyError as failure:
        console.result(failure.report.document(), failure.report.text())
        raise
    console.result(report.document(), report.text())


cluster_ns = Collection("cluster", check, render)
options_ns = Collection("options", refresh)
ns = Collection("provision", apply, plan, status, rollback, remove)

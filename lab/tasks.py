"""The lab's tasks: they parse, call and print; everything else lies in the modules beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from core import console, locks
from core.errors import UsageError, WorldError

if TYPE_CHECKING:
    from lab.model import Lab

_NAME = "which lab (default: lab)"
_ENGINE = "what provisions the nodes: ansible or salt"
_EDGES = "how many EDGE nodes (default: as the lab is described)"
_SHOWN = 30


def _engine(value: str) -> str:
    if value not in {"ansible", "salt"}:
        raise UsageError(f"--engine {value} is not known", "use --engine ansible or --engine salt")
    return value


@task(
    help={
        "name": _NAME,
        "engine": _ENGINE,
        "jobs": "run the jobs and wait for them and their metrics (--no-jobs: not)",
        "edges": _EDGES,
        "flink": "Flink's versions, separated by commas, the default first (default: as it is described)",
    }
)
def up(
    _: Context, name: str = "lab", engine: str = "ansible", jobs: bool = True, edges: int = 0, flink: str = ""
) -> None:
    """Run the main job: mirror, containers, provisioning, real Flink jobs, verification."""
    from lab import up as bringing
    from lab.model import lab_named
    from lab.status import where

    lab = lab_named(name)
    versions = tuple(word for word in flink.split(",") if word)
    report = bringing.up(lab, _engine(engine), jobs, edges, versions)
    places = where(lab)
    ran = [{"name": job.name, "id": job.id, "seconds": job.seconds} for job in report.jobs]
    document = {
        "requests": report.requests,
        "fetched_bytes": report.fetched_bytes,
        "containers_made": report.made,
        "changed": report.changed,
        "jobs": ran,
        "checks": report.checks,
        "seconds": round(report.seconds, 1),
        "where": places,
    }
    lines = [
        f"the lab {lab.name} is up after {report.seconds:.0f} s: "
        f"{report.fetched_bytes / 1e6:.0f} MB fetched in {report.requests} requests, "
        f"{len(report.made)} containers made, "
        f"{sum(report.changed.values())} changes by {engine}",
        *(f"  {job.name} {job.id} FINISHED in {job.seconds:.1f} s" for job in report.jobs),
        f"  testinfra: {report.checks}",
        *(f"  {what}: {place}" for what, place in places.items()),
    ]
    console.result(document, "\n".join(lines))


@task(help={"name": _NAME, "all": "remove the lab's Docker images too"})
def down(_: Context, name: str = "lab", all: bool = False) -> None:  # noqa: A002 - the flag's name
    """Remove a lab: containers, network, volumes, generated files; the mirror stays."""
    from lab import down as removing
    from lab.model import lab_named

    report = removing.down(lab_named(name), all)
    document = {
        "containers": report.containers,
        "images": report.images,
        "engine_stopped": report.engine_stopped,
    }
    text = f"removed {report.containers} containers and {report.images} images of the lab {name}"
    console.result(document, text + ("; the Docker engine is stopped" if report.engine_stopped else ""))


@task(help={"name": _NAME, "engine": _ENGINE, "edges": _EDGES})
def nodes(_: Context, name: str = "lab", engine: str = "ansible", edges: int = 0) -> None:
    """Bring up bare nodes only: containers with systemd and ssh, nothing provisioned."""
    from lab import network
    from lab.model import lab_named
    from lab.nodes import bring_up

    lab = lab_named(name)
    fresh = bring_up(lab, _engine(engine), edges)
    addresses = network.addresses(lab)
    document = {"ssh_config": str(lab.ssh_config), "made": fresh, "addresses": addresses}
    lines = [
        f"ssh -F {lab.ssh_config.relative_to(lab.checkout)} HOST",
        *(f"  {host}  {address}" for host, address in addresses.items()),
    ]
    console.result(document, "\n".join(lines))


@task(help={"name": _NAME})
def status(_: Context, name: str = "lab") -> None:
    """Say what of a lab is there and what is where; exit 1 where something of it does not run."""
    from lab.model import lab_named
    from lab.status import status as look

    found = look(lab_named(name))
    console.result(
        {"hosts": found.hosts, "where": found.where, "faults": found.faults},
        "\n".join(f"{what}: {state}" for what, state in {**found.hosts, **found.where}.items()),
    )
    if found.faults:
        raise WorldError(f"the lab {name}: {'; '.join(found.faults)}", f"./inv up --name {name}")


@task(help={"name": _NAME})
def jobs(_: Context, name: str = "lab") -> None:
    """Run the jobs again on a lab that is up, and see them in the history server and in Graphite."""
    from lab.up import run_jobs

    lab = _lab(name)
    with locks.held(lab.folder / "lab.lock", f"run on the lab {lab.name}"):
        ran = run_jobs(lab)
    console.result(
        {"jobs": [{"name": job.name, "id": job.id, "seconds": job.seconds} for job in ran]},
        "\n".join(f"{job.name} {job.id} FINISHED in {job.seconds:.1f} s" for job in ran),
    )


@task(help={"name": _NAME})
def verify(_: Context, name: str = "lab") -> None:
    """Run the testinfra suite against a lab."""
    from lab.model import lab_named
    from lab.verify import verify as check

    closing = check(lab_named(name))
    console.result({"checks": closing}, closing)


@task(help={"name": _NAME})
def snapshot(_: Context, name: str = "lab") -> None:
    """Print what provisioning left on a lab's hosts, as one JSON document."""
    import json

    from lab.snapshot import take

    print(json.dumps(take(_lab(name)), indent=1, sort_keys=True))


@task(
    help={"command": "what Molecule is to do: test (default), create, converge, idempotence, verify, destroy"}
)
def molecule(_: Context, command: str = "test") -> None:
    """Run Molecule's scenario for the role `flink`, on a bare container and a mirror of its own network."""
    from lab.model import molecule_lab
    from lab.molecule import molecule as run

    done = run(molecule_lab(), command.split())
    document = {"steps": done.steps, "checks": done.checks}
    console.result(document, f"{', '.join(done.steps)}: done, {done.checks} checks passed")


@task(help={"left": "one lab", "right": "the other lab"})
def compare(_: Context, left: str, right: str) -> None:
    """Compare what provisioning left on two labs; exit 1 where anything differs."""
    from lab.snapshot import differences, take

    one, other = take(_lab(left)), take(_lab(right))
    found = differences(one, other)
    count = sum(len(host) for host in one.values())
    console.result({"compared": count, "differences": found}, f"{count} things compared, {len(found)} differ")
    if found:
        raise WorldError(
            "\n".join(found[:_SHOWN]), "both engines must leave the same: see the two lists above"
        )


def _lab(name: str) -> Lab:
    from lab.model import lab_named

    return lab_named(name)


ns = Collection("lab", nodes, jobs, status, verify, snapshot, compare, molecule)

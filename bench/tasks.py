"""The tasks that measure."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from core import console


@task(
    help={
        "repeat": "How many times each program runs; the quickest counts.",
        "latency": "Milliseconds before each answer, separated by commas.",
    }
)
def mirror(_: Context, repeat: int = 3, latency: str = "50,0") -> None:
    """Measure the mirror beside aria2c, curl and wget on a loopback upstream (some minutes)."""
    from bench.mirror_case import run_all, table
    from core.bootstrap import ROOT
    from core.errors import UsageError

    try:
        delays = [float(word) / 1000 for word in latency.split(",")]
    except ValueError as error:
        raise UsageError(f"--latency {latency}: not numbers", "write milliseconds, such as 50,0") from error
    document = run_all(ROOT / "build" / "bench", max(1, repeat), delays)
    console.result(document, table(document))


@task(help={"seconds": "How long each case runs."})
def serve(_: Context, seconds: int = 5) -> None:
    """Measure the mirror's web server beside Debian's nginx on the same files (a minute; installs nginx)."""
    from bench.serve_case import run_all, table
    from core.bootstrap import ROOT

    document = run_all(ROOT / "build" / "bench-serve", max(1, seconds))
    console.result(document, table(document))


@task(help={"repeat": "How many times each program runs; the quickest counts."})
def bundle(_: Context, repeat: int = 2) -> None:
    """Measure export, check and import of a bundle beside tar with sha256sum (a minute; 6 GB of disk)."""
    from bench.bundle_case import run_all, table
    from core.bootstrap import ROOT

    rows = run_all(ROOT / "build" / "bench-bundle", max(1, repeat))
    console.result(rows, table(rows))


@task(
    help={
        "hosts": "How many hosts the cluster has, separated by commas.",
        "repeat": "How many times each size is done; the quickest counts.",
    }
)
def render(_: Context, hosts: str = "100,300,1000", repeat: int = 3) -> None:
    """Measure check and render of clusters of many hosts (half a minute)."""
    from bench.render_case import run_all, table
    from core.bootstrap import ROOT
    from core.errors import UsageError

    try:
        sizes = [int(word) for word in hosts.split(",")]
    except ValueError as error:
        raise UsageError(f"--hosts {hosts}: not whole numbers", "write them such as 100,1000") from error
    if min(sizes) < 6:
        raise UsageError(f"--hosts {hosts}: too few for every role", "write 6 or more")
    rows = run_all(ROOT / "build" / "bench-render-work", sizes, max(1, repeat))
    console.result(rows, table(rows))


@task(
    help={
        "rules": "How many rules the policy has, separated by commas.",
        "repeat": "How many times each case runs.",
    }
)
def queues(_: Context, rules: str = "10,1000", repeat: int = 200) -> None:
    """Measure what the queue policy adds to a command (half a minute)."""
    from bench.queue_case import run_all, table
    from core.bootstrap import ROOT
    from core.errors import UsageError

    try:
        counts = [max(1, int(word)) for word in rules.split(",")]
    except ValueError as error:
        raise UsageError(f"--rules {rules}: not whole numbers", "write them such as 10,1000") from error
    found = run_all(ROOT / "build" / "bench-queues", counts, max(1, repeat))
    console.result(found, table(found))


@task(help={"entries": "How many entries there are, separated by commas."})
def housekeeping(_: Context, entries: str = "1000,100000") -> None:
    """Measure housekeeping on folders of very many entries (a minute; as root)."""
    from bench.housekeeping_case import run_all, table
    from core.bootstrap import ROOT
    from core.errors import UsageError

    try:
        sizes = [int(word) for word in entries.split(",")]
    except ValueError as error:
        raise UsageError(
            f"--entries {entries}: not whole numbers", "write them such as 1000,100000"
        ) from error
    rows = run_all(ROOT / "build" / "bench-housekeeping", sizes)
    console.result(rows, table(rows))


ns = Collection("bench", mirror, serve, bundle, render, queues, housekeeping)

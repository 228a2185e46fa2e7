"""``./inv up``: the whole path, from the mirror's bytes to jobs that ran and were verified."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core import console, locks
from lab import (
    graphite,
    history,
    job_run,
    jobs_build,
    kafka,
    nodes,
    session_cluster,
    shape,
    site,
    verify,
)
from lab.flink_rest import FinishedJob
from lab.model import Lab
from lab.places import locked

if TYPE_CHECKING:
    from mirror.build import BuildReport
    from provision.report import ApplyReport

T = TypeVar("T")
_OWN = Path(__file__).resolve().parent


@dataclass(frozen=True)
class UpReport:
    """What ``up`` did: requests and bytes of both mirrors, hosts made anew, changes per host, jobs."""

    requests: int
    fetched_bytes: int
    made: tuple[str, ...]
    changed: dict[str, int]
    jobs: tuple[FinishedJob, ...]
    checks: str
    seconds: float


def up(
    lab: Lab, engine: str, with_jobs: bool = True, edges: int = 0, flink: tuple[str, ...] = ()
) -> UpReport:
    """Bring ``lab`` up with ``engine`` (``ansible`` or ``salt``) and prove that it works.

    ``edges`` is how many EDGE nodes it gets, ``flink`` which versions, the default first (0 and none:
    as it is described). Every part is reused where it is there already. Raises the PndaError of the
    first part that fails; what is there by then stays, so that it can be looked at.
    """
    started = time.monotonic()
    with locks.held(lab.folder / "lab.lock", f"run on the lab {lab.name}"):
        shape.describe(lab, edges, flink)
        builds, tags = _prepare(lab, with_jobs)
        with console.step("containers"):
            made = nodes.start(lab, tags, engine)
            kafka.start(lab)
        applied = provision(lab, engine)
        with console.step("session cluster, broker and Graphite"):
            session_cluster.start(lab)
            kafka.wait(lab)
            graphite.wait(lab)
        jobs = run_jobs(lab) if with_jobs else ()
        with console.step("testinfra"):
            checks = verify.verify(lab)
            console.say(f"   {checks}")
    return UpReport(
        requests=sum(build.requests for build in builds),
        fetched_bytes=sum(build.fetched_bytes for build in builds),
        made=made,
        changed={host: result.changed for host, result in applied.hosts.items()},
        jobs=jobs,
        checks=checks,
        seconds=time.monotonic() - started,
    )


def provision(lab: Lab, engine: str) -> ApplyReport:
    """Provision the hosts of ``lab`` with ``engine``, and write their facts and preview."""
    from mirror import lockfile
    from provision import cluster as clusters
    from provision import facts, preview
    from provision.apply import ApplyRequest, apply

    lock = lab.checkout / "mirror" / "catalogue.lock"
    described = clusters.load(lab.cluster_file)
    preview.write(described.build, facts.resolve(described, lockfile.load(lock)))
    with console.step(f"provisioning by {engine}"):
        report = apply(ApplyRequest(lab.cluster_file, lock, engine))
        for host, result in report.hosts.items():
            console.say(f"   {host}: {result.changed} changed")
    return report


def run_jobs(lab: Lab) -> tuple[FinishedJob, ...]:
    """Run the jobs, and see them in the history server, and what one counted in Graphite.

    Raises WorldError naming what failed or does not show up.
    """
    since = time.time()
    run = job_run.new(lab)
    jobs = job_run.all_jobs(run)
    with console.step("jobs in the history server"):
        history.wait_for(lab, jobs)
    with console.step("the events of all subtasks in Graphite"):
        console.say(f"   {graphite.events(lab, 'generate', since, run.records)}")
    return jobs


def _prepare(lab: Lab, with_jobs: bool) -> tuple[list[BuildReport], dict[str, str]]:
    """Build both mirrors, the images and the jobs' jar at the same time: they wait for different things."""
    with console.step("mirror, images and jobs"), ThreadPoolExecutor(max_workers=4) as pool:
        tags = pool.submit(_timed, "images", lambda: nodes.build_images(lab))
        served = pool.submit(_timed, "mirror", lambda: mirror(lab))
        own = pool.submit(_timed, "the lab's own mirror", lambda: _own_mirror(lab))
        jar = pool.submit(_timed, "jobs", jobs_build.jar) if with_jobs else None
        if jar is not None:
            jar.result()
        return [served.result(), own.result()], tags.result()


def _timed(what: str, work: Callable[[], T]) -> T:
    started = time.monotonic()
    result = work()
    console.say(f"   {what}: ready after {time.monotonic() - started:.1f} s")
    return result


def mirror(lab: Lab) -> BuildReport:
    """Build the mirror that ``lab``'s nodes are served from, signed by the lab's key.

    Another lab's build of the same mirror is waited for.
    """
    from mirror.build import BuildRequest, build
    from provision import releases

    # The group of a version's line has what its versions share, and the newest of them.
    versions = shape.versions(lab)
    groups = {*releases.groups(versions), "mirror-server"}
    groups |= {f"{what}-{version}" for version in versions for what in ("flink", "pyflink")}
    catalogue = lab.checkout / "mirror" / "catalogue.yml"
    request = BuildRequest(
        catalogue, catalogue.with_suffix(".lock"), lab.mirror_root, tuple(sorted(groups)), keep_published=True
    )
    with locked(f"lab-mirror-{_digest(lab.mirror_root)}"):
        return build(replace(request, signers=site.signers(lab)))


def _own_mirror(lab: Lab) -> BuildReport:
    from mirror.build import BuildRequest, build

    with locked(f"lab-mirror-{_digest(lab.own_mirror_root)}"):
        return build(BuildRequest(_OWN / "catalogue.yml", _OWN / "catalogue.lock", lab.own_mirror_root))


def _digest(root: Path) -> str:
    return hashlib.sha256(f"{root}".encode()).hexdigest()[:8]

"""Roll a cluster's description out to its hosts, by either engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core import console, locks
from core.errors import UsageError, WorldError
from core.marked_yaml import nearest
from mirror import lockfile
from provision import ansible_engine, former, limits, rollback, rollout, salt_engine
from provision import cluster as clusters
from provision import facts as fact_module
from provision.cluster import Cluster
from provision.facts import Facts
from provision.report import ApplyError, ApplyReport, ApplyRequest, HostResult, Versions, some

__all__ = ["ApplyError", "ApplyReport", "ApplyRequest", "HostResult", "apply", "described"]

_NO_MIRROR = "left as it is: the mirror's host, which it fetches from, did not answer"
_ENGINES = {"ansible": ansible_engine.roll_out, "salt": salt_engine.roll_out}


def apply(request: ApplyRequest) -> ApplyReport:
    """Provision the hosts that ``request`` names, and return what changed where.

    Raises UsageError before a host is touched for whatever is wrong with the call, the cluster
    file or the lock; BusyError (exit 3) while another apply of the same cluster is at work;
    ApplyError (exit 1) when a host failed, with the report of all.
    """
    if request.engine not in _ENGINES:
        raise UsageError(f"there is no engine {request.engine!r}", nearest(request.engine, _ENGINES))
    if request.batch < 1:
        raise UsageError(f"--batch {request.batch}: at least one host at a time", "give 1 or more")
    cluster, chosen = described(request.cluster, request.lock, request.limit, also_former=True)
    with locks.held(cluster.build / "apply.lock", f"apply of cluster {cluster.name}"):
        records, silent = rollback.records(cluster, chosen)
        _respect_archives(request, cluster, rollout.too_old(chosen, records))
        _respect_rollbacks(request, rollback.undone(chosen, records))
        console.say(f"   {request.engine} provisions {some(list(chosen)) or 'no host'}")
        engine = _but(silent, _ENGINES[request.engine])
        if request.check or not rollout.changing(chosen, records):
            results = engine(cluster, chosen, request.check) if chosen else {}
        else:
            results = rollout.roll_out(cluster, chosen, records, engine, request.batch)
    versions = {} if request.check else _versions(chosen, records, results)
    report = ApplyReport(request.engine, results, versions)
    if any(result.failed for result in results.values()):
        raise ApplyError(report)
    return report


def _but(silent: Mapping[str, str], engine: rollout.Engine) -> rollout.Engine:
    """Return ``engine`` without the hosts that did not answer before, which fail for that reason."""

    def answering(cluster: Cluster, facts: Mapping[str, Facts], check: bool) -> dict[str, HostResult]:
        found = {host: HostResult(0, (), silent[host]) for host in facts if host in silent}
        able = {host: its for host, its in facts.items() if host not in found}
        if any(facts[host]["mirror_server_components"] for host in found):
            found |= {host: HostResult(0, (), _NO_MIRROR) for host in able}
        elif able:
            found |= engine(cluster, able, check)
        return {host: found[host] for host in facts}

    return answering


def _versions(
    facts: Mapping[str, Facts], records: rollout.Records, results: Mapping[str, HostResult]
) -> dict[str, Versions]:
    """Return the versions on each host before and after; ``?`` where it failed midway. Pure."""

    def pair(host: str, component: str, recorded: str, fact: str) -> tuple[str, str]:
        before = str(records.get(host, {}).get(recorded) or "")
        if component not in facts[host]["flink_components"]:
            return "", ""
        if results[host].failed:
            return before, "?" if results[host].changed and not results[host].put_back else before
        return before, str(facts[host][fact])

    return {
        host: Versions(
            pair(host, "client", "default", "flink_version"),
            pair(host, "history_server", "history_server", "flink_history_version"),
        )
        for host in results
    }


def _respect_rollbacks(request: ApplyRequest, phrases: list[str]) -> None:
    """Raise WorldError where a host was rolled back from what is asked for, unless that is meant."""
    if phrases and request.check:
        for phrase in phrases:
            console.warn(phrase)
    elif phrases and not request.again:
        raise WorldError(
            "\n".join(phrases),
            f"set flink.default in {request.cluster} to the version that is there now, or say --again",
        )


def _respect_archives(request: ApplyRequest, cluster: Cluster, phrases: list[str]) -> None:
    """Raise WorldError where a history server would not read any more what it reads now."""
    if phrases and request.check:
        for phrase in phrases:
            console.warn(phrase)
    elif phrases:
        raise WorldError(
            "\n".join(phrases),
            f"set flink.history_server.version in {request.cluster} to the version that is there: "
            f"it reads what {' and '.join(cluster.versions)} archive, too",
        )


def described(
    file: Path, lock: Path, limit: tuple[str, ...], *, also_former: bool = False
) -> tuple[Cluster, dict[str, Facts]]:
    """Return the cluster in ``file`` and the facts of its hosts that have anything, or of those in ``limit``.

    With ``also_former`` the hosts are asked that had something before. Raises UsageError for whatever is
    wrong with the call, the cluster file or the lock.
    """
    cluster = clusters.load(file)
    facts = fact_module.resolve(cluster, lockfile.load(lock))
    names = limits.meant(cluster, limit)
    if cluster.ssh_config and not cluster.ssh_config.exists():
        raise cluster.document.fault(
            ("connection", "ssh_config"),
            f"{cluster.ssh_config}: there is no such file",
            "write the hosts' ssh settings there (for the lab: ./inv up)",
        )
    gone = (
        former.hosts(cluster, {host: facts[host] for host in facts if host in names}) if also_former else []
    )
    return cluster, limits.choose(cluster, facts, limit, gone)

"""Every Flink option of a cluster file against the catalogue of each version that gets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.errors import in_file
from core.marked_yaml import Path_
from provision import history_server, lines, option_catalogue, option_rules, option_values, releases
from provision.cluster import Cluster
from provision.option_catalogue import Catalogue, Option

# What Flink itself does not say: what came instead of an option that is gone or deprecated (from Flink's
# documentation of the migration to 1.10 and 1.11, and from its release notes).
SUCCESSORS = {
    "cluster.evenly-spread-out-slots": "taskmanager.load-balance.mode",
    "jobmanager.heap.mb": "jobmanager.memory.process.size",
    "jobmanager.heap.size": "jobmanager.memory.process.size",
    "metrics.reporter.prometheus.host": "metrics.reporter.prometheus.hostUrl",
    "metrics.reporter.prometheus.port": "metrics.reporter.prometheus.hostUrl",
    "pipeline.default-kryo-serializers": "pipeline.serialization-config",
    "pipeline.registered-kryo-types": "pipeline.serialization-config",
    "pipeline.registered-pojo-types": "pipeline.serialization-config",
    "security.ssl.enabled": "security.ssl.internal.enabled",
    "table.exec.shuffle-mode": "execution.batch-shuffle-mode",
    "taskmanager.heap.mb": "taskmanager.memory.process.size",
    "taskmanager.heap.size": "taskmanager.memory.process.size",
    "web.address": "rest.address",
}


_CLIENT: Path_ = ("flink", "configuration")


@dataclass(frozen=True)
class _Section:
    """One table of Flink options: where it stands, its values, and the versions that get it."""

    where: Path_
    values: Mapping[str, str]
    versions: tuple[str, ...]

    def all_of(self, cluster: Cluster, version: str) -> Mapping[str, str]:
        """Return all options that ``version`` gets here: ours and these."""
        ours = releases.configuration(cluster, version)
        return ours if self.where == _CLIENT else history_server.configuration(cluster)


def check(cluster: Cluster) -> None:
    """Raise UsageError, with file, line and cure, for the first option that one of its versions refuses."""
    _check_ttl(cluster)
    for section, key, version in _settings(cluster):
        catalogue = option_catalogue.load(version)
        option = catalogue.find(key)
        wrong = None
        if option is None and not _others(cluster, key):
            wrong = _unknown(catalogue, key)
        elif option is not None:
            legacy = lines.LINES[lines.name_of(version)].legacy
            fault = option_values.fault(option, section.values[key], legacy)
            wrong = fault and (f"{key} ({_kind(option)}, Flink {version}): {fault[0]}", fault[1])
            wrong = wrong or _overruled(option, section.all_of(cluster, version))
        if wrong:
            raise cluster.document.fault((*section.where, key), *wrong)


def _check_ttl(cluster: Cluster) -> None:
    history = cluster.history
    if history.retained_ttl and not option_catalogue.load(history.version).find(history_server.TTL):
        raise cluster.document.fault(
            ("flink", "history_server", "retained_ttl"),
            f"Flink {history.version} has no option {history_server.TTL}: it keeps archives by number only",
            "set retained_jobs instead, or take a newer flink.history_server.version",
        )


def warnings(cluster: Cluster) -> list[str]:
    """Return a line, with file and line number, for each option that a version that gets it deprecates."""
    found: dict[tuple[Path_, str], list[str]] = {}
    for section, key, version in _settings(cluster):
        option = option_catalogue.load(version).find(key)
        if option and option.successors:
            found.setdefault(((*section.where, key), _advice(option)), []).append(version)
    document = cluster.document
    return [
        in_file(
            document.path,
            document.line(where),
            f"{where[-1]} is deprecated in Flink {' and '.join(versions)}: {advice}",
        )
        for (where, advice), versions in found.items()
    ]


def _settings(cluster: Cluster) -> Iterator[tuple[_Section, str, str]]:
    for section in (
        _Section(_CLIENT, cluster.configuration, cluster.versions),
        _Section(
            ("flink", "history_server", "configuration"),
            cluster.history.configuration,
            (cluster.history.version,),
        ),
    ):
        for key in section.values:
            for version in section.versions:
                yield section, key, version


def _others(cluster: Cluster, key: str) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in cluster.other_options)


def _overruled(option: Option, table: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the fault of an old name whose present name is set as well: Flink reads that one alone."""
    for key in option.replacements:
        if key in table:
            owner = option_rules.OWNED.get(key)
            cure = (
                "remove it: that is part of the node's layout"
                if key in option_rules.FIXED
                else f"write {key}"
            )
            return (
                f"{option.key} is an old name of {key}, which is set as well, so Flink would not read it",
                f"set {owner} instead" if owner else cure,
            )
    return None


def _unknown(catalogue: Catalogue, key: str) -> tuple[str, str]:
    """Return (what is wrong, the cure) for a ``key`` that ``catalogue`` lacks."""
    version = catalogue.version
    own = f"write its first words below flink.other_options if a plug-in of yours reads {key}"
    holders = {other: option for other in option_catalogue.versions() if (option := _exact(other, key))}
    older = [other for other in holders if lines.order_of(other) < lines.order_of(version)]
    newer = [other for other in holders if lines.order_of(other) > lines.order_of(version)]
    if older:
        successor = _successor(catalogue, holders[older[-1]])
        cure = f"write {successor}" if successor else "remove it: nothing came instead"
        return f"Flink {version} has no option {key} any more (Flink {older[-1]} has it)", cure
    if newer:
        return f"Flink {version} has no option {key} yet (Flink {newer[0]} has it)", f"remove it; or {own}"
    near = catalogue.nearest(key)
    return f"Flink {version} has no option {key}", f"did you mean {near!r}?" if near else own


def _exact(version: str, key: str) -> Option | None:
    return option_catalogue.load(version).exact.get(key)


def _successor(catalogue: Catalogue, option: Option) -> str:
    """Return what ``catalogue`` has instead of ``option``, or an empty text."""
    for key in (*option.replacements, SUCCESSORS.get(option.key, "")):
        if key in catalogue.exact:
            return key
    return ""


def _advice(option: Option) -> str:
    instead = option.replacements or tuple(key for key in (SUCCESSORS.get(option.key, ""),) if key)
    return f"write {' or '.join(instead)}" if instead else "Flink will drop it, and names nothing instead"


def _kind(option: Option) -> str:
    return {"MemorySize": "memory size", "Enum": "a choice"}.get(option.kind, option.kind.lower())

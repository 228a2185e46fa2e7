"""One Flink version on one host as a fact: what the lock has of it, and its configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from core.errors import UsageError
from core.marked_yaml import Path_, nearest
from mirror.lockfile import Lock, LockedFile
from provision import hadoop_section, lines, metric_names
from provision.cluster import Cluster

ROOT = "/opt/pnda"
LOG_DIRECTORY = "/var/log/pnda/flink"
# The thin set is shared by Java, SQL and Python jobs; a fat job jar that brings its own Avro would
# otherwise meet the platform's in another class loader (LinkageError).
_PARENT_FIRST = "org.apache.avro.;org.apache.kafka."


def locked_versions(lock: Lock) -> list[str]:
    """Return the Flink versions whose archive ``lock`` holds, oldest first."""
    prefix, suffix = "flink-", ".tar.gz"
    names = [item.path for item in lock.files if "/" not in item.path]
    found = [
        name[len(prefix) : -len(suffix)]
        for name in names
        if name.startswith(prefix) and name.endswith(suffix)
    ]
    return sorted(
        found, key=lambda version: [int(part) if part.isdigit() else -1 for part in version.split(".")]
    )


def check_locked(cluster: Cluster, lock: Lock) -> None:
    """Raise UsageError, with the line of the cluster file, for a version that ``lock`` lacks."""
    for index, version in enumerate(cluster.versions):
        where: Path_ = ("flink", "versions", index)
        _check_archive(cluster, lock, version, where)
        if not wheels(lock, version):
            raise cluster.document.fault(
                where,
                f"{lock.path} has no PyFlink {version}",
                f"lock the entry pyflink-{version}: ./inv mirror.lock",
            )
    _check_archive(cluster, lock, cluster.history.version, ("flink", "history_server", "version"))


def _check_archive(cluster: Cluster, lock: Lock, version: str, where: Path_) -> None:
    known = locked_versions(lock)
    if version not in known:
        cure = nearest(version, known) if known else "lock one: ./inv mirror.lock"
        raise cluster.document.fault(where, f"{lock.path} has no Flink {version}", cure)


def groups(versions: Sequence[str], hadoop: str = hadoop_section.NONE) -> tuple[str, ...]:
    """Return the groups of the catalogue that a mirror needs for the Flink ``versions`` of a cluster.

    ``hadoop`` is its ``hadoop.classpath``.
    """
    found = [lines.LINES[lines.name_of(version)] for version in versions]
    return (
        *dict.fromkeys(f"flink-{line.name}" for line in found),
        "scala",
        *(["hadoop"] if hadoop == hadoop_section.MIRROR else []),
    )


def release(cluster: Cluster, lock: Lock, version: str, client: bool) -> dict[str, Any]:
    """Return the fact of ``version`` on a host; without ``client`` it is there for the history server only.

    Then it has no jars but Hadoop's, no wheels and no configuration, and its ``conf`` is the server's.
    """
    line = lines.LINES[lines.name_of(version)]
    archive = lock.file(f"flink-{version}.tar.gz")
    jars = [*(_jars(lock, line) if client else []), *_hadoop_jars(cluster, lock)]
    found = wheels(lock, version) if client else []
    environment = f"{ROOT}/pyflink-{version}-{_digest(found)[:12]}"
    directory = f"/etc/flink/{version}"
    fact = {
        "version": version,
        "line": line.name,
        "home": f"{ROOT}/flink-{version}",
        "archive": _pinned(archive, "path", "size", "sha256", "sha512"),
        "jars": jars,
        "configuration_directory": directory,
        "configuration_file": line.configuration_file,
        "configuration_link": directory if client else history_configuration_directory(cluster),
        "configuration": configuration(cluster, version) if client else {},
        "python": {"home": f"{ROOT}/pyflink-{version}", "environment": environment, "wheels": found},
    }
    return {
        **fact,
        "digest": _digest([archive.sha512, [jar["sha256"] + jar["directory"] + jar["name"] for jar in jars]]),
    }


def history_configuration_directory(cluster: Cluster) -> str:
    """Return the history server's own configuration directory."""
    return f"/etc/flink-history/{cluster.history.version}"


def configuration(cluster: Cluster, version: str) -> dict[str, str]:
    """Return the client's Flink options for ``version``: ours, then the cluster file's over them."""
    python = f"{ROOT}/pyflink-{version}/bin/python"
    flavour, metrics = cluster.flavour, cluster.metrics
    return {
        "env.java.opts.all": lines.LINES[lines.name_of(version)].java_options,
        "env.log.dir": LOG_DIRECTORY,
        "env.log.max": str(flavour.log_files),
        "jobmanager.rpc.address": "localhost",
        "jobmanager.memory.process.size": flavour.jobmanager_memory,
        "taskmanager.memory.process.size": flavour.taskmanager_memory,
        "taskmanager.numberOfTaskSlots": str(flavour.taskmanager_slots),
        "parallelism.default": str(flavour.parallelism),
        "jobmanager.archive.fs.dir": f"{cluster.storage}/completed-jobs",
        "execution.checkpointing.dir": f"{cluster.storage}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"{cluster.storage}/savepoints",
        "classloader.parent-first-patterns.additional": _PARENT_FIRST,
        # Kafka's client threads outlive a job's class loader for a moment, which the check takes for a leak.
        "classloader.check-leaked-classloader": "false",
        "metrics.reporters": "grph",
        "metrics.reporter.grph.factory.class": "org.apache.flink.metrics.graphite.GraphiteReporterFactory",
        "metrics.reporter.grph.host": metrics.graphite_host,
        "metrics.reporter.grph.port": str(metrics.port),
        "metrics.reporter.grph.protocol": "TCP",
        "metrics.reporter.grph.prefix": metric_names.PREFIX,
        "metrics.reporter.grph.interval": f"{metrics.interval_seconds} s",
        **metric_names.options(metrics.includes),
        "python.executable": python,
        "python.client.executable": python,
        "yarn.application.queue": cluster.yarn_queue,
        # YARN puts the container's own folder in the place of <LOG_DIR> (ContainerLaunch.expandEnvironment).
        "containerized.master.env.PNDA_FLINK_LOG": "<LOG_DIR>/flink.log",
        "containerized.taskmanager.env.PNDA_FLINK_LOG": "<LOG_DIR>/flink.log",
        # What a job prints goes to the log, which rolls: YARN's own taskmanager.out grows without bound.
        "taskmanager.system-out.mode": "LOG",
        **cluster.configuration,
    }


def wheels(lock: Lock, version: str) -> list[dict[str, str]]:
    """Return the wheels of PyFlink ``version``, sorted: name, version, file, sha256. Empty if not locked."""
    entry = f"pyflink-{version}"
    if entry not in lock.entries():
        return []
    found = []
    for item in lock.of_entry(entry):
        if item.path.startswith("mirror_python/packages/") and item.name.endswith(".whl"):
            # NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl (PyPA, binary distribution format).
            name, number = item.name.split("-")[:2]
            found.append({"name": name, "version": number, "file": item.name, "sha256": item.sha256})
    return sorted(found, key=lambda wheel: wheel["file"])


def _jars(lock: Lock, line: lines.Line) -> list[dict[str, str]]:
    found = _jars_below(lock, f"mirror_apps/flink-{line.name}/lib/", "lib")
    if not found:
        raise UsageError(
            f"{lock.path}: no Kafka and Avro jars are locked for Flink {line.name}",
            f"lock the entry kafka-avro-{line.name}: ./inv mirror.lock",
        )
    found += _jars_below(lock, f"mirror_apps/flink-{line.name}/opt/", "opt")
    # Never in lib/: there, Scala's newer library would be every job's.
    scala = _jars_below(lock, f"mirror_apps/scala-{line.scala}/lib/", "opt/scala-shell")
    return [*sorted(found, key=lambda jar: jar["path"]), *scala]


def _hadoop_jars(cluster: Cluster, lock: Lock) -> list[dict[str, str]]:
    if cluster.hadoop.classpath != hadoop_section.MIRROR:
        return []
    folders = {path.rpartition("/")[0] for path in _paths(lock, "mirror_apps/hadoop-")}
    if not folders:
        raise cluster.document.fault(
            ("hadoop", "classpath"),
            f"{lock.path} has no Hadoop client",
            "lock the group hadoop (./inv mirror.lock) and build it (mirror.build --keep --only hadoop), "
            "or write `classpath: cluster`",
        )
    return _jars_below(lock, f"{max(folders)}/", "opt/hadoop-client")


def _jars_below(lock: Lock, prefix: str, directory: str) -> list[dict[str, str]]:
    """Return the locked jars whose path begins with ``prefix``, sorted, for ``directory`` in a release."""
    return [
        {**_pinned(lock.file(path), "path", "name", "sha256"), "directory": directory}
        for path in _paths(lock, prefix)
    ]


def _paths(lock: Lock, prefix: str) -> list[str]:
    found = (item.path for item in lock.files)
    return sorted(path for path in found if path.startswith(prefix) and path.endswith(".jar"))


def _pinned(item: LockedFile, *keys: str) -> dict[str, Any]:
    return {key: getattr(item, key) for key in keys}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

"""The facts of the history server: its Flink options, limits, and where it listens."""

from __future__ import annotations

from typing import Any

from provision import lines, releases
from provision.cluster import Cluster
from provision.history_section import JAVA_OPTIONS, is_legacy

# Flink's own default of algorithms serves RSA certificates only; mirror.certificate makes ECDSA ones.
TLS = {
    "historyserver.web.ssl.enabled": "true",
    "security.ssl.rest.enabled": "true",
    "security.ssl.algorithms": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,"
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
}
TTL = "historyserver.archive.retained-ttl"
# Emptied at each start, so a folder of its own.
WEB_FOLDER = "/var/lib/flink-history-server/web"
_UNITS = {"m": 1, "g": 1024}
# Beside heap and direct memory: classes, compiled code, threads, collector (measured: 100 to 150 MiB).
_OTHER_MEMORY = 384


def facts(cluster: Cluster, deletes: bool = True) -> dict[str, Any]:
    """Return the facts that begin with ``flink_history_``: complete, also for hosts without a server.

    ``deletes`` tells that this host's server is the one that deletes archives by the retention.
    """
    history, tls = cluster.history, cluster.history.tls
    host = cluster.with_role("FLINK")[0].name
    name = tls.name if tls and tls.name else host
    return {
        "flink_history_host": host,
        "flink_history_uri": f"{'https' if tls else 'http'}://{name}:{history.port}",
        "flink_history_version": history.version,
        "flink_history_home": f"{releases.ROOT}/flink-history",
        "flink_history_configuration_directory": releases.history_configuration_directory(cluster),
        "flink_history_configuration": configuration(cluster, deletes),
        "flink_history_address": history.address,
        "flink_history_port": history.port,
        "flink_history_memory_max": f"{memory_max(history.heap)}M",
        "flink_history_cpu_quota": f"{history.cpu_percent}%" if history.cpu_percent else "",
        "flink_history_certificate": tls.certificate if tls else "",
        "flink_history_certificate_key": tls.certificate_key if tls else "",
        "flink_history_certificate_name": tls.name if tls else "",
        "flink_history_ca": tls.ca if tls else "",
    }


def memory_max(heap: str) -> int:
    """Return the MiB that a server with this ``heap`` (``512m``, ``1g``) may take in all.

    The JVM's direct memory may grow as large as its heap.
    """
    return 2 * int(heap[:-1]) * _UNITS[heap[-1]] + _OTHER_MEMORY


def configuration(cluster: Cluster, deletes: bool = True) -> dict[str, str]:
    """Return the server's Flink options: ours, then the cluster file's over them."""
    history, flavour = cluster.history, cluster.flavour
    interval = f"{history.refresh_seconds} s"
    # Else the heap may grow to a quarter of the machine's memory, and one without memory lives on, useless.
    java = f"-Xmx{history.heap} -XX:+ExitOnOutOfMemoryError"
    return {
        "env.java.opts.all": lines.LINES[lines.name_of(history.version)].java_options,
        "env.log.dir": releases.LOG_DIRECTORY,
        "env.log.max": str(flavour.log_files),
        "env.pid.dir": "/run/flink-history-server",
        "historyserver.web.address": history.address,
        "historyserver.web.port": str(history.port),
        "historyserver.web.refresh-interval": interval,
        "historyserver.web.tmpdir": WEB_FOLDER,
        "historyserver.archive.fs.dir": f"{cluster.storage}/completed-jobs",
        "historyserver.archive.fs.refresh-interval": interval,
        **_retention(cluster, deletes),
        # Key store and password are added on the host, at each start: programs/flink/history-server-tls.
        **(TLS if history.tls else {}),
        **history.configuration,
        JAVA_OPTIONS: f"{java} {history.configuration.get(JAVA_OPTIONS, '')}".strip(),
    }


def _retention(cluster: Cluster, deletes: bool) -> dict[str, str]:
    """Return the options of keeping archives.

    Of several servers one alone deletes; all of them drop from their pages what is no longer there.
    """
    history = cluster.history
    kept = str(history.retained_jobs if deletes else -1)
    found = {
        "historyserver.archive.clean-expired-jobs": "true",
        "historyserver.archive.retained-jobs": kept,
    }
    if not is_legacy(history.version):
        # 2.3 counts what it archives itself as applications, and only older archives as jobs.
        found["historyserver.archive.clean-expired-applications"] = "true"
        found["historyserver.archive.retained-applications"] = kept
    if history.retained_ttl and deletes:
        found[TTL] = history.retained_ttl
    return found

"""A small lock and cluster files for the tests of this room."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mirror.lockfile import Lock, LockedEntry, LockedFile, save

VERSIONS = {"1.20.5": "1.20", "2.3.0": "2.3"}

CLUSTER = """\
format: 1
name: sample
flavor: pico
connection:
  ssh_config: build/sample/ssh_config
mirror:
  base_uri: http://mirror-1
hosts:
  edge-1: {roles: [EDGE]}
  edge-2: {roles: [EDGE]}
  manager-1: {roles: [FLINK]}
  manager-2: {roles: [FLINK, GRAPHITE]}
  both-1: {roles: [EDGE, FLINK]}
  kafka-1: {roles: [KAFKA]}
flink:
  versions: [1.20.5, 2.3.0]
  default: 1.20.5
  storage: file:///pnda/flink
  history_server:
    retained_jobs: 7
    configuration:
      historyserver.archive.clean-expired-jobs: false
  metrics: {interval_seconds: 10}
  configuration:
    taskmanager.numberOfTaskSlots: 4
"""


# Changes for cluster_file: a host whose web server is ours.
SERVED = (
    ("  kafka-1: {roles: [KAFKA]}\n", "  kafka-1: {roles: [KAFKA]}\n  mirror-1: {roles: [MIRROR]}\n"),
    (
        "  base_uri: http://mirror-1\n",
        "  base_uri: http://mirror-1\n"
        "  server:\n"
        "    root: /srv/pnda-mirror\n"
        "    site_key: tests/unit/provision/site-key.asc\n"
        "    certificate: /etc/pnda-mirror/tls/server.crt\n"
        "    certificate_key: /etc/pnda-mirror/tls/server.key\n",
    ),
)

# Changes for cluster_file: a mirror that is reached by TLS, with a certificate by the site's authority.
BY_TLS = (
    (
        "  base_uri: http://mirror-1\n",
        "  base_uri: https://mirror-1\n  ca: tests/unit/provision/site-ca.pem\n",
    ),
)

# A change for cluster_file: the history server speaks TLS.
TLS = (
    "    retained_jobs: 7\n",
    "    retained_jobs: 7\n"
    "    tls:\n"
    "      certificate: /etc/pnda/tls/history.pem\n"
    "      certificate_key: /etc/pnda/tls/history.key\n"
    "      ca: /etc/pnda/tls/ca.pem\n",
)
# A change for cluster_file: the history server deletes archives by their age, too.
OLD_ARCHIVES_GO = ("    retained_jobs: 7\n", "    retained_jobs: 7\n    retained_ttl: 30 d\n")

# Changes for cluster_file: logs are shipped by rsyslog, also those of containers.
SHIPPED = (
    ("both-1: {roles: [EDGE, FLINK]}", "both-1: {roles: [EDGE, FLINK, YARN]}\n  worker-1: {roles: [YARN]}"),
    (
        "flink:\n",
        "logs:\n"
        "  shipper: rsyslog\n"
        "  receiver: logs-1:6514\n"
        "yarn:\n"
        "  delete_debug_delay_seconds: 600\n"
        "flink:\n",
    ),
)
BY_LOGSTASH = (*SHIPPED, ("shipper: rsyslog", "shipper: logstash"))


# Changes for cluster_file: the cluster has queues, and rules for them.
QUEUES = (
    (
        "flink:\n",
        "queues:\n"
        "  scheduler: capacity\n"
        "  names: [default, dev, prod]\n"
        "  rules:\n"
        "    - {user: pnda, queue: default}\n"
        "    - {group: prod, queue: prod}\n"
        "    - {group: prod, queue: dev}\n"
        "    - {group: dev, queue: dev}\n"
        "flink:\n",
    ),
)
# Changes for cluster_file: YARN's own scheduler gets them as well.
MAPPED = (
    *QUEUES,
    ("  scheduler: capacity\n", "  scheduler: capacity\n  mappings: true\n"),
    (
        "    - {group: dev, queue: dev}\n",
        "    - {group: dev, queue: dev}\n    - {everyone: true, queue: default}\n",
    ),
    ("both-1: {roles: [EDGE, FLINK]}", "both-1: {roles: [EDGE, FLINK, YARN]}\n  rm-1: {roles: [YARN]}"),
)


def lock(path: Path, versions: tuple[str, ...] = tuple(VERSIONS), python: bool = True) -> Lock:
    """Write a lock with made-up digests for ``versions`` to ``path`` and return it."""
    entries: dict[str, LockedEntry] = {}
    files: dict[str, LockedFile] = {}

    def add(name: str, entry: str) -> None:
        raw = name.encode()
        digests = hashlib.sha256(raw).hexdigest(), hashlib.sha512(raw).hexdigest()
        old = files[name].entries if name in files else ()
        files[name] = LockedFile(name, 1000, *digests, (*old, entry), {"kind": "file"})

    for version in versions:
        line = VERSIONS[version]
        kinds = [f"flink-{version}", f"kafka-avro-{line}", f"flink-sql-{line}"]
        for entry in [*kinds, *([f"pyflink-{version}"] if python else [])]:
            entries[entry] = LockedEntry((f"flink-{line}",), "0" * 64)
        add(f"flink-{version}.tar.gz", f"flink-{version}")
        for jar in ("flink-connector-kafka-3.4.0.jar", "kafka-clients-3.4.0.jar", "avro-1.11.4.jar"):
            add(f"mirror_apps/flink-{line}/lib/{jar}", f"kafka-avro-{line}")
        add(f"mirror_apps/flink-{line}/opt/flink-sql-avro-{version}.jar", f"flink-sql-{line}")
        add(f"mirror_maven/org/example/{line}/some.pom", f"kafka-avro-{line}")
        if python:
            wheel = f"apache_flink-{version}-cp311-cp311-manylinux2014_x86_64.whl"
            add(f"mirror_python/packages/{wheel}", f"pyflink-{version}")
            add("mirror_python/packages/py4j-0.10.9.7-py2.py3-none-any.whl", f"pyflink-{version}")
    for entry, folder, jar in (
        ("hadoop-client-3.4", "hadoop-3.4", "hadoop-client-api-3.4.2.jar"),
        ("scala-compiler-2.12", "scala-2.12", "scala-compiler-2.12.20.jar"),
    ):
        entries[entry] = LockedEntry((entry.partition("-")[0],), "0" * 64)
        add(f"mirror_apps/{folder}/lib/{jar}", entry)
    return save(path, entries, list(files.values()), [])


def cluster_file(path: Path, *changes: tuple[str, str]) -> Path:
    """Write the sample cluster file with ``changes`` (old text, new text) to ``path`` and return it."""
    text = CLUSTER
    for old, new in changes:
        assert old in text, f"the sample has no {old!r}"
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path

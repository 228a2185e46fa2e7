from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from tests.unit.provision.samples import CLUSTER, cluster_file, lock


def line_of(text: str, key: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if key in line)


# What is replaced, by what, the text on the line that the error must name, words of message and cure.
BAD = [
    ("format: 1", "format: 2", "format: 2", "newer than this program", "newer release"),
    ("format: 1", "format: one", "format: one", "not a number", "format: 1"),
    ("format: 1", "format: true", "format: true", "not a number", "format: 1"),
    ("name: sample", "name: Sample", "name: Sample", "name", "lower-case"),
    ("name: sample", "name: ../up", "name: ../up", "name", "lower-case"),
    ("name: sample", "name: 7", "name: 7", "not of type string", "lower-case"),
    ("name: sample\n", "", "format: 1", "'name' is missing", "add it"),
    ("flavor: pico", "flavor: picco", "flavor: picco", "no flavor 'picco'", "did you mean 'pico'"),
    ("flavor: pico", "flavour: pico", "flavour: pico", "unknown key 'flavour'", "did you mean 'flavor'"),
    ("  ssh_config:", "  ssh_conf:", "ssh_conf:", "unknown key 'ssh_conf'", "did you mean 'ssh_config'"),
    ("http://mirror-1", "http://mirror-1/", "base_uri", "base_uri", "without a trailing slash"),
    ("http://mirror-1", "ftp://mirror-1", "base_uri", "base_uri", "http or https"),
    ("http://mirror-1", "http://user:secret@mirror-1", "base_uri", "base_uri", "http or https"),
    ("http://mirror-1", "'http://{{ mirror }}'", "base_uri", "base_uri", "http or https"),
    ("{roles: [EDGE]}", "{roles: [EGDE]}", "edge-1:", "'EGDE'", "did you mean 'EDGE'"),
    ("{roles: [EDGE]}", "{roles: [EDGE, EDGE]}", "edge-1:", "non-unique", "different roles"),
    ("{roles: [EDGE]}", "{roles: []}", "edge-1:", "roles", "a list of different roles"),
    ("{roles: [EDGE]}", "{roles: EDGE}", "edge-1:", "not of type array", "a list of different roles"),
    ("{roles: [EDGE]}", "[EDGE]", "edge-1:", "not of type object", "holds its roles"),
    ("{roles: [EDGE]}", "{role: [EDGE]}", "edge-1:", "unknown key 'role'", "did you mean 'roles'"),
    ("edge-2:", "edge-1:", "edge-1: {roles: [EDGE]}\n  edge-1", "stands here twice", "keep one"),
    ("edge-2:", "edge_2:", "edge_2:", "no host name", "lower-case letters"),
    ("edge-2:", "-edge:", "-edge:", "no host name", "lower-case letters"),
    ("kafka-1:", f"{'k' * 254}:", "kkk:", "no host name", "lower-case letters"),
    ("GRAPHITE", "KAFKA", "hosts:", "no host has the role GRAPHITE", "flink.metrics.graphite_host"),
    ("versions: [1.20.5, 2.3.0]", "versions: 1.20.5", "versions:", "not of type array", "a list"),
    ("versions: [1.20.5, 2.3.0]", "versions: []", "versions:", "versions", "a list"),
    ("versions: [1.20.5, 2.3.0]", "versions: [1.20]", "versions:", "not of type string", "as text"),
    ("versions: [1.20.5, 2.3.0]", "versions: [1.20.5, 1.20.5]", "versions:", "non-unique", "different"),
    ("versions: [1.20.5, 2.3.0]", "versions: [1.20.5, 1.4.2]", "versions:", "not supported", "1.20 or 2.3"),
    ("default: 1.20.5", "default: 1.20.4", "default:", "not among flink.versions", "1.20.5"),
    ("storage: file:///pnda/flink", "storage: /pnda/flink", "storage:", "storage", "file:///pnda/flink"),
    (
        "storage: file:///pnda/flink",
        "storage: hdfs://nn:8020/pnda",
        "storage:",
        "not supported yet",
        "file://",
    ),
    (
        "storage: file:///pnda/flink",
        "storage: file:///pnda/../etc",
        "storage:",
        "no absolute folder",
        "file:///",
    ),
    ("  storage: file:///pnda/flink\n", "", "flink:", "'storage' is missing", "add it"),
    (
        "  history_server:",
        "  historyserver:",
        "historyserver:",
        "unknown key",
        "did you mean 'history_server'",
    ),
    (
        "  history_server:",
        "  history_server:\n    port: 80820",
        "port: 80820",
        "80820 is greater than the maximum",
        "1 to 65535",
    ),
    ("  history_server:", "  history_server:\n    port: '8082'", "port:", "not of type integer", "TCP port"),
    ("  history_server:", "  history_server:\n    address: a b", "address:", "address", "0.0.0.0"),
    ("  history_server:", "  history_server:\n    version: 1.20.5", "version: 1", "cannot read", "2.3.0"),
    ("{interval_seconds: 10}", "{interval_seconds: 0}", "metrics:", "less than the minimum", "1 to 3600"),
    (
        "{interval_seconds: 10}",
        "{interval_seconds: 10 s}",
        "metrics:",
        "not of type integer",
        "whole seconds",
    ),
    ("{interval_seconds: 10}", "{interval: 10}", "metrics:", "unknown key 'interval'", "interval_seconds"),
    ("{interval_seconds: 10}", "{graphite_host: 'a b'}", "metrics:", "graphite_host", "carbon"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: [4]", "Slots:", "not of type", "a string, a number"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: null", "Slots:", "not of type", "a string, a number"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: ''", "Slots:", "empty", "remove the key"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: 'a #b'", "Slots:", "'#'", "without '#'"),
    ("numberOfTaskSlots: 4", 'numberOfTaskSlots: "a\\nb"', "Slots:", "line break", "one line"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: ' 4'", "Slots:", "space", "remove the space"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: 'é'", "Slots:", "not ASCII", "ASCII"),
    ("numberOfTaskSlots: 4", "numberOfTaskSlots: '{{ x }}'", "Slots:", "braces", "remove them"),
    (
        "taskmanager.numberOfTaskSlots: 4",
        "'task manager': 4",
        "task manager",
        "no Flink option",
        "dotted key",
    ),
    ("taskmanager.numberOfTaskSlots: 4", "'a: b': 4", "a: b", "no Flink option", "dotted key"),
    (
        "taskmanager.numberOfTaskSlots: 4",
        "historyserver.web.port: 1",
        "historyserver.web.port",
        "made from flink.history_server.port",
        "set flink.history_server.port",
    ),
    (
        "taskmanager.numberOfTaskSlots: 4",
        "historyserver.log.jobmanager.url-pattern: 1",
        "historyserver.log",
        "read by the history server only",
        "flink.history_server.configuration",
    ),
    ("taskmanager.numberOfTaskSlots: 4", "env.log.dir: /x", "env.log.dir", "node's layout", "remove it"),
    (
        "taskmanager.numberOfTaskSlots: 4",
        "security.kerberos.login.keytab: /x",
        "security.kerberos",
        "Kerberos is not supported yet",
        "without Kerberos",
    ),
    (
        "  storage:",
        "  kerberos: {realm: X}\n  storage:",
        "kerberos:",
        "Kerberos is not supported",
        "remove it",
    ),
    ("hosts:", "hadoop: {classpath: yes}\nhosts:", "hadoop:", "classpath", "cluster, mirror, none"),
    ("hosts:", "hadoop: {classpath: cloudera}\nhosts:", "hadoop:", "'cloudera'", "'cluster'"),
    ("hosts:", "hadoop: {class_path: mirror}\nhosts:", "hadoop:", "unknown key 'class_path'", "classpath"),
    (
        "hosts:",
        "hadoop: {configuration_directory: etc/hadoop}\nhosts:",
        "hadoop:",
        "etc/hadoop",
        "docs/reference",
    ),
    ("hosts:", "hadoop: true\nhosts:", "hadoop:", "not of type object", "Hadoop's classes"),
    ("hosts:", "kerberos: true\nhosts:", "kerberos:", "Kerberos is not supported", "remove it"),
    ("hosts:", "hosts: []\nhostss:", "hosts: []", "not of type object", "hosts by name"),
    ("{roles: [EDGE]}", "&a {roles: [EDGE]}\n  edge-3: *a", "&a", "aliases", "write the value out"),
    ("flavor: pico", "flavor: !!python/name:os.system x", "flavor:", "not a plain value", "quote it"),
    ("flavor: pico", "flavor: [pico", "connection:", "not YAML", "mend the syntax"),
    ("  edge-2:", "  Edge-1:", "Edge-1:", "'Edge-1' is no host name", "lower-case"),
    ("  edge-2:", "  edge_2:", "edge_2:", "'edge_2' is no host name", "lower-case"),
    ("  edge-2:", "  edge-2.:", "edge-2.:", "'edge-2.' is no host name", "lower-case"),
    ("  edge-2:", f"  {'e' * 64}:", "eee:", "is no host name", "lower-case"),
    ("  edge-2:", "  edge-1:", "  edge-1: {roles: [EDGE]}\n  edge-1:", "stands here twice", "keep one"),
    ("  edge-2:", "  edge-1.b.org:", "edge-1.b.org:", "edge-1 and edge-1.b.org are both", "first part"),
    ("  edge-2:", "  10.0.0.5:", "10.0.0.5:", "is an address, not a name", "HostName"),
    ("  edge-2:", "  '7':", "'7':", "'7' is an address", "HostName"),
    ("  edge-2:", "  localhost:", "localhost:", "'localhost' cannot name a host", "otherwise"),
    ("  edge-2:", "  flink.site.org:", "flink.site.org:", "'flink' cannot name a host", "otherwise"),
    ("  edge-2:", "  all:", "  all:", "'all' cannot name a host", "otherwise"),
    (
        "  kafka-1: {roles: [KAFKA]}",
        "  kafka-1: {roles: [KAFKA, GRAPHITE]}",
        "kafka-1:",
        "manager-2 and kafka-1 both have the role GRAPHITE",
        "set flink.metrics.graphite_host",
    ),
    (
        "mirror:\n  base_uri: http://mirror-1\nhosts:\n",
        "hosts:\n  mirror-1: {roles: [MIRROR]}\n  mirror-2: {roles: [MIRROR]}\n",
        "mirror-2:",
        "mirror-1 and mirror-2 both have the role MIRROR",
        "set mirror.base_uri",
    ),
    (
        "  ssh_config:",
        "  at_once: 0\n  ssh_config:",
        "at_once:",
        "0 is less than the minimum",
        "1 to 200",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "at", "message", "cure"), BAD, ids=[f"{row[1][:40]!r}" for row in BAD]
)
def test_a_bad_file_is_refused_with_line_and_cure(
    tmp_path: Path, old: str, new: str, at: str, message: str, cure: str
) -> None:
    path = cluster_file(tmp_path / "bad.yml", (old, new))
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    text = path.read_text()
    # `at` may span lines: its last one is meant.
    line = text[: text.index(at) + len(at)].count("\n") + 1
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"{path}:{line}: "), caught.value.message
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(("role", "purpose"), [("EDGE", "the client"), ("FLINK", "the history server")])
def test_a_needed_role_that_nobody_has(tmp_path: Path, role: str, purpose: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(CLUSTER.replace(role, "KAFKA").replace("[KAFKA, KAFKA]", "[KAFKA]"))
    path.write_text(path.read_text().replace("[KAFKA, FLINK]", "[FLINK]").replace("[EDGE, KAFKA]", "[EDGE]"))
    text = path.read_text()
    path.write_text(text.replace(f"[{role}]", "[KAFKA]"))
    with pytest.raises(UsageError, match=rf"no host has the role {role} \({purpose}\)") as caught:
        clusters.load(path)
    assert f":{line_of(path.read_text(), 'edge-1:') - 1}:" in caught.value.message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (b"- a\n", "must hold keys and values"),
        (b"a: 1\n", "`format: 1` is missing"),
        (b"\xff\n", "not UTF-8"),
        (b"format: 1\nx: " + b"y" * (4 << 20), "larger than 4 MiB"),
    ],
)
def test_what_is_no_cluster_file_at_all(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=message):
        clusters.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        clusters.load(tmp_path / "none.yml")


def test_a_version_that_the_lock_lacks(tmp_path: Path) -> None:
    path = cluster_file(tmp_path / "sample.yml")
    only = lock(tmp_path / "small.lock", ("1.20.5",))
    with pytest.raises(UsageError, match=r"has no Flink 2\.3\.0") as caught:
        fact_module.resolve(clusters.load(path), only)
    assert caught.value.message.startswith(f"{path}:{line_of(path.read_text(), 'versions:')}: ")


def test_a_history_version_that_the_lock_lacks(tmp_path: Path, lock: Lock) -> None:
    change = ("  history_server:", "  history_server:\n    version: 2.3.1")
    path = cluster_file(tmp_path / "sample.yml", change)
    with pytest.raises(UsageError, match=r"has no Flink 2\.3\.1") as caught:
        fact_module.resolve(clusters.load(path), lock)
    assert caught.value.message.startswith(f"{path}:{line_of(path.read_text(), 'version: 2.3.1')}: ")


def test_a_lock_without_pyflink(tmp_path: Path) -> None:
    path = cluster_file(tmp_path / "sample.yml")
    with pytest.raises(UsageError, match=r"has no PyFlink 1\.20\.5"):
        fact_module.resolve(clusters.load(path), lock(tmp_path / "no.lock", python=False))


def test_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "small.yml"
    path.write_text(
        "format: 1\nname: small\nflavor: standard\n"
        "hosts:\n  one: {roles: [EDGE, FLINK, GRAPHITE, MIRROR]}\n"
        "flink: {versions: [2.3.0], storage: 'file:///srv/flink'}\n"
    )
    found = clusters.load(path)
    assert found.mirror_uri == "http://one"
    assert found.ssh_config is None
    assert found.default_version == found.history.version == "2.3.0"
    assert (found.history.port, found.history.address) == (8082, "0.0.0.0")
    assert (found.metrics.graphite_host, found.metrics.graphite_port) == ("one", 2003)
    assert found.metrics.interval_seconds == found.flavour.metrics_interval_seconds


def test_the_history_server_is_of_the_newest_version(tmp_path: Path) -> None:
    path = cluster_file(tmp_path / "sample.yml", ("[1.20.5, 2.3.0]", "[1.20.10, 1.20.5]"))
    assert clusters.load(path).history.version == "1.20.10"


def test_text_that_only_the_yaml_parser_reads_is_kept(tmp_path: Path) -> None:
    changes = (
        ("[1.20.5, 2.3.0]", "[2.3.0]"),
        ("default: 1.20.5", "default: 2.3.0"),
        ("Slots: 4", "Slots: 'é #'"),
    )
    found = clusters.load(cluster_file(tmp_path / "sample.yml", *changes))
    assert found.configuration["taskmanager.numberOfTaskSlots"] == "é #"


def test_the_shipped_cluster_files_are_right() -> None:
    files = sorted((clusters.ROOT / "clusters").glob("*.yml"))
    assert files
    for path in files:
        clusters.load(path)

"""The keys of ``flink.history_server``: what they become, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import history_server, preview
from provision.facts import Facts
from tests.unit.provision import samples

ONLY_1_20 = ("[1.20.5, 2.3.0]", "[1.20.5]")
KEPT = "    retained_jobs: 7\n"
UNIT = "/etc/systemd/system/flink-history-server.service"


def resolved(folder: Path, lock: Lock, *changes: tuple[str, str]) -> dict[str, Facts]:
    return fact_module.resolve(clusters.load(samples.cluster_file(folder / "c.yml", *changes)), lock)


@pytest.mark.parametrize(
    ("heap", "memory"), [("256m", 896), ("512m", 1408), ("1024m", 2432), ("1g", 2432), ("2g", 4480)]
)
def test_the_units_memory_follows_the_heap(tmp_path: Path, lock: Lock, heap: str, memory: int) -> None:
    its = resolved(tmp_path, lock, (KEPT, f"    heap: {heap}\n"))["manager-1"]
    assert its["flink_history_memory_max"] == f"{memory}M"
    java = its["flink_history_configuration"]["env.java.opts.historyserver"]
    assert java == f"-Xmx{heap} -XX:+ExitOnOutOfMemoryError"
    assert f"\nMemoryMax={memory}M\n".encode() in preview.render(its)[UNIT]


def test_a_share_of_the_processors_is_optional(tmp_path: Path, lock: Lock) -> None:
    assert b"CPUQuota" not in preview.render(resolved(tmp_path, lock)["manager-1"])[UNIT]
    limited = resolved(tmp_path, lock, (KEPT, "    cpu_percent: 150\n"))["manager-1"]
    assert b"\nCPUQuota=150%\n" in preview.render(limited)[UNIT]


def test_java_options_of_a_site_stand_beside_ours(tmp_path: Path, lock: Lock) -> None:
    added = (
        "      historyserver.archive.clean",
        "      env.java.opts.historyserver: -Dx=y\n      historyserver.archive.clean",
    )
    its = resolved(tmp_path, lock, added)["manager-1"]
    java = its["flink_history_configuration"]["env.java.opts.historyserver"]
    assert java == "-Xmx256m -XX:+ExitOnOutOfMemoryError -Dx=y"


def test_retention_and_refresh_of_both_lines(tmp_path: Path, lock: Lock) -> None:
    change = (KEPT, "    retained_jobs: 9\n    refresh_seconds: 3\n")
    new = resolved(tmp_path, lock, change)["manager-1"]["flink_history_configuration"]
    old = resolved(tmp_path, lock, change, ONLY_1_20)["manager-1"]["flink_history_configuration"]
    for found in (new, old):
        assert found["historyserver.archive.retained-jobs"] == "9"
        assert found["historyserver.archive.fs.refresh-interval"] == "3 s"
        assert found["historyserver.web.refresh-interval"] == "3 s"
        assert history_server.TTL not in found
    # 2.3 counts its own archives apart; 1.20 does not know these options.
    assert new["historyserver.archive.retained-applications"] == "9"
    assert new["historyserver.archive.clean-expired-applications"] == "true"
    assert not [key for key in old if "applications" in key]


def test_only_the_first_server_deletes(tmp_path: Path, lock: Lock) -> None:
    facts = resolved(tmp_path, lock, samples.OLD_ARCHIVES_GO)
    first, second = (facts[host]["flink_history_configuration"] for host in ("manager-1", "manager-2"))
    assert (first["historyserver.archive.retained-jobs"], first[history_server.TTL]) == ("7", "30 d")
    assert first["historyserver.archive.retained-applications"] == "7"
    assert second["historyserver.archive.retained-jobs"] == "-1"
    assert second["historyserver.archive.retained-applications"] == "-1"
    assert history_server.TTL not in second
    differing = {key for key in first if first[key] != second.get(key)}
    assert differing == {key for key in first if "retained" in key}


def test_an_age_wants_a_flink_that_knows_it(tmp_path: Path, lock: Lock) -> None:
    with pytest.raises(
        UsageError, match=r"Flink 1\.20\.5 has no option historyserver\.archive\.retained-ttl"
    ) as caught:
        resolved(tmp_path, lock, samples.OLD_ARCHIVES_GO, ONLY_1_20)
    assert "set retained_jobs instead" in caught.value.cure


def test_tls_names_files_and_holds_no_secret(tmp_path: Path, lock: Lock) -> None:
    name = ("      ca:", "      name: flink.example.org\n      ca:")
    for changes, reached in (((samples.TLS,), "manager-1"), ((samples.TLS, name), "flink.example.org")):
        facts = resolved(tmp_path, lock, *changes)
        its = facts["manager-2"]
        assert its["flink_history_uri"] == f"https://{reached}:8082"
        texts = preview.render(its)
        unit = texts[UNIT].decode()
        assert "\nExecStartPre=+/usr/lib/pnda/flink/history-server-tls prepare " in unit
        assert "\nEnvironment=FLINK_CONF_DIR=/run/flink-history-server/conf\n" in unit
        tls = json.loads(texts["/var/lib/pnda/flink/history-server.json"])["tls"]
        assert tls["name"] == (reached if len(changes) > 1 else "manager-2")
        written = [entry for entry in its["flink_files"] if entry["kind"] == "template"]
        everything = b"".join(texts[entry["destination"]] for entry in written) + json.dumps(facts).encode()
        assert b"password" not in everything
        assert b"keystore" not in everything


def test_without_tls_nothing_of_it_is_there(tmp_path: Path, lock: Lock) -> None:
    its = resolved(tmp_path, lock)["manager-1"]
    assert its["flink_history_uri"] == "http://manager-1:8082"
    texts = preview.render(its)
    assert b"Credential" not in texts[UNIT]
    assert "tls" not in json.loads(texts["/var/lib/pnda/flink/history-server.json"])
    assert not [key for key in its["flink_history_configuration"] if "ssl" in key]


@pytest.mark.parametrize(
    ("row", "message", "cure"),
    [
        ("historyserver.archive.retained-jobs: 9", "made from", "set flink.history_server.retained_jobs"),
        (
            "historyserver.archive.retained-applications: 9",
            "made from",
            "set flink.history_server.retained_jobs",
        ),
        ("historyserver.archive.retained-ttl: 9 d", "made from", "set flink.history_server.retained_ttl"),
        (
            "historyserver.archive.fs.refresh-interval: 9 s",
            "made from",
            "set flink.history_server.refresh_seconds",
        ),
        ("historyserver.web.refresh-interval: 9 s", "made from", "set flink.history_server.refresh_seconds"),
        (
            "env.java.opts.historyserver: -Dx=y -Xmx1g",
            "-Xmx1g: the heap is made",
            "set flink.history_server.heap",
        ),
        (
            "env.java.opts.historyserver: -XX:MaxHeapSize=1g",
            "the heap is made",
            "set flink.history_server.heap",
        ),
    ],
)
def test_an_option_that_contradicts_a_key(tmp_path: Path, row: str, message: str, cure: str) -> None:
    change = ("historyserver.archive.clean-expired-jobs: false", row)
    path = samples.cluster_file(tmp_path / "bad.yml", change)
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    line = path.read_text()[: path.read_text().index(row)].count("\n") + 1
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    ("row", "cure"),
    [
        ("heap: 512", "such as 512m"),
        ("heap: 0m", "such as 512m"),
        ("heap: 512 mb", "such as 512m"),
        ("cpu_percent: 5", "per cent"),
        ("cpu_percent: 50%", "per cent"),
        ("retained_jobs: 0", "how many finished jobs"),
        ("retained_jobs: -1", "how many finished jobs"),
        ("retained_ttl: 30", "such as 30 d"),
        ("retained_ttl: 30d", "such as 30 d"),
        ("retained_ttl: 0 d", "such as 30 d"),
        ("refresh_seconds: 0", "1 to 3600"),
        ("refresh_seconds: 2.5", "1 to 3600"),
        ("refresh_second: 2", "refresh_seconds"),
        ("tls: {certificate: /a}", "add it"),
        ("tls: {certificate: /a, certificate_key: b}", "see docs/reference"),
        ("tls: {certificate: /a, certificate_key: /b, name: 'a b'}", "the name by which"),
        ("tls: {certificate: /a, certificate_key: /b, password: x}", "certificate"),
    ],
)
def test_a_bad_key(tmp_path: Path, row: str, cure: str) -> None:
    path = samples.cluster_file(tmp_path / "bad.yml", (KEPT, f"    {row}\n"))
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    line = path.read_text()[: path.read_text().index(f"    {row}\n") + 1].count("\n") + 1
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert cure in caught.value.cure

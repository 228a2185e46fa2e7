"""What every host with a component has: each managed path, and whole releases."""

from __future__ import annotations

from typing import Any

from tests.infra import looks


def test_every_directory_has_its_mode_and_owner(host: Any, facts: dict[str, Any]) -> None:
    assert _owned_wrongly(host, facts["flink_directories"], "directory") == []


def test_every_file_has_its_mode_and_owner(host: Any, facts: dict[str, Any]) -> None:
    assert _owned_wrongly(host, facts["flink_files"], "regular file") == []


def test_every_link_has_its_target(host: Any, facts: dict[str, Any]) -> None:
    links = {entry["destination"]: entry["target"] for entry in facts["flink_links"]}
    assert links
    seen = looks.stat(host, list(links))
    assert {path: seen[path].target if path in seen else "absent" for path in links} == links
    resolved = host.run("sh -c %s", "for p in " + " ".join(links) + '; do [ -e "$p" ] || echo "$p"; done')
    assert resolved.stdout == "", "links that lead nowhere"


def test_templated_files_say_who_manages_them(host: Any, facts: dict[str, Any]) -> None:
    said = [
        entry["destination"]
        for entry in facts["flink_files"]
        if entry["kind"] == "template" and not entry["source"].startswith("release.json")
    ]
    missing = [path for path in said if not host.file(path).contains("Managed by PNDA provisioning")]
    assert missing == []


def test_releases_are_whole_and_nobody_else_may_write_there(host: Any, facts: dict[str, Any]) -> None:
    assert facts["flink_releases"]
    for release in facts["flink_releases"]:
        home = release["home"]
        assert host.file(f"{home}/bin/flink").mode & 0o111
        assert host.file(f"{home}/lib/flink-dist-{release['version']}.jar").size > 50_000_000
        foreign = host.run(f"find {home}/ ! -type l \\( -perm /022 -o ! -user root \\)")
        assert foreign.rc == 0
        assert foreign.stdout == ""


def test_jars_are_the_ones_that_were_locked(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        wanted = {
            f"{release['home']}/{jar['directory']}/{jar['name']}": jar["sha256"] for jar in release["jars"]
        }
        if wanted:
            assert looks.sha256(host, list(wanted)) == wanted


def test_no_two_versions_of_a_kafka_or_avro_jar_are_in_lib(host: Any, facts: dict[str, Any]) -> None:
    for release in facts["flink_releases"]:
        names = host.run(f"ls {release['home']}/lib").stdout.split()
        for prefix in ("kafka-clients-", "flink-connector-kafka-", "avro-", "flink-avro-"):
            expected = 1 if release["jars"] else 0
            assert sum(name.startswith(prefix) for name in names) == expected, prefix
        assert not [name for name in names if name.startswith(("flink-sql-avro", "flink-sql-connector"))]


def test_no_flink_process_runs_as_root(host: Any) -> None:
    processes = host.run("ps -eo user:32,args").stdout.splitlines()
    assert [line for line in processes if line.startswith("root ") and "org.apache.flink" in line] == []


def _owned_wrongly(host: Any, entries: list[dict[str, Any]], kind: str) -> list[str]:
    assert entries
    seen = looks.stat(host, [entry["destination"] for entry in entries])
    faults = []
    for entry in entries:
        wanted = looks.Seen(kind, entry["mode"], entry["owner"], entry["group"], "")
        found = seen.get(entry["destination"])
        if found != wanted:
            faults.append(f"{entry['destination']}: {found}, not {wanted}")
    return faults

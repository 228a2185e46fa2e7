from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import history_server, lines, manifest, releases
from provision.cluster import ROOT, Cluster
from provision.facts import Facts
from tests.unit.provision import samples


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in [key, *leaves(item)]]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_facts_are_flat_complete_and_plain(facts: dict[str, Facts]) -> None:
    keys = {frozenset(its) for its in facts.values()}
    assert len(keys) == 1, "every host has the same facts"
    for its in facts.values():
        assert all(re.fullmatch(r"(flink|mirror_server|yarn_queues)_[a-z_]+", key) for key in its)
        assert json.loads(json.dumps(its)) == its
        for leaf in leaves(its):
            assert leaf is not None
            assert not re.search(r"{[{%#]|[}%#]}", str(leaf)), leaf


def test_roles_decide_components(facts: dict[str, Facts]) -> None:
    found = {host: its["flink_components"] for host, its in facts.items()}
    assert found == {
        "edge-1": ["client", "housekeeping"],
        "edge-2": ["client", "housekeeping"],
        "manager-1": ["history_server", "housekeeping"],
        "manager-2": ["history_server", "housekeeping", "metrics"],
        "both-1": ["client", "history_server", "housekeeping"],
        "kafka-1": [],
    }
    assert {its["flink_history_host"] for its in facts.values()} == {"manager-1"}


def test_a_host_without_components_gets_nothing(facts: dict[str, Facts]) -> None:
    its = facts["kafka-1"]
    for key in ("flink_releases", "flink_directories", "flink_files", "flink_links"):
        assert its[key] == []


def jars_in(directory: str, release: dict[str, Any]) -> list[str]:
    return [jar["path"] for jar in release["jars"] if jar["directory"] == directory]


def test_the_scala_shell_comes_with_every_client(facts: dict[str, Facts]) -> None:
    for release in facts["edge-1"]["flink_releases"]:
        paths = jars_in("opt/scala-shell", release)
        assert paths == ["mirror_apps/scala-2.12/lib/scala-compiler-2.12.20.jar"]
    (server,) = facts["manager-1"]["flink_releases"]
    assert server["jars"] == []


@pytest.mark.parametrize(("kind", "count"), [("none", 0), ("mirror", 1), ("cluster", 0)])
def test_hadoops_jars_come_where_the_mirrors_are_asked_for(
    tmp_path: Path, lock: Lock, kind: str, count: int
) -> None:
    text = f"hadoop: {{classpath: {kind}, configuration_directory: /etc/hadoop/site}}\nflink:\n"
    cluster = clusters.load(samples.cluster_file(tmp_path / "hadoop.yml", ("flink:\n", text)))
    found = fact_module.resolve(cluster, lock)
    for host in ("edge-1", "manager-1"):
        assert found[host]["flink_hadoop_classpath"] == kind
        assert found[host]["flink_hadoop_configuration_directory"] == "/etc/hadoop/site"
        for release in found[host]["flink_releases"]:
            paths = jars_in("opt/hadoop-client", release)
            assert paths == ["mirror_apps/hadoop-3.4/lib/hadoop-client-api-3.4.2.jar"] * count


def test_the_groups_that_a_mirror_needs() -> None:
    assert releases.groups(["1.20.5", "1.20.4", "2.3.0"]) == ("flink-1.20", "flink-2.3", "scala")
    assert releases.groups(["2.3.0"], "mirror") == ("flink-2.3", "scala", "hadoop")
    assert releases.groups(["2.3.0"], "cluster") == ("flink-2.3", "scala")


def test_a_lock_without_hadoops_client_names_the_group(tmp_path: Path, lock: Lock) -> None:
    text = "hadoop:\n  classpath: mirror\nflink:\n"
    path = samples.cluster_file(tmp_path / "hadoop.yml", ("flink:\n", text))
    bare = replace(lock, files=tuple(item for item in lock.files if "hadoop" not in item.path))
    with pytest.raises(UsageError) as caught:
        fact_module.resolve(clusters.load(path), bare)
    assert f"{path}:{path.read_text().splitlines().index('  classpath: mirror') + 1}" in caught.value.message
    assert "--only hadoop" in caught.value.cure


def test_digests_come_from_the_lock(facts: dict[str, Facts], lock: Lock) -> None:
    first, second = facts["edge-1"]["flink_releases"]
    for release, line in ((first, "1.20"), (second, "2.3")):
        archive = lock.file(f"flink-{release['version']}.tar.gz")
        assert release["archive"] == {
            "path": archive.path,
            "size": archive.size,
            "sha256": archive.sha256,
            "sha512": archive.sha512,
        }
        thin = {item.path: item.sha256 for item in lock.files if f"/flink-{line}/" in item.path}
        jars = [jar for jar in release["jars"] if jar["directory"] != "opt/scala-shell"]
        assert {jar["path"]: jar["sha256"] for jar in jars} == thin
        assert [jar["directory"] for jar in jars] == ["lib", "lib", "lib", "opt"]
        wheels = {item.name: item.sha256 for item in lock.of_entry(f"pyflink-{release['version']}")}
        assert {wheel["file"]: wheel["sha256"] for wheel in release["python"]["wheels"]} == wheels
    assert {its["flink_lock_digest"] for its in facts.values()} == {lock.digest}


def test_the_history_server_alone_has_neither_jars_nor_python(facts: dict[str, Facts]) -> None:
    (release,) = facts["manager-1"]["flink_releases"]
    assert release["version"] == "2.3.0"
    assert release["jars"] == []
    assert release["python"]["wheels"] == []
    assert release["configuration"] == {}
    assert release["configuration_link"] == "/etc/flink-history/2.3.0"


@pytest.mark.parametrize("changed", ["flink-1.20.5.tar.gz", "mirror_apps/flink-1.20/lib/avro-1.11.4.jar"])
def test_a_release_digest_covers_archive_and_jars(cluster: Cluster, lock: Lock, changed: str) -> None:
    import dataclasses

    files = tuple(
        dataclasses.replace(item, sha256="0" * 64, sha512="0" * 128) if item.path == changed else item
        for item in lock.files
    )
    other = dataclasses.replace(lock, files=files)
    before, after = (releases.release(cluster, which, "1.20.5", client=True) for which in (lock, other))
    assert before["digest"] != after["digest"]
    assert before["python"] == after["python"]


def test_both_parsers_files(facts: dict[str, Facts]) -> None:
    files = {entry["destination"] for entry in facts["both-1"]["flink_files"]}
    assert "/etc/flink/1.20.5/flink-conf.yaml" in files
    assert "/etc/flink/1.20.5/config.yaml" not in files
    assert "/etc/flink/2.3.0/config.yaml" in files
    assert "/etc/flink/2.3.0/flink-conf.yaml" not in files
    assert "/etc/flink-history/2.3.0/config.yaml" in files


def test_the_default_link_flips_last(facts: dict[str, Facts]) -> None:
    client = [link for link in facts["both-1"]["flink_links"] if link["component"] == "client"]
    assert client[-1]["destination"] == "/opt/pnda/flink"
    assert client[-1]["target"] == "/opt/pnda/flink-1.20.5"


def test_only_the_first_history_server_owns_the_storage(facts: dict[str, Facts]) -> None:
    owners = [
        host
        for host, its in facts.items()
        if any(entry["destination"] == "/pnda/flink/completed-jobs" for entry in its["flink_directories"])
    ]
    assert owners == ["manager-1"]
    entry = next(
        entry
        for entry in facts["manager-1"]["flink_directories"]
        if entry["destination"] == "/pnda/flink/completed-jobs"
    )
    assert (entry["owner"], entry["group"], entry["mode"]) == ("flink", "hadoop", "1777")


def test_everything_that_the_server_reads_restarts_it(facts: dict[str, Facts]) -> None:
    for entry in facts["both-1"]["flink_files"]:
        read = entry["component"] == "history_server" and entry["kind"] == "template"
        read = read and entry["source"] != "history-server.json.j2"  # our own programs read that
        assert entry["notify"] == ("history_server" if read else ""), entry


def test_every_directory_comes_after_its_parent(facts: dict[str, Facts]) -> None:
    known = {"/", "/etc", "/usr/lib", "/var/lib", "/var/log", "/opt", "/pnda"}
    for order in (["base", "install", "client", "history_server", "housekeeping"],):
        for component in order:
            for entry in facts["manager-1"]["flink_directories"] + facts["edge-1"]["flink_directories"]:
                if entry["component"] == component:
                    assert str(Path(entry["destination"]).parent) in known, entry
                    known.add(entry["destination"])


def test_the_manifest_uses_every_template_and_program() -> None:
    rows = yaml.safe_load((manifest.FLINK.templates / "manifest.yml").read_text())["files"]
    for kind, folder, pattern in (
        ("template", manifest.FLINK.templates, "*.j2"),
        ("program", manifest.FLINK.programs, "*"),
    ):
        named = {row["source"] for row in rows if row["kind"] == kind}
        found = {path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file()}
        assert named == {str(path) for path in found if "__pycache__" not in path.parts}


def test_overrides_win_and_reach_their_own_server_only(facts: dict[str, Facts]) -> None:
    its = facts["both-1"]
    for release in its["flink_releases"]:
        assert release["configuration"]["taskmanager.numberOfTaskSlots"] == "4"
        assert not any(key.startswith("historyserver.") for key in release["configuration"])
    assert its["flink_history_configuration"]["historyserver.archive.clean-expired-jobs"] == "false"


def test_every_option_that_is_made_from_a_key_has_an_owner(tmp_path: Path) -> None:
    """An override of an option that is also a fact would give one thing two values."""
    from provision.option_rules import FIXED, OWNED, key_fault

    cluster = clusters.load(samples.cluster_file(tmp_path / "all.yml", samples.OLD_ARCHIVES_GO))
    made = {**releases.configuration(cluster, "1.20.5"), **history_server.configuration(cluster)}
    assert {key for key in made if key in OWNED or key in FIXED} == {*OWNED, *FIXED} - {"env.java.home"}
    for key in {*OWNED, *FIXED}:
        assert key_fault(key, history=True)


@pytest.mark.parametrize("version", ["1.20.5", "2.3.0"])
def test_java_options_open_what_the_client_needs(version: str) -> None:
    options = lines.LINES[lines.name_of(version)].java_options.split()
    assert "--add-opens=java.base/java.util=ALL-UNNAMED" in options
    assert ("--add-exports=java.base/sun.net.util=ALL-UNNAMED" in options) == version.startswith("1.")
    assert len(options) == len(set(options))


def test_one_lock_with_one_version_is_enough(tmp_path: Path) -> None:
    path = samples.cluster_file(tmp_path / "one.yml", ("[1.20.5, 2.3.0]", "[1.20.5]"))
    small = samples.lock(tmp_path / "small.lock", ("1.20.5",))
    its = fact_module.resolve(clusters.load(path), small)["both-1"]
    assert [release["version"] for release in its["flink_releases"]] == ["1.20.5"]
    assert its["flink_history_version"] == "1.20.5"


def shape(value: Any, options: dict[str, Any], where: str) -> None:
    assert set(value) == set(options), where
    types = {"str": str, "path": str, "int": int, "list": list, "dict": dict}
    for key, spec in options.items():
        assert isinstance(value[key], types[spec["type"]]), f"{where}.{key}"
        assert spec["required"] is True, f"{where}.{key}"
        assert spec["description"], f"{where}.{key}"
        if "options" in spec:
            for item in value[key] if spec["type"] == "list" else [value[key]]:
                shape(item, spec["options"], f"{where}.{key}")
        elif spec["type"] == "list":
            assert spec["elements"] == "str", f"{where}.{key}"
        if "choices" in spec:
            found = value[key] if isinstance(value[key], list) else [value[key]]
            assert set(found) <= set(spec["choices"]), f"{where}.{key}"


def own(facts: Facts, formula: manifest.Formula) -> Facts:
    return {key: value for key, value in facts.items() if key.startswith(f"{formula.name}_")}


@pytest.mark.parametrize("formula", manifest.FORMULAS, ids=lambda formula: formula.name)
def test_the_role_declares_exactly_the_facts(formula: manifest.Formula, served: dict[str, Facts]) -> None:
    text = (ROOT / "roles" / formula.name / "meta" / "argument_specs.yml").read_text()
    options = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    for host, its in served.items():
        shape(own(its, formula), options, host)


@pytest.mark.parametrize("formula", manifest.FORMULAS, ids=lambda formula: formula.name)
def test_the_pillar_example_is_a_hosts_facts(formula: manifest.Formula, served: dict[str, Facts]) -> None:
    example = yaml.safe_load((ROOT / "salt-states" / formula.name / "pillar.example").read_text())
    assert set(example) == set(own(served["both-1"], formula))
    text = (ROOT / "roles" / formula.name / "meta" / "argument_specs.yml").read_text()
    shape(example, yaml.safe_load(text)["argument_specs"]["main"]["options"], "pillar.example")


def test_the_reference_names_every_fact(facts: dict[str, Facts]) -> None:
    text = (ROOT / "docs" / "reference" / "facts.md").read_text()
    for key in facts["both-1"]:
        assert f"`{key}`" in text, key


def test_the_reference_names_every_key_of_a_cluster_file() -> None:
    text = (ROOT / "docs" / "reference" / "cluster.md").read_text()
    schema = json.loads(clusters.SCHEMA.read_text())

    def names(properties: dict[str, Any], prefix: str) -> list[str]:
        found = []
        for key, value in properties.items():
            found.append(prefix + key)
            found += names(value.get("properties", {}), f"{prefix}{key}.")
        return found

    for name in names(schema["properties"], ""):
        assert f"`{name}`" in text, name


def test_all_but_logs_and_storage_is_known_by_take_away(facts: dict[str, Facts]) -> None:
    for host, its in facts.items():
        rows = [row.split(" ", 2) for row in its["flink_managed"]]
        known = {what for _, _, what in rows}
        assert len(known) == len(rows)
        named = [
            entry["destination"]
            for kind in ("directories", "files", "links")
            for entry in its[f"flink_{kind}"]
        ]
        stays = {path for path in named if path not in known}
        assert all(path.startswith(("/var/log/pnda/flink", "/pnda/flink")) for path in stays), host
        assert not [what for what in known if what.startswith(("/var/log/pnda/flink", "/pnda/flink"))], host


def test_only_what_is_of_a_version_is_marked_so(facts: dict[str, Facts]) -> None:
    rows = [row.split(" ", 2) for row in facts["both-1"]["flink_managed"]]
    marked = {what for owner, _, what in rows if "@" in owner}
    assert {"/opt/pnda/flink-1.20.5", "/opt/pnda/flink-2.3.0", "/etc/flink/2.3.0/config.yaml"} <= marked
    assert "/opt/pnda/flink" not in marked
    assert "/etc/systemd/system/flink-housekeeping.timer" not in marked

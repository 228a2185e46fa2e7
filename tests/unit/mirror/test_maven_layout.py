from __future__ import annotations

import hashlib
from xml.etree import ElementTree

from mirror import maven_layout
from mirror.lockfile import LockedFile
from mirror.maven import Coordinate
from mirror.paths import is_made_here, path_fault

SHA1 = "a" * 40


def row(group: str, artifact: str, version: str, extension: str = "jar", sha1: str = SHA1) -> LockedFile:
    item = Coordinate(group, artifact, version, extension)
    return LockedFile(
        f"mirror_maven/{item.path}", 1, "0" * 64, "0" * 128, ("one",),
        {"kind": "maven", "coordinate": str(item)}, sha1=sha1,
    )  # fmt: skip


def versions(page: bytes) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(page).iterfind("versioning/versions/version")]


def test_every_file_has_the_checksum_that_strict_maven_asks_for() -> None:
    found = maven_layout.files([row("g.h", "a", "1"), row("g.h", "a", "1", "pom", "b" * 40)])
    assert found["mirror_maven/g/h/a/1/a-1.jar.sha1"] == SHA1.encode()
    assert found["mirror_maven/g/h/a/1/a-1.pom.sha1"] == b"b" * 40
    metadata = found["mirror_maven/g/h/a/maven-metadata.xml"]
    digest = hashlib.sha1(metadata).hexdigest().encode()
    assert found["mirror_maven/g/h/a/maven-metadata.xml.sha1"] == digest


def test_a_lock_without_sha1_gives_no_checksum_and_files_elsewhere_give_nothing() -> None:
    copied = LockedFile(
        "mirror_apps/a-1.jar", 1, "0" * 64, "0" * 128, ("one",),
        {"kind": "maven", "coordinate": "g:a:jar:1"}, sha1=SHA1,
    )  # fmt: skip
    assert sorted(maven_layout.files([row("g", "a", "1", sha1=""), copied])) == [
        "mirror_maven/g/a/maven-metadata.xml",
        "mirror_maven/g/a/maven-metadata.xml.sha1",
    ]


def test_metadata_lists_what_is_mirrored_in_order_and_is_the_same_for_any_order_of_files() -> None:
    rows = [row("g", "a", version) for version in ("1.10", "1.9", "2.0-rc1", "1.10.1")]
    page = maven_layout.files(rows)["mirror_maven/g/a/maven-metadata.xml"]
    assert versions(page) == ["1.9", "1.10", "1.10.1", "2.0-rc1"]
    assert ElementTree.fromstring(page).findtext("versioning/latest") == "2.0-rc1"
    assert maven_layout.files(reversed(rows)) == maven_layout.files(rows)


def test_plugins_are_found_by_prefix_and_a_pom_alone_is_no_plugin() -> None:
    group = "org.apache.maven.plugins"
    rows = [
        row(group, "maven-shade-plugin", "3.6.0"), row(group, "maven-jar-plugin", "3.4.2", "pom"),
        row("org.apache.avro", "avro-maven-plugin", "1.11.4"), row("org.apache.avro", "avro", "1.11.4"),
    ]  # fmt: skip
    found = maven_layout.files(rows)
    page = ElementTree.fromstring(found["mirror_maven/org/apache/maven/plugins/maven-metadata.xml"])
    assert [node.findtext("prefix") for node in page.iterfind("plugins/plugin")] == ["shade"]
    page = ElementTree.fromstring(found["mirror_maven/org/apache/avro/maven-metadata.xml"])
    assert [node.findtext("artifactId") for node in page.iterfind("plugins/plugin")] == ["avro-maven-plugin"]


def test_a_group_with_the_path_of_an_artifact_shares_its_page() -> None:
    found = maven_layout.files([row("g", "a", "1"), row("g.a", "x-maven-plugin", "1")])
    page = ElementTree.fromstring(found["mirror_maven/g/a/maven-metadata.xml"])
    assert page.findtext("versioning/release") == "1"
    assert page.findtext("plugins/plugin/prefix") == "x"


def test_what_is_generated_is_a_path_that_no_entry_may_bring() -> None:
    found = maven_layout.files([row("g", "a", "1"), row("g", "x-maven-plugin", "1")])
    for path in found:
        assert not path_fault(path)
        assert is_made_here(path), path
    assert not is_made_here("mirror_maven/g/a/1/a-1.jar")

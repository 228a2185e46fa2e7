from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import UsageError, WorldError
from mirror import maven, maven_run
from mirror.locations import Location
from mirror.maven import Coordinate
from mirror.maven_closure import coordinate_of, parse_tree, settings_for
from mirror.maven_settings import Repository, effective_repositories, matches
from mirror.poms import parse_xml, pom_facts

SETTINGS = '<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">{}</settings>'
MODEL = """<project xmlns="http://maven.apache.org/POM/4.0.0"><repositories>
<repository><id>main</id><url>https://main.example/repo</url></repository>
<repository><id>snapshots</id><url>https://s.example</url><releases><enabled>false</enabled></releases></repository>
</repositories></project>"""
MIRROR = "<mirrors><mirror><id>{}</id><mirrorOf>{}</mirrorOf><url>{}</url></mirror></mirrors>"


def effective(inner: Any, model: Any = MODEL) -> Any:
    return effective_repositories(SETTINGS.format(inner).encode(), model.encode())


def test_without_mirrors_the_model_decides_and_snapshots_are_left_out() -> None:
    (found,) = effective("")
    assert found.base.url == "https://main.example/repo"
    coordinate = Coordinate("org.apache.flink", "flink-avro", "1.20.3")
    assert found.locate(coordinate).url == (
        "https://main.example/repo/org/apache/flink/flink-avro/1.20.3/flink-avro-1.20.3.jar"
    )


def test_a_mirror_replaces_the_repository_with_its_own_credentials() -> None:
    server = "<server><id>company</id><username>me</username><password>secret</password></server>"
    (found,) = effective(
        MIRROR.format("company", "*", "https://company.example/maven") + f"<servers>{server}</servers>"
    )
    assert found.base.url == "https://company.example/maven"
    assert found.base.auth == ("me", "secret")
    assert "secret" not in repr(found)
    assert "secret" not in str(found.base)


def test_a_mirror_that_names_the_repository_goes_before_a_pattern() -> None:
    mirrors = (
        "<mirrors><mirror><id>all</id><mirrorOf>*</mirrorOf><url>https://all.example</url></mirror>"
        "<mirror><id>exact</id><mirrorOf>main</mirrorOf><url>https://exact.example</url></mirror></mirrors>"
    )
    (found,) = effective(mirrors)
    assert found.name == "exact"


def test_a_blocked_repository_is_a_usage_error() -> None:
    mirror = MIRROR.format("stop", "*", "http://0.0.0.0/").replace("<url>", "<blocked>true</blocked><url>")
    with pytest.raises(UsageError):
        effective(mirror)


def test_an_encrypted_password_is_refused_with_a_cure() -> None:
    server = "<server><id>main</id><username>me</username><password>{COQLCE6=}</password></server>"
    with pytest.raises(UsageError) as caught:
        effective(f"<servers>{server}</servers>")
    assert "COQLCE6" not in str(caught.value)
    assert "env." in caught.value.cure


def test_a_repository_on_disk_is_refused() -> None:
    with pytest.raises(UsageError):
        effective(MIRROR.format("disk", "*", "file:///srv/repo"))


def test_proxies_are_used_and_spared_hosts_are_not() -> None:
    proxy = (
        "<proxies><proxy><active>true</active><host>proxy.example</host><port>3128</port>"
        "<username>u</username><password>p@:</password><nonProxyHosts>{}</nonProxyHosts></proxy></proxies>"
    )
    (found,) = effective(proxy.format("*.internal"))
    assert found.base.proxies["https"] == "http://u:p%40%3A@proxy.example:3128"
    (found,) = effective(proxy.format("localhost|*.example"))
    assert found.base.proxies == {}


@pytest.mark.parametrize(
    ("pattern", "url", "answer"),
    [
        ("*", "https://x.example", True),
        ("main", "https://x.example", True),
        ("other", "https://x.example", False),
        ("other,main", "https://x.example", True),
        ("*,!main", "https://x.example", False),
        ("!main,*", "https://x.example", False),
        ("external:*", "https://x.example", True),
        ("external:*", "http://localhost/repo", False),
        ("external:*", "file:///repo", False),
        ("external:http:*", "http://x.example", True),
        ("external:http:*", "https://x.example", False),
    ],
)
def test_mirror_patterns_as_maven_reads_them(pattern: Any, url: str, answer: Any) -> None:
    assert matches(pattern, "main", url) is answer


def node(artifact: Any, children: Any = (), **words: Any) -> Any:
    return {
        "groupId": "g", "artifactId": artifact, "version": "1", "type": "jar", "scope": "compile",
        "classifier": "", "children": list(children), **words,
    }  # fmt: skip


def test_a_tree_gives_each_artifact_once_without_the_root() -> None:
    tree = node("root", [node("a", [node("b")]), node("b"), node("c", type="pom"), node("d", classifier="x")])
    assert [str(item) for item in parse_tree(json.dumps(tree))] == ["g:a:jar:1", "g:b:jar:1", "g:d:jar:x:1"]


def test_a_tree_tells_the_shortest_way_to_each_artifact() -> None:
    tree = node("root", [node("a", [node("b", [node("c")])]), node("d", [node("c")])])
    ways = {str(item): via for item, via in parse_tree(json.dumps(tree)).items()}
    assert ways["g:a:jar:1"] == ()
    assert ways["g:b:jar:1"] == ("g:a:jar:1",)
    assert ways["g:c:jar:1"] == ("g:d:jar:1",)


def test_a_tree_cannot_lead_out_of_the_repository() -> None:
    with pytest.raises(ValueError, match="coordinate"):
        parse_tree(json.dumps(node("root", [node("../../../etc/passwd")])))


@pytest.mark.parametrize(
    "text", ["g:a:jar:1", "g:a:jar:x:1", "org.apache.flink:flink-table-planner_2.12:pom:1.20.3"]
)
def test_coordinates_are_read_as_they_are_written(text: str) -> None:
    assert str(maven.parse_coordinate(text)) == text


@pytest.mark.parametrize("text", ["", "g:a:1", "g:a:jar:x:y:1", "g:..:jar:1", "g:a:jar:1/2", "g:a:jar:"])
def test_other_texts_are_no_coordinates(text: str) -> None:
    with pytest.raises(ValueError, match="coordinate"):
        maven.parse_coordinate(text)


def test_a_pom_gives_parent_and_licences() -> None:
    pom = b"""<project xmlns="http://maven.apache.org/POM/4.0.0"><parent><groupId>g</groupId>
    <artifactId>p</artifactId><version>2</version></parent>
    <licenses><license><name>Apache  License,
       Version 2.0</name></license></licenses></project>"""
    facts = pom_facts(pom, "x")
    assert str(facts.parent) == "g:p:pom:2"
    assert facts.licences == ("Apache License, Version 2.0",)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><project>&b;</project>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><project>&a;</project>'
ELSEWHERE = b'<!DOCTYPE project SYSTEM "http://127.0.0.1:9/x.dtd"><project></project>'


@pytest.mark.parametrize(
    "raw", [b"", b"<project>", b"<html><br></html>", BOMB, OUTSIDE, ELSEWHERE, b"\xff\xfe"]
)
def test_a_hostile_pom_is_refused(raw: bytes) -> None:
    with pytest.raises(WorldError):
        pom_facts(raw, "g:a:pom:1")


def test_a_parent_cannot_lead_out_of_the_repository() -> None:
    parent = b"<groupId>../..</groupId><artifactId>p</artifactId><version>2</version>"
    with pytest.raises(WorldError):
        pom_facts(b"<project><parent>" + parent + b"</parent></project>", "x")


def test_addresses_in_mavens_words_lose_their_passwords() -> None:
    text = maven_run.redact_addresses("Could not transfer from https://me:secret@host.example/x")
    assert "secret" not in text
    assert "host.example" in text


ABSENT = """[ERROR] Failed to execute goal on project x: Could not resolve dependencies:
The following artifacts could not be resolved: g:a:jar:1, g:b:jar:tests:2: Could not find artifact g:a:jar:1
in wanted-0"""


def test_mavens_words_name_all_that_is_not_published() -> None:
    assert maven_run.absent_artifacts(ABSENT.replace("\n", " ")) == ("g:a:jar:1", "g:b:jar:tests:2")
    assert maven_run.absent_artifacts("Could not transfer artifact g:a:jar:1 from/to x") == ()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("org/example/a/1.0/a-1.0.jar", "org.example:a:jar:1.0"),
        ("g/a/1/a-1-tests.jar", "g:a:jar:tests:1"),
        ("g/a/1-2/a-1-2-x.y.tar.gz", "g:a:tar.gz:x.y:1-2"),
        ("g/a/1/a-1.pom", "g:a:pom:1"),
    ],
)
def test_a_file_of_a_repository_tells_its_coordinate(path: str, text: str) -> None:
    found = coordinate_of(path)
    assert str(found) == text
    assert found.path == path


@pytest.mark.parametrize(
    "path", ["g/a/1/b-1.jar", "a/1/a-1.jar", "g/a/1-SNAPSHOT/a-1-SNAPSHOT.jar", "g/../1/..-1.jar"]
)
def test_what_cannot_stand_in_a_repository_is_refused(path: str) -> None:
    with pytest.raises(WorldError):
        coordinate_of(path)


def test_private_settings_name_the_users_repositories_and_nothing_else() -> None:
    first = Repository(
        "a", Location("http://one.example/m?x=1&y=2", ("me", "p<w"), {"https": "http://u:p%40@proxy:1"})
    )
    second = Repository("b", Location("https://two.example/m"))
    root = parse_xml(settings_for([first, second], tools_apart=True).encode(), "settings")
    assert root.findtext("mirrors/mirror/mirrorOf") == "*,!wanted-1,!tools-0,!tools-1"
    assert root.findtext("mirrors/mirror/url") == "http://one.example/m?x=1&y=2"
    assert [node.text for node in root.iterfind("servers/server/id")] == ["wanted-0", "tools-0"]
    assert root.findtext("servers/server/password") == "p<w"
    assert root.findtext("proxies/proxy/password") == "p@"
    assert root.findtext("proxies/proxy/nonProxyHosts") == "two.example"
    profile = root.find("profiles/profile")
    assert profile is not None
    assert [node.text for node in profile.iterfind("repositories/repository/id")] == ["wanted-1"]
    assert [node.text for node in profile.iterfind("pluginRepositories/pluginRepository/id")] == [
        "tools-0",
        "tools-1",
    ]

"""Archives of finished jobs: what goes, what stays, in both layouts, as files and on HDFS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.openness import open_to_all
from tests.unit.programs.housekeeping_world import Loopback, NameNode, Node, age, ids, reply


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def name_node(tmp_path: Path) -> Iterator[NameNode]:
    made = NameNode(tmp_path)
    yield made
    made.server.close()


def names(node: Node) -> set[str]:
    return {path.name for path in (node.base / "archives").iterdir()}


def test_old_ones_go_and_others_stay(node: Node) -> None:
    old, edge, new = (node.archive(name, days) for name, days in zip(ids(3), (31, 29.9, 0.1), strict=True))
    report = node.clean("archives")
    assert (report["deleted"], report["bytes"], report["problems"]) == (1, 3, 0)
    assert not old.exists()
    assert edge.exists()
    assert new.exists()


def test_those_over_the_number_go_the_oldest_first(node: Node) -> None:
    node.settings["archives.most"] = 3
    made = [node.archive(name, days) for days, name in enumerate(ids(10), 1)]
    assert node.clean("archives")["deleted"] == 7
    assert [path.exists() for path in made] == [True] * 3 + [False] * 7


@pytest.mark.parametrize("most", [1, 3])
def test_one_that_may_still_be_written_never_goes(node: Node, most: int) -> None:
    node.settings |= {"archives.most": most, "archives.days": 0.001}
    made = [node.archive(name, hours / 24) for name, hours in zip(ids(4), (0.0, 0.5, 0.9, -5), strict=True)]
    old = node.archive(ids(1, 99)[0], 0.1)
    assert node.clean("archives")["deleted"] == 1
    assert all(path.exists() for path in made)
    assert not old.exists()


def test_no_limit_of_the_age(node: Node) -> None:
    node.settings["archives.days"] = 0
    for name in ids(20):
        node.archive(name, 4000)
    assert node.clean("archives")["deleted"] == 0


def test_what_is_no_archive_stays(node: Node) -> None:
    odd = [
        "readme",
        "0" * 31,
        "0" * 33,
        "A" * 32,
        "g" * 32,
        ".pnda",
        f".{'0' * 32}",
        "new\nline",
        "\udcff\udcfe",
    ]
    for name in odd:
        node.archive(name, 400)
    (node.base / "secret").write_text("x")
    (node.base / "archives" / ("e" * 32)).symlink_to(node.base / "secret")
    (node.base / "archives" / ("d" * 32)).mkdir()
    age(node.base / "archives" / ("d" * 32), 0.01)
    assert node.clean("archives")["deleted"] == 0
    assert names(node) == {*odd, "e" * 32, "d" * 32}


def test_applications_of_the_newer_layout_go_whole(node: Node) -> None:
    cluster = "000000003dd7ab3c0000000000000000"
    old = node.application(cluster, ids(1)[0], 40, ids(2, 10))
    new = node.application(cluster, ids(1, 1)[0], 2, ids(1, 20))
    late = node.application(cluster, ids(1, 2)[0], 40, ids(2, 30))
    age(late / "jobs" / ids(1, 30)[0], 0.2)  # it still writes
    flat = node.archive(ids(1, 50)[0], 40)
    report = node.clean("archives")
    assert (report["deleted"], report["bytes"]) == (2, 9 + 3)
    assert not old.exists()
    assert not flat.exists()
    assert new.exists()
    assert (late / "application-summary").exists()
    assert names(node) == {cluster}


def test_each_layout_has_its_number(node: Node) -> None:
    """As the history server counts jobs and applications."""
    node.settings["archives.most"] = 2
    flat = [node.archive(name, days) for name, days in zip(ids(4), (1, 3, 5, 7), strict=True)]
    folders = [
        node.application("a" * 32, name, days, ids(1, 100))
        for name, days in zip(ids(4, 50), (2, 4, 6, 8), strict=True)
    ]
    node.clean("archives")
    assert [path.exists() for path in flat + folders] == [True, True, False, False] * 2


def test_the_empty_folders_of_a_cluster_go_later(node: Node) -> None:
    gone = node.application("a" * 32, ids(1)[0], 40, ids(1, 10))
    node.clean("archives")
    assert names(node) == {"a" * 32}
    for path in (gone.parent, gone.parent.parent):
        age(path, 1)
    node.clean("archives")
    assert names(node) == set()


def test_links_in_the_place_of_folders_are_not_followed(node: Node) -> None:
    outside = node.base / "outside" / "applications" / ids(1)[0]
    outside.mkdir(parents=True)
    (outside / "application-summary").touch()
    age(outside / "application-summary", 400)
    age(outside, 400)
    (node.base / "archives" / ("a" * 32)).symlink_to(node.base / "outside")
    (node.base / "archives" / ("b" * 32)).mkdir()
    (node.base / "archives" / ("b" * 32) / "applications").symlink_to(outside.parent)
    report = node.clean("archives")
    assert report["deleted"] == 0
    assert (outside / "application-summary").exists()


def test_no_folder_is_a_problem(node: Node) -> None:
    (node.base / "archives").rmdir()
    assert node.clean("archives", code=1)["problems"] == 1


def test_a_user_who_is_not_root_cleans_as_far_as_the_sticky_bit_lets(node: Node) -> None:
    """The folder's owner removes everybody's files, as on a real node; archives are other users'."""
    assert os.geteuid() == 0, "run as root: the archives belong to several users"
    folder = node.base / "archives"
    open_to_all(node.base)
    folder.chmod(0o1777)
    os.chown(folder, 1234, 1234)
    mine, theirs = node.archive(ids(1)[0], 40), node.archive(ids(1, 1)[0], 40)
    os.chown(theirs, 4321, 4321)
    tree = node.application("c" * 32, ids(1, 2)[0], 40, ids(2, 10))
    for path in (tree.parent.parent, *tree.parent.parent.rglob("*")):
        os.chown(path, 4321, 4321, follow_symlinks=False)
    report = node.clean("archives")
    assert (report["deleted"], report["problems"]) == (3, 0)
    assert not mine.exists()
    assert not theirs.exists()
    assert not tree.exists()


def test_on_hdfs_a_page_at_a_time(node: Node, name_node: NameNode) -> None:
    node.settings |= {"archives.folder": "hdfs://nn/archives", "name_nodes": [name_node.uri]}
    name_node.owners = {"/archives": "flink"}
    old = [node.archive(name, 40) for name in ids(7)]
    new = [node.archive(name, 2) for name in ids(7, 100)]
    tree = node.application("c" * 32, ids(1)[0], 40, ids(2, 10))
    name_node.owners["/archives/" + "c" * 32] = "dev1"
    report = node.clean("archives")
    assert (report["deleted"], report["problems"]) == (8, 0)
    assert not any(path.exists() for path in (*old, tree))
    assert all(path.exists() for path in new)
    deleted = [one for one in name_node.server.asked if one.startswith("DELETE")]
    assert len(deleted) == 8
    assert sum("user.name=dev1" in one for one in deleted) == 1


def test_the_standby_name_node_is_passed_over(node: Node, name_node: NameNode, tmp_path: Path) -> None:
    other = NameNode(tmp_path)
    other.standby = True
    node.settings |= {"archives.folder": "hdfs://nn/archives", "name_nodes": [other.uri, name_node.uri]}
    name_node.owners = {"/archives": "flink"}
    node.archive(ids(1)[0], 40)
    assert node.clean("archives")["deleted"] == 1
    name_node.standby = True
    node.archive(ids(1)[0], 40)
    report = node.clean("archives", code=1)
    assert "no NameNode" in report["told"][0]
    assert (node.base / "archives" / ids(1)[0]).exists()
    other.server.close()


@pytest.mark.parametrize(
    "listing",
    [
        {"partialListing": {"FileStatuses": {"FileStatus": []}}, "remainingEntries": 5},
        {
            "partialListing": {"FileStatuses": {"FileStatus": [{"pathSuffix": "../etc"}]}},
            "remainingEntries": 0,
        },
        {"partialListing": {"FileStatuses": {"FileStatus": "x"}}, "remainingEntries": 0},
        {"partialListing": {"FileStatuses": {"FileStatus": []}}},
        {},
    ],
)
def test_a_list_that_is_none_is_a_problem(node: Node, listing: dict[str, Any]) -> None:
    status = {"owner": "flink", "type": "DIRECTORY", "modificationTime": 1, "length": 0, "pathSuffix": ""}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        batch = "LISTSTATUS_BATCH" in handler.path
        reply(handler, 200, {"DirectoryListing": listing} if batch else {"FileStatus": status})

    server = Loopback(answer)
    node.settings |= {"archives.folder": "hdfs://nn/archives", "name_nodes": [server.uri]}
    report = node.clean("archives", code=1)
    assert (report["deleted"], report["problems"]) == (0, 1)
    assert not [one for one in server.asked if one.startswith("DELETE")]
    server.close()

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from lab.model import HOSTS, Lab, lab_named
from lab.shape import describe, hosts, versions

CLUSTER = """\
format: 1
name: lab
connection:
  ssh_config: build/lab/ssh_config
hosts:
  edge-1: {roles: [EDGE]}
  manager-1: {roles: [FLINK]}
flink:
  versions: [1.20.5]
"""


def test_two_checkouts_and_two_names_share_nothing() -> None:
    labs = [Lab("lab", Path("/a")), Lab("lab", Path("/b")), Lab("other", Path("/a"))]
    for attribute in ("id", "network", "shared_volume", "salt_volume"):
        assert len({getattr(lab, attribute) for lab in labs}) == len(labs)
    assert len({lab.container(host) for lab in labs for host in HOSTS}) == len(labs) * len(HOSTS)


@pytest.mark.parametrize("name", ["", "Lab", "-x", "a/b", "..", "a b", "mirror", "lab-mirror", "x" * 40, "ä"])
def test_a_name_that_cannot_be_a_folder_or_is_taken_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        lab_named(name)


def test_the_default_lab_uses_the_committed_cluster_file(tmp_path: Path) -> None:
    assert Lab("lab", tmp_path).cluster_file == tmp_path / "clusters" / "lab.yml"


def test_another_lab_gets_a_copy_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "lab.yml").write_text(CLUSTER)
    lab = Lab("mine", tmp_path)
    describe(lab)
    text = lab.cluster_file.read_text()
    assert text == CLUSTER.replace("name: lab", "name: mine").replace("build/lab/", "build/mine/")


def test_a_cluster_file_without_those_lines_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "lab.yml").write_text(CLUSTER.replace("name: lab", "name: 'lab'"))
    with pytest.raises(UsageError, match="name:"):
        describe(Lab("mine", tmp_path))


@pytest.fixture
def mine(tmp_path: Path) -> Lab:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "lab.yml").write_text(CLUSTER)
    return Lab("mine", tmp_path)


def test_a_lab_gets_more_edge_nodes_and_other_versions_and_keeps_them(mine: Lab) -> None:
    assert (hosts(mine), versions(mine)) == (HOSTS, ("1.20.5",))
    describe(mine, 3, ("2.3.0", "1.20.5"))
    for _ in range(2):
        assert hosts(mine) == (*HOSTS, "edge-2", "edge-3")
        assert versions(mine) == ("2.3.0", "1.20.5")
        assert "\n  edge-3: {roles: [EDGE]}\n  manager-1" in mine.cluster_file.read_text()
        describe(mine)
    describe(mine, edges=1)
    assert (hosts(mine), versions(mine)) == (HOSTS, ("2.3.0", "1.20.5"))


@pytest.mark.parametrize(
    ("name", "edges", "flink", "said"),
    [
        ("mine", -1, (), "--edges -1"),
        ("mine", 10, (), "--edges 10"),
        ("mine", 0, ("2.3",), "'2.3'"),
        ("mine", 0, ("1.20.5]",), "no version"),
        ("lab", 2, (), "a name of their own"),
        ("lab", 0, ("2.3.0",), "a name of their own"),
    ],
)
def test_what_a_lab_cannot_be_is_refused(
    mine: Lab, name: str, edges: int, flink: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        describe(Lab(name, mine.checkout), edges, flink)
    assert (mine.checkout / "clusters" / "lab.yml").read_text() == CLUSTER

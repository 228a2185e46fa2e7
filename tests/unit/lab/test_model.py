from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from lab.model import HOSTS, Lab, lab_named
from lab.nodes import describe_cluster

CLUSTER = """\
format: 1
name: lab
connection:
  ssh_config: build/lab/ssh_config
hosts: {}
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
    describe_cluster(lab)
    text = lab.cluster_file.read_text()
    assert text == CLUSTER.replace("name: lab", "name: mine").replace("build/lab/", "build/mine/")


def test_a_cluster_file_without_those_lines_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "lab.yml").write_text(CLUSTER.replace("name: lab", "name: 'lab'"))
    with pytest.raises(UsageError, match="name:"):
        describe_cluster(Lab("mine", tmp_path))

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import inventory, privilege, salt_master
from provision.cluster import Cluster
from tests.unit.provision import samples

BECOME = ("connection:\n", "connection:\n  become: true\n")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return clusters.load(samples.cluster_file(tmp_path / "become.yml", BECOME))


@pytest.fixture
def plain(tmp_path: Path) -> Cluster:
    return clusters.load(samples.cluster_file(tmp_path / "plain.yml"))


def test_root_needs_no_sudo(plain: Cluster, cluster: Cluster) -> None:
    assert privilege.as_root(plain, ["ls", "-l"]) == ["ls", "-l"]
    assert privilege.as_root(cluster, ["ls", "-l"]) == ["sudo", "-n", "--", "ls", "-l"]


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required",
        "sudo: sorry, you must have a tty to run sudo",
        "sudo: no tty present and no askpass program specified",
        "sudo: /etc/sudo.conf is owned by uid 1000, should be 0",
        "ops is not in the sudoers file.",
        "ops is not in the sudoers file.  This incident will be reported.",
        "Sorry, user ops is not allowed to execute '/usr/bin/sh -c x' as root on edge-1.",
        "bash: line 1: sudo: command not found",
        "sh: 1: sudo: not found",
        "a banner of the site\nsudo: a password is required\n",
        "Gather: Missing sudo password",
    ],
)
def test_a_refusal_is_known_by_what_was_said(cluster: Cluster, plain: Cluster, said: str) -> None:
    found = privilege.refusal(cluster, said)
    assert "may not become root here without a password" in found
    assert "NOPASSWD" in found
    assert privilege.refusal(plain, said) == ""


@pytest.mark.parametrize(
    "said",
    ["", "record-applied: /var/lib/pnda/flink: OSError", "port 8082 is taken by process 7 (sudo -n x)"],
)
def test_what_failed_as_root_is_no_refusal(cluster: Cluster, said: str) -> None:
    assert privilege.refusal(cluster, said) == ""


def test_every_way_in_is_told(
    cluster: Cluster, plain: Cluster, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "build", property(lambda its: tmp_path / f"build-{its.become}"))
    for one, wanted in ((cluster, "become = true"), (plain, "become = false")):
        folder = inventory.write(one, fact_module.resolve(one, lock))
        assert wanted in (folder / "ansible.cfg").read_text().splitlines()
    (tmp_path / "ssh_config").touch()
    for change, wanted_sudo in ((BECOME, True), (("flavor: pico", "flavor: pico"), None)):
        named = ("build/sample/ssh_config", str(tmp_path / "ssh_config"))
        one = clusters.load(samples.cluster_file(tmp_path / "one.yml", named, change))
        roster = (salt_master.write(one, fact_module.resolve(one, lock)) / "roster").read_text()
        assert ('"sudo": true' in roster) == (wanted_sudo is True)


@pytest.mark.parametrize("value", ["'yes'", "sudo", "1", "null"])
def test_another_value_is_refused(tmp_path: Path, value: str) -> None:
    change = ("connection:\n", f"connection:\n  become: {value}\n")
    path = samples.cluster_file(tmp_path / "bad.yml", change)
    with pytest.raises(UsageError, match="become"):
        clusters.load(path)

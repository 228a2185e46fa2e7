from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import salt_master
from provision.cluster import Cluster
from provision.manifest import FORMULAS
from tests.unit.provision import samples


@pytest.fixture
def written(tmp_path: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is written for a cluster whose ssh settings know edge-1, and one host with dots in its name."""
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path / "build"))
    (tmp_path / "key").touch()
    (tmp_path / "known").touch()
    (tmp_path / "ssh_config").write_text(
        f"Host edge-1\n  HostName 192.0.2.7\n  Port 2222\n  User ops\n  IdentityFile {tmp_path}/key\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {tmp_path}/known\n  ProxyJump jump.example.org\n"
        f"Host *\n  StrictHostKeyChecking yes\n  IdentityFile {tmp_path}/no-such-key\n"
    )
    path = samples.cluster_file(
        tmp_path / "cluster.yml",
        *samples.SERVED,
        ("build/sample/ssh_config", str(tmp_path / "ssh_config")),
        ("  edge-2:", "  edge-2.example.org:"),
    )
    cluster = clusters.load(path)
    return salt_master.write(cluster, fact_module.resolve(cluster, lock))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_each_minion_gets_its_own_facts_by_its_id(written: Path) -> None:
    top = load(written / "pillar" / "top.sls")["base"]
    roster = ["edge-1", "edge-2.example.org", "manager-1", "manager-2", "both-1", "mirror-1"]
    assert list(load(written / "roster")) == roster
    assert sorted(top) == sorted([*roster, "kafka-1"])
    for minion, names in top.items():
        (name,) = names
        # As Salt finds it: a dot is a folder.
        path = (written / "pillar").joinpath(*name.split(".")).with_suffix(".sls")
        head, _, text = path.read_text().partition("\n")
        assert head == "#!json"
        assert json.loads(text)["flink_host"] == minion
        assert path.stat().st_mode & 0o077 == 0


def test_the_states_are_whole_and_targeted_by_the_grains_that_minions_get(written: Path) -> None:
    assert not [path for path in (written / "states").rglob("*") if path.is_symlink()]
    top = load(written / "states" / "top.sls")["base"]
    assert {name for rows in top.values() for name in rows[1:]} == {one.name for one in FORMULAS}
    for formula in FORMULAS:
        assert (written / "states" / formula.name / "init.sls").is_file()
    found = {}
    for path in (written / "minions").iterdir():
        minion = load(path)
        assert (minion["id"], minion["failhard"]) == (path.name, True)
        found[path.name] = {target for target in top if matches(minion["grains"], target)}
    assert found["edge-1"] == {"hadoop:role:EDGE"}
    assert found["both-1"] == {"hadoop:role:EDGE", "roles:flink"}
    assert found["mirror-1"] == {"roles:mirror"}


def matches(grains: dict[str, Any], target: str) -> bool:
    key, *rest = target.split(":")
    found = grains.get(key, [])
    return (
        rest == [f"{inner}" for pair in found.items() for inner in pair]
        if isinstance(found, dict)
        else (rest[0] in found)
    )


def test_the_roster_is_what_ssh_itself_says(written: Path) -> None:
    roster = load(written / "roster")
    home = written.parent.parent
    one = roster["edge-1"]
    assert (one["host"], one["user"], one["port"]) == ("192.0.2.7", "ops", 2222)
    assert one["priv"] == f"{home}/key"
    assert set(one["ssh_options"]) == {
        f"userknownhostsfile={home}/known",
        "stricthostkeychecking=true",
        "identitiesonly=yes",
        "proxyjump=jump.example.org",
    }
    other = roster["edge-2.example.org"]
    assert (other["host"], other["priv"]) == ("edge-2.example.org", "agent-forwarding")
    assert other["ssh_options"] == ["stricthostkeychecking=true"]
    assert other["minion_opts"]["grains"] == {"roles": ["hadoop_edge"], "hadoop": {"role": "EDGE"}}


def test_ssh_settings_that_ssh_refuses_are_named(
    tmp_path: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "build", property(lambda _: tmp_path / "build"))
    (tmp_path / "ssh_config").write_text("Hst edge-1\n")
    change = ("build/sample/ssh_config", str(tmp_path / "ssh_config"))
    cluster = clusters.load(samples.cluster_file(tmp_path / "cluster.yml", change))
    with pytest.raises(UsageError, match="hst"):
        salt_master.write(cluster, fact_module.resolve(cluster, lock))
    assert not (tmp_path / "build" / "salt-master").exists()

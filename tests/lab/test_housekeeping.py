"""Housekeeping as its unit confines it, on real nodes: what it removes there, and for whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.containers import execute
from tests.lab.conftest import UpLab

SERVICE = "flink-housekeeping.service"
LAST = "/var/lib/pnda/flink/housekeeping/last.json"
ARCHIVES = "/pnda/flink/completed-jobs"
CONFIGURATION = "/etc/flink-housekeeping/housekeeping.json"
PROGRAM = f"/usr/lib/pnda/flink/housekeeping --configuration {CONFIGURATION}"
OLD, NEW, APPLICATION = (f"{'f' * 31}{number}" for number in (1, 2, 3))


def run(up_lab: UpLab, host: str) -> dict[str, Any]:
    """Start the service, wait for its end, and return its report by part."""
    execute(up_lab.lab, host, "systemctl", "start", SERVICE)
    report = json.loads(execute(up_lab.lab, host, "cat", LAST))
    assert (report["result"], report["dry_run"]) == ("done", False)
    parts: dict[str, Any] = report["parts"]
    return parts


def test_the_confined_service_removes_everybodys_old_archives(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    tree = f"{ARCHIVES}/{'f' * 32}/applications/{APPLICATION}"
    script = (
        f"touch -d '100 days ago' {ARCHIVES}/{OLD} && touch {ARCHIVES}/{NEW} && "
        f"chown nobody {ARCHIVES}/{OLD} && "
        f"mkdir -p {tree}/jobs && touch -d '100 days ago' {tree}/jobs/{OLD} {tree}/application-summary && "
        f"touch -d '100 days ago' {tree}/jobs {tree} && chown -R games {ARCHIVES}/{'f' * 32}"
    )
    execute(lab, "manager-1", "sh", "-c", script)
    try:
        found = run(ansible_lab, "manager-1")["archives"]
        assert (found["deleted"], found["problems"]) == (2, 0)
        left = execute(lab, "manager-1", "ls", ARCHIVES).split()
        assert OLD not in left
        assert NEW in left
        assert execute(lab, "manager-1", "ls", "-A", f"{ARCHIVES}/{'f' * 32}/applications").split() == []
    finally:
        execute(lab, "manager-1", "sh", "-c", f"rm -rf {ARCHIVES}/{'f' * 31}*")


def test_the_confined_service_leaves_what_is_young(ansible_lab: UpLab) -> None:
    lab = ansible_lab.lab
    made = "d=/tmp/pnda-flink-games && install -d -o games -m 700 $d && touch $d/x && ls -ld $d"
    execute(lab, "edge-1", "sh", "-c", made)
    try:
        assert run(ansible_lab, "edge-1")["temporary"]["deleted"] == 0
        assert execute(lab, "edge-1", "ls", "/tmp/pnda-flink-games").split() == ["x"]
    finally:
        execute(lab, "edge-1", "rm", "-rf", "/tmp/pnda-flink-games")


# Ages by the time of an inode's change cannot be made up: here everything that nobody uses is old enough.
FOLDERS = " ".join(f"/tmp/pnda-flink-{user}" for user in ("games", "news", "backup", "mail"))
LEFT = f"""
cp -p {CONFIGURATION} /root/kept.json
sed -i 's/"temporary.days": [0-9.]*/"temporary.days": 0/' {CONFIGURATION}
for user in games news backup; do
  folder=/tmp/pnda-flink-$user
  install -d -o $user -m 700 $folder $folder/blob
  install -o $user /dev/null $folder/of-the-dead
  install -o $user /dev/null $folder/blob/deep
done
ln -s /etc/hostname /tmp/pnda-flink-news/link
mkdir /tmp/pnda-flink-mail && touch /tmp/pnda-flink-mail/not-the-users-own
setsid runuser -u backup -- sh -c 'exec sleep 300 3>>/tmp/pnda-flink-backup/of-the-dead' >/dev/null 2>&1 &
sleep 2
"""
CLEAR = f"""
mv /root/kept.json {CONFIGURATION}
rm -rf {FOLDERS}
pkill -u backup
"""
FIND = f"find {FOLDERS} -mindepth 1 -type f | sort"
# What a living process holds open, and what lies in a folder that is not the user's own.
STAYS = ("backup/of-the-dead", "mail/not-the-users-own")


@pytest.mark.parametrize("any_lab", ["ansible", "salt"], indirect=True)
def test_of_several_users_only_what_nobody_uses_goes(any_lab: UpLab) -> None:
    lab = any_lab.lab
    try:
        execute(lab, "edge-1", "sh", "-ec", LEFT)
        before = execute(lab, "edge-1", "sh", "-c", FIND)
        assert len(before.split()) == 7
        foretold = json.loads(execute(lab, "edge-1", "sh", "-c", f"{PROGRAM} --dry-run --json"))
        assert execute(lab, "edge-1", "sh", "-c", FIND) == before
        found = run(any_lab, "edge-1")["temporary"]
        left = execute(lab, "edge-1", "sh", "-c", FIND).split()
    finally:
        execute(lab, "edge-1", "sh", "-c", CLEAR)
    assert foretold["parts"]["temporary"]["deleted"] == found["deleted"] >= 5
    assert {f"/tmp/pnda-flink-{path}" for path in STAYS} <= set(left)
    assert not [path for path in left if "-games/" in path or "-news/" in path]
    assert execute(lab, "edge-1", "cat", "/etc/hostname").strip()

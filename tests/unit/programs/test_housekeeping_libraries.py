"""Versions that nobody runs: on a node with real processes, and on the cluster's storage beside YARN."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.programs.housekeeping_world import ALONE, DAY, Node, ResourceManager, age

NOW, BEFORE, OLD = "2.3.0", "1.20.5", "1.20.4"
DIGESTS = {NOW: "a" * 12, BEFORE: "b" * 12, OLD: "c" * 12}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    opt = tmp_path / "opt"
    for version in (NOW, BEFORE, OLD):
        release, python = opt / f"flink-{version}", opt / f"pyflink-{version}-{DIGESTS[version]}"
        (release / "lib").mkdir(parents=True)
        (release / "lib" / "flink-dist.jar").write_text("x" * 10)
        (release / ".pnda-0").touch()
        (release / "conf").symlink_to(f"/etc/flink/{version}")
        (python / "bin").mkdir(parents=True)
        (python / "pyvenv.cfg").touch()
        (opt / f"pyflink-{version}").symlink_to(python)
    (opt / "flink").symlink_to(opt / f"flink-{NOW}")
    (opt / "flink-history").symlink_to(opt / f"flink-{NOW}")
    made.settings["libraries.versions"] = [NOW]
    applied(made)
    unused(made, 20)
    return made


def applied(node: Node, **changes: Any) -> None:
    before = {"default": BEFORE, "history_server": "", "releases": {BEFORE: "0"}}
    record = {
        "format": 1, "default": NOW, "history_server": NOW, "releases": {NOW: "0"}, "before": before,
        "rolled_back": None,
    }  # fmt: skip
    (node.base / "applied.json").write_text(json.dumps({**record, **changes}))


def unused(node: Node, days: float) -> None:
    """Let earlier runs have found the oldest version unused since so many days ago."""
    then = time.time() - days * DAY
    names = (f"flink-{OLD}", f"pyflink-{OLD}-{DIGESTS[OLD]}")
    node.seen(unused={f"{node.base}/opt/{name}": then for name in names})


def there(node: Node) -> list[str]:
    return sorted(path.name for path in (node.base / "opt").iterdir())


def test_what_nobody_needs_goes_and_a_roll_back_still_works(node: Node) -> None:
    assert node.clean("libraries")["deleted"] == 2
    assert there(node) == [
        "flink", f"flink-{BEFORE}", f"flink-{NOW}", "flink-history", f"pyflink-{BEFORE}",
        f"pyflink-{BEFORE}-{DIGESTS[BEFORE]}", f"pyflink-{NOW}", f"pyflink-{NOW}-{DIGESTS[NOW]}",
    ]  # fmt: skip
    assert (node.base / "opt" / f"flink-{BEFORE}" / "lib" / "flink-dist.jar").exists()


def test_unused_for_a_moment_is_not_for_long(node: Node) -> None:
    unused(node, 13)
    assert node.clean("libraries")["kept"]["unused, but not for long enough"] == 2
    node.seen()
    node.clean("libraries")
    assert len(node.what_was_seen()["unused"]) == 2


def test_one_that_is_used_again_begins_anew(node: Node) -> None:
    applied(node, default=OLD)
    node.clean("libraries")
    assert node.what_was_seen()["unused"] == {}
    applied(node)
    assert node.clean("libraries")["deleted"] == 0


@pytest.mark.parametrize("where", ["default", "history_server", "releases", "before", "rolled_back"])
def test_whatever_the_record_names_stays(node: Node, where: str) -> None:
    values: dict[str, Any] = {
        "releases": {NOW: "0", OLD: "1"},
        "before": {"default": OLD},
        "rolled_back": {"from": OLD, "to": NOW},
    }
    applied(node, **{where: values.get(where, OLD)})
    node.clean("libraries")
    assert {f"flink-{OLD}", f"pyflink-{OLD}-{DIGESTS[OLD]}"} <= set(there(node))


@pytest.mark.parametrize(
    "record", [None, "", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "releases": []}']
)
def test_without_a_sound_record_everything_stays(node: Node, record: str | None) -> None:
    path = node.base / "applied.json"
    path.unlink()
    if record is not None:
        path.write_text(record)
    before = there(node)
    report = node.clean("libraries", code=1)
    assert (report["deleted"], report["problems"]) == (0, 1)
    assert there(node) == before


@pytest.mark.parametrize("link", ["flink", "flink-history", "mine"])
def test_what_a_link_leads_to_stays(node: Node, link: str) -> None:
    path = node.base / "opt" / link
    path.unlink(missing_ok=True)
    path.symlink_to(f"flink-{OLD}")
    assert node.clean("libraries")["deleted"] == 1
    assert f"flink-{OLD}" in there(node)


WAIT = "exec python3 -c 'import time; print(1, flush=True); time.sleep(60)'"
MAP = (
    "import mmap, sys, time; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); "
    "f.close(); print(1, flush=True); time.sleep(60)"
)
USES = {
    "its directory": "cd {}/lib && " + WAIT,
    "an open file": WAIT + " 5<{}/lib/flink-dist.jar",
    "an argument": WAIT + " -classpath {}/lib/flink-dist.jar:x",
    "a setting": "FLINK_HOME={} " + WAIT,
    "its program": "cp /bin/sleep {}/lib/java && echo 1 && exec {}/lib/java 60",
    "a mapped file": f"exec python3 -c '{MAP}' {{}}/lib/flink-dist.jar",
}


@pytest.mark.parametrize("use", USES)
def test_what_a_process_uses_stays(node: Node, use: str) -> None:
    node.beside = USES[use].replace("{}", f"{node.base}/opt/flink-{OLD}")
    done = node.run("--only", "libraries", "--json")
    report = json.loads(done.stdout)["parts"]["libraries"]
    assert (report["deleted"], report["kept"]["a process uses it"]) == (1, 1), done.stdout
    assert f"flink-{OLD}" in there(node)


def test_a_process_that_cannot_be_looked_into_keeps_all(node: Node) -> None:
    words = [*ALONE, "sh", "-c", 'sleep 60 & exec setpriv --bounding-set=-sys_ptrace,-chown "$@"', "sh"]
    before = there(node)
    done = subprocess.run(
        [*words, *node.words("--only", "libraries")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "kept 2: there are processes that cannot be looked into" in done.stdout, done.stderr
    assert there(node) == before


def test_what_we_did_not_make_stays(node: Node) -> None:
    opt = node.base / "opt"
    for name in ("flink-1.19.0", "pyflink-1.19.0-dddddddddddd", "flink-mine", "pnda", ".flink-x.partial"):
        (opt / name / "bin").mkdir(parents=True)
    (opt / "flink-1.18.0").write_text("a file")
    node.seen(
        unused={
            f"{opt}/{name}": 1.0 for name in ("flink-1.19.0", "pyflink-1.19.0-dddddddddddd", "flink-mine")
        }
    )
    assert node.clean("libraries")["deleted"] == 0


def test_half_an_installation_goes_when_it_is_old(node: Node) -> None:
    half = node.base / "opt" / ".flink-1.20.9.partial"
    (half / "flink-1.20.9").mkdir(parents=True)
    node.seen(unused={str(half): time.time() - 15 * DAY})
    assert node.clean("libraries")["deleted"] == 1
    assert not half.exists()


def test_another_environment_of_a_version_in_use_goes(node: Node) -> None:
    other = node.base / "opt" / f"pyflink-{NOW}-dddddddddddd"
    (other / "bin").mkdir(parents=True)
    (other / "pyvenv.cfg").touch()
    node.seen(unused={str(other): time.time() - 15 * DAY})
    node.clean("libraries")
    assert not other.exists()
    assert (node.base / "opt" / f"pyflink-{NOW}" / "pyvenv.cfg").exists()


@pytest.fixture
def yarn() -> Iterator[ResourceManager]:
    made = ResourceManager()
    yield made
    made.server.close()


@pytest.fixture
def shared(tmp_path: Path, yarn: ResourceManager) -> Node:
    made = Node(tmp_path)
    made.settings |= {
        "shared_libraries.enabled": True,
        "shared_libraries.folder": f"file://{tmp_path}/lib",
        "shared_libraries.versions": [NOW],
        "staging.resource_managers": [yarn.uri],
    }
    for days, version in enumerate((NOW, BEFORE, OLD, "1.20.3")):
        (tmp_path / "lib" / version / "lib").mkdir(parents=True)
        (tmp_path / "lib" / version / "lib" / "flink-dist.jar").touch()
        age(tmp_path / "lib" / version, 100 + days)
    (tmp_path / "lib" / "site-jars").mkdir()
    made.seen(
        versions=[[NOW], [BEFORE]],
        unused={f"{tmp_path}/lib/{version}": time.time() - 31 * DAY for version in (OLD, "1.20.3")},
    )
    return made


def on_storage(node: Node) -> set[str]:
    return {path.name for path in (node.base / "lib").iterdir()}


def test_the_storage_keeps_what_is_configured_and_what_was_before(shared: Node) -> None:
    assert shared.clean("shared_libraries")["deleted"] == 2
    assert on_storage(shared) == {NOW, BEFORE, "site-jars"}


def test_a_new_configuration_makes_the_last_one_the_one_before(shared: Node) -> None:
    shared.settings["shared_libraries.versions"] = ["2.4.0"]
    shared.clean("shared_libraries")
    assert shared.what_was_seen()["versions"] == [["2.4.0"], [NOW]]
    assert on_storage(shared) == {NOW, BEFORE, "site-jars"}  # BEFORE has not been unused for long enough


def test_without_a_memory_the_latest_of_the_others_stays(shared: Node) -> None:
    shared.seen(unused={f"{shared.base}/lib/{version}": 1.0 for version in (BEFORE, OLD, "1.20.3")})
    assert shared.clean("shared_libraries")["deleted"] == 2
    assert on_storage(shared) == {NOW, BEFORE, "site-jars"}


def test_an_application_that_may_use_it_keeps_it(shared: Node, yarn: ResourceManager) -> None:
    started = int((time.time() - 32 * DAY) * 1000)
    yarn.app("application_1764000000000_0001", "RUNNING", startedTime=started)
    assert shared.clean("shared_libraries")["kept"] == {"an application runs that may use it": 2}
    yarn.apps["application_1764000000000_0001"]["startedTime"] = int((time.time() - 3 * DAY) * 1000)
    assert shared.clean("shared_libraries")["deleted"] == 2


@pytest.mark.parametrize("answer", ["standby", "no list", "no time"])
def test_while_yarn_does_not_say_all_stay(shared: Node, yarn: ResourceManager, answer: str) -> None:
    from tests.unit.programs.housekeeping_world import reply

    if answer == "standby":
        yarn.info = {"clusterInfo": {"state": "STARTED", "haState": "STANDBY"}}
    elif answer == "no list":
        yarn.special["/ws/v1/cluster/apps"] = lambda handler: reply(handler, 200, {"apps": {"app": "none"}})
    else:
        yarn.app("application_1764000000000_0001", "RUNNING", startedTime=0)
    assert shared.clean("shared_libraries", code=1)["deleted"] == 0
    assert {OLD, "1.20.3"} <= on_storage(shared)

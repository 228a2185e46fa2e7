"""Staging folders beside a real HTTP server that answers as YARN's ResourceManager does, in every state."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.openness import open_to_all
from tests.unit.programs.housekeeping_world import (
    PROGRAM,
    Loopback,
    NameNode,
    Node,
    ResourceManager,
    age,
    reply,
)

APP = "application_1764000000000_0001"
OTHER = "application_1764000000000_0002"


@pytest.fixture
def yarn() -> Iterator[ResourceManager]:
    made = ResourceManager()
    yield made
    made.server.close()


@pytest.fixture
def node(tmp_path: Path, yarn: ResourceManager) -> Node:
    made = Node(tmp_path)
    made.settings["staging.resource_managers"] = [yarn.uri]
    return made


@pytest.mark.parametrize("state", ["FINISHED", "FAILED", "KILLED"])
def test_that_of_an_application_that_has_ended_goes(node: Node, yarn: ResourceManager, state: str) -> None:
    gone, stays = node.staged("dev1", APP), node.staged("dev1", OTHER)
    yarn.app(APP, state, 2)
    yarn.app(OTHER, "RUNNING")
    report = node.clean("staging")
    assert (report["deleted"], report["kept"]) == (1, {"has not ended": 1})
    assert not gone.exists()
    assert (stays / "lib" / "some.jar").exists()


@pytest.mark.parametrize("state", ["NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING"])
def test_that_of_a_living_one_stays(node: Node, yarn: ResourceManager, state: str) -> None:
    stays = node.staged("dev1", APP, days=300)
    yarn.app(APP, state)
    assert node.clean("staging")["kept"] == {"has not ended": 1}
    assert stays.exists()


def test_one_that_ended_a_moment_ago_may_still_clean_up(node: Node, yarn: ResourceManager) -> None:
    node.staged("dev1", APP)
    yarn.app(APP, "FINISHED", 0.5)
    assert node.clean("staging")["kept"] == {"ended not long ago": 1}
    assert list(node.what_was_seen()["ended"]) == [APP]


def test_one_whose_folder_changed_a_moment_ago_stays(node: Node, yarn: ResourceManager) -> None:
    node.staged("dev1", APP, days=0.01)
    yarn.app(APP, "FINISHED", 5)
    assert node.clean("staging")["kept"] == {"ended not long ago": 1}


@pytest.mark.parametrize("ended", [0, -5, 1e99, "yesterday", None, True])
def test_an_end_without_a_time_is_none(node: Node, yarn: ResourceManager, ended: Any) -> None:
    node.staged("dev1", APP)
    yarn.app(APP, "KILLED", 5)
    yarn.apps[APP]["finishedTime"] = ended
    assert node.clean("staging")["kept"] == {"ended, but YARN does not say when": 1}


def test_unknown_to_yarn_is_not_ended(node: Node) -> None:
    stays = node.staged("dev1", APP, days=3000)
    assert node.clean("staging")["kept"] == {"unknown to YARN, and its end was never seen": 1}
    assert stays.exists()


def test_one_that_yarn_has_forgotten_goes_only_if_its_end_was_seen_and_it_is_old(node: Node) -> None:
    old, fresh, never = (
        node.staged("dev1", APP, 8),
        node.staged("dev2", OTHER, 6),
        "application_1764000000000_0003",
    )
    stays = node.staged("dev3", never, 3000)
    node.seen(ended={APP: time.time() - 1e6, OTHER: time.time() - 1e6})
    report = node.clean("staging")
    assert report["kept"] == {
        "unknown to YARN, and changed not long ago": 1,
        "unknown to YARN, and its end was never seen": 1,
    }
    assert not old.exists()
    assert fresh.exists()
    assert stays.exists()


def test_an_end_that_was_seen_is_forgotten_with_the_folder(node: Node, yarn: ResourceManager) -> None:
    node.staged("dev1", APP)
    yarn.app(APP, "KILLED", 2)
    node.seen(ended={OTHER: 1.0})
    node.clean("staging")
    node.clean("staging")
    assert node.what_was_seen()["ended"] == {}


@pytest.mark.parametrize(
    "damage", [b"", b"\xff", b"[]", b'{"format": 1, "ended": [1]}', b'{"format": 1, "ended": {"a": "b"}}']
)
def test_a_damaged_record_is_no_record(node: Node, damage: bytes) -> None:
    stays = node.staged("dev1", APP, 3000)
    (node.base / "state" / "seen.json").write_bytes(damage)
    assert node.clean("staging")["deleted"] == 0
    assert stays.exists()


def raw(text: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(text)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return answer


def give(
    status: int, body: bytes | dict[str, Any], **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: reply(handler, status, body, **headers)


APP_JSON = json.dumps({"app": {"id": APP, "state": "KILLED", "finishedTime": 1}}).encode()
# What a ResourceManager, or something in its place, may answer instead: none of it is an end.
DOUBTS: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "a page to log in": give(200, b"<html><form>Log in</form></html>", Content_Type="text/html"),
    "a redirect": give(307, b"This is standby RM.", Location="http://rm2:8088/ws/v1/cluster/apps"),
    "a redirect with a body that says ended": give(302, APP_JSON, Location="/elsewhere"),
    "401": give(401, {"RemoteException": {"exception": "AuthenticationException"}}),
    "403": give(403, {"RemoteException": {"exception": "AccessControlException"}}),
    "403 and yet an application": give(403, APP_JSON),
    "404 as a page": give(404, b"<html>HTTP ERROR 404</html>", Content_Type="text/html"),
    "404 of another kind": give(404, {"RemoteException": {"exception": "Exception"}}),
    "500": give(500, {"RemoteException": {"exception": "IOException"}}),
    "503": give(503, b""),
    "nothing": raw(b""),
    "half a header": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + APP_JSON),
    "half a chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n500\r\n" + APP_JSON),
    "JSON that is cut off": give(200, APP_JSON[:-5]),
    "an array": give(200, b"[" + APP_JSON + b"]"),
    "deep JSON": give(200, b"[" * 200000),
    "another application": give(200, APP_JSON.replace(b"0001", b"0002")),
    "no application": give(200, {"app": None}),
    "a state that nobody knows": give(200, {"app": {"id": APP, "state": "RETIRED", "finishedTime": 1}}),
    "a state that is none": give(200, {"app": {"id": APP, "state": 7, "finishedTime": 1}}),
    "a list for a state": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}x"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_where_yarn_leaves_a_doubt_nothing_goes(node: Node, yarn: ResourceManager, name: str) -> None:
    stays = [node.staged("dev1", APP, 300), node.staged("dev2", OTHER, 300)]
    yarn.app(OTHER, "KILLED", 50)
    node.seen(ended={APP: 1.0})
    yarn.special[f"/ws/v1/cluster/apps/{APP}"] = DOUBTS[name]
    report = node.clean("staging", code=1)
    assert (report["deleted"], report["kept"], report["problems"]) == (0, {"YARN did not answer": 2}, 1)
    assert report["told"][0].startswith("YARN: http://127.0.0.1:")
    assert all((path / "lib" / "some.jar").exists() for path in stays)


@pytest.mark.parametrize(
    "name", ["a page to log in", "a redirect", "401", "500", "half a body", "an array", "nothing"]
)
def test_an_info_that_says_nothing_is_no_resource_manager(
    node: Node, yarn: ResourceManager, name: str
) -> None:
    stays = node.staged("dev1", APP, 300)
    yarn.app(APP, "KILLED", 50)
    yarn.special["/ws/v1/cluster/info"] = DOUBTS[name]
    report = node.clean("staging", code=1)
    assert report["deleted"] == 0
    assert "no active ResourceManager" in report["told"][0]
    assert stays.exists()


@pytest.mark.parametrize(
    ("ha", "state"), [("STANDBY", "STARTED"), ("INITIALIZING", "STARTED"), ("ACTIVE", "INITED")]
)
def test_one_that_is_not_active_is_not_asked(node: Node, yarn: ResourceManager, ha: str, state: str) -> None:
    node.staged("dev1", APP)
    yarn.app(APP, "KILLED", 50)
    yarn.info = {"clusterInfo": {"state": state, "haState": ha}}
    assert f"state {state}, haState {ha}" in node.clean("staging", code=1)["told"][0]
    assert not [one for one in yarn.server.asked if "apps" in one]


def test_the_active_one_of_two_is_asked(node: Node, yarn: ResourceManager) -> None:
    standby = ResourceManager(ha="STANDBY")
    node.settings["staging.resource_managers"] = ["http://127.0.0.1:9", standby.uri, yarn.uri]
    gone = node.staged("dev1", APP)
    yarn.app(APP, "KILLED", 50)
    assert node.clean("staging")["deleted"] == 1
    assert not gone.exists()
    assert not [one for one in standby.server.asked if "apps" in one]
    standby.server.close()


def test_two_that_are_both_active_are_not_believed(node: Node, yarn: ResourceManager) -> None:
    second = ResourceManager()
    node.settings["staging.resource_managers"] = [yarn.uri, second.uri]
    stays = node.staged("dev1", APP)
    yarn.app(APP, "KILLED", 50)
    assert "both say that they are active" in node.clean("staging", code=1)["told"][0]
    assert stays.exists()
    second.server.close()


def test_nobody_there(node: Node, yarn: ResourceManager) -> None:
    yarn.server.close()
    stays = node.staged("dev1", APP)
    assert "ConnectionRefusedError" in node.clean("staging", code=1)["told"][0]
    assert stays.exists()


def hanging(drip: bytes) -> Loopback:
    over = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while drip and not over.wait(0.05):
            try:
                handler.wfile.write(drip)
                handler.wfile.flush()
            except OSError:
                return
        over.wait(30)

    made = Loopback(answer)
    made.over = over
    return made


@pytest.mark.parametrize("drip", [b"", b"X-Again: 1\r\n"])
def test_an_answer_that_never_ends_is_given_up(drip: bytes) -> None:
    """The program's own exchange, with less patience than it has on a node."""
    server = hanging(drip)
    code = (
        f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); sys.dont_write_bytecode = True\n"
        "from pnda_housekeeping import hadoop\n"
        "try:\n"
        f"    hadoop.ask({server.uri!r}, '/ws/v1/cluster/info', seconds=1)\n"
        "except hadoop.AnswerError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    server.close()
    # An endless header is cut short by its length where the time is not over before.
    assert "no whole answer within 1 s" in done.stdout or "got more than" in done.stdout


def test_what_is_no_staging_folder_stays(node: Node) -> None:
    flink = node.base / "homes" / "dev1" / ".flink"
    for name in ("application_1_2", "application_1764000000000_0001.bak", "job_1764000000000_0001", "x\ny"):
        (flink / name).mkdir(parents=True)
    (flink / APP).write_text("a file")
    outside = node.base / "outside"
    outside.mkdir()
    (flink / OTHER).symlink_to(outside)
    (node.base / "homes" / "dev2").mkdir()
    (node.base / "homes" / "dev2" / ".flink").symlink_to(flink)
    (node.base / "homes" / "dev3").symlink_to(node.base / "homes" / "dev1")
    report = node.clean("staging")
    assert (report["deleted"], report["kept"]) == (0, {"not a folder that its user can read": 1})


def test_everything_is_done_with_the_rights_of_its_user(node: Node, yarn: ResourceManager) -> None:
    assert os.geteuid() == 0, "run as root: the folders belong to several users"
    open_to_all(node.base)
    for number, user in ((1234, "dev1"), (4321, "dev2")):
        staged = node.staged(user, APP if number == 1234 else OTHER)
        for path in (staged.parent.parent, *staged.parent.parent.rglob("*")):
            os.chown(path, number, number)
        (staged.parent).chmod(0o700)
    theirs = node.base / "homes" / "dev2" / ".flink" / OTHER / "lib"
    os.chown(theirs, 0, 0)  # what is not the user's is not removed for them
    age(theirs.parent, 1)
    yarn.app(APP, "KILLED", 5)
    yarn.app(OTHER, "KILLED", 5)
    done = node.run("--only", "staging", "--json")
    report = json.loads(done.stdout)["parts"]["staging"]
    assert (done.returncode, report["deleted"], report["problems"]) == (1, 1, 1)
    assert not (node.base / "homes" / "dev1" / ".flink" / APP).exists()
    assert list((node.base / "homes" / "dev2").rglob("some.jar"))


def test_on_hdfs_as_each_user(node: Node, yarn: ResourceManager) -> None:
    names = NameNode(node.base)
    node.settings |= {"staging.homes": "hdfs://nn/homes", "name_nodes": [names.uri]}
    names.owners = {"/homes": "hdfs", "/homes/dev1": "dev1", "/homes/dev2": "dev2"}
    gone = node.staged("dev1", APP)
    stays = node.staged("dev2", OTHER)
    yarn.app(APP, "KILLED", 5)
    yarn.app(OTHER, "RUNNING")
    assert node.clean("staging")["deleted"] == 1
    assert not gone.exists()
    assert stays.exists()
    (deleted,) = [one for one in names.server.asked if one.startswith("DELETE")]
    assert "user.name=dev1" in deleted
    assert "recursive=true" in deleted
    names.server.close()

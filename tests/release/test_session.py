"""The client's commands against real session clusters of both lines: the Scala shell, and Python jobs."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.release import edge_node, terminal
from tests.release.conftest import Built
from tests.release.edge_node import Done, EdgeNode
from tests.release.session import Session, session

USERS = ("nobody", "games")
PROMPT = "scala> "
TYPED = """\
case class Pair(number: Int, text: String)
val factor = 7
def label(number: Int) = "v" + number
env.fromElements(1, 2, 3).map(x => Pair(x * factor, label(x))).executeAndCollect().foreach(println)
case class Other(pair: Pair)
env.fromElements(4).map(x => Other(Pair(x, label(x)))).executeAndCollect().foreach(println)
this is no Scala
"""
LAST = 'env.fromElements(6).map(x => "found " + x * 7).executeAndCollect().foreach(println)\r'
NEXT = (
    "fromData(1: Integer).map((x: Integer) => Int.box(x + 41)).returns(Types.INT).executeAndCollect().next()"
)
SQL = 'tableEnv.executeSql("SELECT 40 + 2 AS answer").print()\r'
PYTHON = """\
import sys
from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment
user = sys.argv[1]
environment = StreamExecutionEnvironment.get_execution_environment()
numbers = environment.from_collection([1, 2], type_info=Types.INT())
rows = numbers.map(lambda number: f"{number + 40} of {user}", output_type=Types.STRING())
with rows.execute_and_collect("of " + user) as found:
    print(*found, sep=chr(10))
"""


def running(edge: EdgeNode, version: str, factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = factory.mktemp(f"session-{version}")
    home = edge.path(f"/opt/pnda/flink-{version}")
    with session(home, version, folder, folder) as made:
        yield made


@pytest.fixture(scope="module")
def old(edge: EdgeNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    yield from running(edge, "1.20.5", tmp_path_factory)


@pytest.fixture(scope="module")
def new(edge: EdgeNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    yield from running(edge, "2.3.0", tmp_path_factory)


def own_folder(edge: EdgeNode, user: str) -> Path:
    return edge.tmp / f"pnda-flink-{user}"


def shell(edge: EdgeNode, cluster: Session, *turns: tuple[str, str]) -> tuple[int, str]:
    """Type into a Scala shell at a terminal."""
    words: list[str | Path] = [edge.command("start-scala-shell.sh"), "remote", "127.0.0.1", str(cluster.port)]
    environment = edge.environment(PNDA_FLINK_VERSION=cluster.version, TERM="dumb")
    return terminal.typed(words, turns, environment, edge.tmp)


def left_by_shells(edge: EdgeNode, user: str) -> list[str]:
    return [path.name for path in own_folder(edge, user).glob("scala-shell-*")]


def test_what_two_users_pipe_into_the_scala_shell_runs_on_the_cluster(edge: EdgeNode, old: Session) -> None:
    def piped(user: str) -> Done:
        words = ("start-scala-shell.sh", "remote", "127.0.0.1", str(old.port))
        return edge.run(*words, stdin=TYPED, user=user, PNDA_FLINK_VERSION=old.version)

    before = len(old.jobs())
    with ThreadPoolExecutor() as pool:
        for user, done in zip(USERS, pool.map(piped, USERS), strict=True):
            assert done.code == 0, done.out + done.err  # at the end of the input, also after an error
            for text in ("Pair(7,v1)", "Pair(14,v2)", "Pair(21,v3)", "Other(Pair(4,v4))", "error:"):
                assert text in done.out
            assert own_folder(edge, user).stat().st_mode & 0o7777 == 0o700
            assert own_folder(edge, user).owner() == user
            assert left_by_shells(edge, user) == []
    assert len(old.jobs()) == before + 4


def test_ctrl_c_ends_the_scala_shell_with_130(edge: EdgeNode, old: Session) -> None:
    code, shown = shell(edge, old, (PROMPT, LAST), ("found 42\r\n", terminal.CTRL_C))
    assert code == 130, shown
    assert left_by_shells(edge, getpass.getuser()) == []


def test_ctrl_d_ends_the_scala_shell_with_0(edge: EdgeNode, new: Session) -> None:
    before = len(new.jobs())
    turns = ((PROMPT, f"env.{NEXT}\r"), (" = 42", SQL), (" 42 |", ""), (PROMPT, terminal.CTRL_D))
    code, shown = shell(edge, new, *turns)
    assert code == 0, shown
    assert "2.3.0 has no Scala API" in shown
    assert len(new.jobs()) == before + 2
    assert left_by_shells(edge, getpass.getuser()) == []


def test_two_users_run_python_jobs_at_once(built: Built, edge: EdgeNode, old: Session) -> None:
    """Flink unpacks PyFlink into the system's temporary folder: there the second user's job dies."""
    edge_node.install_python(edge, built.release, old.version)
    (edge.tmp / "job.py").write_text(PYTHON)
    to = ("-m", f"127.0.0.1:{old.port}", "-py", "job.py")

    def submitted(user: str) -> Done:
        words = ("flink", "run") if user == USERS[0] else ("pyflink.sh",)
        return edge.run(*words, *to, user, user=user, PNDA_FLINK_VERSION=old.version)

    with ThreadPoolExecutor() as pool:
        for user, done in zip(USERS, pool.map(submitted, USERS), strict=True):
            assert done.code == 0, done.err
            assert f"41 of {user}\n42 of {user}\n" in done.out
            assert (own_folder(edge, user) / "pyflink").owner() == user
    names = {job["name"] for job in old.get("/jobs/overview")["jobs"]}
    assert {f"of {user}" for user in USERS} <= names

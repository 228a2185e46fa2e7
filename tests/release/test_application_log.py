"""A real job's own log: beside its container's, rolled and bounded by Flink's own Log4j."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.release.edge_node import EdgeNode
from tests.release.session import session

VERSION = "1.20.5"
COUNT, KEPT, SIZE = 2000, 3, 20_000


def jar(home: Path, folder: Path) -> Path:
    source, classes = Path(__file__).with_name("LoggingJob.java"), folder / "classes"
    compiling: list[str | Path] = ["javac", "-cp", f"{home}/lib/*", "-d", classes, source]
    subprocess.run(compiling, timeout=300, check=True)
    packing: list[str | Path] = [
        "jar",
        "--create",
        "--file",
        folder / "job.jar",
        "--main-class",
        "LoggingJob",
    ]
    packing += ["-C", classes, "."]
    subprocess.run(packing, timeout=120, check=True)
    return folder / "job.jar"


def test_a_jobs_own_log_lands_beside_its_containers_rolls_and_is_bounded(
    edge: EdgeNode, tmp_path: Path
) -> None:
    home = edge.path(f"/opt/pnda/flink-{VERSION}")
    container, conf = tmp_path / "log", tmp_path / "conf"
    for folder in (container, conf):
        folder.mkdir()
    # Those of a container, as YARN would bring them there; with files that roll sooner.
    text = (home / "conf" / "log4j.properties").read_text()
    application = text.index("appender.application.policies.size.size = 100MB")
    text = text[:application] + text[application:].replace("100MB", f"{SIZE} B", 1)
    (conf / "log4j-console.properties").write_text(text)
    variables = {"PNDA_FLINK_LOG": f"{container}/flink.log"}
    options = {"taskmanager.system-out.mode": "LOG", "env.log.max": str(KEPT)}
    with session(home, VERSION, tmp_path, tmp_path, options, variables) as cluster:
        where = f"127.0.0.1:{cluster.port}"
        words: list[str | Path] = [
            home / "bin" / "flink",
            "run",
            "-m",
            where,
            jar(home, tmp_path),
            str(COUNT),
        ]
        done = subprocess.run(
            words,
            env=dict(cluster.environment), capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    own = {path.name: path.read_text() for path in container.glob("flink.log*")}
    assert sorted(own) == ["flink.log", *(f"flink.log.{number}" for number in range(1, KEPT + 1))]
    assert all(len(its) < 2 * SIZE for its in own.values())
    # The latest are kept, the oldest as number 1; a stack trace follows its event.
    names = [*(f"flink.log.{number}" for number in range(1, KEPT + 1)), "flink.log"]
    kept = "".join(own[name] for name in names)
    numbers = [int(number) for number in re.findall(r"INFO  application.orders - order (\d+) ", kept)]
    assert numbers == list(range(numbers[0], COUNT + 1))
    assert f"order {COUNT} failed\njava.lang.IllegalStateException: boo\n\tat LoggingJob$Log.map" in kept
    assert "nobody asked for this" not in kept
    (manager,) = container.glob("*taskexecutor*.log")
    assert "application.orders" not in manager.read_text(), "it would be there twice"
    # What a job prints is in the log that rolls; what YARN would keep without bound got nothing.
    assert f"printed {COUNT}" in manager.read_text()
    out = (tmp_path / "taskmanager.out").read_text()
    assert "printed" not in out
    assert "INFO" not in out

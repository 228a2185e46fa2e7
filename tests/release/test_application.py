"""The template of an application, built by a strict Maven that can reach nothing but the mirror."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from core import debian
from tests.release.conftest import ROOT, Built

PROJECT = ROOT / "mirror" / "projects" / "flink-application"
SETTINGS = (
    "<settings><mirrors><mirror><id>mirror</id><mirrorOf>*</mirrorOf>"
    "<url>http://127.0.0.1:8000/mirror_maven</url></mirror></mirrors></settings>"
)
# In a network of its own there is loopback and no route. $1: the release, the rest: Maven's words.
SCRIPT = """
ip link set lo up
/usr/bin/python3 -m http.server --directory "$1" --bind 127.0.0.1 8000 >requests 2>&1 &
server=$!
trap 'kill $server' EXIT
until (: </dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.1; done
shift
mvn "$@"
"""


def maven(folder: Path, release: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build a copy of the project in ``folder``, with an empty local repository."""
    shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("target"))
    settings = folder / "settings.xml"
    settings.write_text(SETTINGS)
    pom, local = folder / "project" / "pom.xml", f"-Dmaven.repo.local={folder / 'local'}"
    return subprocess.run(
        ["unshare", "--net", "bash", "-c", SCRIPT, "prove", release,
         "-B", "-ntp", "-C", "-s", settings, "-gs", settings, local, "-f", pom, *words],
        cwd=folder, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        ((), {"org/pnda/example/CountBySource.class"}),
        (("-Pflink-2.3",), {"org/pnda/example/CountBySource.class"}),
        (
            ("-Dkafka.avro.scope=compile",),
            {"org/apache/avro/Schema.class", "org/apache/flink/connector/kafka/sink/KafkaSink.class"},
        ),
    ],
)
def test_the_template_is_built_and_tested_from_the_mirror_alone(
    tmp_path: Path, built: Built, words: tuple[str, ...], classes: set[str]
) -> None:
    debian.require(("iproute2", "maven"), "building without a network needs")
    done = maven(tmp_path, built.release, *words, "clean", "install", "dependency:tree", "help:effective-pom")
    assert done.returncode == 0, done.stdout[-3000:] + (tmp_path / "requests").read_text()[-2000:]
    assert "Tests run: 1, Failures: 0" in done.stdout
    assert " 404 " not in (tmp_path / "requests").read_text()
    with zipfile.ZipFile(next(tmp_path.glob("project/target/*-all.jar"))) as jar:
        names = set(jar.namelist())
    assert classes <= names
    assert "org/apache/flink/streaming/api/environment/StreamExecutionEnvironment.class" not in names

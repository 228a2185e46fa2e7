"""Our queue mappings, read by the ResourceManager's own classes, place users as the policy does."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from core import debian
from core.process import run
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview
from provision.cluster import Cluster
from provision.queues_section import PROGRAM
from tests.unit.provision import samples

HERE = Path(__file__).parent
FILE = "/opt/pnda/rm-wrapper/policies/queue-mappings.xml"
CLASS_PATH = "org.apache.maven.plugins:maven-dependency-plugin:3.7.0:build-classpath"
SETTINGS = """\
<configuration xmlns:xi="http://www.w3.org/2001/XInclude">
  <xi:include href="{file}"/>
  <property><name>yarn.scheduler.capacity.root.queues</name><value>default,dev,prod</value></property>
</configuration>
"""
# Names that a policy may have, and that mean something to XML, to Hadoop's settings or to its mappings.
ODD = (
    "    - {user: 'a&b', queue: dev}\n"
    "    - {user: '<x>', queue: prod}\n"
    "    - {group: 'été', queue: dev}\n"
    "    - {user: $user, queue: dev}\n"
    "    - {group: 'u', queue: prod}\n"
    "    - {user: dev1, queue: prod}\n"
)
USERS = ("pnda", "prod1", "dev1", "a&b", "<x>", "$user", "u", "user", "dev", "default", "été")
GROUPS = ("users", "dev", "prod", "été", "u", "pnda", "dev,prod", "prod,dev", "users,été,dev", "deve,produce")


@pytest.fixture(scope="module")
def class_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ResourceManager's classes, as Maven is set up to find them."""
    debian.require(("maven", "openjdk-17-jdk-headless"), "Hadoop's own classes need")
    said = tmp_path_factory.mktemp("maven") / "class-path"
    words: list[str | Path] = ["mvn", "-B", "-ntp", "-C", "-q", "-f", HERE / "queue-mappings" / "pom.xml"]
    run([*words, CLASS_PATH, f"-Dmdep.outputFile={said}"], timeout=900)
    return said.read_text().strip()


@pytest.fixture
def mapped(tmp_path: Path) -> Cluster:
    odd = ("    - {everyone: true", f"{ODD}    - {{everyone: true")
    return clusters.load(samples.cluster_file(tmp_path / "mapped.yml", *samples.MAPPED, odd))


def placed(class_path: str, file: Path, asked: list[tuple[str, str]]) -> list[str]:
    """Return what the scheduler's settings in ``file`` say, and where they place each user."""
    lines = "".join(f"{user}\t{groups}\n" for user, groups in asked)
    words: list[str | Path] = [
        "java",
        "-Dfile.encoding=UTF-8",
        "-cp",
        class_path,
        HERE / "PlacedByMappings.java",
        file,
    ]
    return run(words, timeout=300, stdin=lines, env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout.splitlines()


def test_yarn_places_everybody_where_the_policy_does(
    class_path: str, mapped: Cluster, tmp_path: Path
) -> None:
    lock: Lock = samples.lock(tmp_path / "lock")
    content = preview.render(fact_module.resolve(mapped, lock)["rm-1"])[FILE]
    file, settings, policy = (tmp_path / name for name in ("queue-mappings.xml", "scheduler.xml", "map.txt"))
    file.write_bytes(content)
    settings.write_text(SETTINGS.format(file=file))
    assert mapped.queues is not None
    policy.write_text(mapped.queues.policy())
    asked = list(itertools.product(USERS, GROUPS))
    first, *found = placed(class_path, settings, asked)
    assert first == "false 10"  # the override; one of the eleven rules is a second choice
    expected = []
    for user, groups in asked:
        words = [str(PROGRAM), "--policy", str(policy), "--user", user, "--groups", groups, "--", ""]
        expected.append(run(words, timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout.strip())
    assert dict(zip(asked, found, strict=True)) == dict(zip(asked, expected, strict=True))
    assert set(found) == {"default", "dev", "prod"}


def test_what_is_refused_would_be_misread(class_path: str, tmp_path: Path) -> None:
    """The reasons for which cluster.check refuses are YARN's own."""
    name = "<property><name>yarn.scheduler.capacity.queue-mappings</name><value>"
    file = tmp_path / "scheduler.xml"
    file.write_text(f"<configuration>{name}u:x%user:dev,g:dev:prod</value></property></configuration>")
    # The user's own name takes the place of %user, so that nobody's can be it.
    assert placed(class_path, file, [("x%user", "none"), ("any", "dev")]) == ["false 2", "", "prod"]

"""The catalogues of options are what the distributions say, and Flink parses what we accept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UsageError
from mirror import lockfile
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts, lines, memory_check, option_catalogue, option_refresh, option_values
from provision.flink_archive import unpacked
from provision.option_catalogue import Option
from tests.release.conftest import ROOT, Built, inv

LOCK = lockfile.load(ROOT / "mirror" / "catalogue.lock")
# Of what a build without --only brings; the lab layer does the same for the version that it comes from.
VERSIONS = [its for its in option_catalogue.versions() if f"flink-{its}" in LOCK.select([])]
GOOD = {
    "Boolean": ["true", "False", "TRUE"],
    "Integer": ["0", "-1", "+7", "2147483647"],
    "Long": ["0", "-1", "9223372036854775807"],
    "Double": ["0.5", ".5", "5.", "-1e-3", "7"],
    "Float": ["0.5", "1E3"],
    "Duration": ["0", "1 s", "10min", "5 Minutes", "7  days", "3 µs", "9ns", "2 h", "1 millis", "4 secs"],
    "MemorySize": ["0", "1g", "2 GB", "64 mebibytes", "1024b", "7 kb", "3 t", "12 bytes"],
    "List<String>": ["a;b", "one", "'a;b';c"],
    "Map": ["a:1,b:2", "k:v", "'a,b':1"],
    "String": ["x", "10", "a b"],
}
BAD = {
    "Boolean": ["yes", "1", "on", "t"],
    "Integer": ["1.5", "x", "2147483648", "1_000", "1 "],
    "Long": ["1.5", "x", "9223372036854775808", "10 s"],
    "Double": ["half", "0,5", "40%"],
    "Float": ["half", "0,5"],
    "Duration": ["10 sek", "1.5 s", "-1 s", "soon", "1 min 30 s", "3 weeks", "5 mb", "s"],
    "MemorySize": ["4 gib", "1.5g", "-1g", "much", "10 s", "g", "99999999999999 t"],
    "Map": ["a", "a:1,b", "a:1,a:2", "'a:1", "'a'b:1"],
    "List<String>": ["'a;b", "'a'b;c"],
}


@pytest.fixture(scope="module")
def lock() -> Lock:
    return LOCK


@pytest.mark.parametrize("version", VERSIONS)
def test_a_catalogue_made_again_is_the_same(built: Built, lock: Lock, version: str) -> None:
    assert option_refresh.made(lock, built.root, version) == option_catalogue.path_of(version).read_bytes()


def options(version: str) -> list[Option]:
    catalogue = option_catalogue.load(version)
    # What Flink has under another name is parsed under its own.
    own = [option for option in catalogue.exact.values() if not option.successors]
    return [*own, *(option for _, option in catalogue.patterns)]


def probes(version: str) -> Iterator[tuple[Option, str]]:
    """Yield options with values: good, bad, and ones that are nearly the one or the other."""
    pick = random.Random(version)  # the same on every run
    for option in options(version):
        values = [*GOOD.get(option.kind, []), *BAD.get(option.kind, []), *option.values, option.default]
        if option.values:
            values += [option.values[0].lower(), option.values[-1].upper(), f"{option.values[0]}x", "no-such"]
        for value in list(values):
            if value:
                place = pick.randrange(len(value))
                values.append(value[:place] + pick.choice("0 1sgmb.-;:x") + value[place + 1 :])
        for value in values:
            if value and value == value.strip() and value.isprintable():
                yield option, value


@pytest.mark.parametrize("version", VERSIONS)
def test_flink_parses_what_we_accept_and_refuses_what_we_do(built: Built, lock: Lock, version: str) -> None:
    legacy = lines.LINES[lines.name_of(version)].legacy
    asked = list(probes(version))
    text = "".join(f"{option.key}\t{value}\n" for option, value in asked)
    with unpacked(built.root, lock, version, option_refresh.is_wanted) as home:
        answers = option_refresh.ask(home, version, "parse", text).splitlines()
    assert len(answers) == len(asked) > 5000
    refused = accepted = 0
    for (option, value), answer in zip(asked, answers, strict=True):
        if answer == "unknown":
            continue  # an option of the scripts: no class of Flink has it
        fault = option_values.fault(option, value, legacy)
        if fault is None:
            assert answer == "ok", (option, value, answer)
            accepted += 1
        elif value in BAD.get(option.kind, []):
            assert answer.startswith("fault"), (option, value, answer)
            refused += 1
    assert accepted > 3000
    assert refused > 1000


CLUSTER = """\
format: 1
name: deep
flavor: pico
mirror: {base_uri: http://mirror-1}
hosts:
  edge-1: {roles: [EDGE, FLINK, GRAPHITE]}
  edge-2: {roles: [EDGE]}
flink:
  versions: [1.20.5, 2.3.0]
  storage: file:///pnda/flink
  configuration:
    parallelism.default: 2
"""


def check(tmp_path: Path, root: Path, *more: str) -> tuple[int, str]:
    path = tmp_path / "deep.yml"
    path.write_text(CLUSTER + "".join(f"    {line}\n" for line in more))
    done = inv("cluster.check", "--deep", "--cluster", path, "--root", root)
    return done.returncode, done.stdout + done.stderr


def test_memory_settings_that_flink_takes(built: Built, tmp_path: Path) -> None:
    code, said = check(tmp_path, built.root, "taskmanager.memory.process.size: 2g")
    assert code == 0, said
    for version in ("1.20.5", "2.3.0"):
        for process in ("jobmanager", "taskmanager"):
            assert said.count(f"Flink {version} takes the {process}'s memory settings") == 1


@pytest.mark.parametrize(
    ("setting", "process"),
    [
        ("taskmanager.memory.process.size: 300m", "taskmanager"),
        ("taskmanager.memory.flink.size: 1700m", "taskmanager"),
        ("taskmanager.memory.managed.size: 5g", "taskmanager"),
        ("taskmanager.memory.network.fraction: 1.5", "taskmanager"),
        ("taskmanager.memory.jvm-metaspace.size: 2g", "taskmanager"),
        ("jobmanager.memory.process.size: 200m", "jobmanager"),
        ("jobmanager.memory.heap.size: 4g", "jobmanager"),
    ],
)
def test_memory_settings_that_flink_refuses(built: Built, tmp_path: Path, setting: str, process: str) -> None:
    code, said = check(tmp_path, built.root, setting)
    assert code == 2, said
    assert f"deep.yml:13: Flink 1.20.5 refuses the {process}'s memory: " in said


def test_a_flavour_that_flink_refuses_is_named_by_its_line(built: Built, lock: Lock, tmp_path: Path) -> None:
    path = tmp_path / "deep.yml"
    path.write_text(CLUSTER)
    cluster = clusters.load(path)
    small = replace(cluster, flavour=replace(cluster.flavour, taskmanager_memory="300m"))
    with pytest.raises(
        UsageError, match=r"deep\.yml:3: Flink 1\.20\.5 refuses the taskmanager's memory"
    ) as caught:
        memory_check.check(small, facts.resolve(small, lock), lock, built.root)
    assert "taskmanager.memory.process.size is 300m" in caught.value.cure

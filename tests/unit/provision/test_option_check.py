"""Flink options in a cluster file: unknown, misspelt, removed, of the wrong type or unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError, WorldError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import (
    flavours,
    option_catalogue,
    option_check,
    option_refresh,
    option_rules,
    option_values,
    retention,
)
from tests.unit.provision import samples

ONLY_1 = (("[1.20.5, 2.3.0]", "[1.20.5]"),)
ONLY_2 = (("[1.20.5, 2.3.0]", "[2.3.0]"), ("default: 1.20.5", "default: 2.3.0"))
BOTH = ()

# The versions, the line as written, words of the message, words of the cure.
BAD = [
    # Unknown or misspelt.
    (BOTH, "taskmanager.numberOfTaskSlot: 4", "no option", "'taskmanager.numberOfTaskSlots'"),
    (BOTH, "taskmanager.numberoftaskslots: 4", "no option", "'taskmanager.numberOfTaskSlots'"),
    (BOTH, "paralelism.default: 4", "no option", "'parallelism.default'"),
    (BOTH, "execution.checkpointing.intervall: 10 s", "no option", "'execution.checkpointing.interval'"),
    (BOTH, "state.backend.typ: rocksdb", "no option", "'state.backend.type'"),
    (BOTH, "taskmanager.memory.proces.size: 2g", "no option", "'taskmanager.memory.process.size'"),
    (BOTH, "yarn.application.attempts: 2", "no option", "'yarn.application-attempts'"),
    (BOTH, "restart-strategy.fixed-delay.attempt: 3", "no option", "'restart-strategy.fixed-delay.attempts'"),
    (BOTH, "metrics.reporter.grph.intervall: 10 s", "no option", "'metrics.reporter.grph.interval'"),
    (BOTH, "metrics.reporter.grph.filter.include: x", "no option", "'metrics.reporter.grph.filter.includes'"),
    (BOTH, "my.own.option: 1", "no option my.own.option", "flink.other_options"),
    (BOTH, "python.dc.tmp.dir: /tmp", "no option", "flink.other_options"),
    (BOTH, "high-availability.typ: zookeeper", "no option", "'high-availability.type'"),
    (BOTH, "taskmanager.memory.preallocate: true", "no option", "flink.other_options"),
    (BOTH, "metrics.reporter.: x", "no Flink option", "dotted key"),
    (BOTH, "flink.hadoop.: x", "no Flink option", "dotted key"),
    # Gone in one of the versions that get it, or not there yet.
    (
        BOTH,
        "jobmanager.heap.size: 1g",
        "Flink 2.3.0 has no option jobmanager.heap.size any more",
        "jobmanager.memory.process.size",
    ),
    (
        ONLY_2,
        "taskmanager.heap.mb: 1024",
        "any more (Flink 1.20.5 has it)",
        "taskmanager.memory.process.size",
    ),
    (ONLY_2, "restart-strategy.failure-rat.delay: 1 s", "no option", "'restart-strategy.failure-rate.delay'"),
    (ONLY_2, "security.ssl.enabled: true", "any more", "security.ssl.internal.enabled"),
    (BOTH, "taskmanager.network.netty.sendReceiveBufferSize: 1", "any more", "remove it"),
    (ONLY_2, "execution.checkpointing.force: true", "any more", "remove it: nothing came instead"),
    (BOTH, "completed-application-store.type: Memory", "Flink 1.20.5 has no option", "remove it"),
    # Whole numbers.
    (BOTH, "taskmanager.numberOfTaskSlots: 2.5", "'2.5' is no whole number", "without a unit"),
    (BOTH, "taskmanager.numberOfTaskSlots: two", "'two' is no whole number", "without a unit"),
    (BOTH, "parallelism.default: 4 tasks", "is no whole number", "without a unit"),
    (BOTH, "parallelism.default: true", "'true' is no whole number", "without a unit"),
    (BOTH, "parallelism.default: 3000000000", "too large", "from -2147483648 to 2147483647"),
    (BOTH, "yarn.application.priority: high", "is no whole number", "without a unit"),
    # Numbers.
    (BOTH, "taskmanager.memory.managed.fraction: 40%", "is no number", "such as 0.5"),
    (BOTH, "taskmanager.memory.managed.fraction: '0,4'", "is no number", "such as 0.5"),
    (BOTH, "taskmanager.memory.network.fraction: half", "is no number", "such as 0.5"),
    # True and false.
    (BOTH, "execution.checkpointing.incremental: 'yes'", "neither true nor false", "write true or false"),
    (BOTH, "execution.checkpointing.incremental: 1", "neither true nor false", "write true or false"),
    (BOTH, "classloader.check-leaked-classloader: 'off'", "neither true nor false", "write true or false"),
    # Durations.
    (BOTH, "execution.checkpointing.interval: 10", "'10' has no unit of time", "'10 s', or '10 ms'"),
    (BOTH, "execution.checkpointing.interval: 10 sek", "'sek' is no unit of time", "ms"),
    (BOTH, "execution.checkpointing.interval: 1.5 s", "is no duration", "whole number"),
    (BOTH, "execution.checkpointing.interval: -1 s", "is no duration", "whole number"),
    (BOTH, "execution.checkpointing.interval: PT10S", "is no duration", "such as '10 s'"),
    (BOTH, "execution.checkpointing.interval: 1 min 30 s", "is no duration", "such as '10 s'"),
    (BOTH, "execution.checkpointing.interval: soon", "is no duration", "such as '10 s'"),
    (BOTH, "heartbeat.timeout: 50000", "has no unit of time", "'50000 ms'"),
    (BOTH, "execution.checkpointing.timeout: 10 mb", "'mb' is no unit of time", "min"),
    (BOTH, "execution.checkpointing.timeout: 999999999999 d", "too long", "whole number"),
    (BOTH, "metrics.reporter.other.interval: 10 x", "'x' is no unit of time", "ms"),
    (BOTH, "web.refresh-interval: 3 weeks", "'weeks' is no unit of time", "such as '10 s'"),
    # Memory sizes.
    (BOTH, "taskmanager.memory.process.size: 4096", "no unit, and Flink would take it for bytes", "4096m"),
    (BOTH, "taskmanager.memory.process.size: 4 gib", "'gib' is no unit of memory", "1024m"),
    (BOTH, "taskmanager.memory.process.size: 1.5g", "is no unit of memory", "whole number"),
    (BOTH, "taskmanager.memory.process.size: -1g", "is no memory size", "whole number"),
    (BOTH, "taskmanager.memory.managed.size: 10 s", "'s' is no unit of memory", "1024m"),
    (BOTH, "jobmanager.memory.heap.size: 99999999999 t", "too much", "1024m"),
    # Choices.
    (BOTH, "execution.checkpointing.mode: EXACTLY_ONE", "is not one of EXACTLY_ONCE", "'EXACTLY_ONCE'"),
    (BOTH, "execution.runtime-mode: streeming", "is not one of", "'STREAMING'"),
    (BOTH, "execution.checkpointing.externalized-checkpoint-retention: KEEP", "is not one of", "RETAIN_ON"),
    (BOTH, "scheduler-mode: proactive", "is not one of REACTIVE", "'REACTIVE'"),
    (BOTH, "jobmanager.scheduler: adaptiv", "is not one of", "'Adaptive'"),
    # Lists and maps.
    (BOTH, "metrics.job.status.enable: STATE;TIMES", "'TIMES' is not one of", "parted by ';'"),
    (BOTH, "pipeline.global-job-parameters: a=1", "'a=1' is no pair", "name:value"),
    (BOTH, "pipeline.global-job-parameters: 'a:1,a:2'", "'a' stands there twice", "keep one"),
    (BOTH, 'pipeline.jars: "\'a.jar;b.jar"', "a quotation has no end", "parted by ';'"),
    (BOTH, "pipeline.jars: \"'a.jar'b;c\"", "after a quotation", "parted by ';'"),
    # An old name of what is set anyway would not be read.
    (
        BOTH,
        "state.checkpoints.dir: 'file:///x'",
        "old name of execution.checkpointing.dir",
        "set flink.storage",
    ),
    (BOTH, "savepoints.state.backend.fs.dir: 'file:///x'", "old name of execution", "set flink.storage"),
    (BOTH, "env.java.opts: -Xlog:gc", "old name of env.java.opts.all", "write env.java.opts.all"),
    (
        BOTH,
        "state.backend: hashmap\n    state.backend.type: rocksdb",
        "old name of state.backend.type, which is set as well",
        "write state.backend.type",
    ),
    # A deprecated name has its option's type.
    (BOTH, "taskmanager.tmp.dir: /tmp", "no option", "'io.tmp.dirs'"),
    (BOTH, "akka.ask.timeout: 10", "has no unit of time", "'10 s'"),
    (BOTH, "state.backend.incremental: 'on'", "neither true nor false", "true or false"),
]


@pytest.mark.parametrize(("versions", "written", "message", "cure"), BAD, ids=[row[1] for row in BAD])
def test_an_option_that_flink_would_not_take(
    tmp_path: Path, lock: Lock, versions: tuple[tuple[str, str], ...], written: str, message: str, cure: str
) -> None:
    path = samples.cluster_file(
        tmp_path / "bad.yml", *versions, ("taskmanager.numberOfTaskSlots: 4", written)
    )
    with pytest.raises(UsageError) as caught:
        fact_module.resolve(clusters.load(path), lock)
    line = path.read_text()[: path.read_text().index(written)].count("\n") + 1
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"{path}:{line}: "), caught.value.message
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    ("versions", "written"),
    [
        (BOTH, "metrics.reporter.grph.rateConversion: SECONDS"),
        (BOTH, "metrics.reporter.mine.my-own: 7"),
        (BOTH, "metrics.reporter.mine.interval: 10 s"),
        (BOTH, "env.java.opts.taskmanager: -Xlog:gc"),
        (BOTH, "s3.access-key: '1'"),
        (BOTH, "fs.s3a.endpoint: http://store"),
        (BOTH, "flink.hadoop.dfs.replication: 2"),
        (BOTH, "containerized.taskmanager.env.LANG: C.UTF-8"),
        (BOTH, "pipeline.global-job-parameters.mine: x"),
        (BOTH, "pipeline.global-job-parameters: a:1,b:2"),
        (BOTH, "external-resource.gpu.amount: 1"),
        (BOTH, "external-resource.gpu.param.discovery-script.args: x"),
        (BOTH, "execution.checkpointing.interval: 0"),
        (BOTH, "execution.checkpointing.interval: 10min"),
        (BOTH, "execution.checkpointing.interval: 5 Minutes"),
        (BOTH, "execution.checkpointing.mode: at_least_once"),
        (BOTH, "taskmanager.memory.process.size: 2 GB"),
        (BOTH, "taskmanager.memory.managed.size: 0"),
        (BOTH, "taskmanager.memory.managed.fraction: 1e-1"),
        (BOTH, "execution.checkpointing.incremental: TRUE"),
        (BOTH, "metrics.job.status.enable: STATE;total_time"),
        (BOTH, "akka.ask.timeout: 10 s"),
        (BOTH, "env.ssh.opts: -p 22"),
        (BOTH, "yarn.tags: pnda"),
        (BOTH, "high-availability.zookeeper.quorum: 'zk:2181'"),
        (ONLY_1, "taskmanager.heap.mb: 1024"),
        (ONLY_2, "pipeline.global-job-parameters: '{a: 1}'"),
        (ONLY_2, "completed-application-store.type: Memory"),
    ],
)
def test_an_option_that_flink_takes(
    tmp_path: Path, lock: Lock, versions: tuple[tuple[str, str], ...], written: str
) -> None:
    path = samples.cluster_file(
        tmp_path / "good.yml", *versions, ("taskmanager.numberOfTaskSlots: 4", written)
    )
    found = clusters.load(path)
    fact_module.resolve(found, lock)
    assert written.split(":")[0] in found.configuration


def test_options_of_ones_own_plug_ins(tmp_path: Path, lock: Lock) -> None:
    change = (
        "    taskmanager.numberOfTaskSlots: 4",
        "    com.example.depth: 4\n  other_options: [com.example]",
    )
    fact_module.resolve(clusters.load(samples.cluster_file(tmp_path / "own.yml", change)), lock)
    near = (
        "    taskmanager.numberOfTaskSlots: 4",
        "    com.examples.depth: 4\n  other_options: [com.example]",
    )
    with pytest.raises(UsageError, match=r"no option com\.examples\.depth"):
        fact_module.resolve(clusters.load(samples.cluster_file(tmp_path / "near.yml", near)), lock)
    known = (
        "    taskmanager.numberOfTaskSlots: 4",
        "    parallelism.default: x\n  other_options: [parallelism]",
    )
    with pytest.raises(UsageError, match="no whole number"):
        fact_module.resolve(clusters.load(samples.cluster_file(tmp_path / "known.yml", known)), lock)


@pytest.mark.parametrize("own", ["com.", "'a b'", "''", ".a", "7"])
def test_other_options_that_are_no_names(tmp_path: Path, own: str) -> None:
    change = ("  storage:", f"  other_options: [{own}]\n  storage:")
    with pytest.raises(UsageError, match=r"bad\.yml:\d+: flink\.other_options\.0"):
        clusters.load(samples.cluster_file(tmp_path / "bad.yml", change))


def test_the_history_server_s_options_are_its_version_s(tmp_path: Path, lock: Lock) -> None:
    change = ("clean-expired-jobs: false", "clean-expired-jobs: many")
    path = samples.cluster_file(tmp_path / "bad.yml", change)
    with pytest.raises(UsageError, match=r"expired-jobs \(boolean, Flink 2\.3\.0\): 'many'") as caught:
        fact_module.resolve(clusters.load(path), lock)
    line = path.read_text()[: path.read_text().index("clean-expired")].count("\n") + 1
    assert caught.value.message.startswith(f"{path}:{line}: ")


def test_a_deprecated_option_is_a_warning(tmp_path: Path, lock: Lock) -> None:
    change = (
        "taskmanager.numberOfTaskSlots: 4",
        "state.backend: hashmap\n    state.checkpoints.num-retained: 3",
    )
    path = samples.cluster_file(tmp_path / "old.yml", change)
    found = clusters.load(path)
    fact_module.resolve(found, lock)
    line = path.read_text()[: path.read_text().index("state.backend")].count("\n") + 1
    assert option_check.warnings(found) == [
        f"{path}:{line}: state.backend is deprecated in Flink 1.20.5 and 2.3.0: write state.backend.type",
        f"{path}:{line + 1}: state.checkpoints.num-retained is deprecated in Flink 1.20.5 and 2.3.0: "
        "write execution.checkpointing.num-retained",
    ]


def test_our_own_options_are_known(lock: Lock, tmp_path: Path) -> None:
    cluster = clusters.load(samples.cluster_file(tmp_path / "c.yml"))
    for host in fact_module.resolve(cluster, lock).values():
        tables = [(item["version"], item["configuration"]) for item in host["flink_releases"]]
        tables.append((host["flink_history_version"], host["flink_history_configuration"]))
        for version, table in tables:
            for key, text in table.items():
                option = option_catalogue.load(version).find(key)
                assert option, f"{version}: {key}"
                assert option_values.fault(option, text, legacy=version < "2") is None, f"{version}: {key}"
                assert not option.successors, f"{version}: {key} is deprecated"


def test_a_version_without_a_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(samples.VERSIONS, "1.20.9", "1.20")
    lock = samples.lock(tmp_path / "new.lock", ("1.20.9", "2.3.0"))
    path = samples.cluster_file(
        tmp_path / "c.yml", ("[1.20.5, 2.3.0]", "[1.20.9, 2.3.0]"), ("default: 1.20.5", "default: 1.20.9")
    )
    with pytest.raises(UsageError) as caught:
        fact_module.resolve(clusters.load(path), lock)
    assert "the options of Flink 1.20.9 are not known" in caught.value.message
    assert caught.value.cure == "./inv options.refresh --version 1.20.9"


def test_each_version_in_the_lock_has_its_catalogue() -> None:
    from mirror import lockfile
    from provision.releases import locked_versions

    locked = locked_versions(lockfile.load(clusters.ROOT / "mirror" / "catalogue.lock"))
    assert locked
    assert set(locked) <= set(option_catalogue.versions()), "run ./inv options.refresh"


@pytest.mark.parametrize("version", option_catalogue.versions())
def test_every_default_passes_its_own_check(version: str) -> None:
    catalogue = option_catalogue.load(version)
    checked = 0
    for option in [*catalogue.exact.values(), *(option for _, option in catalogue.patterns)]:
        if option.default:
            assert option_values.fault(option, option.default, version < "2") is None, option
            checked += 1
    assert checked > 500


@pytest.mark.parametrize("version", option_catalogue.versions())
def test_the_catalogue_is_written_as_it_is_read(version: str) -> None:
    text = option_catalogue.path_of(version).read_text()
    catalogue = option_catalogue.parse(version, text)
    rows = text.splitlines()[1:]
    assert rows == sorted(rows, key=lambda row: row.split("\t")[0])
    for option in catalogue.exact.values():
        assert catalogue.find(option.key) is option
        for successor in option.replacements:
            assert successor in catalogue.exact, option


def test_what_we_know_of_successors_is_true() -> None:
    known = [option_catalogue.load(version).exact for version in option_catalogue.versions()]
    for old, new in option_check.SUCCESSORS.items():
        assert any(new in exact for exact in known), new
        assert any(old in exact and not exact[old].replacements for exact in known), old


def test_keys_of_other_sections_are_options_too() -> None:
    """A key that is refused by name, because another key of the cluster file makes it, exists."""
    exact = option_catalogue.load("2.3.0")
    for key in [*option_rules.OWNED, *option_rules.FIXED]:
        if key != "env.java.home":  # a line of its own, read by bin/config.sh of both lines
            assert exact.find(key), key


@pytest.mark.parametrize(
    ("flavour", "seconds", "message"),
    [
        ("pico", 5, "one every 10 s"),
        ("pico", 60, "too few of Graphite's points"),
        ("standard", 10, "one every 60 s"),
        ("production", 59, "one every 60 s"),
        ("production", 121, "too few of Graphite's points"),
    ],
)
def test_an_interval_that_graphite_cannot_hold(
    tmp_path: Path, flavour: str, seconds: int, message: str
) -> None:
    changes = (
        ("flavor: pico", f"flavor: {flavour}"),
        ("interval_seconds: 10", f"interval_seconds: {seconds}"),
    )
    path = samples.cluster_file(tmp_path / "c.yml", *changes)
    with pytest.raises(UsageError) as caught:
        clusters.load(path)
    line = path.read_text()[: path.read_text().index("interval_seconds")].count("\n") + 1
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert message in caught.value.message
    assert "metrics_retentions in provision/flavours.yml" in caught.value.cure


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10s",
        "10s:",
        "x:1d",
        "10:1d",
        "1m:10s",
        "10s:1d,10s:7d",
        "10s:1d,15s:7d",
        "10s:7d,1m:1d",
        "10s:10s,1m:7d",
    ],
)
def test_retentions_that_whisper_refuses(tmp_path: Path, text: str) -> None:
    assert retention.fault(text)
    path = tmp_path / "flavours.yml"
    path.write_text(flavours.PATH.read_text().replace('"10s:1d,1m:7d"', f'"{text}"'))
    line = (
        next(number for number, its in enumerate(path.read_text().splitlines(), 1) if text in its)
        if text
        else 0
    )
    with pytest.raises(UsageError, match=rf"flavours\.yml:{line or '[0-9]+'}: "):
        flavours.flavours(path)


def mirror_with(tmp_path: Path, raw: bytes | None) -> Path:
    release = tmp_path / "mirror" / "current"
    release.mkdir(parents=True)
    if raw is not None:
        (release / "flink-1.20.5.tar.gz").write_bytes(raw)
    return tmp_path / "mirror"


def test_an_archive_that_the_mirror_lacks(tmp_path: Path, lock: Lock) -> None:
    with pytest.raises(UsageError, match=r"flink-1\.20\.5\.tar\.gz: there is no such file") as caught:
        option_refresh.refresh(lock, mirror_with(tmp_path, None), "1.20.5")
    assert "./inv mirror.build" in caught.value.cure


def test_an_archive_that_is_not_the_locked_one(tmp_path: Path, lock: Lock) -> None:
    before = option_catalogue.path_of("1.20.5").read_bytes()
    with pytest.raises(WorldError, match=r"its digest is not the one in"):
        option_refresh.refresh(lock, mirror_with(tmp_path, b"another"), "1.20.5")
    assert option_catalogue.path_of("1.20.5").read_bytes() == before


def test_options_of_a_version_that_nobody_locked(tmp_path: Path, lock: Lock) -> None:
    with pytest.raises(UsageError, match=r"has no Flink 1\.20\.4") as caught:
        option_refresh.refresh(lock, mirror_with(tmp_path, None), "1.20.4")
    assert "1.20.5, 2.3.0" in caught.value.cure


def test_an_answer_that_cannot_be_whole() -> None:
    with pytest.raises(WorldError, match="names only 1 options"):
        option_refresh.options_of("a.b\tString\t\t\t\torg.example.Options\n", [])

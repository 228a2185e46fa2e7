"""Whether Flink itself takes a cluster's memory settings: its own tool computes what processes get."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import UsageError, WorldError
from core.process import Finished, run
from mirror.lockfile import Lock
from provision import preview
from provision.cluster import Cluster
from provision.facts import Facts
from provision.flink_archive import require_java, unpacked

# Flink 1.20.5 and 2.3.0, bin/config.sh: what the JobManager's and the TaskManager's scripts run first.
_TOOL = "org.apache.flink.runtime.util.bash.BashJavaUtils"
_COMMANDS = {"jobmanager": "GET_JM_RESOURCE_PARAMS", "taskmanager": "GET_TM_RESOURCE_PARAMS"}
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"
_SECONDS = 120


@dataclass(frozen=True)
class Memory:
    """What Flink computed: the JVM options and dynamic properties of one process of one version."""

    version: str
    process: str
    settings: tuple[str, ...]


def check(cluster: Cluster, facts: dict[str, Facts], lock: Lock, root: Path) -> list[Memory]:
    """Ask Flink, from the mirror at ``root``, about each distinct configuration in ``facts``, once.

    Raises UsageError with the line of the cluster file for one that Flink refuses.
    """
    require_java()
    found = []
    for version, texts in _distinct(facts).items():
        with unpacked(root, lock, version, _is_wanted) as home:
            for name, text in texts:
                found.extend(_ask(cluster, home, version, name, text))
    return found


def _distinct(facts: dict[str, Facts]) -> dict[str, list[tuple[str, bytes]]]:
    """Return by version the different configuration files (name, content) of clients."""
    contents: dict[str, dict[str, tuple[str, bytes]]] = {}
    for its in facts.values():
        releases = [item for item in its["flink_releases"] if item["configuration"]]
        missing = [
            item
            for item in releases
            if json.dumps(item["configuration"], sort_keys=True) not in contents.get(item["version"], {})
        ]
        if not missing:
            continue
        files = preview.render(its)
        for item in missing:
            name = item["configuration_file"]
            content = files[f"{item['configuration_directory']}/{name}"]
            key = json.dumps(item["configuration"], sort_keys=True)
            contents.setdefault(item["version"], {})[key] = (name, content)
    return {version: list(its.values()) for version, its in contents.items()}


def _is_wanted(path: PurePosixPath) -> bool:
    name = path.name
    return path == PurePosixPath("bin/bash-java-utils.jar") or (
        path.parts[0] == "lib" and name.startswith(("flink-dist-", "log4j-"))
    )


def _ask(cluster: Cluster, home: Path, version: str, name: str, text: bytes) -> list[Memory]:
    jars = [home / "bin" / "bash-java-utils.jar", *sorted((home / "lib").glob("*.jar"))]
    found = []
    with tempfile.TemporaryDirectory(prefix="pnda-flink-conf-") as folder:
        (Path(folder) / name).write_bytes(text)
        for process, command in _COMMANDS.items():
            words = ["java", "-cp", ":".join(map(str, jars)), _TOOL, command, "--configDir", folder]
            done = run(words, timeout=_SECONDS, check=False, what=f"Flink {version}'s {command}")
            lines = [
                line.split(_RESULT, 1)[1].strip() for line in done.stdout.splitlines() if _RESULT in line
            ]
            if done.code != 0 or not lines:
                raise _refused(cluster, version, process, done)
            found.append(Memory(version, process, tuple(lines)))
    return found


def _refused(cluster: Cluster, version: str, process: str, done: Finished) -> UsageError | WorldError:
    reason = _reason(done)
    if not reason:
        return WorldError(
            f"Flink {version} could not be asked about the {process}'s memory\n{done.tail()}",
            "look at the Java that runs here: java -version",
        )
    own = cluster.configuration
    # The setting that Flink names, else one of that process, else the flavour that the sizes come from.
    named = [key for key in own if key in reason]
    memory = [key for key in own if key.startswith((f"{process}.memory.", f"{process}.heap."))]
    at = [*named, *memory]
    where = ("flink", "configuration", at[0]) if at else ("flavor",)
    sizes = (
        cluster.flavour.jobmanager_memory if process == "jobmanager" else cluster.flavour.taskmanager_memory
    )
    return cluster.document.fault(
        where,
        f"Flink {version} refuses the {process}'s memory: {reason}",
        f"make the sizes fit together; without settings of yours {process}.memory.process.size is {sizes}",
    )


def _reason(done: Finished) -> str:
    """Return what Flink's exception says, down to its causes."""
    found: list[str] = []
    for line in (done.stderr + "\n" + done.stdout).splitlines():
        head, mark, said = line.partition("Exception: ")
        if mark and " " not in head.removeprefix("Caused by: ").removeprefix('Exception in thread "main" '):
            text = said.strip()
            if text and not any(text in other for other in found):
                found.append(text)
    return "; ".join(found)

"""What the queue policy adds to a command: the program that decides, and the launcher with and without it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.runs import Cost, measure
from core import console
from core.bootstrap import ROOT

_PROGRAMS = ROOT / "programs"
_TYPED = ("run", "-t", "yarn-application", "-d", "-c", "org.example.Main", "a.jar", "in", "out")


def run_all(folder: Path, rules: Sequence[int], repeat: int) -> list[dict[str, Any]]:
    """Time each case ``repeat`` times in ``folder`` (made, and removed after), all in turn.

    In the place of Flink stands a script that ends at once. Rows: ``case``, and in milliseconds the
    ``quickest`` run, the ``processor`` time of the run with the least, and how much more of that it is
    than without a policy (``added``).
    """
    shutil.rmtree(folder, ignore_errors=True)
    _node(folder)
    cases = {"launcher, no policy": _launcher(folder, "")}
    for count in rules:
        policy = folder / f"map-{count}.txt"
        lines = [f":group{number} queue{number}\n" for number in range(count - 1)]
        policy.write_text("".join([*lines, "* default\n"]))
        decider = folder / f"queue-for-{count}"
        text = (_PROGRAMS / "yarn_queues" / "queue-for").read_text()
        decider.write_text(text.replace("/opt/pnda/rm-wrapper/policies/map.txt", str(policy)))
        decider.chmod(0o755)
        cases[f"queue-for, {count} rules"] = [str(decider)]
        cases[f"launcher, {count} rules"] = _launcher(folder, str(decider))
    costs: dict[str, list[Cost]] = {name: [] for name in cases}
    with console.step(f"{repeat} times each"):
        for _ in range(repeat):
            for name, words in cases.items():
                costs[name].append(measure(words, folder, {"PATH": f"{folder}/bin:/usr/bin:/bin"}))
    shutil.rmtree(folder)
    least = {name: min(cost.cpu for cost in found) * 1000 for name, found in costs.items()}
    return [
        {
            "case": name,
            "quickest": round(min(cost.wall for cost in found) * 1000, 1),
            "processor": round(least[name], 1),
            "added": round(least[name] - least["launcher, no policy"], 1) if name.startswith("l") else 0.0,
        }
        for name, found in costs.items()
    ]


def _node(folder: Path) -> None:
    home = folder / "flink-1.20.5"
    (home / "bin").mkdir(parents=True)
    (home / "conf").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "awk").symlink_to("/usr/bin/mawk")  # Debian's own, as nodes have it
    (home / "bin" / "flink").write_text("#!/bin/sh\nexit 0\n")
    (home / "bin" / "flink").chmod(0o755)
    (folder / "flink").symlink_to(_PROGRAMS / "flink" / "launcher")
    for name in ("log/client", "temporary"):
        (folder / name).mkdir(parents=True)


def _launcher(folder: Path, decider: str) -> list[str]:
    settings = folder / f"client-{Path(decider).name or 'plain'}.env"
    settings.write_text(
        f"PNDA_FLINK_ROOT='{folder}/flink-1.20.5'\nPNDA_FLINK_LOG_DIRECTORY='{folder}/log'\n"
        f"PNDA_FLINK_JAVA_HOME='/usr'\nPNDA_FLINK_PROGRAM_DIRECTORY='{_PROGRAMS}/flink'\n"
        f"PNDA_FLINK_HADOOP_CLASSPATH='none'\nPNDA_FLINK_QUEUE_PROGRAM='{decider}'\n"
    )
    variables = [f"PNDA_FLINK_SETTINGS={settings}", f"TMPDIR={folder}/temporary"]
    return ["env", *variables, str(folder / "flink"), *_TYPED]


def table(rows: list[dict[str, Any]]) -> str:
    """Return ``rows`` as a table for people."""
    lines = [f"{'case':26} {'quickest':>9} {'processor':>10} {'added':>7}  (ms)"]
    lines += [
        f"{row['case']:26} {row['quickest']:9.1f} {row['processor']:10.1f} {row['added'] or '':>7}"
        for row in rows
    ]
    return "\n".join(lines)

"""Check and render a cluster of many hosts, as a user does: whole commands."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.runs import Cost, best, measure
from core import console
from core.bootstrap import ROOT

SIZES = (100, 300, 1000)
_NAME = "bench-render"
_HEAD = f"""\
format: 1
name: {_NAME}
flavor: production
mirror: {{base_uri: "http://mirror-1"}}
flink:
  versions: [1.20.5, 2.3.0]
  storage: file:///pnda/flink
hosts:
"""
# Of each 20 hosts; the others are EDGE.
_ROLES = {1: "MIRROR", 2: "GRAPHITE", 3: "FLINK", 4: "KAFKA", 5: "KAFKA", 6: "EDGE, FLINK"}


def cluster_file(hosts: int) -> str:
    """Return the cluster file of ``hosts`` hosts: of each 20, 15 have Flink's client and 2 its server."""
    lines = [f"  host-{n}: {{roles: [{_ROLES.get(n % 20, 'EDGE')}]}}" for n in range(1, hosts + 1)]
    lines = [line.replace("GRAPHITE", "GRAPHITE" if n == 1 else "KAFKA") for n, line in enumerate(lines)]
    return _HEAD + "\n".join(lines) + "\n"


def run_all(folder: Path, sizes: Sequence[int], repeat: int) -> list[dict[str, Any]]:
    """Measure each size ``repeat`` times in ``folder`` (made, and removed after); the quickest counts.

    Rows: ``hosts``, ``files`` (on all hosts), ``facts`` (MB of them), seconds of ``check``, of the
    ``first`` render and of one ``again``, processor seconds of it (``cpu``), and the ``peak`` of all in MB.
    """
    built = ROOT / "build" / _NAME
    rows = []
    for size in sizes:
        with console.step(f"{size} hosts"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "cluster.yml").write_text(cluster_file(size))
            costs: dict[str, list[Cost]] = {"check": [], "first": [], "again": []}
            for _ in range(repeat):
                shutil.rmtree(built, ignore_errors=True)
                for step, found in costs.items():
                    found.append(_command("check" if step == "check" else "render", folder))
            rows.append(
                {
                    "hosts": size,
                    "files": sum(len(names) for _, _, names in os.walk(built / "preview", followlinks=True)),
                    "facts": sum(path.stat().st_size for path in (built / "facts").iterdir()) / 1e6,
                    **{step: best(found).wall for step, found in costs.items()},
                    "cpu": best(costs["again"]).cpu,
                    "peak": max(cost.peak for found in costs.values() for cost in found),
                }
            )
    shutil.rmtree(folder)
    shutil.rmtree(built)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    return "\n".join(
        [
            "| hosts | files | facts (MB) | check (s) | render (s) | again (s) | processor (s) | peak (MB) |",
            "|---|---|---|---|---|---|---|---|",
            *(
                "| {hosts} | {files} | {facts:.1f} | {check:.2f} | {first:.2f} | {again:.2f} | {cpu:.2f} "
                "| {peak:.0f} |".format(**row)
                for row in rows
            ),
        ]
    )


def _command(task: str, folder: Path) -> Cost:
    words = [sys.executable, "-m", "core.program", f"cluster.{task}", "--cluster", "cluster.yml"]
    lock = str(ROOT / "mirror" / "catalogue.lock")
    return measure([*words, "--lock", lock], folder, {**os.environ, "PYTHONPATH": str(ROOT)})

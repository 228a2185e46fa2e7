"""Measure housekeeping on folders of very many entries: seconds, and the most memory."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.runs import measure
from core.errors import WorldError

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "programs" / "flink" / "housekeeping"
DAY = 86400.0


@dataclass(frozen=True)
class Row:
    """One case: what was there (``entries``), what of it went, and what that cost (seconds, MB)."""

    case: str
    entries: int
    deleted: int
    wall: float
    cpu: float
    peak: float


def run_all(folder: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure every case at each of ``sizes`` under ``folder``, which is removed before and after."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        rows = [row for size in sizes for row in _cases(folder / str(size), size)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [vars(row) for row in rows]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| case | entries | deleted | seconds | processor (s) | peak (MB) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = f"{row['wall']:.2f} | {row['cpu']:.2f} | {row['peak']:.0f}"
        lines.append(f"| {row['case']} | {row['entries']} | {row['deleted']} | {figures} |")
    return "\n".join(lines)


def _cases(folder: Path, size: int) -> list[Row]:
    archives, mine = folder / "archives", folder / "tmp" / f"pnda-flink-{pwd.getpwuid(os.getuid()).pw_name}"
    archives.mkdir(parents=True)
    (folder / "state").mkdir()
    rows = []
    old = time.time() - 100 * DAY
    for number in range(size):
        path = archives / f"{number:032x}"
        path.touch()
        if number % 2:
            os.utime(path, (old + number, old + number))
    rows.append(_run(folder, "archives, dry run", size, "archives", "--dry-run"))
    rows.append(_run(folder, "archives, half of them old", size, "archives"))
    for shape in ("one folder", "a tree of folders of 10"):
        mine.mkdir(parents=True, exist_ok=True)
        for number in range(size):
            place = mine if shape == "one folder" else mine / "tree" / f"{number // 1000}" / f"{number // 10}"
            if number % 10 == 0:
                place.mkdir(parents=True, exist_ok=True)
            (place / f"f{number}").touch()
        rows.append(_run(folder, f"temporary files, {shape}", size, "temporary"))
    return rows


def _run(folder: Path, case: str, size: int, part: str, *words: str) -> Row:
    configuration = folder / "housekeeping.json"
    configuration.write_text(json.dumps(_settings(folder)))
    program = [sys.executable, str(PROGRAM), "--configuration", str(configuration), "--only", part, "--json"]
    (folder / "output.log").unlink(missing_ok=True)
    # Alone: where processes are that let nobody look into them, users' folders are left as they are.
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    cost = measure([*alone, *program, *words], folder)
    report = json.loads((folder / "output.log").read_text())["parts"][part]
    if report["problems"]:
        raise WorldError(f"{case}: {report['told'][0]}", "see above")
    return Row(case, size, report["deleted"], cost.wall, cost.cpu, cost.peak)


def _settings(folder: Path) -> dict[str, Any]:
    off = {f"{part}.enabled": False for part in ("staging", "libraries", "shared_libraries")}
    texts = ("staging.homes", "libraries.folder", "libraries.record", "shared_libraries.folder", "hdfs_user")
    lists = ("name_nodes", "staging.resource_managers", "libraries.versions", "shared_libraries.versions")
    numbers = ("staging.hours_after_end", "staging.unknown_days", "libraries.days", "shared_libraries.days")
    return {
        "format": 1,
        "state": str(folder / "state"),
        **off,
        **dict.fromkeys(texts, ""),
        **{key: [] for key in lists},
        **dict.fromkeys(numbers, 1),
        "archives.enabled": True,
        "archives.folder": f"file://{folder}/archives",
        "archives.days": 30,
        "archives.most": 1 << 30,
        "archives.youngest_hours": 1,
        "temporary.enabled": True,
        "temporary.folders": [str(folder / "tmp")],
        "temporary.days": 0,
    }

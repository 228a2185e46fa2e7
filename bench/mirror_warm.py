"""What an unchanged, large mirror costs, and how quick an audit is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.runs import best, measure
from bench.world import Case, World, environment, inv, make_world, upstream


def unchanged(world: World, repeat: int) -> dict[str, float]:
    """Measure a build that finds its release published, and publishing alone."""
    run = world.folder / "run"
    words = inv(world, "build", "--catalogue", str(world.folder / "catalogue.yml"))
    same = best([measure(words, run, environment(run)) for _ in range(max(3, repeat))])
    seconds = []
    for _ in range(max(3, repeat)):
        done = subprocess.run(
            [sys.executable, "-m", "bench.ours", str(world.lock), str(run / "root"), "publish"],
            cwd=run, env=environment(run), capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        seconds.append(float(json.loads(done.stdout)))
    return {"files": world.case.count, "no_op": same.wall, "publish": min(seconds)}


def audit_speed(folder: Path, repeat: int) -> dict[str, float]:
    """Compare an audit with SHA-256 alone on these cores (MB/s), and their processor time.

    ``sha256``: one buffer over and over, which lies in the processor's cache. ``memory``: as many
    different bytes as the audit reads, which lie in memory. ``share``: how much of the audit's
    processor time is the first of them.
    """
    from mirror.audit import audit
    from mirror.build import BuildRequest, build

    case = Case("audit", 60, 10_000_000)
    world = make_world(case, folder / "audit")
    os.environ["XDG_CACHE_HOME"] = str(world.folder / "cache")
    with upstream(world.served, 0) as base:
        world.write_lock(base)
        root = world.folder / "root"
        build(BuildRequest(world.folder / "catalogue.yml", world.lock, root))
    one, different = bytes(case.size), [os.urandom(case.size) for _ in range(case.count)]
    works: dict[str, Callable[[], object]] = {
        "audit": lambda: audit(root, world.lock),
        "sha256": lambda: _hash([one] * case.count),
        "memory": lambda: _hash(different),
    }
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for _ in range(max(5, repeat)):
        for name, work in works.items():
            started, used = time.monotonic(), time.process_time()
            work()
            wall[name] = min(time.monotonic() - started, wall.get(name, 1e9))
            cpu[name] = min(time.process_time() - used, cpu.get(name, 1e9))
    total = case.count * case.size / 1e6
    return {
        **{name: total / seconds for name, seconds in wall.items()},
        "share": cpu["sha256"] / cpu["audit"],
    }


def _hash(blocks: list[bytes]) -> list[bytes]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda block: hashlib.sha256(block).digest(), blocks))

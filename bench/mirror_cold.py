"""Cold fetches: ours beside the peers, each from nothing to verified files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bench import peers
from bench.runs import Cost, best, measure
from bench.world import World, environment, inv
from core import console
from core.errors import WorldError
from core.files import sha256_of

_SLOW = 20.0  # seconds; what takes longer is run once


def cold(world: World, base: str, delay: float, repeat: int) -> list[dict[str, Any]]:
    """Return one row per program for ``world`` served at ``base`` with ``delay`` seconds a request.

    The programs take turns, so that what else runs on the machine meets all of them. ``wall`` is the
    time of fetching, ``sha256`` and ``both`` that with the digests too. Raises WorldError when a
    program fails or brings wrong bytes.
    """
    ours = {
        "ours, into the cache": [sys.executable, "-m", "bench.ours", str(world.lock), "-", "fetch"],
        "ours, whole build": inv(world, "build", "--catalogue", str(world.folder / "catalogue.yml")),
    }
    runs: dict[str, Callable[[], tuple[Cost, float, float]]] = {
        **{name: partial(_ours, world, words) for name, words in ours.items()},
        **{name: partial(_peer, world, make, base) for name, make in peers.PEERS.items()},
    }
    found: dict[str, list[tuple[Cost, float, float]]] = {name: [] for name in runs}
    with console.step(f"{world.case.name}, {delay * 1000:.0f} ms"):
        for _ in range(repeat):
            for name, run in runs.items():
                if not found[name] or found[name][-1][0].wall < _SLOW:
                    found[name].append(run())
    return [
        {"case": world.case.name, "latency": delay, "program": name, **_row(measured)}
        for name, measured in found.items()
    ]


def _ours(world: World, words: Sequence[str]) -> tuple[Cost, float, float]:
    run = world.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    return measure(words, run, environment(run)), 0.0, 0.0  # both digests are part of it


def _peer(world: World, make: peers.Peer, base: str) -> tuple[Cost, float, float]:
    """Return the cost of fetching, and the seconds of hashing with SHA-256 and with SHA-512 after."""
    run = world.folder / "peer"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    cost = measure(make(base, world.names, run), run, environment(run))
    first, second = (measure(peers.hash_pass(tool, world.names), run).wall for tool in peers.HASHES)
    for name, (sha256, _) in world.digests.items():
        if sha256_of(run / name) != sha256:
            raise WorldError(f"{name}: the peer brought wrong bytes", "look at its output")
    return cost, first, second


def _row(measured: Sequence[tuple[Cost, float, float]]) -> dict[str, float]:
    cost = best([one for one, _, _ in measured])
    first, second = min(one for _, one, _ in measured), min(one for _, _, one in measured)
    return {
        "wall": cost.wall, "cpu": cost.cpu, "peak": cost.peak,
        "sha256": cost.wall + first, "both": cost.wall + first + second,
    }  # fmt: skip

"""The mirror's measurements: cold fetches beside the peers, and what an unchanged, large mirror costs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import peers
from bench.mirror_cold import cold
from bench.mirror_warm import audit_speed, unchanged
from bench.world import Case, make_world, upstream
from core import debian

CASES = (
    Case("200 files of 1 MB", 200, 1_000_000),
    Case("1 file of 250 MB", 1, 250_000_000),
    Case("2000 files of 10 kB", 2000, 10_000),
)


def run_all(folder: Path, repeat: int, latencies: Sequence[float]) -> dict[str, Any]:
    """Measure everything below ``folder`` (made anew, removed at the end) and return one document.

    ``latencies`` in seconds per request. Of ``repeat`` runs the quickest counts; a peer that takes
    over 20 s is not run again. Raises WorldError when a program fails or brings wrong bytes.
    """
    debian.require(peers.PACKAGES, "the comparison needs")
    shutil.rmtree(folder, ignore_errors=True)
    rows, large = [], {}
    try:
        for number, case in enumerate(CASES):
            world = make_world(case, folder / str(number))
            for delay in latencies:
                with upstream(world.served, delay) as base:
                    world.write_lock(base)
                    rows += cold(world, base, delay, repeat)
                    if case.count >= 1000 and delay == min(latencies):
                        large = unchanged(world, repeat)
            shutil.rmtree(world.folder)
        return {
            "cold": rows,
            "unchanged": large,
            "audit": audit_speed(folder, repeat),
            "cores": os.cpu_count(),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(document: Mapping[str, Any]) -> str:
    """Return the document as plain lines."""
    lines = [f"{'program':28} {'fetch':>8} {'+sha256':>8} {'+both':>8} {'cpu s':>7} {'peak MB':>8}"]
    title = ""
    for row in document["cold"]:
        heading = f"{row['case']}, {row['latency'] * 1000:.0f} ms a request"
        if heading != title:
            title = heading
            lines.append(f"-- {title}")
        lines.append(
            f"{row['program']:28} {row['wall']:8.2f} {row['sha256']:8.2f} {row['both']:8.2f} "
            f"{row['cpu']:7.2f} {row['peak']:8.0f}"
        )
    same, audited = document["unchanged"], document["audit"]
    lines.append(f"unchanged lock of {same['files']} files: {same['no_op']:.2f} s, no request")
    lines.append(f"publishing {same['files']} files: {same['publish']:.2f} s")
    share = 100 * audited["audit"] / audited["sha256"]
    lines.append(
        f"audit {audited['audit']:.0f} MB/s; sha256 alone on {document['cores']} cores "
        f"{audited['sha256']:.0f} MB/s ({share:.0f} %; by processor time {100 * audited['share']:.0f} %), "
        f"of as many different bytes {audited['memory']:.0f} MB/s"
    )
    return "\n".join(lines)

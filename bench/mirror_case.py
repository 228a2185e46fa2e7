"""The mirror's measurements: cold fetches beside the peers, and what an unchanged, large mirror costs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import peers
from bench.runs import Cost, best, measure
from core import console, debian
from core.bootstrap import ROOT
from core.errors import WorldError
from core.files import sha256_of
from mirror import catalogue, lockfile
from mirror.lockfile import LockedEntry, LockedFile

_CATALOGUE = """format: 1
entries:
  files:
    kind: file
    groups: [measured]
    path: mirror_misc/none
    url: http://127.0.0.1/none
"""


@dataclass(frozen=True)
class Case:
    """``count`` files of ``size`` bytes each."""

    name: str
    count: int
    size: int


CASES = (
    Case("200 files of 1 MB", 200, 1_000_000),
    Case("1 file of 250 MB", 1, 250_000_000),
    Case("2000 files of 10 kB", 2000, 10_000),
)


@dataclass(frozen=True)
class World:
    """A case's files in ``served``, and ``digests`` of each: (sha256, sha512)."""

    case: Case
    folder: Path
    digests: Mapping[str, tuple[str, str]]

    @property
    def served(self) -> Path:
        """Return the folder that the upstream serves."""
        return self.folder / "served"

    @property
    def names(self) -> list[str]:
        """Return the names of the files."""
        return sorted(self.digests)

    @property
    def lock(self) -> Path:
        """Return the path of the lock."""
        return self.folder / "catalogue.lock"

    def write_lock(self, base: str) -> None:
        """Write catalogue and lock for an upstream at ``base``."""
        path = self.folder / "catalogue.yml"
        path.write_text(_CATALOGUE)
        (entry,) = catalogue.load(path).entries
        rows = [
            LockedFile(
                f"mirror_misc/{name}", self.case.size, sha256, sha512, (entry.name,),
                {"kind": "url", "url": f"{base}/{name}"},
            )
            for name, (sha256, sha512) in self.digests.items()
        ]  # fmt: skip
        lockfile.save(self.lock, {entry.name: LockedEntry(entry.groups, entry.digest)}, rows, [])


@contextmanager
def upstream(folder: Path, delay: float) -> Iterator[str]:
    """Serve ``folder`` from another process, ``delay`` seconds late per request; yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.upstream", str(folder), str(delay)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def make_world(case: Case, folder: Path) -> World:
    """Write the case's files (random bytes) below ``folder``."""
    served = folder / "served"
    served.mkdir(parents=True)
    digests = {}
    for number in range(case.count):
        name = f"file{number:04}.bin"
        found = [hashlib.sha256(), hashlib.sha512()]
        with (served / name).open("wb") as stream:
            # In parts: the peak memory of a child would otherwise begin with ours.
            for start in range(0, case.size, 1 << 20):
                data = os.urandom(min(1 << 20, case.size - start))
                stream.write(data)
                for item in found:
                    item.update(data)
        digests[name] = (found[0].hexdigest(), found[1].hexdigest())
    return World(case, folder, digests)


def run_all(folder: Path, repeat: int, latencies: Sequence[float]) -> dict[str, Any]:
    """Measure everything below ``folder`` (made anew, removed at the end) and return one document.

    ``latencies`` in seconds per request. Of ``repeat`` runs the quickest counts; a peer that takes
    over 20 s is not run again. Raises WorldError when a program fails or brings wrong bytes.
    """
    debian.require(peers.PACKAGES, "the comparison needs")
    shutil.rmtree(folder, ignore_errors=True)
    cold, large = [], {}
    try:
        for number, case in enumerate(CASES):
            world = make_world(case, folder / str(number))
            for delay in latencies:
                with upstream(world.served, delay) as base:
                    world.write_lock(base)
                    cold += _cold(world, base, delay, repeat)
                    if case.count >= 1000 and delay == min(latencies):
                        large = _unchanged(world, repeat)
            shutil.rmtree(world.folder)
        return {"cold": cold, "unchanged": large, "audit": _audit(folder, repeat), "cores": os.cpu_count()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cold(world: World, base: str, delay: float, repeat: int) -> list[dict[str, Any]]:
    rows = []
    where = {"case": world.case.name, "latency": delay}
    with console.step(f"{world.case.name}, {delay * 1000:.0f} ms: ours"):
        ours = {
            "ours, into the cache": [sys.executable, "-m", "bench.ours", str(world.lock), "-", "fetch"],
            "ours, whole build": _inv(world, "build", "--catalogue", str(world.folder / "catalogue.yml")),
        }
        for name, words in ours.items():
            cost = best([_fresh(world, words) for _ in range(repeat)])
            rows.append({**where, "program": name, **_row(cost), "both": cost.wall, "sha256": cost.wall})
    for name, make in peers.PEERS.items():
        with console.step(f"{world.case.name}, {delay * 1000:.0f} ms: {name}"):
            rows.append({**where, "program": name, **_peer(world, make, base, repeat)})
    return rows


def _inv(world: World, task: str, *words: str) -> list[str]:
    root = ["--root", str(world.folder / "run" / "root"), "--lock", str(world.lock)]
    return [sys.executable, "-m", "core.program", f"mirror.{task}", *root, *words]


def _environment(folder: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return {**clean, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}


def _fresh(world: World, words: Sequence[str]) -> Cost:
    run = world.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    return measure(words, run, _environment(run))


def _peer(world: World, make: Any, base: str, repeat: int) -> dict[str, Any]:
    run, fetched, hashed = world.folder / "peer", [], []
    for _ in range(repeat):
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        fetched.append(measure(make(base, world.names, run), run, _environment(run)))
        passes = [measure(peers.hash_pass(tool, world.names), run) for tool in ("sha256sum", "sha512sum")]
        hashed.append(passes)
        if fetched[-1].wall > 20:
            break
    for name, (sha256, _) in world.digests.items():
        if sha256_of(run / name) != sha256:
            raise WorldError(f"{name}: the peer brought wrong bytes", "look at its output")
    cost = best(fetched)
    first, second = (min(pair[index].wall for pair in hashed) for index in (0, 1))
    return {**_row(cost), "sha256": cost.wall + first, "both": cost.wall + first + second}


def _row(cost: Cost) -> dict[str, float]:
    return {"wall": cost.wall, "cpu": cost.cpu, "peak": cost.peak}


def _unchanged(world: World, repeat: int) -> dict[str, float]:
    """Measure a build that finds its release published, and publishing alone."""
    run = world.folder / "run"
    words = _inv(world, "build", "--catalogue", str(world.folder / "catalogue.yml"))
    same = best([measure(words, run, _environment(run)) for _ in range(max(3, repeat))])
    seconds = []
    for _ in range(max(3, repeat)):
        done = subprocess.run(
            [sys.executable, "-m", "bench.ours", str(world.lock), str(run / "root"), "publish"],
            cwd=run, env=_environment(run), capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        seconds.append(float(json.loads(done.stdout)))
    return {"files": world.case.count, "no_op": same.wall, "publish": min(seconds)}


def _audit(folder: Path, repeat: int) -> dict[str, float]:
    """Compare an audit's speed with what SHA-256 alone can do on these cores (MB/s)."""
    from mirror.audit import audit
    from mirror.build import BuildRequest, build

    case = Case("audit", 40, 10_000_000)
    world = make_world(case, folder / "audit")
    os.environ["XDG_CACHE_HOME"] = str(world.folder / "cache")
    with upstream(world.served, 0) as base:
        world.write_lock(base)
        root = world.folder / "root"
        build(BuildRequest(world.folder / "catalogue.yml", world.lock, root))
    total, bare = case.count * case.size, bytes(case.size)
    audits, alone = [], []
    for _ in range(max(3, repeat)):
        started = time.monotonic()
        audit(root, world.lock)
        audits.append(time.monotonic() - started)
        started = time.monotonic()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda _: hashlib.sha256(bare).digest(), range(case.count)))
        alone.append(time.monotonic() - started)
    return {"audit": total / 1e6 / min(audits), "sha256": total / 1e6 / min(alone)}


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
    alone = f"sha256 alone on {document['cores']} cores {audited['sha256']:.0f} MB/s"
    lines.append(f"audit {audited['audit']:.0f} MB/s, {alone} ({share:.0f} %)")
    return "\n".join(lines)

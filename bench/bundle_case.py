"""A bundle out of one root and into another, beside tar and sha256sum doing as much, on one disk."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.runs import Cost, best, measure
from bench.world import Case
from core import console
from core.bootstrap import ROOT
from core.files import sha256_of
from mirror import record as records
from mirror.contents import RECORD, Content, root_digest
from mirror.record import Record
from mirror.release import Releases
from mirror.store import Store

CASES = (Case("1 file of 1 GB", 1, 1_000_000_000), Case("2000 files of 10 kB", 2000, 10_000))
_CHUNK = 1 << 20
# In the folder of the release; {out} is the one that is worked in.
_PEERS = {
    "export": "find . -type f -print0 | xargs -0 sha256sum > {out}/SUMS; tar -cf {out}/peer.tar .; "
    "sync {out}/peer.tar",
    "verify": "sha256sum {out}/peer.tar",
    "import": "mkdir {out}/peer; cd {out}/peer; tar -xf {out}/peer.tar; sha256sum --quiet -c {out}/SUMS; "
    "sync -f .",
}


def run_all(folder: Path, repeat: int) -> list[dict[str, Any]]:
    """Measure each case ``repeat`` times in ``folder`` (made, and removed after); the quickest counts.

    Rows: ``case``, ``step``, ``ours`` and ``peer`` in seconds, ``peak`` of ours in MB.
    """
    rows = []
    for case in CASES:
        with console.step(case.name):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _publish(case, folder / "sender")
            keys = _keys(folder)
            ours: dict[str, list[Cost]] = {}
            peers: dict[str, list[Cost]] = {}
            for _ in range(repeat):
                _clear(folder)
                for step, words in _steps(folder, *keys).items():
                    ours.setdefault(step, []).append(measure(words, folder, _environment()))
                tree = folder / "sender" / "releases" / "1"
                for step, script in _PEERS.items():
                    words = ["sh", "-e", "-c", f"cd {tree}; {script.format(out=folder)}"]
                    peers.setdefault(step, []).append(measure(words, folder))
            rows += [
                {
                    "case": case.name, "step": step, "ours": best(ours[step]).wall,
                    "peer": best(peers[step]).wall, "peak": max(cost.peak for cost in ours[step]),
                }
                for step in ours
            ]  # fmt: skip
    shutil.rmtree(folder)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| case | step | ours (s) | tar + sha256sum (s) | peak of ours (MB) |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['case']} | {row['step']} | {row['ours']:.2f} | {row['peer']:.2f} | {row['peak']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _steps(folder: Path, secret: Path, public: Path) -> dict[str, list[str]]:
    bundle = folder / "bundle"
    task = [sys.executable, "-m", "core.program"]
    roots = {name: ["--root", str(folder / name)] for name in ("sender", "receiver")}
    return {
        "export": [
            *task,
            "mirror.export",
            "--into",
            str(bundle),
            "--sign-key",
            str(secret),
            *roots["sender"],
        ],
        "verify": [sys.executable, str(ROOT / "programs/mirror/verify-bundle"), str(bundle), str(public)],
        "import": [*task, "mirror.import", str(bundle), "--trust", str(public), *roots["receiver"]],
    }


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _clear(folder: Path) -> None:
    for name in ("receiver", "peer"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("bundle", "peer.tar", "SUMS"):
        (folder / name).unlink(missing_ok=True)


def _publish(case: Case, root: Path) -> None:
    """Publish a release of random files by hand: a lock and an upstream are not what is measured."""
    store, releases = Store(root), Releases(root)
    store.prepare()
    found = {}
    for number in range(case.count):
        handle, name = tempfile.mkstemp(dir=store.temporary)
        with os.fdopen(handle, "wb") as stream:
            for start in range(0, case.size, _CHUNK):
                stream.write(os.urandom(min(_CHUNK, case.size - start)))
        sha256 = sha256_of(Path(name))
        store.put(Path(name), sha256)
        found[f"mirror_misc/{number:04}"] = Content(sha256, case.size)
    store.flush()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    record = Record(1, root_digest(found), "0" * 64, ("files",), ("measured",), len(found), date)
    releases.adopt(store, found, {RECORD: records.dumps(record)}, 1)


def _keys(folder: Path) -> tuple[Path, Path]:
    """Return files of a new secret key and of its public key."""
    import pysequoia  # loaded by those who sign only

    key = pysequoia.Tsk.generate("bench <bench@example.org>")
    secret, public = folder / "secret", folder / "public"
    secret.write_bytes(bytes(key))
    secret.chmod(0o600)
    public.write_bytes(bytes(key.extract_certificate()))
    return secret, public

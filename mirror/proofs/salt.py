"""Salt unpacks each archive by ``archive.extracted`` with the ``.sha512.txt`` beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from core import bootstrap
from core.process import run
from mirror.lockfile import LockedFile
from mirror.paths import SIDECAR
from mirror.proofs.model import Task, World

_SECONDS = 1800.0
# Not the script `salt-call`: its first line names the Python of the place where it was made.
_CALL = "import sys; from salt.scripts import salt_call; sys.argv[0] = 'salt-call'; salt_call()"


def tasks(world: World) -> Iterator[Task]:
    """Yield a proof for each archive at the top of the release."""
    for item in world.files:
        if "/" not in item.path and item.name.endswith((".tar.gz", ".tgz")):
            yield Task("Salt", item.path, partial(_extract, world, item))


def _extract(world: World, item: LockedFile) -> list[str]:
    folder = world.scratch / f"salt-{item.sha256[:16]}"
    (folder / "out").mkdir(parents=True)
    minion = {
        "file_client": "local",
        "root_dir": str(folder / "root"),
        "id": "prove",
        "ca_bundle": str(world.ca),
    }
    (folder / "minion").write_text(json.dumps(minion), encoding="utf-8")
    python = bootstrap.ensure("salt") / "bin" / "python"
    source = f"{world.base}/{item.path}"
    words: list[str | Path] = [
        python, "-c", _CALL, "--local", "-c", folder, "--out=json", "--retcode-passthrough",
        "--log-level=quiet", "state.single", "archive.extracted", f"name={folder / 'out'}",
        f"source={source}",         f"source_hash={source}{SIDECAR}", "enforce_toplevel=False",
    ]  # fmt: skip
    done = run(words, timeout=_SECONDS, check=False, what="salt-call", env={"SSL_CERT_FILE": str(world.ca)})
    try:
        return _faults(item, folder / "out", done.code, done.stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _faults(item: LockedFile, out: Path, code: int, text: str) -> list[str]:
    try:
        (state,) = json.loads(text[text.index("{") :])["local"].values()
    except (ValueError, KeyError, AttributeError, TypeError):
        return [f"{item.path}: salt-call ended with {code}: {text.strip()[-500:]}"]
    if state["result"] is not True:
        return [f"{item.path}: {state['comment']}"]
    return [] if any(out.iterdir()) else [f"{item.path}: nothing came out of it"]

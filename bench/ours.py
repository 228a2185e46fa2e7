"""One measured run of ours, as a process of its own: ``python -m bench.ours LOCK ROOT fetch/publish``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from core import console
from mirror import lockfile
from mirror.contents import contents, root_digest
from mirror.release import Releases
from mirror.store import Store


def fetch(lock: Path) -> None:
    """Bring the locked files into the cache: fetched, verified, under their digests. As the peers do."""
    from mirror.acquire import Source
    from mirror.cache import Cache

    loaded = lockfile.load(lock)
    Source(loaded, Cache()).provide(loaded.files)


def publish(lock: Path, root: Path) -> None:
    """Publish the release once more from the filled store; print the seconds that this alone took."""
    loaded = lockfile.load(lock)
    found = contents(loaded, lock.read_bytes(), loaded.entries())
    digest = root_digest(found)
    started = time.monotonic()
    Releases(root).publish(Store(root), found, digest, loaded, loaded.entries())
    print(json.dumps(time.monotonic() - started))


if __name__ == "__main__":
    console.settings.quiet = True
    what = sys.argv[3]
    if what == "fetch":
        fetch(Path(sys.argv[1]))
    else:
        publish(Path(sys.argv[1]), Path(sys.argv[2]))

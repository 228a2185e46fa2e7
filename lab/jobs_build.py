"""Build the jar of the lab's jobs with Maven, once for each state of their sources."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from core.errors import UpstreamError
from core.files import write_atomic
from core.process import run
from lab.places import cache, locked

SOURCES = Path(__file__).resolve().parent / "jobs"
_SECONDS = 900.0


def jar() -> Path:
    """Return the jar of the jobs, built if the user's cache has none of these sources.

    Raises UpstreamError with the end of Maven's output when it does not build.
    """
    files = [SOURCES / "pom.xml", *sorted(path for path in (SOURCES / "src").rglob("*") if path.is_file())]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes() + b"\0")
    kept = cache() / "lab-jobs" / f"{digest.hexdigest()}.jar"
    with locked("lab-jobs"):
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="flink-on-pnda-jobs-") as folder:
                project = Path(folder) / "jobs"
                shutil.copytree(SOURCES, project)
                run(
                    ["mvn", "-B", "-ntp", "-C", "-q", "-f", project / "pom.xml", "package"],
                    timeout=_SECONDS, what="building the lab's jobs with Maven", failure=UpstreamError,
                    cure="install maven and a JDK 17; check Maven's settings.xml and the network",
                )  # fmt: skip
                write_atomic(kept, (project / "target" / "lab-jobs.jar").read_bytes())
    return kept

"""A real session cluster on the loopback: a JobManager and a TaskManager, with their files in a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.release.history_world import environment_of, free_port, write_configuration

_SECONDS = 300


@dataclass(frozen=True)
class Session:
    """A cluster with free task slots: its REST port, and the environment of Flink's own commands for it."""

    version: str
    port: int
    environment: Mapping[str, str]

    def jobs(self, state: str = "FINISHED") -> set[str]:
        """Return the ids of its jobs in ``state``."""
        return {job["jid"] for job in self.get("/jobs/overview")["jobs"] if job["state"] == state}

    def get(self, path: str) -> Any:
        """GET ``path`` and return the document."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            return json.loads(reply.read())


@contextmanager
def session(
    home: Path,
    version: str,
    folder: Path,
    archives: Path,
    more: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Session]:
    """Run a cluster of ``home`` with all of its files in ``folder``; finished jobs go to ``archives``.

    ``more`` are further options and ``variables`` of the environment; what lies in ``folder/conf`` stays.
    """
    names = ("jobmanager.rpc.address", "jobmanager.bind-host", "taskmanager.host", "taskmanager.bind-host")
    options = {
        **dict.fromkeys((*names, "rest.address", "rest.bind-address"), "127.0.0.1"),
        "jobmanager.rpc.port": str(free_port()),
        "rest.port": str(free_port()),
        "jobmanager.memory.process.size": "1024m",
        "taskmanager.memory.process.size": "1280m",
        "taskmanager.numberOfTaskSlots": "4",
        "jobmanager.archive.fs.dir": f"file://{archives}",
        "io.tmp.dirs": str(folder),
        "web.upload.dir": str(folder),
        **(more or {}),
    }
    write_configuration(folder / "conf", version, options)
    for path in (home / "conf").glob("log4j*"):
        if not (folder / "conf" / path.name).exists():
            shutil.copy(path, folder / "conf")
    environment = {**environment_of(folder), "JVM_ARGS": f"-Djava.io.tmpdir={folder}", **(variables or {})}
    made = Session(version, int(options["rest.port"]), environment)
    with ExitStack() as stack:
        processes = []
        for name in ("jobmanager", "taskmanager"):
            out = stack.enter_context((folder / f"{name}.out").open("wb"))
            # It ends with the tests, also where those are killed.
            words = ["setpriv", "--pdeathsig", "TERM", "--"]
            words += [str(home / "bin" / f"{name}.sh"), "start-foreground"]
            process = subprocess.Popen(
                words, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
            processes.append(process)
            stack.callback(_end, process)
        _wait(made, processes, folder)
        yield made


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=60)


def _wait(made: Session, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        for process in processes:
            said = "".join(path.read_text()[-3000:] for path in folder.glob("*.out"))
            assert process.poll() is None, f"a part of the cluster ended:\n{said}"
        try:
            if made.get("/overview")["slots-available"] > 0:
                return
        except (urllib.error.URLError, OSError, ValueError, KeyError):
            pass  # not yet
        assert time.monotonic() < end, "no task slots came"
        time.sleep(0.2)

"""The side of a proof that is cut off: serves the release to itself over TLS, and runs the clients.

Started by :mod:`mirror.prove` in a network namespace, with one JSON document as its argument.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core import console, namespace
from core.errors import InternalError, PndaError
from core.files import write_atomic
from mirror import catalogue
from mirror.certificates import CertificateRequest, issue
from mirror.client_config import Site, files, public_keys
from mirror.entries import DebEntry
from mirror.kept_debs import of_release
from mirror.proofs import debian, everything, maven, python, salt, sums
from mirror.proofs.model import Proof, Task, World
from mirror.serve import make_server
from mirror.tls import server_context

_HOST = "127.0.0.1"
_AT_ONCE = 2


def main(text: str) -> int:
    """Do what the document ``text`` orders and write the report; return the exit code."""
    order = json.loads(text)
    console.settings.quiet, console.settings.json = order["quiet"], order["json"]
    if not namespace.only_loopback():
        raise InternalError("this process can see a network")
    namespace.raise_loopback()
    scratch = Path(order["scratch"])
    issued = issue(CertificateRequest((_HOST,), scratch / "tls"))
    tls = server_context(issued.certificate, issued.key)
    with make_server(Path(order["root"]), _HOST, 0, tls=tls) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        world = _world(
            order, scratch, f"https://{_HOST}:{server.server_port}/releases/{order['serial']}", issued.ca
        )
        proofs = _prove(list(_tasks(world)))
        server.shutdown()
    rows = [{"client": one.client, "subject": one.subject, "faults": list(one.faults)} for one in proofs]
    write_atomic(Path(order["report"]), json.dumps(rows))
    return 0


def _world(order: dict[str, Any], scratch: Path, base: str, ca: Path) -> World:
    keyring = Path(order["trust"]) if order["trust"] else None
    settings = scratch / "settings"
    release = Path(order["release"])
    lock = of_release(release)
    loaded = catalogue.load(Path(order["catalogue"]))
    entries = tuple(entry for entry in loaded.entries if entry.name in order["entries"])
    held = lock.files_of(tuple(entry.name for entry in entries))
    keys = public_keys(keyring.read_bytes(), keyring.name) if keyring else ""
    archives = {item.path: item.sha512 for item in held if "/" not in item.path}
    suites = [entry.suite for entry in entries if isinstance(entry, DebEntry)]
    site = Site(base, ca.read_bytes(), keys, str(settings), suites[0] if suites else "", archives)
    for name, data in files(site, ("maven", "pip", *(["apt"] if keys and suites else []))).items():
        write_atomic(settings / name, data)
    return World(
        release, base, ca, settings, keyring, scratch, lock, loaded, entries, tuple(order["held"]), held
    )


def _tasks(world: World) -> Iterator[Task]:
    for kind in (everything, sums, python, maven, debian, salt):
        yield from kind.tasks(world)


def _prove(tasks: list[Task]) -> list[Proof]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_one, tasks))


def _one(task: Task) -> Proof:
    started = time.monotonic()
    try:
        faults = tuple(task.work())
    except PndaError as error:
        faults = (error.message,)
    verdict = f"{len(faults)} faults" if faults else "complete"
    console.say(f"   {task.client}, {task.subject}: {verdict} ({time.monotonic() - started:.1f} s)")
    return Proof(task.client, task.subject, faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

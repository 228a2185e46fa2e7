"""One builder per mirror root: a kernel lock, which a killed process cannot leave behind."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BusyError
from core.files import writing


@contextmanager
def builder_lock(root: Path) -> Iterator[None]:
    """Hold the builder's lock of ``root`` (made if missing), or raise BusyError saying who holds it."""
    path = root / ".builder.lock"
    with writing(path):
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(handle, "r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"{root}: another build is at work ({_holder(stream.read())})",
                "wait for it, or end that process, then run the same command again",
            ) from error
        with writing(path):
            stream.truncate()
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, stream)
            stream.flush()
        yield


def _holder(text: str) -> str:
    try:
        data = json.loads(text)
        return f"process {data['pid']} on {data['host']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said its process id yet"

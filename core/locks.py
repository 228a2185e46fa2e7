"""One at a time: a lock file that says who holds it."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.errors import BusyError
from core.files import writing


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path`` for the length of the block; ``what`` is a phrase such as "apply of lab".

    The kernel frees it when the process ends, however it ends. Raises BusyError, naming who
    holds it, when another process does; DiskError when the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"another {what} is at work: {_holder(path)}", "wait for its end, then try again"
            ) from error
        stream.truncate(0)
        json.dump(
            {
                "pid": os.getpid(),
                "user": getpass.getuser(),
                "host": socket.gethostname(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            stream,
        )
        stream.flush()
        yield


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"process {who['pid']} of {who['user']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError):
        return f"who it is cannot be read from {path}"

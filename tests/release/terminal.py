"""A command at a terminal of its own: what a person types there, once they have seen what they wait for."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CTRL_C, CTRL_D = "\x03", "\x04"
_SECONDS = 240


def typed(
    words: Sequence[str | Path],
    turns: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    folder: Path,
) -> tuple[int, str]:
    """Run ``words`` in ``folder`` and return the exit code and all that the terminal showed.

    ``turns`` are pairs: a text that is waited for, after the one before, and what is typed then.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words, env=dict(environment), cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(theirs)
    end, shown, seen = time.monotonic() + _SECONDS, "", 0
    left = list(turns)
    try:
        while (chunk := _read(ours, end)) is not None:
            shown += chunk
            while left and (at := shown.find(left[0][0], seen)) >= 0:
                seen = at + len(left[0][0])
                os.write(ours, left.pop(0)[1].encode())
        assert not left, f"{left[0][0]!r} was not shown:\n{shown}"
        code = process.wait(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)
        os.close(ours)
    return code, shown


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int, end: float) -> str | None:
    """Return what comes next; None when nobody has the terminal any more, or time is up."""
    if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
        return None
    try:
        return os.read(terminal, 1 << 16).decode(errors="replace") or None
    except OSError:
        return None  # Linux says EIO at the end

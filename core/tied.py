"""Run a program that does not outlive its caller: ``python -I -S tied.py FD WORD...``, ends as it does.

``FD`` is the reading end of a pipe whose writing end the caller alone holds. When that is closed, also
by the caller's death, all processes that the program has started are killed, those in sessions of their
own as well (Ansible's workers are): this one is the reaper of them all.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(fd: int, words: list[str]) -> int:
    """Run ``words`` and return the exit code; 128 and the signal's number where one ended it."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    child = subprocess.Popen(words)
    ended = os.pidfd_open(child.pid)
    poll = select.poll()
    for one in (fd, ended):
        poll.register(one, select.POLLIN | select.POLLHUP)
    if fd in dict(poll.poll()):
        end_all()
        return 128 + signal.SIGKILL
    code = child.wait()
    return code if code >= 0 else 128 - code


def end_all() -> None:
    """Kill what this process has started, and what that has, until nothing of it is there."""
    while found := below(os.getpid()):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, 0)[0]:
                pass
        except ChildProcessError:
            return


def below(root: int) -> set[int]:
    """Return the processes whose parent is ``root``, or one of these."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name of the program, in brackets, may hold anything.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in {root, *found}} - found:
        found |= more
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

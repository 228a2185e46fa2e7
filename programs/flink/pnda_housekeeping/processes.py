# SPDX-License-Identifier: Apache-2.0
"""Which living processes use which folders, as far as /proc tells (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

CLOCK = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h


@dataclass
class Uses:
    """Who uses one folder: each process with its start (seconds since 1970), and the files that they hold."""

    started: dict[int, float] = field(default_factory=dict)
    held: set[tuple[int, int]] = field(default_factory=set)

    @property
    def oldest(self) -> float:
        """Return when the oldest of the processes started; infinity without any."""
        return min(self.started.values(), default=float("inf"))


@dataclass
class Processes:
    """What was found: ``uses`` by folder, and ``blind``: the user of each process that let nobody look."""

    uses: dict[str, Uses]
    blind: dict[int, int]


def scan(folders: Sequence[str]) -> Processes:
    """Look at every process but this one for its uses of ``folders``.

    A use is a working or root directory, a program, an open or a mapped file in the folder, or its
    name in the arguments or in the environment.
    """
    found = Processes({name: Uses() for name in folders}, {})
    wanted = [(name, os.fsencode(name)) for name in folders]
    for pid in _pids():
        try:
            _one(pid, wanted, found)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            yield int(name)


def _one(pid: int, wanted: list[tuple[str, bytes]], found: Processes) -> None:
    base = f"/proc/{pid}"
    state, flags, started = _stat(pid)
    if state in b"ZX" or flags & KERNEL_THREAD:
        return
    texts: list[bytes] = []
    links: list[bytes] = []
    held: list[tuple[bytes, tuple[int, int]]] = []
    texts.append(_read(f"{base}/cmdline"))
    try:
        texts.append(_read(f"{base}/environ"))
        texts.append(_read(f"{base}/maps"))
        for name in ("cwd", "root", "exe"):
            links.append(_link(f"{base}/{name}"))
        for number in os.listdir(f"{base}/fd"):
            link = _link(f"{base}/fd/{number}")
            links.append(link)
            if any(within(link, prefix) for _, prefix in wanted):
                info = os.stat(f"{base}/fd/{number}")
                held.append((link, (info.st_dev, info.st_ino)))
    except PermissionError:
        found.blind[pid] = os.stat(base).st_uid
    for name, prefix in wanted:
        if any(mentions(text, prefix) for text in texts) or any(within(link, prefix) for link in links):
            found.uses[name].started[pid] = started
            found.uses[name].held |= {mark for link, mark in held if within(link, prefix)}


def within(path: bytes, folder: bytes) -> bool:
    """Tell whether ``path`` is ``folder`` or in it."""
    return path == folder or path.startswith(folder + b"/")


def mentions(text: bytes, folder: bytes) -> bool:
    """Tell whether ``folder`` stands in ``text`` as a whole name, at whatever place."""
    at = text.find(folder)
    while at >= 0:
        after = text[at + len(folder) : at + len(folder) + 1]
        if not after or after in b"/\0\n:;,= '\"":
            return True
        at = text.find(folder, at + 1)
    return False


def _stat(pid: int) -> tuple[bytes, int, float]:
    """Return state, flags and start (seconds since 1970, one or two uncertain) of the process ``pid``."""
    # The second field is a name in brackets, which may hold anything.
    after = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    boot = next(line for line in _read("/proc/stat").splitlines() if line.startswith(b"btime "))
    return after[0], int(after[6]), int(boot.split()[1]) + int(after[19]) / CLOCK


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _link(path: str) -> bytes:
    try:
        return os.readlink(os.fsencode(path))
    except FileNotFoundError:
        return b""  # a kernel thread has no program

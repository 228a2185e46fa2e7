"""A network namespace of one's own: there is a loopback in it, at first switched off, and nothing else."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import sys

from core.errors import UsageError

# linux/sockios.h, net/if.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def command() -> list[str]:
    """Return the words that run a command in a new namespace. Raises UsageError where that cannot be."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        raise UsageError("what must not see a network is cut off by `unshare`", "install util-linux")
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]


def only_loopback() -> bool:
    """Tell whether this process sees no interface but the loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def raise_loopback() -> None:
    """Switch the loopback of this process's namespace on. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))

"""The one family of errors that users see, and the exit code of each kind.

The codes are a contract (README, "Exit codes"): 0 done, 1 a fault in the world, 2 a wrong call
or user file, 3 another builder is at work, 4 upstream away, 5 disk, 70 a fault of ours,
130 interrupted.
"""

from __future__ import annotations

import errno
from pathlib import Path

_DISK_ERRNOS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENOTDIR: "a part of this path is a file and not a folder",
    errno.EIO: "the disk reports an error",
    errno.EFBIG: "the file system holds no file of that size",
}
# What these say of a path that is to be written: where it is to be, nothing can be.
_PLACE_ERRNOS = {
    errno.EEXIST: "something that is no folder is in the way",
    errno.EISDIR: "a folder is in the way",
    errno.ENOTEMPTY: "a folder is in the way",
    errno.ENOENT: "there can be no such folder",
    errno.ELOOP: "its symbolic links go round in circles",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


class PndaError(Exception):
    """An error that a user can act on.

    ``message`` says what happened and where, ``cure`` what to do about it. Subclasses fix the
    process exit code in ``exit_code``. Never put a secret in either text.
    """

    exit_code = 70

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  cure: {self.cure}" if self.cure else self.message


class WorldError(PndaError):
    """A check found a fault in the world: a bad digest, an unhealthy host, drift (exit 1)."""

    exit_code = 1


class UsageError(PndaError):
    """The call, or a file that the user wrote, is wrong (exit 2)."""

    exit_code = 2


class BusyError(PndaError):
    """Another process holds the lock that this one needs (exit 3)."""

    exit_code = 3


class UpstreamError(PndaError):
    """An upstream server or the network stayed unavailable after retries (exit 4)."""

    exit_code = 4


class DiskError(PndaError):
    """The disk is full or not writable (exit 5)."""

    exit_code = 5


class InternalError(PndaError):
    """Something that only a mistake of ours can cause (exit 70)."""

    exit_code = 70


def disk_error(error: OSError, path: Path | str) -> PndaError | None:
    """Return the DiskError that ``error`` on ``path`` stands for, or None if it is no such error."""
    reason = _DISK_ERRNOS.get(error.errno or 0)
    if reason is None:
        return None
    return DiskError(
        f"cannot write {path}: {reason}",
        "free space or change the permissions there, then run the same command again",
    )


def place_error(error: OSError, path: Path | str) -> PndaError | None:
    """Like :func:`disk_error`, for what is written at ``path``: also where no file can be made there."""
    reason = _PLACE_ERRNOS.get(error.errno or 0)
    if reason is None:
        return disk_error(error, path)
    where = error.filename or path
    return DiskError(
        f"cannot write {path}: {reason}" + (f" ({where})" if str(where) != str(path) else ""),
        "look at what is there, or name another folder, then run the same command again",
    )


def in_file(path: Path | str, line: int | None, text: str) -> str:
    """Return ``text`` prefixed with ``path:line: `` the way compilers and editors expect it."""
    return f"{path}:{line}: {text}" if line else f"{path}: {text}"

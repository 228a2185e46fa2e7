"""Give up root for good, once everything that needs it is open."""

from __future__ import annotations

import os
import pwd

from core.errors import InternalError, UsageError


def give_up(user: str) -> str:
    """Become ``user`` without any other group; return the name of who this process is now.

    Who is not root stays who they are. Raises UsageError for an unknown user, and when somebody
    who is not root asks for another user than themselves.
    """
    own = os.geteuid()
    if not user or (own != 0 and _uid(user) == own):
        return user or str(own)
    if own != 0:
        raise UsageError(f"only root can become {user}", "leave --user out, or start this as root")
    uid = _uid(user)
    if uid == 0:
        return user  # somebody said so
    os.setgroups([])
    os.setresgid(*[pwd.getpwuid(uid).pw_gid] * 3)
    os.setresuid(uid, uid, uid)
    try:
        os.setuid(0)
    except PermissionError:
        return user
    raise InternalError("root could be had back after it was given up", "report this")


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise UsageError(f"there is no user {user!r} on this machine", "name another --user") from error

"""Describe paths, units and users of this machine as JSON. Standard library only: it runs on the nodes."""

import grp
import hashlib
import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path


def describe(path: str, neutral: bytes) -> dict:  # type: ignore[type-arg] # any Python 3 runs this
    """Return type, mode, owner and content (digest or target) of ``path``."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return {"type": "absent"}
    result = {
        "mode": oct(stat.S_IMODE(info.st_mode)),
        "owner": pwd.getpwuid(info.st_uid).pw_name,
        "group": grp.getgrgid(info.st_gid).gr_name,
    }
    if stat.S_ISLNK(info.st_mode):
        return {**result, "type": "link", "target": str(Path(path).readlink())}
    if stat.S_ISDIR(info.st_mode):
        return {**result, "type": "directory"}
    content = Path(path).read_bytes().replace(neutral, b"")
    return {**result, "type": "file", "sha256": hashlib.sha256(content).hexdigest()}


def unit(name: str) -> dict:  # type: ignore[type-arg] # as above
    """Return whether the unit ``name`` is there, enabled and running, and as whom."""
    keys = "LoadState,UnitFileState,ActiveState,User,Group,FragmentPath"
    shown = subprocess.run(
        ["systemctl", "show", "-p", keys, name], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def user(name: str) -> dict:  # type: ignore[type-arg] # as above
    """Return the account ``name`` without its number, which is the next free one."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {"type": "absent"}
    return {"group": grp.getgrgid(entry.pw_gid).gr_name, "home": entry.pw_dir, "shell": entry.pw_shell}


def main() -> None:
    """Read what to look at from standard input, print what is there."""
    wanted = json.load(sys.stdin)
    paths = set(wanted["paths"])
    for top in wanted["trees"]:
        for folder, folders, files in os.walk(top):
            paths.update(str(Path(folder) / name) for name in [*folders, *files])
    neutral = wanted["neutral"].encode()
    result = {"path:" + path: describe(path, neutral) for path in sorted(paths)}
    result.update({"unit:" + name: unit(name) for name in wanted["units"]})
    result.update({"user:" + name: user(name) for name in wanted["users"]})
    json.dump(result, sys.stdout)


main()

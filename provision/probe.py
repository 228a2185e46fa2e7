"""Describe paths, units and users of this machine as JSON. Standard library only: it runs on the nodes.

Standard input is one JSON object with the lists ``paths``, ``trees``, ``units`` and ``users``, the text
``neutral`` (left out of every file's content), and, if wanted, ``records`` (JSON files to return) and
``commands`` (a name and its argument list each; what they say and their exit code are returned).
"""

import grp
import hashlib
import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path


def owner(number: int) -> str:
    """Return the name of the user ``number``; the number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group(number: int) -> str:
    """Return the name of the group ``number``; the number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def describe(path: str, neutral: bytes) -> dict:  # type: ignore[type-arg] # any Python 3 runs this
    """Return type, mode, owner and content (digest or target) of ``path``."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return {"type": "absent"}
    result = {
        "mode": oct(stat.S_IMODE(info.st_mode)),
        "owner": owner(info.st_uid),
        "group": group(info.st_gid),
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
    return {"group": group(entry.pw_gid), "home": entry.pw_dir, "shell": entry.pw_shell}


def record(path: str) -> object:
    """Return the JSON document in the file ``path``; None where there is none, or a damaged one."""
    try:
        found: object = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def command(words: list[str]) -> dict:  # type: ignore[type-arg] # as above
    """Run ``words`` and return exit code and output; 127 where there is no such program."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": 127, "said": str(error)}
    return {"code": done.returncode, "said": (done.stderr.strip() or done.stdout.strip())[:2000]}


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
    result.update({"record:" + path: record(path) for path in wanted.get("records", ())})
    result.update({"command:" + name: command(words) for name, words in wanted.get("commands", {}).items()})
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

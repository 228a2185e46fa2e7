"""Remove from this machine what provisioning put there. Standard library only: it runs on the nodes.

Standard input is one JSON object: ``units`` to stop and disable; if wanted, ``commands`` that take ours out
of others' files and say on standard output what they did, and ``restarted``, units that then have to read
them again; ``links`` (removed where they lead under one of ``ours``) and ``files``; ``trees``, folders that
are removed with all they hold; ``marked``, patterns of folders and links that are removed only where a file
tells that we made them; ``folders``, removed where they are empty; ``after``, units to disable at the end;
``dry``, change nothing. Standard output gets ``removed`` and ``left`` (what is not ours, or not empty).
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

MARKS = (".pnda-*", "pyvenv.cfg")


class Clearing:
    """One removal: what was done is in ``removed``, what was left in ``left``."""

    def __init__(self, dry: bool) -> None:
        """``dry`` changes nothing."""
        self.dry = dry
        self.removed: list[str] = []
        self.left: list[str] = []

    def unit(self, name: str) -> None:
        """Stop and disable the unit ``name``, if there is one."""
        shown = subprocess.run(
            ["systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState", name],
            capture_output=True, text=True, check=True, timeout=30,
        ).stdout  # fmt: skip
        state = dict(line.split("=", 1) for line in shown.splitlines())
        off = state.get("ActiveState") in ("inactive", "failed")
        if off and state.get("UnitFileState") in ("", "disabled", "masked", "static"):
            return
        self.removed.append(f"{name} (stopped and disabled)")
        # Stopped first: disabling reads all units again, upon which a timer may find that it is late.
        for word in () if self.dry else ("stop", "disable"):
            subprocess.run(["systemctl", word, name], capture_output=True, check=True, timeout=120)

    def command(self, words: list[str]) -> bool:
        """Run ``words``, if there is such a program; tell whether it changed something."""
        if not Path(words[0]).exists():
            return False
        if self.dry:
            self.removed.append(" ".join(words))
            return False
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            sys.exit(done.stderr.strip() or f"{words[0]} ended with {done.returncode}")
        self.removed += done.stdout.splitlines()
        return bool(done.stdout)

    def link(self, path: Path, ours: tuple[str, ...]) -> None:
        """Remove the link ``path`` where it leads to something of ours."""
        if self.gone(path):
            return
        if path.is_symlink() and str(path.readlink()).startswith(ours):
            self.remove(path)
        elif path.is_symlink() or path.exists():
            self.left.append(f"{path} is not ours")

    def marked(self, path: Path) -> None:
        """Remove the folder or link ``path`` where a mark tells that it is ours."""
        if self.gone(path):
            return
        partial = path.name.startswith(".") and path.name.endswith((".partial", ".replaced"))
        partial = partial or path.name.startswith(".pnda-removing-")  # left by a housekeeping that was ended
        if path.is_symlink() or partial or any(list(path.glob(mark)) for mark in MARKS):
            self.remove(path)
        else:
            self.left.append(f"{path} is not ours")

    def remove(self, path: Path) -> None:
        """Remove ``path``, whatever it is, if it is there."""
        if self.gone(path) or (not path.is_symlink() and not path.exists()):
            return
        self.removed.append(str(path))
        if self.dry:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def gone(self, path: Path) -> bool:
        """Tell whether ``path`` was removed, or would have been in a dry run."""
        return bool({str(path), *map(str, path.parents)} & set(self.removed))

    def folder(self, path: Path) -> None:
        """Remove the folder ``path`` where it is empty."""
        if self.gone(path) or not path.is_dir() or path.is_symlink():
            return
        if any(not self.gone(entry) for entry in path.iterdir()):
            self.left.append(f"{path} is not empty")
            return
        self.removed.append(str(path))
        if not self.dry:
            path.rmdir()


def main() -> None:
    """Read what to remove from standard input, print what was removed."""
    wanted = json.load(sys.stdin)
    clearing = Clearing(wanted["dry"])
    for name in wanted["units"]:
        clearing.unit(name)
    changed = [clearing.command(words) for words in wanted.get("commands", ())]
    for name in wanted.get("restarted", ()) if any(changed) else ():
        subprocess.run(["systemctl", "try-restart", name], capture_output=True, check=True, timeout=120)
    for name in wanted["links"]:
        clearing.link(Path(name), tuple(wanted["ours"]))
    for pattern in wanted["marked"]:
        place = Path(pattern)
        for path in sorted(place.parent.glob(place.name)):
            clearing.marked(path)
    for name in (*wanted["files"], *wanted["trees"]):
        clearing.remove(Path(name))
    for name in wanted["folders"]:
        clearing.folder(Path(name))
    if clearing.removed and not wanted["dry"] and wanted["units"]:
        subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=60)
        for name in wanted["units"]:  # one that had failed, or was stopped midway, would be listed for ever
            subprocess.run(["systemctl", "reset-failed", name], capture_output=True, check=False, timeout=60)
    for name in wanted["after"]:
        clearing.unit(name)
    json.dump({"removed": clearing.removed, "left": clearing.left}, sys.stdout)


if __name__ == "__main__":
    main()

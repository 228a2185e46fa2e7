"""Make a Python environment from a hashed requirements file. Standard library only.

``./inv`` runs this with the system's Python before anything else exists; later the test runner
and the Salt engine call :func:`ensure` for their own layers.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Environment:
    """One environment: its folder and the layers of requirement files, in order of installation."""

    folder: str
    layers: tuple[tuple[str, ...], ...]  # each: pip options, last the requirements file


ENVIRONMENTS = {
    "main": Environment(".venv", (("requirements/main.txt",),)),
    "test": Environment(".venv", (("requirements/main.txt",), ("requirements/test.txt",))),
    # What builds source-only packages into the wheels that the mirror serves.
    "wheels": Environment(".venv-wheels", (("requirements/wheel-build.txt",),)),
    # What resolves wheels for other Pythons than this one; only locking for such targets needs it.
    "solver": Environment(".venv-solver", (("requirements/solver.txt",),)),
    # Molecule, for the scenario in molecule/; its collections come by lab/molecule_environment.py.
    "molecule": Environment(".venv-molecule", (("requirements/molecule.txt",),)),
    # Salt is published as source only: its build tools are installed, hashed, before it. Its
    # optional C extension `timelib` is left out of the file, so that no compiler is needed.
    "salt": Environment(
        ".venv-salt",
        (("requirements/salt-build.txt",), ("--no-build-isolation", "--no-deps", "requirements/salt.txt")),
    ),
}


class BootstrapError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def ensure(name: str, root: Path = ROOT) -> Path:
    """Make environment ``name`` (a key of ENVIRONMENTS) complete and return its folder.

    Quick when nothing changed. Two processes at once wait for each other. Raises
    BootstrapError when pip fails.
    """
    environment = ENVIRONMENTS[name]
    folder = root / environment.folder
    if all(_stamp(root, folder, layer).exists() for layer in environment.layers):
        return folder
    with (root / f"{environment.folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (
            not (folder / "bin" / "python").exists()
            or not _stamp(root, folder, environment.layers[0]).exists()
        ):
            shutil.rmtree(folder, ignore_errors=True)
            print(f"making the Python environment {environment.folder}", file=sys.stderr, flush=True)
            _call([system_python(), "-m", "venv", str(folder)])
        for layer in environment.layers:
            stamp = _stamp(root, folder, layer)
            if not stamp.exists():
                print(
                    f"installing {layer[-1]} (hashed) into {environment.folder}", file=sys.stderr, flush=True
                )
                *options, requirements = layer
                _call(
                    [
                        str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet",
                        "--disable-pip-version-check", "--require-hashes", *options,
                        "-r", str(root / requirements),
                    ]
                )  # fmt: skip
                stamp.touch()
    return folder


def system_python() -> str:
    """Return Debian's own Python (nodes have the same one), or this one where that is missing."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def _stamp(root: Path, folder: Path, layer: tuple[str, ...]) -> Path:
    digest = hashlib.sha256(" ".join(layer).encode() + (root / layer[-1]).read_bytes()).hexdigest()
    return folder / f".complete-{digest[:16]}"


def _call(args: list[str]) -> None:
    done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BootstrapError(
            f"{' '.join(args[:4])} ... ended with {done.returncode}:\n{tail}\n"
            "  cure: check that pip reaches its package index (pip config list), then run again"
        )


if __name__ == "__main__":
    try:
        ensure(sys.argv[1])
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(4)

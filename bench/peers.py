"""The downloaders that people use, called as well as they can be for many files of one host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGES = ("aria2", "curl", "wget")
HASHES = ("sha256sum", "sha512sum")
CONNECTIONS = 50  # as many as curl -Z opens by itself
_SPLIT = 8  # the parts of a single file that aria2c fetches side by side

Peer = Callable[[str, Sequence[str], Path], list[str]]


def aria2c(base: str, names: Sequence[str], folder: Path) -> list[str]:
    """Return the words that fetch ``names`` below ``base`` into ``folder`` (which is the current one)."""
    (folder / "list").write_text("".join(f"{base}/{name}\n" for name in names))
    split = _SPLIT if len(names) == 1 else 1
    return [
        "aria2c", "-q", "-i", "list", "-j", str(CONNECTIONS), "-x", str(split), "-s", str(split),
        "--file-allocation=none", "--no-conf",
    ]  # fmt: skip


def curl(base: str, names: Sequence[str], folder: Path) -> list[str]:
    """Return the words that fetch ``names`` below ``base`` into ``folder`` (which is the current one)."""
    lines = [f'url = "{base}/{name}"\noutput = "{name}"\n' for name in names]
    (folder / "list").write_text("".join(lines))
    return ["curl", "-q", "-sSf", "-Z", "--parallel-max", str(CONNECTIONS), "-K", "list"]


def wget(base: str, names: Sequence[str], folder: Path) -> list[str]:
    """Return the words that fetch ``names`` below ``base`` into ``folder`` (one after another)."""
    (folder / "list").write_text("".join(f"{base}/{name}\n" for name in names))
    return ["wget", "-q", "-i", "list"]


PEERS: dict[str, Peer] = {
    f"aria2c, {CONNECTIONS} connections": aria2c,
    f"curl -Z, {CONNECTIONS} connections": curl,
    "wget": wget,
}


def hash_pass(tool: str, names: Sequence[str]) -> list[str]:
    """Return the words that hash ``names`` with ``tool`` (sha256sum, sha512sum)."""
    return [tool, *names]

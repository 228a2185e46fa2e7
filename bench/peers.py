"""The downloaders that people use, called as well as they can be for many files of one host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("aria2", "curl", "wget")
CONNECTIONS = 8  # as many as ours uses to one host


def aria2c(base: str, names: Sequence[str], folder: Path) -> list[str]:
    """Return the words that fetch ``names`` below ``base`` into ``folder`` (which is the current one)."""
    (folder / "list").write_text("".join(f"{base}/{name}\n" for name in names))
    split = CONNECTIONS if len(names) == 1 else 1
    return [
        "aria2c", "-q", "-i", "list", "-j", str(CONNECTIONS), "-x", str(split), "-s", str(split),
        "--file-allocation=none", "--no-conf",
    ]  # fmt: skip


def curl(base: str, names: Sequence[str], folder: Path, parallel: int = CONNECTIONS) -> list[str]:
    """Return the words that fetch ``names`` below ``base`` into ``folder`` (which is the current one)."""
    lines = [f'url = "{base}/{name}"\noutput = "{name}"\n' for name in names]
    (folder / "list").write_text("".join(lines))
    return ["curl", "-q", "-sSf", "-Z", "--parallel-max", str(parallel), "-K", "list"]


def curl_50(base: str, names: Sequence[str], folder: Path) -> list[str]:
    """Return curl's words with its own default of 50 transfers at a time."""
    return curl(base, names, folder, 50)


def wget(base: str, names: Sequence[str], folder: Path) -> list[str]:
    """Return the words that fetch ``names`` below ``base`` into ``folder`` (one after another)."""
    (folder / "list").write_text("".join(f"{base}/{name}\n" for name in names))
    return ["wget", "-q", "-i", "list"]


PEERS = {
    f"aria2c, {CONNECTIONS} connections": aria2c,
    f"curl -Z, {CONNECTIONS} connections": curl,
    "curl -Z, 50 connections": curl_50,
    "wget": wget,
}


def hash_pass(tool: str, names: Sequence[str]) -> list[str]:
    """Return the words that hash ``names`` with ``tool`` (sha256sum, sha512sum)."""
    return [tool, *names]

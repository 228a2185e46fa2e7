"""The task that runs the tests."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task


@task(
    name="test",
    help={
        "only": "Comma-separated layers to run: lint, unit, render, faults, release, lab (default: all).",
        "full": "Kill builds at every change to the disk, not at a spread; many more examples of any input.",
    },
)
def run_tests(_: Context, only: str = "", full: bool = False) -> None:
    """Run the linters and tests, quick layers first; prints each layer's time and a total."""
    from tests.layers import run_layers

    run_layers([name.strip() for name in only.split(",") if name.strip()], full)

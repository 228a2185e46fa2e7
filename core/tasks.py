"""Tasks for those who keep this project itself."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from core import console


@task
def lock(_: Context) -> None:
    """Resolve requirements/*.in into hashed requirements/*.txt again."""
    from core import bootstrap, requirements

    bootstrap.ensure("test")
    for path in requirements.lock():
        console.say(f"wrote {path.name}")


requirements_ns = Collection("requirements", lock)

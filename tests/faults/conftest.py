from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import bootstrap
from tests.faults.mirror_world import World
from tests.faults.upstream import Upstream


@pytest.fixture(scope="session", autouse=True)
def _environments() -> None:
    # Made by the machine's own pip settings, before a test puts an index of its own in their place.
    for name in ("wheels", "solver"):
        bootstrap.ensure(name)


@pytest.fixture
def upstream() -> Iterator[Any]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def world(tmp_path: Path, upstream: Upstream) -> Any:
    return World(tmp_path, upstream, {})


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback servers are asked directly whatever the machine's proxy is.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

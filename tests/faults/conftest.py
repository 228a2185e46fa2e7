from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mirror_world import World
from tests.faults.upstream import Upstream


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

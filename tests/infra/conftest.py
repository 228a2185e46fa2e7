"""Match each host that is checked with its facts, and each check with the hosts that it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Facts = dict[str, Any]
_FACTS = pytest.StashKey[dict[str, Facts]]()
_FIGURES: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--facts", help="folder with the facts of each host, HOST.json (build/CLUSTER/facts)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    if not mine:
        return
    if not config.getoption("hosts", None) or not config.getoption("--facts", None):
        raise pytest.UsageError(
            "tests/infra checks real hosts: give --hosts=docker://NAME,ssh://NAME,... "
            "and --facts=build/CLUSTER/facts"
        )
    known: dict[str, Facts] = config.stash.setdefault(_FACTS, {})
    kept = [item for item in items if item not in mine or _is_for(item, _facts_of(config, known, item))]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    if not any(item in kept for item in mine):
        raise pytest.UsageError(f"no check is for any of these hosts: {config.getoption('hosts')}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in _FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture
def facts(request: pytest.FixtureRequest, host: Any) -> Facts:
    return request.config.stash[_FACTS][host.backend.get_pytest_id()]


@pytest.fixture
def figure() -> Any:
    """Show a measured figure at the end of the run."""
    return _FIGURES.append


def _is_for(item: pytest.Item, facts: Facts) -> bool:
    component = getattr(item.module, "COMPONENT", "install")  # type: ignore[attr-defined] # a Function has one
    return component in _components(facts)


def _components(facts: Facts) -> set[str]:
    flink, release = facts["flink_components"], facts["flink_releases"]
    server = ["mirror_server"] if facts["mirror_server_components"] else []
    queues = ["yarn_queues"] if facts["yarn_queues_components"] else []
    shipper = [f"logs.{facts['flink_log_shipper']}"] if "logs" in flink else []
    return {*(["install"] if release else []), *flink, *shipper, *server, *queues}


def _facts_of(config: pytest.Config, known: dict[str, Facts], item: pytest.Item) -> Facts:
    host = item.callspec.params["_testinfra_host"]  # type: ignore[attr-defined] # testinfra parametrises all
    key = host.backend.get_pytest_id()
    if key not in known:
        known[key] = _read(Path(config.getoption("--facts")), host, key)
    return known[key]


def _read(folder: Path, host: Any, key: str) -> Facts:
    done = host.run("hostname -s; hostname -f")
    if done.rc != 0 and not done.stdout:
        raise pytest.UsageError(f"{key} does not answer: {done.stderr.strip()}")
    names = list(dict.fromkeys(done.stdout.split()))
    for name in names:
        path = folder / f"{name}.json"
        if path.is_file():
            facts: Facts = json.loads(path.read_text(encoding="utf-8"))
            if not _components(facts):
                raise pytest.UsageError(f"{key} ({name}) has no component to check; leave it out of --hosts")
            return facts
    raise pytest.UsageError(
        f"{key}: {folder} has no facts of it (looked for {', '.join(f'{name}.json' for name in names)}); "
        "write them: ./inv cluster.render --cluster clusters/NAME.yml"
    )

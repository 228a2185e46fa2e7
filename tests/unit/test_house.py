"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "core": set(),
    "mirror": {"core"},
    "provision": {"core", "mirror"},
    "lab": {"core", "provision", "mirror"},
    "bench": {"core", "mirror"},
}
ROOMS = {*MAY_IMPORT, "tests", "tasks"}


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listing.stdout.splitlines()]
    assert len(files) > 20
    return [path for path in files if path.is_file()]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    if path == ROOT / "core" / "program.py":
        names.discard("tasks")  # the entry point loads the namespace, and only inside main()
    return {name for name in names if name.split(".")[0] in ROOMS}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_go_one_way(room: str) -> None:
    modules = list((ROOT / room).rglob("*.py"))
    assert modules
    for module in modules:
        for name in imported(module):
            first = name.split(".")[0]
            assert first == room or first in MAY_IMPORT[room], f"{module}: imports {name}"
            if room == "provision" and first == "mirror":
                assert name.startswith("mirror.lockfile"), f"{module}: knows more of the mirror than its lock"


def registry_hosts() -> set[str]:
    """Hosts of the package registries, as this machine's own clients name them."""
    from pip._internal.models.index import PyPI

    hosts = {PyPI.netloc, PyPI.file_storage_domain}
    for source in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources")]:
        if source.exists():
            hosts |= set(re.findall(r"^[^#]*https?://([^/\s]+)", source.read_text(), re.M))
    return {host for host in hosts if "." in host}


def test_no_file_names_a_registry_host() -> None:
    hosts = registry_hosts()
    assert hosts
    words = [*hosts, "repo." + "maven", "repo1." + "maven", "registry." + "npmjs"]
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        for word in words:
            assert word not in text, f"{path} names {word}"


def test_every_tracked_file_is_small() -> None:
    for path in tracked():
        assert path.stat().st_size <= 1 << 20, f"{path} is over 1 MiB"


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def links(page: Path) -> set[Path]:
    """Return the files that ``page`` links to, wherever they lead."""
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    return {(page.parent / name).resolve() for name in found}


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    assert [str(target) for page in pages() for target in links(page) if not target.exists()] == []


def test_the_index_has_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    wanted = {page for page in pages() if (ROOT / "docs") in page.parents and page != index}
    assert len(wanted) > 20
    assert wanted - links(index) == set()


def test_every_task_that_is_named_is_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core.program", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    known = set(re.findall(r"^  ([a-z][a-z.-]+)", done.stdout, re.M))
    assert len(known) > 40, done.stderr
    named = {
        (page.name, name)
        for page in pages()
        for name in re.findall(r"\./inv (?:--[a-z-]+ )*([a-z][a-z.-]*[a-z])", page.read_text())
    }
    assert {(page, name) for page, name in named if name not in known} == set()


def test_listing_the_tasks_loads_nothing_heavy() -> None:
    script = (
        "import sys, tasks; "
        "heavy = {'requests', 'jinja2', 'jsonschema', 'ansible', 'rich', 'testinfra'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=30)

"""Previews and facts of many hosts: what is made once for equal hosts is what each would get alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import BusyError, DiskError, InternalError
from core.files import replacing, write_passing
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview
from provision.cluster import ROOT
from provision.fact_text import FactTexts
from provision.facts import Facts
from provision.manifest import FLINK
from tests.unit.provision import samples


@pytest.fixture
def many(tmp_path: Path, lock: Lock) -> dict[str, Facts]:
    """The sample's hosts, each kind three times and more."""
    more = "".join(f"  more-{n}: {{roles: [{role}]}}\n" for n, role in enumerate(["EDGE", "FLINK"] * 3))
    path = samples.cluster_file(tmp_path / "many.yml", *samples.SERVED, ("flink:\n", f"{more}flink:\n"))
    return fact_module.resolve(clusters.load(path), lock)


def test_facts_as_text_are_plain_json(many: dict[str, Facts]) -> None:
    texts = FactTexts()
    for its in many.values():
        assert texts.text(its) == json.dumps(its, indent=2, sort_keys=True) + "\n"
    assert texts.text({"a": [], "b": {}, "c": ["x\ny", {"é": "\u2028"}]}) == (
        json.dumps({"a": [], "b": {}, "c": ["x\ny", {"é": "\u2028"}]}, indent=2) + "\n"
    )


def test_a_host_among_many_gets_what_it_would_get_alone(many: dict[str, Facts]) -> None:
    renderer = preview.Renderer()
    together = {host: renderer.render(its) for host, its in many.items()}
    for host, its in many.items():
        assert together[host] == preview.render(json.loads(json.dumps(its))), host


def test_equal_hosts_are_rendered_once(many: dict[str, Facts]) -> None:
    renderer = preview.Renderer()
    first, second = renderer.render(many["more-2"]), renderer.render(many["more-4"])
    assert first
    assert all(first[path] is second[path] for path in first)


def test_a_template_that_names_the_host_is_rendered_for_each(
    many: dict[str, Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "templates" / "flink"
    folder.mkdir(parents=True)
    (folder / "own.j2").write_text("host {{ flink_host }}\n")
    monkeypatch.setattr("provision.manifest.ROOT", tmp_path)
    entry = {"destination": "/own", "kind": "template", "source": "own.j2", "release": "", "mode": "0644"}
    empty: Facts = {f"{name}_files": [] for name in ("flink", "mirror_server", "yarn_queues")}
    renderer = preview.Renderer()
    for host in ("more-2", "more-4"):
        its = {**many[host], **empty, "flink_files": [entry]}
        assert renderer.render(its) == {"/own": f"host {host}\n".encode()}
    (folder / "bad.j2").write_text("{{ flink_nonsense }}\n")
    its = {**many["more-2"], **empty, "flink_files": [{**entry, "source": "bad.j2"}]}
    with pytest.raises(InternalError, match=r"bad\.j2 for /own: 'flink_nonsense' is undefined"):
        renderer.render(its)
    assert FLINK.templates == folder


def shown(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and mode of each file that is seen under ``folder``, links to folders followed."""
    found = {}
    for base, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(base) / name
            found[str(path.relative_to(folder))] = path.read_bytes(), path.stat().st_mode & 0o7777
    return found


def test_what_is_written_is_what_each_host_gets(many: dict[str, Facts], tmp_path: Path) -> None:
    build = tmp_path / "build"
    folder, count = preview.write(build, many)
    wanted = {}
    for host, its in many.items():
        modes = {
            entry["destination"]: int(entry["mode"], 8)
            for entry in (*its["flink_files"], *its["mirror_server_files"])
        }
        for path, content in preview.render(its).items():
            wanted[f"{host}{path}"] = content, modes[path]
    assert shown(folder) == wanted
    assert count == len(wanted)
    assert (folder / "more-4").readlink() == Path("edge-1")
    assert not (folder / "manager-1").is_symlink()
    facts = {path.name: json.loads(path.read_text()) for path in (build / "facts").iterdir()}
    assert facts == {f"{host}.json": its for host, its in many.items()}


def test_a_second_render_takes_the_place_of_the_first(many: dict[str, Facts], tmp_path: Path) -> None:
    build = tmp_path / "build"
    preview.write(build, many)
    (build / "preview" / "stray").write_text("x")
    # What a killed render leaves behind.
    for name in (".preview.new", ".preview.old", ".facts.new"):
        (build / name / "edge-1").mkdir(parents=True)
    folder, _ = preview.write(build, {"edge-1": many["edge-1"]})
    assert [path.name for path in folder.iterdir()] == ["edge-1"]
    assert sorted(path.name for path in build.iterdir()) == ["facts", "preview", "render.lock"]


def test_a_render_that_fails_leaves_the_earlier_one(many: dict[str, Facts], tmp_path: Path) -> None:
    build = tmp_path / "build"
    folder, _ = preview.write(build, many)
    before = shown(folder)
    template = next(entry for entry in many["edge-2"]["flink_files"] if entry["kind"] == "template")
    broken = {**many["edge-2"], "flink_files": [{**template, "release": "9.9.9"}]}
    with pytest.raises(InternalError):
        preview.write(build, {"edge-1": many["edge-1"], "edge-2": broken})
    assert shown(folder) == before
    assert sorted(path.name for path in build.iterdir()) == ["facts", "preview", "render.lock"]


def test_two_renders_at_once(many: dict[str, Facts], tmp_path: Path) -> None:
    lock = tmp_path / "build" / "render.lock"
    script = (
        "import sys, pathlib, core.locks\n"
        f"with core.locks.held(pathlib.Path({str(lock)!r}), 'render'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", script]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="another render of build"):
            preview.write(tmp_path / "build", many)
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(timeout=20)
    preview.write(tmp_path / "build", many)


def test_a_folder_that_cannot_be_written_is_the_disks_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError), replacing(tmp_path / "file" / "preview"):
        pass
    with pytest.raises(DiskError):
        write_passing(tmp_path / "file" / "name", b"x")


def test_a_file_is_never_readable_by_more_than_its_mode(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_passing(tmp_path / "deep" / "secret", b"x", 0o600)
        write_passing(tmp_path / "deep" / "sticky", b"x", 0o755)
    finally:
        os.umask(old)
    assert (tmp_path / "deep" / "secret").stat().st_mode & 0o7777 == 0o600
    assert (tmp_path / "deep" / "sticky").stat().st_mode & 0o7777 == 0o755
    with pytest.raises(DiskError, match="in the way"):
        write_passing(tmp_path / "deep" / "secret", b"y")
    assert (tmp_path / "deep" / "secret").read_bytes() == b"x"

"""The Python environment from a real index on the loopback, by the system's own Python and pip."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from provision.manifest import FLINK
from tests.unit.programs.conftest import Site

PROGRAMS = FLINK.programs

FILE = "tiny_thing-1.0-py3-none-any.whl"


def wheel() -> bytes:
    buffer = io.BytesIO()
    info = "tiny_thing-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tiny_thing/__init__.py", "answer = 42\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


class Case:
    """An index with one wheel, and the requirements that name its digest."""

    def __init__(self, site: Site, base: Path) -> None:
        self.site, raw = site, wheel()
        self.target = site.root / "mirror_python" / "packages" / FILE
        self.target.parent.mkdir(parents=True)
        self.target.write_bytes(raw)
        index = site.root / "mirror_python" / "simple" / "tiny-thing"
        index.mkdir(parents=True)
        (index / "index.html").write_text(f'<a href="../../packages/{FILE}">{FILE}</a>\n')
        self.requirements = base / "python.txt"
        digest = hashlib.sha256(raw).hexdigest()
        self.requirements.write_text(f"# managed\ntiny_thing==1.0 --hash=sha256:{digest}\n# end\n")
        self.environment = base / "opt" / "pyflink-1.20.5-abc"
        self.environment.parent.mkdir()

    def run(self, umask: int = 0o022, ca: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        words = [
            str(PROGRAMS / "install-python"),
            str(self.requirements),
            str(self.environment),
            self.site.uri,
            *([ca] if ca else []),
        ]
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            umask=umask,
            env={**os.environ, **more},
        )


@pytest.fixture
def case(site: Site, tmp_path: Path) -> Case:
    return Case(site, tmp_path)


def test_it_is_made_and_then_left_alone(case: Case) -> None:
    done = case.run(umask=0o077)
    assert done.returncode == 0, done.stderr
    assert (case.environment / ".complete").exists()
    words = [str(case.environment / "bin" / "python"), "-c", "import tiny_thing; print(tiny_thing.answer)"]
    assert subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout == "42\n"
    for path in case.environment.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o004, f"{path}: other users cannot read it"
    case.site.asked.clear()
    again = case.run()
    assert (again.returncode, again.stdout) == (0, "pyflink: already complete\n")
    assert case.site.asked == []


def test_one_without_its_mark_is_made_again(case: Case) -> None:
    (case.environment / "bin").mkdir(parents=True)
    (case.environment / "half").touch()
    assert case.run().returncode == 0
    assert not (case.environment / "half").exists()


def test_a_changed_wheel_is_refused_by_name(case: Case) -> None:
    raw = bytearray(case.target.read_bytes())
    raw[40] ^= 1
    case.target.write_bytes(bytes(raw))
    done = case.run()
    assert done.returncode == 1
    assert "tiny_thing" in done.stderr.replace("-", "_")
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not case.environment.exists()


def test_the_nodes_own_pip_settings_do_not_count(case: Case) -> None:
    """An index of the environment is beside ours in no case."""
    done = case.run(
        PIP_EXTRA_INDEX_URL="http://127.0.0.1:9/simple", PIP_INDEX_URL="http://127.0.0.1:9/simple"
    )
    assert done.returncode == 0, done.stderr


def test_a_missing_wheel(case: Case) -> None:
    case.target.unlink()
    done = case.run()
    assert done.returncode == 1
    assert not case.environment.exists()


def test_a_wrong_call() -> None:
    assert subprocess.run([PROGRAMS / "install-python"], capture_output=True, check=False).returncode == 2


def test_a_mirror_that_is_shared_with_pnda_has_the_same_project_twice(case: Case) -> None:
    """PNDA's own page names another file of the project; ours lies beside it, under a name of its own."""
    simple = case.site.root / "mirror_python" / "simple"
    simple.rename(simple.with_name("simple-flink"))
    other = simple / "tiny-thing"
    other.mkdir(parents=True)
    (other / "index.html").write_text('<a href="../../packages/tiny_thing-0.9.tar.gz#md5=0">tiny</a>\n')
    done = case.run()
    assert done.returncode == 0, done.stderr
    assert (case.environment / ".complete").exists()

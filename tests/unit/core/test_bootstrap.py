from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core import bootstrap
from core.bootstrap import BootstrapError, Environment, ensure

SCRIPT = """
import sys; from pathlib import Path
from core import bootstrap
bootstrap.ENVIRONMENTS['x'] = bootstrap.Environment('.venv-x', (('r.txt',),))
print(bootstrap.ensure('x', Path(sys.argv[1])))
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(bootstrap.ENVIRONMENTS, "x", Environment(".venv-x", (("r.txt",),)))
    (tmp_path / "r.txt").write_text("# nothing\n")
    return tmp_path


def test_two_at_once_make_one_whole_environment(root: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum(b"making the Python environment" in err for _, err in said) == 1
    assert (root / ".venv-x" / "bin" / "python").exists()


def test_nothing_unhashed_is_installed_and_the_half_made_one_is_made_again(root: Path) -> None:
    (root / "r.txt").write_text("six==1.16.0\n")
    with pytest.raises(BootstrapError, match="cure:") as caught:
        ensure("x", root)
    assert "hash" in str(caught.value)
    (root / "r.txt").write_text("# mended\n")
    folder = ensure("x", root)
    (folder / "scrap").touch()
    assert ensure("x", root) == folder
    assert (folder / "scrap").exists(), "a whole environment is left alone"
    (root / "r.txt").write_text("# changed\n")
    ensure("x", root)
    assert not (folder / "scrap").exists()


def test_a_wrong_digest_is_refused(root: Path) -> None:
    (root / "r.txt").write_text(f"six==1.16.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BootstrapError, match=r"(?i)hash"):
        ensure("x", root)

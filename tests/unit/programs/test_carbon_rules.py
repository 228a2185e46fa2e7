"""carbon-rules on real files: ours get in and out again, and nothing else in them changes."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.manifest import FLINK

PROGRAM = FLINK.programs / "carbon-rules"
SCHEMAS = """\
# the site's
[carbon]
pattern = ^carbon\\.
retentions = 60:90d

[default]
pattern = .*
retentions = 60s:1d
"""
CARBON = "[cache]\nMAX_CREATES_PER_MINUTE = 50\n[relay]\nX = 1\n"
OURS = {
    "storage-schemas.conf": "[pnda-flink]\npattern = ^flink\\.\nretentions = 10s:1d\n",
    "storage-aggregation.conf": "[pnda-flink-min]\npattern = min$\naggregationMethod = min\n",
    "cache.conf": "[cache:a]\nMAX_CREATES_PER_MINUTE = 600\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for folder, files in {
        "ours": OURS,
        "site": {"storage-schemas.conf": SCHEMAS, "carbon.conf": CARBON},
    }.items():
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    return tmp_path / "site"


def call(site: Path, *options: str) -> tuple[int, str, str]:
    words = [sys.executable, str(PROGRAM), f"--program={sys.executable}", *options]
    done = subprocess.run(
        [*words, str(site.parent / "ours"), str(site)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    assert parser.read(path)
    return parser


def test_ours_stand_in_front_and_the_rest_stays(site: Path) -> None:
    code, said, _ = call(site)
    assert code == 0
    assert len(said.splitlines()) == 3
    assert read(site / "storage-schemas.conf").sections() == ["pnda-flink", "carbon", "default"]
    assert (site / "storage-schemas.conf").read_text().endswith(SCHEMAS)
    assert read(site / "storage-aggregation.conf").sections() == ["pnda-flink-min"]
    assert read(site / "carbon.conf").sections() == ["cache", "relay", "cache:a"]
    assert (site / "carbon.conf").read_text().startswith(CARBON)


def test_a_second_time_changes_nothing(site: Path) -> None:
    call(site)
    before = {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in site.iterdir()}
    assert call(site, "--check")[0] == 0
    assert call(site) == (0, "", "")
    assert {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in site.iterdir()} == before


def test_a_check_says_so_and_writes_nothing(site: Path) -> None:
    assert call(site, "--check")[0] == 1
    assert (site / "carbon.conf").read_text() == CARBON
    assert sorted(path.name for path in site.iterdir()) == ["carbon.conf", "storage-schemas.conf"]


def test_changed_rules_take_the_place_of_old_ones(site: Path) -> None:
    call(site)
    (site.parent / "ours" / "storage-schemas.conf").write_text(
        OURS["storage-schemas.conf"].replace("10s:1d", "60s:9d")
    )
    (site / "storage-schemas.conf").write_text(
        (site / "storage-schemas.conf").read_text() + "[own]\npattern = x\nretentions = 1s:1d\n"
    )
    code, said, _ = call(site)
    assert (code, len(said.splitlines())) == (0, 1)
    found = read(site / "storage-schemas.conf")
    assert found.sections() == ["pnda-flink", "carbon", "default", "own"]
    assert found["pnda-flink"]["retentions"] == "60s:9d"


def test_removal_leaves_the_files_as_they_were(site: Path) -> None:
    call(site)
    assert call(site, "--remove")[0] == 0
    assert {path.name: path.read_text() for path in site.iterdir()} == {
        "carbon.conf": CARBON,
        "storage-schemas.conf": SCHEMAS,
    }
    assert call(site, "--remove") == (0, "", "")


def test_a_limit_that_is_no_longer_wanted_goes(site: Path) -> None:
    call(site)
    (site.parent / "ours" / "cache.conf").write_text("# none\n")
    assert call(site)[0] == 0
    assert (site / "carbon.conf").read_text() == CARBON


def test_mode_and_owner_stay(site: Path) -> None:
    (site / "carbon.conf").chmod(0o640)
    os.chown(site / "carbon.conf", 0, 65534)
    call(site)
    found = (site / "carbon.conf").stat()
    assert (oct(found.st_mode & 0o777), found.st_uid, found.st_gid) == ("0o640", 0, 65534)


def test_a_link_stays_one(site: Path) -> None:
    (site / "real.conf").write_text(SCHEMAS)
    (site / "storage-schemas.conf").unlink()
    (site / "storage-schemas.conf").symlink_to("real.conf")
    call(site)
    assert (site / "storage-schemas.conf").is_symlink()
    assert (site / "real.conf").read_text().endswith(SCHEMAS)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("carbon.conf", CARBON + "[cache:a]\nX = 1\n", "[cache:a] is there already"),
        (
            "storage-schemas.conf",
            "[pnda-flink]\npattern = x\nretentions = 1s:1d\n" + SCHEMAS,
            "is there already",
        ),
        ("storage-schemas.conf", SCHEMAS + SCHEMAS, "carbon could not read it"),
        ("storage-schemas.conf", "no section\n", "carbon could not read it"),
        (
            "storage-schemas.conf",
            "# BEGIN Flink on PNDA: changes up to END are overwritten\n" + SCHEMAS,
            "marks",
        ),
        (
            "storage-schemas.conf",
            "# END Flink on PNDA\n# BEGIN Flink on PNDA: changes up to END are overwritten\n" + SCHEMAS,
            "marks",
        ),
    ],
)
def test_what_carbon_could_not_read_is_refused_before_anything_is_written(
    site: Path, name: str, text: str, said: str
) -> None:
    (site / name).write_text(text)
    before = {path.name: path.read_text() for path in site.iterdir()}
    code, out, err = call(site)
    assert (code, out) == (1, "")
    assert said in err
    assert {path.name: path.read_text() for path in site.iterdir()} == before


def test_without_carbon_it_says_what_to_do(site: Path) -> None:
    words = [sys.executable, str(PROGRAM), "--program=/no/such/program", str(site.parent / "ours"), str(site)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "cure: install graphite-carbon" in done.stderr
    (site / "carbon.conf").unlink()
    code, _, err = call(site)
    assert code == 1
    assert "carbon.conf" in err


def test_a_wrong_call() -> None:
    assert (
        subprocess.run(
            [sys.executable, str(PROGRAM)], capture_output=True, check=False, timeout=60
        ).returncode
        == 2
    )

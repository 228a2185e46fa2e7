"""The whole catalogue is complete for real clients; and one file less, of each kind, is noticed by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror import lockfile
from tests.release.conftest import Built, inv


def one(built: Built, fits: Callable[[str], bool]) -> str:
    """Return the first path of the release that ``fits``, of those that a client needs."""
    paths = sorted(
        path.relative_to(built.release).as_posix() for path in built.release.rglob("*") if path.is_file()
    )
    return next(path for path in paths if fits(path))


def prove(root: Path, built: Built, *words: str) -> tuple[int, str]:
    done = inv("mirror.prove", "--root", root, "--trust", built.trust, *words)
    return done.returncode, done.stdout + done.stderr


def test_the_whole_catalogue_is_complete(built: Built) -> None:
    done = inv("--json", "mirror.prove", "--root", built.root, "--trust", built.trust)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    lock = lockfile.load(Path("mirror/catalogue.lock"))
    assert set(report["entries"]) == set(lock.select([]))
    clients = {row["client"] for row in report["proofs"]}
    assert clients == {
        "https", "browser", "sha512sum", "pip", "pip, installed", "Maven, building", "Maven, resolving",
        "apt", "Salt",
    }  # fmt: skip
    assert all(row["faults"] == [] for row in report["proofs"])


OPT = "mirror_apps/flink-2.3/opt/"
# An entry, and a part of the path and the end of the path of a file that its clients need.
KINDS = {
    "a wheel": ("pyflink-2.3.0", "/packages/py4j-", ".whl"),
    "a page of the Python index": ("pyflink-2.3.0", "/simple/py4j/", "index.json"),
    "a jar of a build": ("application-2.3", "/flink-streaming-java/2.3.0/", ".jar"),
    "what Maven finds by itself": ("application-2.3", "/surefire-junit-platform/", ".jar"),
    "a plugin's pom": ("application-2.3", "/maven-shade-plugin/", ".pom"),
    "a checksum": ("application-2.3", "/kafka-clients/", ".jar.sha1"),
    "a flat jar": ("flink-sql-2.3", OPT, ".jar"),
    "a sidecar": ("flink-sql-2.3", OPT, ".sha512.txt"),
    "an archive": ("flink-2.3.0", "flink-2.3.0", ".tar.gz"),
    "a package": ("java-17-bookworm", "/openjdk-17-jre-headless_", ".deb"),
    "apt's signed index": ("java-17-bookworm", "mirror_deb/", "/InRelease"),
    "apt's index": ("java-17-bookworm", "mirror_deb/", "/Packages.gz"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_less_is_named(kind: str, built: Built, tmp_path: Path) -> None:
    entry, part, end = KINDS[kind]
    path = one(built, lambda path: part in path and path.endswith(end))
    code, said = prove(built.lacking(tmp_path, path), built, "--only", entry)
    assert code == 1, said
    assert path.rpartition("/")[2] in said, said
    clients = {line.partition(",")[0].strip() for line in said.splitlines() if ": " in line}
    # Where InRelease is missing, apt takes Release with Release.gpg.
    assert len(clients) > (0 if path.endswith("/InRelease") else 1), "the client itself must miss it too"


def test_bytes_that_changed_are_named(built: Built, tmp_path: Path) -> None:
    root = built.lacking(tmp_path, path := one(built, lambda path: "/packages/py4j-" in path))
    damaged = bytearray((built.release / path).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (root / "releases" / built.release.name / path).write_bytes(damaged)
    code, said = prove(root, built, "--only", "pyflink-2.3.0")
    assert code == 1
    assert f"{path}: its sha256 is" in said
    assert "DO NOT MATCH THE HASHES" in said, "pip refuses it too"


def test_what_nobody_trusts_is_no_source_of_packages(built: Built, tmp_path: Path) -> None:
    import pysequoia

    stranger = tmp_path / "stranger.asc"
    stranger.write_bytes(bytes(pysequoia.Tsk.generate(user_id="Stranger").extract_certificate()))
    done = inv("mirror.prove", "--root", built.root, "--trust", stranger, "--only", "java-17-bookworm")
    assert done.returncode == 1
    assert "apt, java-17-bookworm" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--only", "no-such-group"], 2, "no group or entry 'no-such-group'"),
        (["--release", "99"], 2, "99"),
        (["--trust", "no-such-file"], 2, "no-such-file"),
        (["--catalogue", "lab/catalogue.yml"], 2, "none of its entries"),
    ],
)
def test_a_wrong_call(words: list[str], code: int, said: str, built: Built) -> None:
    done = inv("mirror.prove", "--root", built.root, *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "cure:" in done.stderr


def test_nothing_published(tmp_path: Path) -> None:
    done = inv("mirror.prove", "--root", tmp_path)
    assert done.returncode == 1
    assert "mirror.build" in done.stderr

"""The installer against a real HTTP server: what lands, what is refused, what a kill leaves behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from provision.manifest import FLINK
from tests.unit.programs.conftest import Site

PROGRAMS = FLINK.programs

NAME = "flink-1.20.5"


def archive(members: dict[str, bytes | tarfile.TarInfo], size: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid = len(content), 4711, 4711
            member.mode = 0o6777 if "/bin/" in name else 0o666
            tar.addfile(member, io.BytesIO(content))
        if size:
            big = tarfile.TarInfo(f"{NAME}/lib/big.jar")
            big.size = size
            tar.addfile(big, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


GOOD: dict[str, bytes | tarfile.TarInfo] = {
    f"{NAME}/bin/flink": b"#!/bin/sh\n",
    f"{NAME}/conf/config.yaml": b"shipped: yes\n",
    f"{NAME}/lib/flink-dist.jar": b"dist",
}
JAR = "mirror_apps/flink-1.20/lib/avro-1.11.4.jar"


class Case:
    """A release to install from ``site`` into ``root``."""

    def __init__(self, site: Site, base: Path, raw: bytes) -> None:
        self.site, self.root, self.spec = site, base / "opt", base / "release.json"
        self.root.mkdir()
        self.home = self.root / NAME
        self.serve(raw, b"avro")

    def serve(self, raw: bytes, jar: bytes, digest: str = "d1") -> None:
        (self.site.root / f"{NAME}.tar.gz").write_bytes(raw)
        (self.site.root / JAR).parent.mkdir(parents=True, exist_ok=True)
        (self.site.root / JAR).write_bytes(jar)
        self.release: dict[str, Any] = {
            "mirror": self.site.uri,
            "version": "1.20.5",
            "home": str(self.home),
            "digest": digest,
            "configuration": "/etc/flink/1.20.5",
            "archive": {
                "path": f"{NAME}.tar.gz",
                "size": len(raw),
                "sha512": hashlib.sha512(raw).hexdigest(),
            },
            "jars": [{"directory": "lib", "path": JAR, "sha256": hashlib.sha256(jar).hexdigest()}],
        }

    def words(self) -> list[str]:
        self.spec.write_text(json.dumps(self.release))
        return [sys.executable, str(PROGRAMS / "install-release"), str(self.spec)]

    def run(self, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(), capture_output=True, text=True, timeout=60, check=False, umask=umask
        )

    def left(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())


@pytest.fixture
def case(site: Site, tmp_path: Path) -> Case:
    return Case(site, tmp_path, archive(GOOD))


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_a_release_lands_whole(case: Case, umask: int) -> None:
    done = case.run(umask)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "flink 1.20.5: installed\n"
    assert case.left() == [NAME]
    assert (case.home / ".pnda-d1").exists()
    assert str((case.home / "conf").readlink()) == "/etc/flink/1.20.5"
    assert (case.home / "conf.shipped" / "config.yaml").read_bytes() == b"shipped: yes\n"
    assert (case.home / "lib" / "avro-1.11.4.jar").read_bytes() == b"avro"
    for path in [case.home, *case.home.rglob("*")]:
        if not path.is_symlink():
            assert path.stat().st_uid == os.getuid()
            wanted = 0o755 if path.is_dir() or path.parent.name == "bin" else 0o644
            assert oct(path.stat().st_mode & 0o7777) == oct(wanted), path


def test_a_second_run_asks_for_nothing(case: Case) -> None:
    case.run()
    case.site.asked.clear()
    before = case.home.stat().st_mtime_ns
    done = case.run()
    assert (done.returncode, done.stdout) == (0, "flink 1.20.5: already complete\n")
    assert case.site.asked == []
    assert case.home.stat().st_mtime_ns == before


def test_another_digest_replaces_the_release(case: Case) -> None:
    case.run()
    (case.home / "stale").touch()
    case.serve(archive(GOOD), b"newer avro", "d2")
    assert case.run().returncode == 0
    assert case.left() == [NAME]
    assert (case.home / "lib" / "avro-1.11.4.jar").read_bytes() == b"newer avro"
    assert not (case.home / "stale").exists()
    assert not (case.home / ".pnda-d1").exists()


@pytest.mark.parametrize("path", [f"{NAME}.tar.gz", JAR])
def test_a_flipped_bit_is_refused_by_name_and_nothing_is_touched(case: Case, path: str) -> None:
    case.run()
    before = {item: item.stat().st_mtime_ns for item in case.home.rglob("*") if not item.is_symlink()}
    case.release["digest"] = "d2"
    target = case.site.root / path
    raw = bytearray(target.read_bytes())
    raw[len(raw) // 2] ^= 1
    target.write_bytes(bytes(raw))
    done = case.run()
    assert done.returncode == 1
    assert f"install-release: {path}: its sha" in done.stderr
    assert "nothing was installed" in done.stderr
    assert case.left() == [NAME]
    assert (case.home / ".pnda-d1").exists()
    assert before == {item: item.stat().st_mtime_ns for item in case.home.rglob("*") if not item.is_symlink()}


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"other/bin/flink": b"x"}, "lies outside of flink-1.20.5/"),
        ({**GOOD, f"{NAME}/../evil": b"x"}, "lies outside of"),
        ({**GOOD, "/etc/evil": b"x"}, "lies outside of"),
        ({**GOOD, "l": link(f"{NAME}/l", "/etc", tarfile.SYMTYPE)}, "is a link"),
        ({**GOOD, "l": link(f"{NAME}/l", f"{NAME}/bin/flink", tarfile.LNKTYPE)}, "is a link"),
        ({**GOOD, "p": link(f"{NAME}/p", "", tarfile.FIFOTYPE)}, "neither a file nor a folder"),
        ({f"{NAME}/lib/x": b"x"}, "no flink-1.20.5/bin/flink"),
    ],
)
def test_an_archive_that_cannot_be_a_release(
    case: Case, members: dict[str, bytes | tarfile.TarInfo], words: str
) -> None:
    case.serve(archive(members), b"avro")
    done = case.run()
    assert done.returncode == 1
    assert words in done.stderr
    assert case.left() == []


def test_what_is_no_archive(case: Case) -> None:
    case.serve(b"<html>log in</html>", b"avro")
    done = case.run()
    assert done.returncode == 1
    assert "ReadError" in done.stderr
    assert case.left() == []


def test_a_missing_file_is_named_at_once(case: Case) -> None:
    (case.site.root / JAR).unlink()
    done = case.run()
    assert done.returncode == 1
    assert f"{JAR}: cannot be fetched from {case.site.uri}: HTTP Error 404" in done.stderr
    assert case.site.asked.count(f"/{JAR}") == 1
    assert case.left() == []


def test_a_truncated_answer_is_asked_for_again(case: Case) -> None:
    raw = (case.site.root / f"{NAME}.tar.gz").read_bytes()
    case.site.answers[f"/{NAME}.tar.gz"] = (200, {"Content-Length": str(len(raw))}, raw[:-10])
    done = case.run()
    assert done.returncode == 1
    assert f"{NAME}.tar.gz: cannot be fetched" in done.stderr
    assert case.site.asked.count(f"/{NAME}.tar.gz") == 3
    assert case.left() == []


def test_a_server_that_is_away(case: Case) -> None:
    case.release["mirror"] = "http://127.0.0.1:9"
    done = case.run()
    assert done.returncode == 1
    assert f"{NAME}.tar.gz: cannot be fetched from http://127.0.0.1:9" in done.stderr


def test_too_little_space_is_told_before_the_first_byte(case: Case) -> None:
    case.release["archive"]["size"] = 1 << 60
    done = case.run()
    assert done.returncode == 1
    assert "MiB are free" in done.stderr
    assert case.site.asked == []


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_a_wrong_call(arguments: list[str]) -> None:
    words = [sys.executable, str(PROGRAMS / "install-release"), *arguments]
    assert subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 2


def test_a_kill_at_any_moment_leaves_the_old_release_and_the_next_run_completes(case: Case) -> None:
    case.run()
    case.serve(archive(GOOD, size=24 << 20), b"newer avro", "d2")
    kills = 0
    for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        process = subprocess.Popen(case.words(), stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        kills += process.wait(timeout=20) == -signal.SIGKILL
        # Between its two renames nothing stands at the final name, and the old one waits beside it.
        home = case.home if case.home.exists() else case.root / f".{NAME}.replaced"
        assert (home / ".pnda-d1").exists() or (home / ".pnda-d2").exists()
        assert (home / "bin" / "flink").exists()
    assert kills >= 1, "no run was killed before its end"
    assert case.run().returncode == 0
    assert case.left() == [NAME]
    assert (case.home / ".pnda-d2").exists()
    assert (case.home / "lib" / "big.jar").stat().st_size == 24 << 20


def test_a_release_between_two_renames_is_put_back(case: Case) -> None:
    case.run()
    case.home.rename(case.root / f".{NAME}.replaced")
    case.serve(archive(GOOD), b"tampered", "d2")
    case.release["jars"][0]["sha256"] = "0" * 64
    assert case.run().returncode == 1
    assert (case.home / ".pnda-d1").exists()
    assert case.left() == [NAME]

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.process import run
from mirror.certificates import CertificateRequest, issue
from tests.unit.mirror.served import LARGE, publish

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Any:
    """A mirror below a folder that only its owner can enter, as a home is."""
    (tmp_path / "home").mkdir(mode=0o700)
    publish(tmp_path / "home" / "root", 1, {"a.bin": LARGE, "b.bin": LARGE[:10_000], "c.txt": b"c"})
    return tmp_path / "home" / "root"


@pytest.fixture
def issued(tmp_path: Path) -> Any:
    return issue(CertificateRequest(("127.0.0.1",), tmp_path / "tls"))


@contextmanager
def serving(root: Path, *words: Any) -> Iterator[Any]:
    """The real command; yields (process, base address)."""
    command = [sys.executable, "-m", "core.program", "mirror.serve", "--root", root, "--port", "0", *words]
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(r"serving (\S+)/ ", line)
        assert match, line + process.communicate(timeout=10)[1]
        yield process, match[1]
    finally:
        process.kill()
        process.communicate()


def ended(process: Any) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def own_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return bytes(answer.read())


def test_root_is_given_up_once_all_is_open(root: Path, issued: Any, tmp_path: Path) -> None:
    expected = "nobody" if os.geteuid() == 0 else own_name()
    log = tmp_path / "home" / "log"
    tls = ["--tls-cert", issued.certificate, "--tls-key", issued.key, "--log", log]
    with serving(root, *tls) as (process, base):
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(rf"^Uid:(\t{pwd.getpwnam(expected).pw_uid}){{4}}$", status, re.M)
        assert os.geteuid() != 0 or re.search(r"^Groups:\s*$", status, re.M)
        fetched = run(["curl", "-sf", "--cacert", issued.ca, f"{base}/c.txt"], timeout=30)
        assert fetched.stdout == "c"
        publish(root, 2, {"c.txt": b"new"})
        assert run(["curl", "-sf", "--cacert", issued.ca, f"{base}/c.txt"], timeout=30).stdout == "new"
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")
    assert log.read_text().count('"GET /c.txt HTTP/1.1" 200') == 2


def test_a_release_that_the_new_user_cannot_read_is_said_at_once(root: Path) -> None:
    (root / "releases").chmod(0o700 if os.geteuid() == 0 else 0)
    done = run(
        [sys.executable, "-m", "core.program", "mirror.serve", "--root", root, "--port", "0"],
        timeout=30, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.code == 1
    assert "cannot read the published release" in done.stderr
    (root / "releases").chmod(0o700)
    with serving(root, "--user", own_name()) as (_, base):
        assert get(f"{base}/c.txt") == b"c"


def test_term_ends_with_0_after_the_transfer_and_interrupt_with_130(root: Path) -> None:
    big = root / "releases" / "1" / "big.bin"
    with big.open("wb") as stream:
        stream.truncate(200 << 20)
    with serving(root) as (process, base):
        port = int(base.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET /big.bin HTTP/1.1\r\nHost: m\r\n\r\n")
            found = len(client.recv(1 << 16))
            process.send_signal(signal.SIGTERM)
            while chunk := client.recv(1 << 20):
                found += len(chunk)
        assert found > 200 << 20
        assert ended(process) == (0, "")
    with serving(root) as (process, _):
        process.send_signal(signal.SIGINT)
        code, text = ended(process)
        assert code == 130
        assert "interrupted" in text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_five_hundred_clients_at_once(root: Path, issued: Any, scheme: str) -> None:
    tls = ["--tls-cert", issued.certificate, "--tls-key", issued.key] if scheme == "https" else []
    with serving(root, *tls) as (process, base):
        ca = issued.ca if tls else "-"
        done = run(
            [sys.executable, "-m", "tests.faults.crowd", base, ca, "500", "/a.bin", "/b.bin"],
            timeout=120, cwd=ROOT,
        )  # fmt: skip
        came = json.loads(done.stdout)
        assert came["errors"] == {}
        assert came["found"] == {
            f"/a.bin {hashlib.sha256(LARGE).hexdigest()}": 250,
            f"/b.bin {hashlib.sha256(LARGE[:10_000]).hexdigest()}": 250,
        }
        peak = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.M)
        assert peak
        assert int(peak[1]) < 300_000  # no file is ever held whole for each of them
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")


def test_who_stays_with_a_serial_sees_one_release_through_fifty_publishes(root: Path) -> None:
    names = [f"{number}.bin" for number in range(4)]

    def tree(serial: int) -> dict[str, bytes]:
        return {name: f"{serial} ".encode() * 40_000 for name in names}

    publish(root, 2, tree(2))
    stop = threading.Event()
    seen: list[int] = []
    faults: list[str] = []

    def follow(base: str) -> None:
        while not stop.is_set():
            with urllib.request.urlopen(f"{base}/release.json", timeout=30) as answer:
                pinned = answer.headers["Content-Location"].removesuffix("/release.json")
            bodies = {get(f"{base}{pinned}/{name}") for name in names}
            serial = int(pinned.rpartition("/")[2])
            seen.append(serial)
            faults.extend([pinned] if bodies != {f"{serial} ".encode() * 40_000} else [])
            body = get(f"{base}/0.bin")  # without a serial: any release, but whole
            faults.extend(["torn"] if body != body[: body.index(b" ") + 1] * 40_000 else [])

    with serving(root) as (_, base):
        readers = [threading.Thread(target=follow, args=(base,)) for _ in range(3)]
        for reader in readers:
            reader.start()
        for serial in range(3, 53):
            publish(root, serial, tree(serial))
            before = len(seen)
            while len(seen) == before and any(reader.is_alive() for reader in readers):
                time.sleep(0.005)  # at least one reader between two publishes
        stop.set()
        for reader in readers:
            reader.join(60)
    assert faults == []
    assert len(seen) >= 50
    assert len(set(seen)) > 10


def test_more_connections_than_files_may_be_open_are_queued(root: Path) -> None:
    with serving(root, "--user", own_name()) as (process, base):
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (60, 60))  # under what it counted on
        done = run(
            [sys.executable, "-m", "tests.faults.crowd", base, "-", "10", "/b.bin"], timeout=120, cwd=ROOT
        )
        assert json.loads(done.stdout)["errors"] == {}
        clients = [socket.create_connection(("127.0.0.1", int(base.rsplit(":", 1)[1]))) for _ in range(100)]
        for client in clients[:99]:
            client.close()
        clients[99].sendall(b"GET /c.txt HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        clients[99].settimeout(60)
        assert clients[99].makefile("rb").read().endswith(b"\r\n\r\nc")
        clients[99].close()
        assert process.poll() is None


def test_a_log_on_a_full_disk_stops_nobody(root: Path) -> None:
    with serving(root, "--log", "/dev/full") as (process, base):
        assert [get(f"{base}/c.txt") for _ in range(3)] == [b"c"] * 3
        process.send_signal(signal.SIGTERM)
        code, text = ended(process)
    assert code == 0
    assert text.count("warning: /dev/full: the log cannot be written (No space left on device)") == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--tls-cert", "x.pem"], 2, "belong together"),
        (["--tls-cert", "x.pem", "--tls-key", "x.key"], 2, "x.pem: No such file"),
        (["--user", "no-such-user-here"], 2, "no user"),
        (["--port", "99999"], 2, "cannot listen"),
        (["--host", "192.0.2.1"], 2, "cannot listen"),
        (["--log", "/proc/none/log"], 2, "log"),
    ],
)
def test_bad_options(root: Path, words: Any, code: int, text: str) -> None:
    done = run(
        [sys.executable, "-m", "core.program", "mirror.serve", "--root", root, *words],
        timeout=30, cwd=ROOT, check=False,
    )  # fmt: skip
    assert (done.code, "Traceback" in done.stderr) == (code, False), done.stderr
    assert text in done.stderr

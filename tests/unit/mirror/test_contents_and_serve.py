from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError, WorldError
from mirror import lockfile
from mirror.contents import contents, root_digest, unsigned
from mirror.lockfile import LockedEntry, LockedFile
from mirror.serve import make_server
from mirror.wheels import empty_wheel


def locked(path: Any, data: Any, **source: Any) -> Any:
    return LockedFile(
        path, len(data), hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest(), ("one",),
        {"kind": "python", **source}, groups=("g",),
    )  # fmt: skip


def make_lock(tmp_path: Path, files: Any) -> Any:
    return lockfile.save(tmp_path / "x.lock", {"one": LockedEntry(("g",), "0" * 64)}, files, [])


def test_sidecars_sums_and_index_follow_from_the_lock(tmp_path: Path) -> None:
    files = [
        locked("flink-1.tar.gz", b"flink"),
        locked("mirror_apps/flink-1/lib/a.jar", b"a"),
        locked("mirror_maven/g/a/1/a-1.jar", b"a"),
        locked("mirror_python/packages/ruamel_yaml-1-py3-none-any.whl", b"w", project="ruamel.yaml",
               requires_python=">=3.9"),
    ]  # fmt: skip
    lock = make_lock(tmp_path, files)
    found = contents(lock, lock.path.read_bytes(), ["one"])
    text = {path: (item.data or b"").decode() for path, item in found.items()}
    sidecar = text["flink-1.tar.gz.sha512.txt"]
    assert sidecar == f"{hashlib.sha512(b'flink').hexdigest()}  flink-1.tar.gz\n"
    assert "mirror_apps/flink-1/lib/a.jar.sha512.txt" in found
    assert "mirror_maven/g/a/1/a-1.jar.sha512.txt" not in found
    page = text["mirror_python/simple/ruamel-yaml/index.html"]
    assert f"#sha256={hashlib.sha256(b'w').hexdigest()}" in page
    assert 'data-requires-python="&gt;=3.9"' in page
    row = json.loads(text["mirror_python/simple/ruamel-yaml/index.json"])["files"][0]
    assert row["url"] == "../../packages/ruamel_yaml-1-py3-none-any.whl"
    listed = {line.split("  ")[1] for line in text["SHA512SUMS"].splitlines()}
    assert listed == set(found) - {"SHA512SUMS"}


def test_the_root_digest_changes_with_any_byte_and_with_nothing_else(tmp_path: Path) -> None:
    lock = make_lock(tmp_path, [locked("a.tgz", b"a"), locked("b.tgz", b"b")])
    found = contents(lock, lock.path.read_bytes(), ["one"])
    digest = root_digest(found)
    assert digest == root_digest(dict(reversed(found.items())))
    for path in found:
        other = {**found, path: found["a.tgz" if path != "a.tgz" else "b.tgz"]}
        assert root_digest(other) != digest
    assert root_digest({key: value for key, value in found.items() if key != "a.tgz"}) != digest


@pytest.mark.parametrize(
    ("path", "counted"),
    [
        ("release.json", False),
        ("release.json.asc", False),
        ("SHA512SUMS", True),
        ("SHA512SUMS.asc", False),
        ("mirror_keys/site.asc", False),
        ("mirror_deb/dists/bookworm/InRelease", False),
        ("mirror_deb/dists/bookworm/Release.gpg", False),
        ("mirror_deb/dists/bookworm/Release", True),
        ("mirror_deb/dists/a/b/InRelease", True),
        ("mirror_deb/dists/bookworm/InRelease\n", True),
        ("mirror_maven/g/a/1/a-1.jar.asc", True),
    ],
)
def test_what_stands_outside_the_root_digest(path: str, counted: bool) -> None:
    assert unsigned(path) is counted


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Any]:
    """A published tree made by hand, the server on it, and a way to ask."""
    release = tmp_path / "root" / "releases" / "1"
    release.mkdir(parents=True)
    (release / "release.json").write_text("{}")
    (release / "index.html").write_text("front")
    (release / "a.tgz").write_bytes(bytes(range(100)))
    (tmp_path / "root" / "secret.txt").write_text("secret")
    (release / "out").symlink_to(tmp_path / "root" / "secret.txt")
    (tmp_path / "root" / "current").symlink_to("releases/1")
    server = make_server(tmp_path / "root", "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def ask(path: Any, method: Any = "GET", **headers: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body

    yield ask, tmp_path / "root", server.server_port
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_get_and_head(served: Any) -> None:
    ask, _, _ = served
    status, headers, body = ask("/a.tgz")
    assert (status, body) == (200, bytes(range(100)))
    status, head, body = ask("/a.tgz", "HEAD")
    assert (status, body, head["Content-Length"]) == (200, b"", "100")
    assert ask("/")[2] == b"front"
    assert ask("/a.tgz", If_None_Match=headers["ETag"])[0] == 304


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=90-", 206, (90, 100)),
        ("bytes=-5", 206, (95, 100)),
        ("bytes=0-999", 206, (0, 100)),
        ("bytes=100-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=9-5", 200, (0, 100)),
        ("bytes=0-1,3-4", 200, (0, 100)),
        ("lines=1-2", 200, (0, 100)),
    ],
)
def test_ranges(served: Any, asked: Any, status: int, span: Any) -> None:
    ask, _, _ = served
    found, headers, body = ask("/a.tgz", Range=asked)
    assert found == status
    if span:
        assert body == bytes(range(*span))
    if status == 206:
        assert headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/100"


def test_a_range_with_another_etag_gets_the_whole_file(served: Any) -> None:
    ask, _, _ = served
    assert ask("/a.tgz", Range="bytes=0-9", If_Range='"old"')[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2f..%2fsecret.txt", "//etc/passwd", "/out", "/none",
     "/.ssh", "/a.tgz/", "/%00", "/releases/2/a.tgz", "/releases/../secret.txt", "/store/x", "/%ff"],
)  # fmt: skip
def test_nothing_outside_the_published_tree_is_reachable(served: Any, path: Any) -> None:
    ask, _, _ = served
    assert ask(path)[0] == 404


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 405), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 405), ("BREW", 501)]
)
def test_other_methods_are_refused(served: Any, method: Any, status: int) -> None:
    ask, _, _ = served
    found, headers, _ = ask("/a.tgz", method)
    assert (found, headers["Connection"]) == (status, "close")
    assert headers.get("Allow") == ("GET, HEAD" if status == 405 else None)


def test_serving_follows_the_published_release(served: Any) -> None:
    ask, root, _ = served
    other = root / "releases" / "2"
    other.mkdir()
    (other / "a.tgz").write_bytes(b"new")
    (root / "new").symlink_to("releases/2")
    (root / "new").rename(root / "current")
    assert ask("/a.tgz")[2] == b"new"


def test_an_empty_root_and_a_taken_port_are_said(served: Any, tmp_path: Path) -> None:
    _, root, _ = served
    with pytest.raises(WorldError):
        make_server(tmp_path / "none", "127.0.0.1", 0)
    with make_server(root, "127.0.0.1", 0) as first, pytest.raises(UsageError):
        make_server(root, "127.0.0.1", first.server_address[1])


def test_the_real_pip_installs_from_the_index_with_hashes(served: Any, tmp_path: Path) -> None:
    _, root, port = served
    wheel = empty_wheel("some-project", "1", tmp_path)
    item = locked(f"mirror_python/packages/{wheel.name}", wheel.read_bytes(), project="some-project")
    lock = make_lock(tmp_path, [item])
    for path, content in contents(lock, lock.path.read_bytes(), ["one"]).items():
        target = root / "current" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read_bytes() if content.data is None else content.data)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"some-project==1+provided --hash=sha256:{item.sha256}\n")
    words = [
        sys.executable, "-m", "pip", "--isolated", "install", "--require-hashes", "--no-cache-dir", "--quiet",
        "--index-url", f"http://127.0.0.1:{port}/mirror_python/simple/",
        "--target", str(tmp_path / "target"),
    ]  # fmt: skip
    done = subprocess.run([*words, "-r", str(requirements)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "target").glob("some_project-*.dist-info"))
    requirements.write_text(f"some-project==1+provided --hash=sha256:{'0' * 64}\n")
    done = subprocess.run([*words, "-r", str(requirements)], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "DO NOT MATCH" in done.stderr

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError, WorldError
from mirror import keys, lockfile
from mirror.build import BuildRequest, build
from mirror.locking import LockRequest, write_lock
from mirror.resolving import NotPublishedError
from tests.faults.mirror_world import World
from tests.faults.upstream import Upstream, file, flipped, page, status, tgz
from tests.unit.mirror.pgp_world import Signer

BODY = tgz(b"some bytes" * 1000)
UNSIGNED = {"agreed": [], "signature": "absent"}
SHA1 = hashlib.sha1(BODY).hexdigest()
SHA512 = hashlib.sha512(BODY).hexdigest()


@pytest.fixture(scope="module")
def ann() -> Iterator[Signer]:
    with Signer("ann") as signer:
        yield signer


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder / "cache"))
    return world


def catalogue_of(world: World, *lines: str) -> None:
    text = ["format: 1", "targets:", '  here: {python: "3.11", machine: x86_64, glibc: "2.36"}', "entries:"]
    world.catalogue.write_text("\n".join([*text, *lines]) + "\n")


def file_entry(world: World, versions: str = "") -> None:
    tail = "-{version}" if versions else ""
    catalogue_of(
        world, "  it:", "    kind: file", "    groups: [all-of-it]", f"    path: mirror_misc/x{tail}.tgz",
        f"    url: {world.upstream.base}/x{tail}.tgz", *([f"    versions: {versions}"] if versions else []),
    )  # fmt: skip


def lock(world: World, *groups: str) -> lockfile.Lock:
    return write_lock(LockRequest(world.catalogue, world.lock, groups)).lock


def test_every_published_checksum_is_asked_for_and_recorded(here: World, ann: Signer) -> None:
    file_entry(here)
    here.upstream.set("/x.tgz", BODY)
    here.upstream.set("/x.tgz.sha1", SHA1.encode())
    here.upstream.set("/x.tgz.sha512", f"{SHA512} *x.tgz\n".encode())
    here.upstream.set("/x.tgz.asc", ann.sign(BODY).encode())
    (item,) = lock(here).files
    assert item.evidence == {
        "agreed": ["sha1", "sha512"], "signature": "present, key not held", "signers": [ann.fingerprint],
        "hashes": ["SHA512"],
    }  # fmt: skip
    assert item.sha512 == SHA512
    assert {path for _, path, _ in here.upstream.asked} >= {"/x.tgz.md5", "/x.tgz.sha256"}


def test_without_any_checksum_the_lock_says_so(here: World) -> None:
    file_entry(here)
    here.upstream.set("/x.tgz", BODY)
    (item,) = lock(here).files
    assert item.evidence == UNSIGNED


@pytest.mark.parametrize(
    ("suffix", "answer"),
    [
        ("sha1", b"0" * 40),
        ("sha512", f"{'0' * 128}  x.tgz".encode()),
        ("sha512", f"{SHA512}  y.tgz".encode()),
        ("sha1", page()),
        ("md5", b""),
    ],
)
def test_one_checksum_that_disagrees_or_is_no_checksum_refuses_the_file(
    here: World, suffix: str, answer: Any
) -> None:
    file_entry(here)
    here.upstream.set("/x.tgz", BODY)
    here.upstream.set("/x.tgz.sha1", SHA1.encode())
    here.upstream.set(f"/x.tgz.{suffix}", answer)
    with pytest.raises(WorldError) as caught:
        lock(here)
    assert "x.tgz" in caught.value.message
    assert suffix in caught.value.message
    assert not here.lock.exists()


def test_locking_again_trusts_the_cache_only_where_a_checksum_vouches_for_it(here: World) -> None:
    file_entry(here)
    here.upstream.set("/x.tgz", BODY)
    lock(here)
    lock(here)
    assert here.upstream.count("/x.tgz") == 2
    here.upstream.set("/x.tgz.sha1", SHA1.encode())
    lock(here)
    assert here.upstream.count("/x.tgz") == 2


def test_the_first_acceptable_version_that_is_there_is_taken_and_the_lock_says_so(here: World) -> None:
    file_entry(here, '["3", "2", "1"]')
    here.upstream.set("/x-2.tgz", BODY)
    here.upstream.set("/x-1.tgz", BODY)
    report = write_lock(LockRequest(here.catalogue, here.lock))
    (item,) = report.lock.files
    assert item.path == "mirror_misc/x-2.tgz"
    assert item.source["instead_of"] == "3"
    assert report.substituted == (("mirror_misc/x-2.tgz", "3"),)


def test_nothing_falls_back_unasked_and_all_that_is_missing_stands_in_one_table(here: World) -> None:
    catalogue_of(
        here, *(
            line for name in ("one", "two") for line in (
                f"  {name}:", "    kind: file", "    groups: [g]", f"    path: {name}.tgz",
                f"    url: {here.upstream.base}/{name}-{{version}}.tgz", '    versions: ["9"]',
            )
        )
    )  # fmt: skip
    here.lock.write_text("the old lock")
    with pytest.raises(NotPublishedError) as caught:
        lock(here)
    assert [item.entry for item in caught.value.missing] == ["one", "two"]
    assert caught.value.exit_code == 1
    assert caught.value.message.count("\n") == 2
    assert here.lock.read_text() == "the old lock"


def test_locking_a_part_keeps_the_rest_and_drops_what_left_the_catalogue(here: World) -> None:
    def write(names: str) -> None:
        lines = []
        for name in names:
            here.upstream.set(f"/{name}", name.encode())
            lines += [f"  {name}:", "    kind: file", "    groups: [g]", f"    path: {name}.tgz"]
            lines += [f"    url: {here.upstream.base}/{name}"]
        catalogue_of(here, *lines)

    write("abc")
    lock(here)
    write("ab")
    here.upstream.set("/a", b"new")
    here.upstream.set("/b", status(500))
    again = lock(here, "a")
    assert again.entries() == ("a", "b")
    assert again.file("a.tgz").size == 3
    assert again.file("b.tgz").size == 1


def test_two_entries_that_bring_different_bytes_to_one_path_are_refused(here: World) -> None:
    lines = []
    for name in ("one", "two"):
        here.upstream.set(f"/{name}", name.encode())
        lines += [f"  {name}:", "    kind: file", "    groups: [g]", "    path: same.tgz"]
        lines += [f"    url: {here.upstream.base}/{name}"]
    catalogue_of(here, *lines)
    with pytest.raises(UsageError) as caught:
        lock(here)
    assert "one" in caught.value.message
    assert "two" in caught.value.message


def signed_entry(world: World, *more: str) -> None:
    file_entry(world)
    world.catalogue.write_text(world.catalogue.read_text() + "".join(f"    {line}\n" for line in more))
    world.upstream.set("/x.tgz", BODY)


def hold(world: World, *signers: Signer) -> None:
    given = world.folder / "KEYS"
    given.write_text("Keys of our release managers\n" + "".join(signer.public() for signer in signers))
    keys.import_keys(given, world.folder / "keys", "project")


def test_importing_keys_upgrades_a_signature_on_the_next_lock(here: World, ann: Signer) -> None:
    signed_entry(here, f"signers: [{ann.fingerprint}]")
    here.upstream.set("/x.tgz.asc", ann.sign(BODY).encode())
    assert lock(here).files[0].evidence["signature"] == "present, key not held"
    hold(here, ann)
    (item,) = lock(here).files
    assert item.evidence["signature"] == "verified"
    assert item.evidence["signers"] == [ann.fingerprint]


def test_a_required_signature_that_is_not_verified_refuses_the_lock(here: World, ann: Signer) -> None:
    signed_entry(here, f"signers: [{ann.fingerprint}]", "require: signature")
    for state in ("absent", "present, key not held"):
        with pytest.raises(WorldError) as caught:
            lock(here)
        assert f"mirror_misc/x.tgz: {state}" in caught.value.message
        assert "mirror.keys" in caught.value.cure
        assert not here.lock.exists()
        here.upstream.set("/x.tgz.asc", ann.sign(BODY).encode())
    hold(here, ann)
    assert lock(here).files[0].evidence["signature"] == "verified"


def test_a_signature_that_speaks_against_the_bytes_refuses_them(here: World, ann: Signer) -> None:
    hold(here, ann)
    signed_entry(here)
    for answer in (ann.sign(b"other bytes").encode(), ann.sign(BODY, digest="SHA1").encode(), page()):
        here.upstream.set("/x.tgz.asc", answer)
        with pytest.raises(WorldError) as caught:
            lock(here)
        assert "x.tgz" in caught.value.message
        assert not here.lock.exists()


def test_a_signature_far_too_long_is_refused(here: World) -> None:
    signed_entry(here)
    for answer in (b"x" * (1 << 20), b"\xff\xfe"):
        here.upstream.set("/x.tgz.asc", answer)
        with pytest.raises(WorldError) as caught:
            lock(here)
        assert "x.tgz.asc: not the short text" in caught.value.message
        assert not here.lock.exists()


# The Apache distribution: a content network, and two hosts whose checksums count.
FLINK = "flink/flink-1.20.5/flink-1.20.5-bin-scala_2.12.tgz"


@pytest.fixture
def apache(here: World, ann: Signer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, Upstream]]:
    trusted = Upstream()
    monkeypatch.setenv("PNDA_APACHE_BYTES", f"{here.upstream.base} {trusted.base}/now {trusted.base}/dist")
    monkeypatch.setenv("PNDA_APACHE_TRUSTED", f"{trusted.base}/now {trusted.base}/dist")
    catalogue_of(
        here, "  flink-1.20.5:", "    kind: assembly", "    groups: [flink]", "    recipe: flink",
        '    version: "1.20.5"', '    scala: "2.12"', "    target: here", "    origin: apache",
        "    path: flink-1.20.5.tar.gz",
    )  # fmt: skip
    here.upstream.set(f"/{FLINK}", BODY)
    for path in ("now", "dist"):
        trusted.set(f"/{path}/{FLINK}", BODY)
        trusted.set(f"/{path}/{FLINK}.sha512", f"{SHA512}  {FLINK.rsplit('/', 1)[-1]}\n".encode())
        trusted.set(f"/{path}/{FLINK}.asc", ann.sign(BODY).encode())
    yield here, trusted
    trusted.close()


def test_apaches_own_archive_is_locked_and_built_from_the_content_network(
    apache: tuple[World, Upstream],
) -> None:
    world, trusted = apache
    (item,) = lock(world).files
    assert item.source == {"kind": "apache", "origin": "apache", "path": FLINK}
    assert item.evidence["agreed"] == ["sha512"]
    assert item.evidence["signature"] == "present, key not held"
    assert trusted.count(f"/now/{FLINK}") + trusted.count(f"/dist/{FLINK}") == 0
    report = build(BuildRequest(world.catalogue, world.lock, world.root))
    assert (report.release / "flink-1.20.5.tar.gz").read_bytes() == BODY


def test_a_release_that_the_content_network_dropped_comes_from_the_archive(
    apache: tuple[World, Upstream],
) -> None:
    world, trusted = apache
    world.upstream.set(f"/{FLINK}", status(404))
    trusted.set(f"/now/{FLINK}", status(404))
    lock(world)
    assert trusted.count(f"/dist/{FLINK}") == 1


def test_wrong_bytes_from_the_content_network_are_refused(apache: tuple[World, Upstream]) -> None:
    world, _ = apache
    world.upstream.set(f"/{FLINK}", flipped(BODY))
    with pytest.raises(WorldError) as caught:
        lock(world)
    assert "sha512" in caught.value.message


def test_a_checksum_on_the_content_network_alone_does_not_count(apache: tuple[World, Upstream]) -> None:
    world, trusted = apache
    world.upstream.set(f"/{FLINK}.sha512", SHA512.encode())
    for path in ("now", "dist"):
        trusted.set(f"/{path}/{FLINK}.sha512", status(404))
    with pytest.raises(WorldError) as caught:
        lock(world)
    assert ".sha512" in caught.value.message


def test_without_a_signature_apaches_archive_is_refused(apache: tuple[World, Upstream]) -> None:
    world, trusted = apache
    for path in ("now", "dist"):
        trusted.set(f"/{path}/{FLINK}.asc", status(404))
    with pytest.raises(WorldError) as caught:
        lock(world)
    assert ".asc" in caught.value.message


def test_two_trusted_hosts_that_disagree_refuse_the_file(apache: tuple[World, Upstream]) -> None:
    world, trusted = apache
    trusted.set(f"/dist/{FLINK}.sha512", b"0" * 128)
    with pytest.raises(WorldError) as caught:
        lock(world)
    assert "different" in caught.value.message


# A Python index on loopback, asked by the real pip: a wheel that needs a package published as source
# only, and one that is provided.
def wheel(name: str, needs: list[str]) -> bytes:
    buffer = io.BytesIO()
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(buffer, "w") as packed:
        requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nLicense: MIT\n{requires}"
        packed.writestr(f"{info}/METADATA", head)
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


SETUP = """
import socket
from setuptools import Extension, setup
try:
    socket.create_connection(("127.0.0.1", {port}), 2)
    raise SystemExit("the build reached the network")
except OSError:
    pass
setup(name="fromsource", version="1", py_modules=["fromsource"], ext_modules=[Extension("c", ["c.c"])],
      setup_requires=["nothing-like-this"])
"""


def sdist(port: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in {"setup.py": SETUP.format(port=port), "fromsource.py": "x = 1\n"}.items():
            info = tarfile.TarInfo(f"fromsource-1/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def index(here: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("PIP_INDEX_URL", f"{here.upstream.base}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    offer(here, "app", "app-1-py3-none-any.whl", wheel("app", ["fromsource>=1", "home==1"]))
    offer(here, "fromsource", "fromsource-1.tar.gz", sdist(here.upstream.port))
    offer(here, "home", "home-1-py3-none-any.whl", status(500))
    return here


def offer(world: World, project: str, filename: str, body: Any, digest: str = "") -> None:
    digest = digest or hashlib.sha256(body if isinstance(body, bytes) else b"").hexdigest()
    world.upstream.set(f"/files/{filename}", body)
    link = f'<a href="../../files/{filename}#sha256={digest}">{filename}</a>'
    world.upstream.set(f"/simple/{project}/", file(link.encode(), {"Content-Type": "text/html"}))


def python_entry(world: World, *more: str) -> None:
    catalogue_of(
        world, "  app:", "    kind: python", "    groups: [py]", "    requirements: [app==1]",
        "    targets: [here]", "    into: mirror_python", "    provided: [home==1]", *more,
    )  # fmt: skip


def test_wheels_are_locked_sources_built_without_network_and_what_is_provided_left_out(index: World) -> None:
    python_entry(index, "    build: [fromsource==1]")
    first = lock(index)
    assert [item.name for item in first.files] == ["app-1-py3-none-any.whl", "fromsource-1-py3-none-any.whl"]
    assert [item.path for item in first.inputs] == ["python/fromsource-1.tar.gz"]
    assert index.upstream.count("/files/home-1-py3-none-any.whl") == 0
    assert first.files[0].licence == "MIT"
    before = index.lock.read_bytes()
    assert lock(index).files == first.files
    assert index.lock.read_bytes() == before
    # Another machine: nothing in the cache, so the wheel is built again from the locked source.
    (index.folder / "cache").rename(index.folder / "old-cache")
    report = build(BuildRequest(index.catalogue, index.lock, index.root))
    page_text = (report.release / "mirror_python/simple/fromsource/index.html").read_text()
    assert first.files[1].sha256 in page_text


def test_a_package_without_wheels_is_named_with_the_cure(index: World) -> None:
    python_entry(index)
    with pytest.raises(WorldError) as caught:
        lock(index)
    assert "fromsource" in caught.value.message
    assert "build:" in caught.value.cure


def test_a_wheel_that_is_not_what_the_index_says_is_refused(index: World) -> None:
    python_entry(index, "    build: [fromsource==1]")
    offer(index, "app", "app-1-py3-none-any.whl", wheel("app", ["fromsource"]), "0" * 64)
    with pytest.raises(WorldError) as caught:
        lock(index)
    assert "app" in caught.value.message


def test_a_source_that_changed_since_locking_is_refused(index: World) -> None:
    python_entry(index, "    build: [fromsource==1]")
    lock(index)
    (index.folder / "cache").rename(index.folder / "old-cache")
    index.upstream.set("/files/fromsource-1.tar.gz", flipped(sdist(index.upstream.port)))
    with pytest.raises(WorldError) as caught:
        build(BuildRequest(index.catalogue, index.lock, index.root))
    assert "fromsource-1.tar.gz" in caught.value.message
    assert not (index.root / "current").exists()


def test_a_built_wheel_that_is_not_the_locked_one_is_refused(index: World) -> None:
    python_entry(index, "    build: [fromsource==1]")
    lock(index)
    (index.folder / "cache").rename(index.folder / "old-cache")
    data = json.loads(index.lock.read_text())
    data["files"][1]["sha256"] = "0" * 64
    index.lock.write_text(json.dumps(data))
    with pytest.raises(WorldError) as caught:
        build(BuildRequest(index.catalogue, index.lock, index.root))
    assert "fromsource-1-py3-none-any.whl" in caught.value.message


def test_a_source_package_that_nothing_needs_is_a_usage_error(index: World) -> None:
    python_entry(index, "    build: [fromsource==1]")
    offer(index, "app", "app-1-py3-none-any.whl", wheel("app", ["home==1"]))
    with pytest.raises(UsageError) as caught:
        lock(index)
    assert "fromsource" in caught.value.message


def for_python(world: World, version: str) -> None:
    text = world.catalogue.read_text().replace('python: "3.11"', f'python: "{version}"')
    Path(world.catalogue).write_text(text)


@pytest.mark.parametrize(("python", "leaf"), [("3.9", "older"), ("3.12", "newer"), ("3.11", "newer")])
def test_markers_are_evaluated_for_the_targets_python(index: World, python: str, leaf: str) -> None:
    python_entry(index, "    build: [fromsource==1]")
    for_python(index, python)
    needs = ["fromsource", 'older; python_version < "3.10"', 'newer; python_version >= "3.10"', "home==1"]
    offer(index, "app", "app-1-py3-none-any.whl", wheel("app", needs))
    for name in ("older", "newer"):
        offer(index, name, f"{name}-1-py3-none-any.whl", wheel(name, []))
    locked = lock(index)
    names = {item.name.split("-")[0] for item in locked.files}
    assert names == {"app", "fromsource", leaf}
    assert locked.file(f"mirror_python/packages/{leaf}-1-py3-none-any.whl").via == {"app": ("app",)}
    assert index.upstream.count("/files/home-1-py3-none-any.whl") == 0


def test_for_another_python_a_package_without_wheels_is_named_with_the_cure(index: World) -> None:
    python_entry(index)
    for_python(index, "3.9")
    with pytest.raises(WorldError) as caught:
        lock(index)
    assert "fromsource" in caught.value.message
    assert "build:" in caught.value.cure


def test_what_is_published_for_no_target_stands_in_one_table(index: World) -> None:
    python_entry(index)
    text = index.catalogue.read_text()
    other = '  other: {python: "3.9", machine: aarch64, glibc: "2.28"}\nentries:'
    index.catalogue.write_text(text.replace("entries:", other).replace("[here]", "[here, other]"))
    offer(index, "app", "app-1-cp310-cp310-manylinux2014_x86_64.whl", wheel("app", []))
    with pytest.raises(NotPublishedError) as caught:
        lock(index)
    assert [item.what for item in caught.value.missing] == [
        "app: a wheel for here",
        "app: a wheel for other",
    ]


def test_check_and_upstream_answer_by_exit_code_and_write_nothing(here: World) -> None:
    file_entry(here)
    here.upstream.set("/x.tgz", BODY)
    here.upstream.set("/x.tgz.sha1", SHA1.encode())
    lock(here)
    before, asked = here.lock.read_bytes(), len(here.upstream.asked)
    assert here.command("lock", "--check").returncode == 0
    assert len(here.upstream.asked) == asked
    assert here.command("lock", "--upstream").returncode == 0
    other = tgz(b"other bytes")
    here.upstream.set("/x.tgz", other)
    here.upstream.set("/x.tgz.sha1", hashlib.sha1(other).hexdigest().encode())
    changed = here.command("lock", "--upstream", "--json")
    assert changed.returncode == 1
    assert json.loads(changed.stdout)["differences"][0]["path"] == "mirror_misc/x.tgz"
    assert "mirror_misc/x.tgz" in changed.stderr
    assert here.command("lock", "--check").returncode == 0
    here.catalogue.write_text(here.catalogue.read_text().replace("all-of-it", "part-of-it"))
    stale = here.command("lock", "--check")
    assert (stale.returncode, "it: has changed" in stale.stderr) == (1, True)
    assert here.command("lock", "--check", "--upstream").returncode == 2
    assert here.lock.read_bytes() == before

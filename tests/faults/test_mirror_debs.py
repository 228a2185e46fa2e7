from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mirror import lockfile
from tests.faults.debian_world import CATALOGUE, DebianWorld, apt_client
from tests.faults.upstream import Upstream, flipped, slowly, status
from tests.unit.mirror.pgp_world import Signer

WORLD, USAGE, UPSTREAM = 1, 2, 4


@pytest.fixture(scope="module")
def archive() -> Iterator[Any]:
    with Signer("archive") as signer:
        yield signer


@pytest.fixture
def debs(tmp_path: Path, upstream: Upstream, archive: Any) -> Any:
    """A world with ``app``, which needs ``lib`` and ``libbase``; the machines have ``libbase``."""
    world = DebianWorld(tmp_path, upstream, {}, archive)
    world.add("libbase")
    world.add("lib", depends="libbase (>= 1.0)")
    world.add("app", depends="lib (>= 0.9), libbase")
    world.add("unrelated")
    world.set_up()
    world.publish()
    return world


def refused(world: DebianWorld, code: int, *words: str) -> str:
    """Build, which must fail with ``code`` and publish nothing; return what was said."""
    before = world.current()
    done = world.command("build")
    assert done.returncode == code, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert world.current() == before
    return str(done.stderr)


def test_packages_come_with_what_they_need_and_nothing_of_the_base(debs: DebianWorld) -> None:
    assert debs.command("lock", "--check").returncode == 0
    planned = json.loads(debs.command("build", "--dry-run", "--json").stdout)
    assert planned["pending"] == ["tools"]
    assert debs.upstream.count() == 0
    done = debs.command("build")
    assert done.returncode == 0, done.stderr
    assert debs.released() == {"app_1.0_all.deb", "lib_1.0_all.deb"}
    why = json.loads(debs.command("why", "lib", "--json").stdout)
    assert [(row["entry"], row["via"]) for row in why] == [("tools", ["app"])]
    (shown,) = json.loads(debs.command("evidence", "lib", "--json").stdout)
    assert shown["signers"] == [debs.signer.fingerprint]
    assert (shown["index"]["suite"], shown["agreed"], shown["licence"]) == (
        "stable",
        ["sha256"],
        "Apache-2.0",
    )
    assert len(json.loads(debs.command("list", "--json").stdout)) == 2
    audited = json.loads(debs.command("audit", "--json").stdout)
    assert audited["clean"]


def test_a_second_build_asks_nobody_and_a_newer_suite_changes_nothing(debs: DebianWorld) -> None:
    first = json.loads(debs.command("build", "--json").stdout)
    assert debs.command("outdated", "--catalogue", str(debs.catalogue)).returncode == 0
    debs.add("lib", "2.0", depends="libbase")
    debs.add("app", "1.1", depends="lib (>= 2.0)")
    debs.publish()
    before = debs.upstream.count()
    second = json.loads(debs.command("build", "--json").stdout)
    assert (second["published"], second["requests"]) == (False, 0)
    assert debs.upstream.count() == before
    aged = debs.command("outdated", "--catalogue", str(debs.catalogue))
    assert aged.returncode == WORLD
    assert "app 1.0, published: 1.1" in aged.stderr
    third = json.loads(debs.command("build", "--refresh-debs", "--json").stdout)
    assert third["published"]
    assert third["root_digest"] != first["root_digest"] == second["root_digest"]
    assert debs.released() == {"app_1.1_all.deb", "lib_2.0_all.deb"}


def test_the_resolution_of_the_release_is_enough_to_build_it_elsewhere(debs: DebianWorld) -> None:
    first = json.loads(debs.command("build", "--json").stdout)
    assert not (debs.root / "debian.lock").exists()  # the release has it
    resolved = (debs.current() / "mirror_deb" / "debian.lock").read_bytes()
    shutil.rmtree(debs.root)
    debs.root.mkdir()
    (debs.root / "debian.lock").write_bytes(resolved)
    debs.add("app", "9.0")
    debs.publish()
    elsewhere = json.loads(debs.command("build", "--json").stdout)
    assert elsewhere["root_digest"] == first["root_digest"]
    assert not (debs.root / "debian.lock").exists()


def test_after_a_rollback_builds_keep_to_the_older_packages(debs: DebianWorld) -> None:
    first = json.loads(debs.command("build", "--json").stdout)
    debs.add("app", "2.0", depends="lib")
    debs.publish()
    assert debs.command("build", "--refresh-debs").returncode == 0
    assert "app_2.0_all.deb" in debs.released()
    assert debs.command("rollback", "--to", "1").returncode == 0
    again = json.loads(debs.command("build", "--json").stdout)
    assert (again["published"], again["root_digest"]) == (False, first["root_digest"])
    assert debs.released() == {"app_1.0_all.deb", "lib_1.0_all.deb"}


def test_a_damaged_record_does_not_make_packages_newer(debs: DebianWorld) -> None:
    first = json.loads(debs.command("build", "--json").stdout)
    debs.add("app", "2.0", depends="lib")
    debs.publish()
    record = debs.current() / "release.json"
    record.chmod(0o644)
    record.write_text("{")
    done = debs.command("build", "--verify", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["root_digest"] == first["root_digest"]


def test_an_unsigned_suite_is_refused_even_where_the_machine_trusts_it(debs: DebianWorld) -> None:
    debs.upstream.set("/debian/dists/stable/InRelease", status(404))
    refused(debs, WORLD, "not signed")
    debs.set_up(options="trusted=yes allow-insecure=yes")
    refused(debs, WORLD, "not signed")
    assert not (debs.root / "debian.lock").exists()


def test_a_suite_signed_by_somebody_else_is_refused(debs: DebianWorld) -> None:
    with Signer("stranger") as stranger:
        debs.publish(signed=stranger)
    refused(debs, WORLD, "NO_PUBKEY")


def test_a_suite_that_has_expired_is_refused(debs: DebianWorld) -> None:
    debs.publish(valid=timedelta(days=-1))
    refused(debs, WORLD, "expired")
    debs.publish(valid=timedelta(days=1))
    assert debs.command("build").returncode == 0


def test_an_index_that_was_changed_after_signing_is_refused(debs: DebianWorld) -> None:
    debs.upstream.set("/debian/dists/stable/main/binary-amd64/Packages", b"Package: app\nVersion: 6\n\n")
    refused(debs, WORLD)


def test_a_suite_of_another_origin_is_refused(debs: DebianWorld) -> None:
    debs.write_catalogue(CATALOGUE.replace("origin: Test", "origin: Debian"))
    refused(debs, WORLD, "Test", "not of Debian")


def test_a_suite_that_apt_does_not_know_is_a_matter_of_configuration(debs: DebianWorld) -> None:
    debs.write_catalogue(CATALOGUE.replace("suite: stable", "suite: newer"))
    refused(debs, USAGE, "newer", "apt's sources")


def test_a_suite_whose_server_is_down_is_upstreams_matter(debs: DebianWorld) -> None:
    for name in ("InRelease", "Release"):
        debs.upstream.set(f"/debian/dists/stable/{name}", status(503))
    refused(debs, UPSTREAM, "stable")


def test_a_package_that_nobody_has_is_named(debs: DebianWorld) -> None:
    debs.write_catalogue(CATALOGUE.replace("[app]", "[app, nonesuch, lib=7.0]"))
    said = refused(debs, WORLD, "nonesuch")
    assert "lib=7.0" in said


def test_a_dependency_that_nothing_satisfies_is_named(debs: DebianWorld) -> None:
    debs.add("other", depends="lib (>= 5.0)")
    debs.publish()
    debs.write_catalogue(CATALOGUE.replace("[app]", "[other]"))
    refused(debs, WORLD, "tools", "other", "lib (>= 5.0)")


def test_wrong_bytes_in_the_pool_are_refused(debs: DebianWorld) -> None:
    path = next(path for path in debs.packages if "app" in path)
    debs.upstream.set(f"/debian/{path}", flipped(debs.packages[path][1]))
    refused(debs, WORLD, "app_1.0_all.deb", "wrong bytes")
    assert not (debs.root / "debian.lock").exists()


def test_a_pinned_package_that_the_pool_dropped_names_the_cure(debs: DebianWorld) -> None:
    assert debs.command("build").returncode == 0
    path = next(path for path in debs.packages if "lib_" in path)
    blob = next(debs.current().rglob("lib_1.0_all.deb"))
    for folder in ("cache", "root/store/sha256"):
        for copy in (debs.folder / folder).rglob("*"):
            if copy.is_file() and copy.read_bytes() == blob.read_bytes():
                copy.unlink()
    blob.unlink()
    debs.upstream.set(f"/debian/{path}", status(404))
    done = debs.command("build", "--verify")
    assert done.returncode == UPSTREAM, done.stderr
    assert "--refresh-debs" in done.stderr
    debs.packages.pop(path)
    debs.add("lib", "1.1", depends="libbase")
    debs.publish()
    done = debs.command("build", "--refresh-debs")
    assert done.returncode == 0, done.stderr
    assert debs.released() == {"app_1.0_all.deb", "lib_1.1_all.deb"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Filename: pool/main/app/", "Filename: ../../etc/", "Filename"),
        ("SHA256: ", "SHA1: ", "app"),
    ],
)
def test_a_hostile_paragraph_in_a_signed_index_is_refused_by_name(
    debs: DebianWorld, old: str, new: str, said: str
) -> None:
    def edit(text: str) -> str:
        parts = text.split("\n\n")
        return "\n\n".join(part.replace(old, new) if "Package: app" in part else part for part in parts)

    debs.publish(edit=edit)
    refused(debs, WORLD, "app", said)


def test_killed_while_resolving_it_starts_over_and_an_old_resolution_stays(debs: DebianWorld) -> None:
    arrived = threading.Event()

    def kill_here(path: str) -> None:
        body = debs.packages[path][1]
        arrived.clear()
        debs.upstream.set(f"/debian/{path}", slowly(body, 30, before=lambda _: arrived.set()), body)
        words = [*map(str, debs.words("build", "--refresh-debs"))]
        process = subprocess.Popen(
            words, env=debs.environment, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            assert arrived.wait(60)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)

    kill_here(next(path for path in debs.packages if "app" in path))
    assert not (debs.root / "debian.lock").exists()
    assert debs.command("build").returncode == 0
    old = json.loads(debs.command("list", "--json").stdout)
    newer = debs.add("app", "2.0", depends="lib")
    debs.publish()
    kill_here(newer)
    assert json.loads(debs.command("list", "--json").stdout) == old
    assert debs.command("build").returncode == 0
    assert debs.released() == {"app_1.0_all.deb", "lib_1.0_all.deb"}
    assert debs.command("build", "--refresh-debs").returncode == 0
    assert "app_2.0_all.deb" in debs.released()


def test_a_damaged_resolution_is_named_and_the_release_has_one(debs: DebianWorld) -> None:
    assert debs.command("build").returncode == 0
    kept = debs.root / "debian.lock"
    kept.write_bytes((debs.current() / "mirror_deb" / "debian.lock").read_bytes()[:200])
    for task in ("build", "list"):
        done = debs.command(task)
        assert done.returncode == USAGE
        assert f"remove {kept}" in done.stderr
    kept.unlink()
    assert debs.command("build").returncode == 0


def test_a_damaged_copy_in_the_release_is_repaired(debs: DebianWorld) -> None:
    first = json.loads(debs.command("build", "--json").stdout)
    for name in ("debian.lock", "pool/stable/lib_1.0_all.deb", "dists/stable/main/binary-amd64/Packages"):
        path = debs.current() / "mirror_deb" / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-9] + b"unwanted\n")
    assert debs.command("audit").returncode != 0
    done = debs.command("repair", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads((debs.current() / "release.json").read_text())
    assert record["root_digest"] == first["root_digest"]
    assert json.loads(debs.command("audit", "--json").stdout)["clean"]


def test_entries_of_one_suite_are_resolved_together(debs: DebianWorld) -> None:
    assert debs.command("build").returncode == 0
    debs.add("app", "1.2", depends="lib")
    debs.publish()
    second = CATALOGUE.partition("entries:\n")[2].replace("tools:", "more:").replace("[app]", "[unrelated]")
    debs.write_catalogue(CATALOGUE + second)
    done = debs.command("build")
    assert done.returncode == 0, done.stderr
    assert debs.released() == {"app_1.2_all.deb", "lib_1.0_all.deb", "unrelated_1.0_all.deb"}
    rows = lockfile.load(debs.current() / "mirror_deb" / "debian.lock")
    assert rows.entries() == ("more", "tools")
    done = debs.command("build", "--only", "more", "--allow-shrink")
    assert done.returncode == 0, done.stderr
    assert debs.released() == {"unrelated_1.0_all.deb"}
    inside = lockfile.load(debs.current() / "mirror_deb" / "debian.lock")
    assert inside.entries() == ("more",)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_real_apt_installs_from_the_signed_release_alone(debs: DebianWorld, tmp_path: Path) -> None:
    debs.write_catalogue(CATALOGUE.replace("base: [libbase]", "base: none"))
    with Signer("site") as site:
        key = tmp_path / "site.key"
        key.touch(0o600)
        key.write_text(site.secret())
        assert debs.command("build", "--sign-key", str(key)).returncode == 0
        public = site.public().encode()
    with served(debs.current()) as base:
        for number, uri in enumerate((f"file:{debs.current()}/mirror_deb", f"{base}/mirror_deb")):
            apt = apt_client(tmp_path / f"client-{number}", uri, public)
            done = apt("update")
            assert done.returncode == 0, done.stderr
            assert "W:" not in done.stderr
            done = apt("install", "-y", "--download-only", "app")
            assert done.returncode == 0, done.stderr
            simulated = apt("install", "-y", "--simulate", "app")
            lines = [line.split() for line in simulated.stdout.splitlines()]
            assert [line[1] for line in lines if line[:1] == ["Inst"]] == ["libbase", "lib", "app"]
        got = {path.name for path in (tmp_path / "client-1" / "cache" / "archives").glob("*.deb")}
        assert got == {"app_1.0_all.deb", "lib_1.0_all.deb", "libbase_1.0_all.deb"}
    with Signer("stranger") as stranger:
        apt = apt_client(
            tmp_path / "client-2", f"file:{debs.current()}/mirror_deb", stranger.public().encode()
        )
        assert apt("update").returncode != 0


def test_the_audit_judges_what_apt_will_and_one_key_of_two_is_enough_for_apt(
    debs: DebianWorld, tmp_path: Path
) -> None:
    with Signer("old") as old, Signer("new") as new:
        for person in (old, new):
            (tmp_path / f"{person.name}.key").touch(0o600)
            (tmp_path / f"{person.name}.key").write_text(person.secret())
            (tmp_path / f"{person.name}.asc").write_text(person.public())
        both = f"{tmp_path / 'old.key'},{tmp_path / 'new.key'}"
        assert debs.command("build", "--sign-key", both).returncode == 0
        for person in (old, new):
            uri = f"file:{debs.current()}/mirror_deb"
            apt = apt_client(tmp_path / f"client-{person.name}", uri, person.public().encode())
            done = apt("update")
            assert done.returncode == 0, done.stderr
            done = debs.command("audit", "--trust", str(tmp_path / f"{person.name}.asc"))
            assert done.returncode == 0, done.stderr
        (suite,) = (debs.current() / "mirror_deb" / "dists").iterdir()
        release = (suite / "Release").read_bytes()
        other = new.gpg("--clearsign", "--output", "-", data=release.replace(b"main", b"evil", 1))
        cases = (
            ("InRelease", other, "not the Release beside it"),
            ("InRelease", release, "no clear-signed text"),
            ("Release.gpg", new.sign(b"other").encode(), "not of these bytes"),
        )
        for name, data, words in cases:
            kept = (suite / name).read_bytes()
            (suite / name).write_bytes(data)
            done = debs.command("audit", "--trust", str(tmp_path / "new.asc"))
            assert done.returncode == 1
            assert words in done.stderr
            (suite / name).write_bytes(kept)

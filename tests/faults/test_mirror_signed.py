from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror import record as records
from tests.faults.mirror_world import World
from tests.unit.mirror.pgp_world import Signer

BODIES = {f"file{number}.tgz": os.urandom(3000) for number in range(3)}


@pytest.fixture(scope="module")
def people() -> Iterator[Any]:
    with Signer("ann") as ann, Signer("bob") as bob:
        yield {"ann": ann, "bob": bob}


@pytest.fixture
def ready(world: World, people: Any) -> World:
    for name, person in people.items():
        secret = world.folder / f"{name}.key"
        secret.write_text(person.secret())
        secret.chmod(0o600)
        (world.folder / f"{name}.asc").write_text(person.public())
    world.write(dict(BODIES))
    return world


def build(world: World, *words: Any, code: int = 0) -> Any:
    done = world.command("build", "--json", *words)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def audit(world: World, trusted: str, *words: Any, code: int = 0) -> str:
    done = world.command("audit", "--trust", world.folder / f"{trusted}.asc", *words)
    assert done.returncode == code, done.stderr
    return str(done.stderr if code else done.stdout)


def key(world: World, *names: str) -> list[str]:
    return ["--sign-key", ",".join(str(world.folder / f"{name}.key") for name in names)]


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_signed_release_names_its_signer_and_whom_it_is_not_signed_by(ready: World, people: Any) -> None:
    report = build(ready, *key(ready, "ann"))
    assert report["signers"] == [people["ann"].fingerprint]
    assert people["ann"].fingerprint in audit(ready, "ann")
    assert people["ann"].fingerprint in audit(ready, "bob", code=1)
    found = records.load(ready.current() / "release.json")
    assert found.signers == (people["ann"].fingerprint,)
    assert found.bytes == sum(
        path.stat().st_size
        for path in ready.current().rglob("*")
        if path.is_file()
        and path.name not in ("release.json", "release.json.asc", "SHA512SUMS.asc", "site.asc")
    )
    assert (ready.current() / "mirror_keys" / "site.asc").read_text().startswith("-----BEGIN PGP PUBLIC KEY")
    assert build(ready, *key(ready, "ann"))["published"] is False


def test_the_signer_stands_outside_the_root_digest(ready: World) -> None:
    plain = build(ready)
    signed = build(ready, *key(ready, "ann"))
    assert (signed["published"], signed["serial"]) == (True, plain["serial"] + 1)
    assert signed["root_digest"] == plain["root_digest"]
    assert signed["requests"] == 0
    assert records.load(ready.current() / "release.json").same_tree_as == plain["serial"]
    assert ready.command("audit").returncode == 0


def test_an_unsigned_release_does_not_follow_a_signed_one_unasked(ready: World) -> None:
    build(ready, *key(ready, "ann"))
    before = ready.current()
    assert build(ready)["published"] is False, "nothing changed, so nothing is to be signed"
    ready.write({**BODIES, "new.tgz": b"new"})
    asked = len(ready.upstream.asked)
    text = build(ready, code=2)
    assert "--sign-key" in text
    assert "--unsigned" in text
    assert ready.current() == before
    assert len(ready.upstream.asked) == asked, "said before anything is fetched"
    assert "contradict" in build(ready, "--unsigned", *key(ready, "ann"), code=2)
    assert build(ready, "--unsigned")["signers"] == []
    assert "not signed" in audit(ready, "ann", code=1)


def test_unsigned_is_also_done_where_only_the_signature_changes(ready: World) -> None:
    build(ready, *key(ready, "ann"))
    assert build(ready, "--unsigned")["published"] is True
    assert build(ready, "--unsigned")["published"] is False
    assert not (ready.current() / "release.json.asc").exists()


def test_a_new_key_takes_over_from_an_old_one(ready: World, people: Any) -> None:
    build(ready, *key(ready, "ann"))
    both = build(ready, *key(ready, "bob", "ann"))
    assert both["signers"] == sorted(person.fingerprint for person in people.values())
    audit(ready, "ann")
    audit(ready, "bob")
    assert build(ready, *key(ready, "ann", "bob"))["published"] is False
    new = build(ready, *key(ready, "bob"))
    assert new["root_digest"] == both["root_digest"]
    audit(ready, "bob")
    audit(ready, "ann", code=1)


@pytest.mark.parametrize("name", ["release.json", "SHA512SUMS", "release.json.asc", "SHA512SUMS.asc"])
def test_each_changed_part_is_refused_by_name(ready: World, name: str) -> None:
    build(ready, *key(ready, "ann"))
    path = ready.current() / name
    original = path.read_bytes()
    middle = len(original) // 2
    for data in (original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :], b""):
        rewrite(path, data)
        text = audit(ready, "ann", code=1)
        assert name.removesuffix(".asc") in text
    path.unlink()
    assert name.removesuffix(".asc") in audit(ready, "ann", code=1)


def test_content_that_is_not_what_the_signed_record_names_is_refused(ready: World) -> None:
    """The signatures are good, and of another release's content."""
    build(ready, *key(ready, "ann"))
    first = {name: (ready.current() / name).read_bytes() for name in ("release.json", "release.json.asc")}
    ready.write({**BODIES, "file0.tgz": b"other bytes"})
    build(ready, *key(ready, "ann"))
    for name, data in first.items():
        rewrite(ready.current() / name, data)
    assert "do not belong together" in audit(ready, "ann", code=1)


def test_an_older_release_is_not_passed_off_as_new(ready: World) -> None:
    first = build(ready, *key(ready, "ann"))
    old = ready.current()
    ready.write({**BODIES, "new.tgz": b"new"})
    second = build(ready, *key(ready, "ann"))
    audit(ready, "ann", "--at-least", second["serial"])
    link = ready.root / "current"
    link.unlink()
    link.symlink_to(old.relative_to(ready.root))
    text = audit(ready, "ann", "--at-least", second["serial"], code=1)
    assert f"its serial is {first['serial']}" in text
    audit(ready, "ann", "--at-least", first["serial"])


def test_a_serial_that_was_seen_is_never_given_again(ready: World) -> None:
    build(ready)
    ready.write({**BODIES, "new.tgz": b"new"})
    assert build(ready)["serial"] == 2
    link = ready.root / "current"
    link.unlink()
    link.symlink_to("releases/1")
    ready.write({**BODIES, "newer.tgz": b"newer"})
    assert build(ready)["serial"] == 3
    assert (ready.root / "releases" / "2" / "release.json").exists(), "it was published once, so it stays"


def test_a_damaged_signed_release_is_repaired_with_the_key_only(ready: World) -> None:
    build(ready, *key(ready, "ann"))
    (ready.current() / "mirror_misc" / "file0.tgz").unlink()
    refused = ready.command("repair")
    assert refused.returncode == 2
    assert "--sign-key" in refused.stderr
    done = ready.command("repair", *key(ready, "ann"))
    assert done.returncode == 0, done.stderr
    audit(ready, "ann")


def test_a_lost_signature_is_found_and_made_again(ready: World) -> None:
    build(ready, *key(ready, "ann"))
    (ready.current() / "SHA512SUMS.asc").unlink()
    done = ready.command("audit")
    assert done.returncode == 1
    assert "missing: SHA512SUMS.asc" in done.stderr
    assert build(ready, *key(ready, "ann"))["published"] is True
    audit(ready, "ann")


def test_signatures_in_an_unsigned_release_are_extra(ready: World) -> None:
    build(ready)
    (ready.current() / "release.json.asc").write_text("x")
    done = ready.command("audit")
    assert done.returncode == 1
    assert "extra: release.json.asc" in done.stderr


def test_a_key_that_is_none_is_a_wrong_call_and_nothing_happens(ready: World) -> None:
    text = build(ready, "--sign-key", ready.folder / "ann.asc", code=2)
    assert "public key only" in text
    assert "cure:" in text
    assert ready.current() is None
    build(ready)
    done = ready.command("audit", "--trust", ready.folder / "ann.key")
    assert done.returncode == 2
    assert "private" in done.stderr


def test_dry_run_tells_that_a_signature_would_be_published(ready: World) -> None:
    build(ready)
    assert build(ready, "--dry-run")["publishes"] is False
    assert build(ready, "--dry-run", *key(ready, "ann"))["publishes"] is True
    assert not (ready.current() / "release.json.asc").exists()

from __future__ import annotations

import copy
import gzip
import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from debian.deb822 import Packages, Release
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from mirror import catalogue, kept_debs, lockfile
from mirror.deb_repository import repository
from mirror.lockfile import Lock, LockedEntry, LockedFile

RELEASE, INDEX = "mirror_deb/dists/stable/Release", "mirror_deb/dists/stable/main/binary-{}/Packages"


def row(
    name: str, entries: tuple[str, ...] = ("one",), architecture: str = "amd64", **control: Any
) -> LockedFile:
    body = name.encode()
    source = {
        "kind": "deb", "package": name, "version": "1.0", "architecture": architecture, "suite": "stable",
        "components": ["main"], "filename": f"pool/main/{name}.deb",
        "control": {"Version": "1.0", "Architecture": architecture, "Description": name, **control},
    }  # fmt: skip
    digests = hashlib.sha256(body).hexdigest(), hashlib.sha512(body).hexdigest()
    via = {"one": ("app",)} if "one" in entries else {}
    path = f"mirror_deb/pool/stable/{name}_1.0_{architecture}.deb"
    return LockedFile(path, len(body), *digests, entries, source, "", {}, (), via)


def suite(name: str, date: str, entries: tuple[str, ...] = ("one",)) -> LockedFile:
    source = {
        "kind": "suite", "suite": name, "into": "stable", "date": date, "architectures": ["amd64", "arm64"],
    }  # fmt: skip
    return replace(row(name, entries), path=f"mirror_deb/stable/{name}/InRelease", source=source)


SUITES = [
    suite("stable", "2026-07-11T10:16:37+00:00"),
    suite("stable-security", "2026-11-21T02:10:46+02:00"),
]


def test_the_indexes_follow_from_the_rows_in_any_order() -> None:
    rows = [
        row("zsh", Depends="libc6 (>= 2)"),
        row("app"),
        row("data", architecture="all"),
        row("x", architecture="arm64"),
    ]
    made = repository(rows, SUITES)
    random.Random(3).shuffle(rows)
    assert repository(rows, SUITES[::-1]) == made
    release = Release(made[RELEASE])
    assert release["Date"] == "Sat, 21 Nov 2026 00:10:46 UTC"
    assert "Valid-Until" not in release
    assert release["Architectures"] == "amd64 arm64"
    for kind in ("sha256", "sha512"):
        for line in release[kind]:
            data = made[f"mirror_deb/dists/stable/{line['name']}"]
            assert hashlib.new(kind, data).hexdigest() == line[kind]
            assert int(line["size"]) == len(data)
    index = made[INDEX.format("amd64")]
    assert gzip.decompress(made[INDEX.format("amd64") + ".gz"]) == index
    found = list(Packages.iter_paragraphs(index.decode(), use_apt_pkg=False))
    assert [item["Package"] for item in found] == ["app", "data", "zsh"]
    assert found[2]["Depends"] == "libc6 (>= 2)"
    assert found[2]["Filename"] == "pool/stable/zsh_1.0_amd64.deb"
    arm = Packages.iter_paragraphs(made[INDEX.format("arm64")].decode(), use_apt_pkg=False)
    assert [item["Package"] for item in arm] == ["data", "x"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda source: source["control"].update(Depends="a\n\nPackage: evil"),
        lambda source: source["control"].update(Version=7),
        lambda source: source.update(control=[]),
        lambda source: source.pop("control"),
        lambda source: source.update(package="a\nb"),
    ],
)
def test_a_row_that_would_write_other_paragraphs_is_refused(damage: Any) -> None:
    item = row("app")
    source = copy.deepcopy(dict(item.source))
    damage(source)
    with pytest.raises(UsageError, match="damaged") as caught:
        repository([replace(item, source=source)], SUITES)
    assert "--refresh-debs" in caught.value.cure


@pytest.mark.parametrize("date", [None, "yesterday", 7, "2026-11-21"])
def test_a_suite_without_a_moment_is_refused(date: Any) -> None:
    damaged = replace(SUITES[0], source={**SUITES[0].source, "date": date})
    with pytest.raises(UsageError, match="damaged"):
        repository([row("app")], [damaged, SUITES[1]])
    with pytest.raises(UsageError, match="damaged"):
        repository([row("app")], [])


@given(st.dictionaries(st.sampled_from(["Depends", "Section", "Unknown"]), st.text(max_size=20)))
def test_whatever_a_row_says_the_index_has_one_paragraph_for_it(control: dict[str, str]) -> None:
    try:
        item = row("app")
        source = {**item.source, "control": {**item.source["control"], **control}}
        made = repository([replace(item, source=source)], SUITES)
    except UsageError:
        return
    assert made[INDEX.format("amd64")].decode().count("Package: ") == 1 + sum(
        value.count("Package: ") for value in control.values()
    )
    assert "\n\n" not in made[INDEX.format("amd64")].decode()


def lock(path: Path, **digests: str) -> Lock:
    table = {name: LockedEntry(("g", name + "-group"), digest * 64) for name, digest in digests.items()}
    return lockfile.loads(lockfile.dumps(table, [], []).encode(), path)


def kept(tmp_path: Path) -> Lock:
    table = {"one": LockedEntry(("old",), "1" * 64), "two": LockedEntry(("old",), "2" * 64)}
    rows = [row("app"), row("both", ("one", "two")), row("other", ("two",))]
    both = [suite("stable", "2026-07-11T10:16:37+00:00", ("one", "two"))]
    return lockfile.save(tmp_path / "debian.lock", table, rows, both)


def test_what_is_kept_counts_for_entries_of_the_same_text_only(tmp_path: Path) -> None:
    found = kept(tmp_path)
    now = lock(tmp_path / "x.lock", one="1", two="9", three="3")
    whole = kept_debs.merged(now, found)
    assert [item.name for item in whole.files] == ["app_1.0_amd64.deb", "both_1.0_amd64.deb"]
    assert all(item.entries == ("one",) and item.groups == ("g", "one-group") for item in whole.files)
    assert whole.digest == now.digest
    assert kept_debs.pending(now, found, ["one", "two", "three"]) == ("two", "three")
    assert kept_debs.pending(now, None, ["one"]) == ("one",)
    assert kept_debs.merged(now, None) is now


def test_a_release_of_some_entries_holds_what_a_build_of_only_these_would(tmp_path: Path) -> None:
    whole = kept_debs.merged(lock(tmp_path / "x.lock", one="1", two="2"), kept(tmp_path))
    some = kept_debs.files(whole, ["one"])
    inside = lockfile.loads(some[kept_debs.IN_RELEASE], tmp_path / "inside.lock")
    assert inside.entries() == ("one",)
    assert {name for item in (*inside.files, *inside.inputs) for name in item.entries} == {"one"}
    again = kept_debs.merged(lock(tmp_path / "x.lock", one="1"), inside)
    assert kept_debs.files(again, ["one"]) == some
    assert kept_debs.files(whole, []) == {}


def test_what_is_not_published_yet_comes_first_until_it_is(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "1"
    (release / "mirror_deb").mkdir(parents=True)
    assert kept_debs.load(tmp_path) is None
    (tmp_path / "current").symlink_to("releases/1")
    published = kept(release / "mirror_deb")
    found = kept_debs.load(tmp_path)
    assert found
    assert found.digest == published.digest
    newer = lockfile.save(tmp_path / "debian.lock", {}, [], [])
    assert kept_debs.load(tmp_path) == newer
    (tmp_path / "debian.lock").write_text("{")
    with pytest.raises(UsageError) as caught:
        kept_debs.load(tmp_path)
    assert f"remove {tmp_path / 'debian.lock'}" in caught.value.cure
    kept_debs.settle(tmp_path)
    kept_debs.settle(tmp_path)
    assert not (tmp_path / "debian.lock").exists()
    (release / "mirror_deb" / "debian.lock").write_text("{")
    with pytest.raises(UsageError) as caught:
        kept_debs.load(tmp_path)
    assert "mirror.repair" in caught.value.cure


ENTRIES = """\
format: 1
entries:
  one: {kind: deb, groups: [g], suite: stable, packages: [app]}
  two: {kind: deb, groups: [g], suite: stable, packages: ["app=1:2.0~x+b-1"], base: none, closure: false}
  three: {kind: deb, groups: [g], suite: other, updates: [other-security], packages: [app], base: [libc6]}
"""


def test_entries_have_their_defaults_and_agree_on_their_suite(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yml"
    path.write_text(ENTRIES)
    found = {entry.name: entry for entry in catalogue.load(path).entries}
    one, two, three = (found[name] for name in ("one", "two", "three"))
    assert isinstance(one, catalogue.DebEntry)
    assert isinstance(two, catalogue.DebEntry)
    assert isinstance(three, catalogue.DebEntry)
    assert (one.components, one.architectures, one.closure, one.minbase) == (
        ("main",),
        ("amd64",),
        True,
        True,
    )
    assert (two.minbase, two.base, two.closure) == (False, (), False)
    assert (three.minbase, three.base, three.suites) == (False, ("libc6",), ("other", "other-security"))
    path.write_text(ENTRIES.replace("suite: other", "suite: stable"))
    with pytest.raises(UsageError, match=r"catalogue\.yml:5.*updates is not what one says"):
        catalogue.load(path)
    for bad in ("[App]", "[app==1]", "[-o]", "[app, app]", "[]", '["app=x"]', '["a b"]'):
        path.write_text(ENTRIES.replace("[app]", bad, 1))
        with pytest.raises(UsageError):
            catalogue.load(path)

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from mirror import catalogue, lockfile
from mirror.catalogue import AssemblyEntry, Catalogue, FileEntry, MavenEntry, PythonEntry

ROOT = Path(__file__).resolve().parents[3]
GOOD = """\
format: 1
targets:
  here: {python: "3.11", machine: x86_64, glibc: "2.36"}
entries:
  a-file:
    kind: file
    groups: [misc]
    path: mirror_misc/x-{version}.tgz
    url: http://127.0.0.1:1/x-{version}.tgz
    versions: ["2", "1"]
  jars:
    kind: maven
    groups: [kafka]
    closure: true
    repository: mirror_maven
    artifacts:
      - {artifact: "g:a", versions: ["1"]}
  wheels:
    kind: python
    groups: [py]
    requirements: [x==1]
    targets: [here]
    into: mirror_python
    build: [y==1]
  flink:
    kind: assembly
    groups: [flinks]
    recipe: flink
    version: "1.20.5"
    scala: "2.12"
    target: here
    path: flink-1.20.5.tar.gz
    add:
      - {into: opt, versions: ["1"], artifacts: ["g:b"]}
"""


def load(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "catalogue.yml"
    path.write_text(text)
    return catalogue.load(path)


def test_every_kind_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD.replace("path: mirror_misc/x-{version}.tgz", "path: mirror_misc/x.tgz"))
    by_name = {entry.name: entry for entry in loaded.entries}
    assert isinstance(by_name["a-file"], FileEntry)
    assert isinstance(by_name["jars"], MavenEntry)
    assert isinstance(by_name["wheels"], PythonEntry)
    assert isinstance(by_name["flink"], AssemblyEntry)
    assert by_name["a-file"].versions == ("2", "1")
    assert by_name["wheels"].targets[0].python == "3.11"
    assert by_name["flink"].additions[0].artifact.label == "g:b"
    assert [entry.name for entry in loaded.select(["kafka", "flink"])] == ["flink", "jars"]


GOOD = GOOD.replace("path: mirror_misc/x-{version}.tgz", "path: mirror_misc/x.tgz")
BAD: dict[str, tuple[str, str, int | None, str]] = {
    "unknown key": ("    closure: true\n", "    closured: true\n", 14, "closure"),
    "wrong type": ("closure: true", "closure: maybe", 14, ""),
    "short signer": ("    closure: true", "    signers: [ABCD1234]", 14, "40 hex digits"),
    "required but of nobody": ("    closure: true", "    require: signature", 14, "signers"),
    "unknown policy": ("    closure: true", "    require: luck", 14, "signature"),
    "signers of wheels": ("    requirements: [x==1]", "    require: signature", 21, ""),
    "signed assembly": (
        "    scala:",
        f"    signers: [{'A' * 40}]\n    require: signature\n    scala:",
        31,
        "origin: apache",
    ),
    "unknown kind": ("kind: maven", "kind: mavn", 12, "maven"),
    "missing key": ("    recipe: flink\n", "", 25, "add"),
    "format newer": ("format: 1", "format: 2", 1, "newer"),
    "no format": ("format: 1\n", "", None, "format"),
    "duplicate entry": ("  wheels:\n", "  jars:\n", 18, "keep one"),
    "unknown target": ("target: here", "target: ther", 31, "here"),
    "unknown target of wheels": ("targets: [here]", "targets: [her]", 22, "here"),
    "path escapes": ("path: flink-1.20.5.tar.gz", "path: ../flink.tar.gz", 32, "plain path"),
    "path absolute": ("repository: mirror_maven", "repository: /srv", 15, "plain path"),
    "unquoted version": ('version: "1.20.5"', "version: 1.20", 29, "quoted"),
    "empty versions": ('versions: ["2", "1"]', "versions: []", 10, "wanted one first"),
    "versions without a place": ("x-{version}.tgz", "x.tgz", 5, "both or neither"),
    "url and apache": ('    versions: ["2"', '    apache: a/b\n    versions: ["2"', 5, "one of the two"),
    "file url": ("http://127.0.0.1:1/", "file:///", 9, "http"),
    "coordinate without colon": ('artifact: "g:a"', "artifact: ga", 17, "group:artifact"),
    "build not pinned": ("build: [y==1]", "build: [y]", 24, "project==version"),
    "group named like an entry": ("groups: [flinks]", "groups: [jars]", 27, "rename"),
    "nowhere to go": ("    repository: mirror_maven\n", "", 11, "repository"),
    "not yaml": ("entries:", "entries: [", None, ""),
    "tag": ("groups: [misc]", "groups: !!python/object:os.system [misc]", None, ""),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_catalogue_is_refused_with_file_line_and_cure(tmp_path: Path, case: str) -> None:
    old, new, line, cure = BAD[case]
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    error = caught.value
    assert error.exit_code == 2
    assert error.message.startswith(str(tmp_path / "catalogue.yml"))
    if line is not None:
        assert error.message.startswith(f"{tmp_path / 'catalogue.yml'}:{line}: "), error.message
    assert error.cure
    assert cure in error.message + error.cure


def test_a_missing_catalogue_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        catalogue.load(tmp_path / "none.yml")


def test_an_unknown_group_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD).select(["kafak"])
    assert "kafka" in caught.value.cure


def test_signers_may_be_named_per_maven_group(tmp_path: Path) -> None:
    key = "0123456789ABCDEF" * 2 + "01234567"
    named = GOOD.replace("closure: true", f"closure: true\n    signers: {{g.h: [{key}]}}")
    (signing,) = [entry.signing for entry in load(tmp_path, named).entries if entry.name == "jars"]
    assert signing.of({"kind": "maven", "coordinate": "g.h:a:jar:1"}) == (key,)
    assert signing.of({"kind": "maven", "coordinate": "g:a:jar:1"}) == ()
    assert signing.of({"kind": "url", "url": "x"}) == ()
    listed = GOOD.replace("closure: true", f"closure: true\n    signers: [{key}]")
    (signing,) = [entry.signing for entry in load(tmp_path, listed).entries if entry.name == "jars"]
    assert signing.of({"kind": "maven", "coordinate": "g:a:jar:1"}) == (key,)


@pytest.mark.parametrize(
    "signers", ["{g.h: []}", "{}", "[]", "{g.h: [0123]}", '{"g h": [0123456789ABCDEF]}', "{g.h: 3}", "x"]
)
def test_bad_signers_are_refused(tmp_path: Path, signers: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD.replace("closure: true", f"closure: true\n    signers: {signers}"))
    assert "catalogue.yml:1" in caught.value.message


def test_a_single_file_has_no_signers_by_group(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load(tmp_path, GOOD.replace("    path: m", "    signers: {g: [0123456789ABCDEF]}\n    path: m"))


def test_a_target_is_part_of_what_an_entry_means(tmp_path: Path) -> None:
    before = {entry.name: entry.digest for entry in load(tmp_path, GOOD).entries}
    after = {entry.name: entry.digest for entry in load(tmp_path, GOOD.replace('"2.36"', '"2.28"')).entries}
    assert {name for name in before if before[name] != after[name]} == {"wheels", "flink"}


PROJECT = """\
format: 1
entries:
  app:
    kind: maven
    groups: [application]
    project:
      folder: projects/app
      profiles: [other]
    repository: mirror_maven
"""


def project(tmp_path: Path) -> Path:
    folder = tmp_path / "projects" / "app"
    (folder / "src" / "main").mkdir(parents=True)
    (folder / "pom.xml").write_text("<project/>")
    (folder / "src" / "main" / "a.txt").write_text("a")
    return folder


def test_a_projects_sources_are_part_of_what_its_entry_means_and_its_output_is_not(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (entry,) = load(tmp_path, PROJECT).entries
    assert isinstance(entry, MavenEntry)
    assert entry.project is not None
    assert (entry.project.folder, entry.project.profiles) == (folder, ("other",))
    digests = {entry.digest}
    (folder / "target").mkdir()
    (folder / "target" / "app.jar").write_text("built")
    digests |= {entry.digest for entry in load(tmp_path, PROJECT).entries}
    assert len(digests) == 1
    (folder / "src" / "main" / "a.txt").write_text("b")
    digests |= {entry.digest for entry in load(tmp_path, PROJECT).entries}
    (folder / "pom.xml").write_text("<project></project>")
    digests |= {entry.digest for entry in load(tmp_path, PROJECT).entries}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "cure"),
    [
        ("projects/app", "projects/none", 7, "beside the catalogue"),
        ("projects/app", "projects/../../etc", 7, "projects/NAME"),
        ("projects/app", "/etc", 7, "projects/NAME"),
        ("    repository: mirror_maven\n", "", 6, "repository"),
        ("profiles: [other]", "goals: ['exec:exec -Dx=y']", 8, "prefix:goal"),
        ("    project:\n      folder: projects/app\n      profiles: [other]\n", "", 3, "artifacts"),
    ],
)
def test_a_bad_project_is_refused(tmp_path: Path, old: str, new: str, line: int, cure: str) -> None:
    project(tmp_path)
    assert old in PROJECT
    with pytest.raises(UsageError) as caught:
        load(tmp_path, PROJECT.replace(old, new))
    assert caught.value.message.startswith(f"{tmp_path / 'catalogue.yml'}:{line}: "), caught.value.message
    assert cure in caught.value.message + caught.value.cure


@pytest.mark.parametrize("folder", ["mirror", "lab"])
def test_the_committed_lock_follows_from_the_committed_catalogue(folder: Path) -> None:
    wanted = catalogue.load(ROOT / folder / "catalogue.yml")
    lock = lockfile.load(ROOT / folder / "catalogue.lock")
    assert {entry.name: (entry.digest, set(entry.groups)) for entry in wanted.entries} == {
        name: (entry.digest, set(entry.groups)) for name, entry in lock.entry_table.items()
    }
    assert (ROOT / folder / "catalogue.lock").read_text() == lockfile.dumps(
        lock.entry_table, lock.files, lock.inputs
    )


@pytest.mark.parametrize("line", ["1.20", "2.3"])
def test_the_lock_holds_what_provisioning_asks_for(line: str) -> None:
    lock = lockfile.load(ROOT / "mirror" / "catalogue.lock")
    version = {"1.20": "1.20.5", "2.3": "2.3.0"}[line]
    assert lock.file(f"flink-{version}.tar.gz").entry == f"flink-{version}"
    thin = {
        i.name.rsplit("-", 1)[0] for i in lock.files if i.path.startswith(f"mirror_apps/flink-{line}/lib/")
    }
    for name in (
        "kafka-clients",
        "flink-avro",
        "avro",
        "jackson-core",
        "jackson-databind",
        "commons-compress",
    ):
        assert name in thin
    wheels = [item for item in lock.of_entry(f"pyflink-{version}") if item.path.endswith(".whl")]
    assert any(item.name.startswith(f"apache_flink-{version}-cp311") for item in wheels)
    assert not any("apache_flink_libraries" in item.name for item in wheels)


@pytest.mark.parametrize(
    ("entry", "python"),
    [
        ("pyflink-1.20.5-cp39", "cp39"),
        ("pyflink-1.20.5-cp310", "cp310"),
        ("pyflink-2.3.0-cp39", "cp39"),
        ("pyflink-2.3.0-cp310", "cp310"),
        ("pyflink-2.3.0-cp312", "cp312"),
    ],
)
def test_other_pythons_have_their_own_wheels_in_groups_of_their_own(entry: str, python: str) -> None:
    lock = lockfile.load(ROOT / "mirror" / "catalogue.lock")
    names = [item.name for item in lock.of_entry(entry)]
    for project in ("apache_flink-", "apache_beam-", "numpy-", "pandas-", "pemja-"):
        assert [name for name in names if name.startswith(project) and f"-{python}-" in name], project
    tied = [name for name in names if not name.endswith("-none-any.whl")]
    assert all(f"-{python}-" in name or "-abi3-" in name for name in tied), tied
    assert lock.entry_table[entry].groups == (f"pyflink-{python}",)

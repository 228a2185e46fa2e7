"""Closures as the real Maven resolves them from a repository on loopback, locked, built and used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from core.errors import WorldError
from mirror import lockfile
from mirror.build import BuildRequest, build
from mirror.locking import LockRequest, write_lock
from mirror.resolving import NotPublishedError
from tests.faults.maven_world import GROUP, MavenRepository, coordinate, fetch_tools, jar, model, needs
from tests.faults.mirror_world import World
from tests.faults.upstream import Answer, Handler, Upstream, status
from tests.unit.mirror.pgp_world import Signer

PARENT = f"<parent><groupId>{GROUP}</groupId><artifactId>above</artifactId><version>1</version></parent>"
IMPORT = (
    "<properties><bom.version>3</bom.version></properties><dependencyManagement>"
    + needs("bom:${bom.version}", extra="<type>pom</type><scope>import</scope>")
    + "</dependencyManagement>"
)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_tools(tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder / "cache"))
    return world


@pytest.fixture
def repository(here: World, tools: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> MavenRepository:
    made = MavenRepository(here.upstream, tools)
    home = here.folder / "home"
    made.settings(home, shared)
    monkeypatch.setenv("MAVEN_OPTS", f"-Duser.home={home}")
    return made


def entry(world: World, *artifacts: str, more: str = "") -> None:
    rows = ", ".join(
        "{" + f'artifact: "{GROUP}:{name}", versions: ["{version}"]' + "}"
        for name, version in (text.split(":") for text in artifacts)
    )
    world.catalogue.write_text(
        "format: 1\nentries:\n  jars:\n    kind: maven\n    groups: [g]\n    closure: true\n"
        f"    repository: mirror_maven\n    artifacts: [{rows}]\n{more}"
    )


def lock(world: World) -> lockfile.Lock:
    return write_lock(LockRequest(world.catalogue, world.lock)).lock


def names(locked: lockfile.Lock) -> set[str]:
    prefix = f"{GROUP}:"
    return {str(item.source["coordinate"]).removeprefix(prefix) for item in locked.files}


def everything(repository: MavenRepository) -> None:
    """A parent that imports a BOM, a relocation, a range, a classifier, a version that loses."""
    managed = f"<dependencyManagement>{needs('managed:7')}</dependencyManagement>"
    repository.offer(
        "bom", "3", body="", pom=model(managed, "<packaging>pom</packaging>", name="bom", version="3")
    )
    above = model(IMPORT, "<packaging>pom</packaging>", name="above")
    repository.offer("above", "1", body="", pom=above)
    unversioned = f"<dependency><groupId>{GROUP}</groupId><artifactId>managed</artifactId></dependency>"
    own = needs("old:1", "ranged:[1,3)", "classy:1:linux", "loses:2", "deeper:1")
    top = model(own.replace("</dependencies>", f"{unversioned}</dependencies>"), PARENT, name="top")
    repository.offer("top", "1", pom=top)
    repository.offer("managed", "7")
    moved = "<relocation><artifactId>new</artifactId></relocation>"
    moved = f"<distributionManagement>{moved}</distributionManagement>"
    repository.offer("old", "1", body="", pom=model(moved, name="old"))
    repository.offer("new", "1")
    repository.versions("ranged", "1", "2", "3")
    for version in ("1", "2", "3"):
        repository.offer("ranged", version)
    repository.offer("classy", "1")
    repository.offer("classy", "1", classifier="linux")
    repository.offer("deeper", "1", pom=model(needs("loses:1"), name="deeper"))
    repository.offer("loses", "1")
    repository.offer("loses", "2")


EVERYTHING = {
    "top:jar:1", "top:pom:1", "above:pom:1", "bom:pom:3", "managed:jar:7", "managed:pom:7", "old:pom:1",
    "new:jar:1", "new:pom:1", "ranged:jar:2", "ranged:pom:2", "classy:jar:linux:1", "classy:pom:1",
    "deeper:jar:1", "deeper:pom:1", "loses:jar:2", "loses:pom:2", "loses:pom:1",
}  # fmt: skip


def test_all_that_maven_reads_is_locked_and_none_of_its_tools(
    here: World, repository: MavenRepository
) -> None:
    everything(repository)
    entry(here, "top:1")
    locked = lock(here)
    # Where versions are a range, Maven also reads the poms of those that it does not take.
    assert names(locked) - {"ranged:pom:1"} == EVERYTHING
    assert all(re.fullmatch("[0-9a-f]{40}", item.sha1) for item in locked.files)
    assert locked.file("mirror_maven/" + coordinate("loses:jar:2").path).via == {
        "jars": (f"{GROUP}:top:jar:1",)
    }
    before = here.lock.read_bytes()
    lock(here)
    assert here.lock.read_bytes() == before


def test_a_strict_maven_lives_on_the_release_alone_and_misses_what_is_taken_out(
    here: World, repository: MavenRepository
) -> None:
    everything(repository)
    entry(here, "top:1")
    lock(here)
    release = build(BuildRequest(here.catalogue, here.lock, here.root)).release / "mirror_maven"
    served = Served(release, repository, here.folder / "client")
    code, words = served.resolve()
    assert code == 0, words
    assert {path.name for path in (here.folder / "client/lib").iterdir()} == {
        "top-1.jar", "managed-7.jar", "new-1.jar", "ranged-2.jar", "classy-1-linux.jar", "deeper-1.jar",
        "loses-2.jar",
    }  # fmt: skip
    for name in ("bom-3.pom", "above-1.pom.sha1", "ranged/maven-metadata.xml"):
        place = served.place(name)
        kept = served.server.answers.pop(place)
        code, words = served.resolve()
        assert code != 0, name
        assert name.split(".")[0].split("-")[0].split("/")[0] in words
        served.server.answers[place] = kept
    served.server.close()


class Served:
    """A release's repository on loopback, and a client whose strict Maven has nothing else but tools."""

    def __init__(self, release: Path, repository: MavenRepository, client: Path) -> None:
        self.server, self.client = Upstream(), client
        for path in release.rglob("*"):
            if path.is_file():
                place = f"/maven/{path.relative_to(release).as_posix()}"
                self.server.set(place, path.read_bytes())
        client.mkdir()
        self.settings = client / "settings.xml"
        self.settings.write_text(
            f"<settings><mirrors><mirror><id>ours</id><mirrorOf>*,!tools</mirrorOf>"
            f"<url>{self.server.base}/maven</url></mirror></mirrors>"
            "<profiles><profile><id>t</id><pluginRepositories><pluginRepository><id>tools</id>"
            f"<url>{repository.base}</url></pluginRepository></pluginRepositories></profile></profiles>"
            "<activeProfiles><activeProfile>t</activeProfile></activeProfiles></settings>"
        )
        (client / "pom.xml").write_text(model(needs("top:1"), "<packaging>pom</packaging>", name="app"))

    def place(self, name: str) -> str:
        (found,) = [place for place in self.server.answers if place.endswith(f"/{name}")]
        return found

    def resolve(self) -> tuple[int, str]:
        """Copy all that our artifact needs to ``lib``, with an empty local repository for it."""
        local = self.client / "local"
        shutil.rmtree(local / GROUP.replace(".", "/"), ignore_errors=True)
        done = subprocess.run(
            ["mvn", "-B", "-C", "-s", self.settings, "-gs", self.settings, f"-Dmaven.repo.local={local}",
             "-f", self.client / "pom.xml",
             "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
             f"-DoutputDirectory={self.client / 'lib'}"],
            capture_output=True, text=True, timeout=300, cwd=self.client,
        )  # fmt: skip
        return done.returncode, done.stdout


def test_what_is_not_published_stands_in_one_table(here: World, repository: MavenRepository) -> None:
    repository.offer("top", "1", pom=model(needs("gone:1", "away:2", "there:1"), name="top"))
    repository.offer("there", "1")
    repository.offer("away", "2", body="")
    entry(here, "top:1")
    here.lock.write_text("the old lock")
    with pytest.raises(NotPublishedError) as caught:
        lock(here)
    assert {item.what for item in caught.value.missing} == {f"{GROUP}:gone:jar:1", f"{GROUP}:away:jar:2"}
    assert here.lock.read_text() == "the old lock"


def test_a_parent_that_is_nowhere_is_named(here: World, repository: MavenRepository) -> None:
    repository.offer("top", "1", pom=model("", PARENT, name="top"))
    entry(here, "top:1")
    with pytest.raises(WorldError) as caught:
        lock(here)
    assert "above" in caught.value.message


def test_a_pom_that_is_not_what_its_sha1_says_is_refused(here: World, repository: MavenRepository) -> None:
    repository.offer("top", "1")
    repository.put(coordinate("top:pom:1"), model("", name="top"), sha1="0" * 40)
    entry(here, "top:1")
    with pytest.raises(WorldError) as caught:
        lock(here)
    assert "top:pom:1" in caught.value.message
    assert "sha1" in caught.value.message
    assert not here.lock.exists()


def test_a_hostile_pom_is_refused_and_named(here: World, repository: MavenRepository) -> None:
    head = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname"><!ENTITY b "&a;&a;&a;&a;">]>'
    repository.offer("top", "1", pom=head + model("<description>&b;</description>", name="top"))
    entry(here, "top:1")
    with pytest.raises(WorldError) as caught:
        lock(here)
    assert "top:pom:1" in caught.value.message
    assert not here.lock.exists()


def test_a_snapshot_that_something_needs_is_refused(here: World, repository: MavenRepository) -> None:
    repository.offer("top", "1", pom=model(needs("daily:1-SNAPSHOT"), name="top"))
    repository.offer("daily", "1-SNAPSHOT")
    entry(here, "top:1")
    with pytest.raises(WorldError) as caught:
        lock(here)
    assert "daily" in caught.value.message


def test_upstream_that_gives_maven_other_bytes_than_us_is_refused(
    here: World, repository: MavenRepository
) -> None:
    repository.offer("top", "1")
    place = "/maven/" + coordinate("top:pom:1").path
    first, second = model("", name="top").encode(), model("<name>x</name>", name="top").encode()
    here.upstream.set(place, by_client(first, second))
    here.upstream.set(place + ".sha1", status(404))
    entry(here, "top:1")
    with pytest.raises(WorldError) as caught:
        lock(here)
    assert "other bytes" in caught.value.message


def by_client(maven: bytes, others: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.give(200, maven if "Maven" in handler.headers.get("User-Agent", "") else others)

    return answer


def test_files_whose_signer_changed_stand_in_one_table(here: World, repository: MavenRepository) -> None:
    with Signer("ann") as ann, Signer("eve") as eve:
        for name in ("top", "below"):
            inner = needs("below:1") if name == "top" else ""
            repository.offer(name, "1", pom=model(inner, name=name))
            for item in (coordinate(f"{name}:jar:1"), coordinate(f"{name}:pom:1")):
                signer = eve if item.extension == "jar" else ann
                body = jar(str(item)) if item.extension == "jar" else model(inner, name=name).encode()
                here.upstream.set(f"/maven/{item.path}.asc", signer.sign(body).encode())
        entry(here, "top:1", more=f"    signers: {{{GROUP}: [{ann.fingerprint}]}}\n")
        with pytest.raises(WorldError) as caught:
            lock(here)
    text = caught.value.message
    for name in ("top", "below"):
        assert f"{GROUP}:{name}:jar:1: was {ann.fingerprint}, now {eve.fingerprint}" in text
    assert ":pom:" not in text
    assert not here.lock.exists()

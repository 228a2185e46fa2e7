"""A user by ssh who is not root and may become it by sudo: all that an operator does, by both engines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.containers import execute
from lab.model import Lab
from tests.lab.conftest import inv

HOST = "manager-1"
RIGHTS = "/etc/sudoers.d/pnda"
REFUSED = "ssh's user may not become root here without a password"


@pytest.fixture(scope="module")
def cluster(bare_lab: Lab) -> str:
    """The bare lab's cluster file, but its hosts are reached as the user pnda."""
    settings = bare_lab.folder / "ssh_config_pnda"
    text = bare_lab.ssh_config.read_text()
    assert "    User root\n" in text
    settings.write_text(text.replace("    User root\n", "    User pnda\n"))
    plain = f"  ssh_config: build/{bare_lab.name}/ssh_config\n"
    described = bare_lab.cluster_file.read_text()
    assert plain in described
    path = bare_lab.folder / "become.yml"
    named = settings.relative_to(bare_lab.checkout)
    path.write_text(described.replace(plain, f"  ssh_config: {named}\n  become: true\n"))
    return str(path)


@pytest.fixture
def rights(bare_lab: Lab) -> Iterator[None]:
    text = "pnda ALL=(root) NOPASSWD: ALL\n"
    execute(bare_lab, HOST, "sh", "-ec", f"cat >{RIGHTS}; chmod 440 {RIGHTS}", stdin=text)
    yield
    execute(bare_lab, HOST, "rm", "-f", RIGHTS)


@pytest.mark.parametrize(
    "words",
    [
        ("provision.apply", "--engine", "ansible"),
        ("provision.apply", "--engine", "salt"),
        ("provision.status",),
        ("provision.rollback",),
        ("provision.remove",),
    ],
)
def test_without_the_right_it_is_said_and_nobody_waits_for_a_password(
    bare_lab: Lab, cluster: str, words: tuple[str, ...]
) -> None:
    done = inv(*words, "--cluster", cluster, "--limit", HOST, check=False)
    assert done.returncode == 1
    assert REFUSED in done.stdout + done.stderr
    assert execute(bare_lab, HOST, "ls", "/opt").split() == ["pnda-salt"]


@pytest.mark.usefixtures("rights")
@pytest.mark.parametrize("engine", ["ansible", "salt"])
def test_all_that_an_operator_does_goes_by_sudo(bare_lab: Lab, cluster: str, engine: str) -> None:
    at = ("--cluster", cluster, "--limit", HOST)

    def changed() -> int:
        done = inv("--json", "provision.apply", "--engine", engine, *at)
        count = json.loads(done.stdout)["hosts"][HOST]["changed"]
        assert isinstance(count, int)
        return count

    assert changed() > 10
    assert changed() == 0
    found = json.loads(inv("--json", "provision.status", *at).stdout)[HOST]
    assert (found["drift"], found["history_server"]) == ([], "1.20.5")
    # There is no version before; that it is the program on the node that says so is the point.
    back = inv("provision.rollback", *at, check=False)
    assert back.returncode == 1
    assert "roll-back:" in back.stdout + back.stderr
    inv("provision.remove", *at)
    assert not Path(execute(bare_lab, HOST, "sh", "-c", "ls -d /opt/pnda/* || :").strip()).name

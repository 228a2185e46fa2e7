"""queue-for, as a program: policies good and bad, by both awks that Debian has, and real users and groups."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from provision.manifest import YARN_QUEUES
from tests.openness import open_to_all

PROGRAM = YARN_QUEUES.programs / "queue-for"
CAPACITY = b"""\
# target queue
pnda: default
:prod prod
:prod dev
:dev dev
"""
FAIR = b"""\
pnda: root.default
:prod root.applications.prod
:prod root.applications.dev
:dev root.applications.dev
"""


class Asker:
    """Asks the program about the policy ``policy``, with one kind of awk."""

    def __init__(self, base: Path, awk: str) -> None:
        self.policy = base / "map.txt"
        found = shutil.which(awk)
        assert found, f"install {awk}"
        (base / "bin").mkdir()
        (base / "bin" / "awk").symlink_to(found)
        self.path = f"{base}/bin:/usr/bin:/bin"

    def ask(self, *words: str | bytes) -> tuple[int, str, str]:
        done = subprocess.run(
            [PROGRAM, "--policy", self.policy, *words],
            env={"PATH": self.path},
            capture_output=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def of(self, user: str, groups: str, *words: str) -> tuple[int, str, str]:
        return self.ask("--user", user, "--groups", groups, *words)


@pytest.fixture(params=["mawk", "gawk"])
def asker(request: pytest.FixtureRequest, tmp_path: Path) -> Asker:
    return Asker(tmp_path, request.param)


@pytest.fixture
def one(tmp_path: Path) -> Asker:
    return Asker(tmp_path, "mawk")


@pytest.mark.parametrize(
    ("user", "groups", "requested", "queue"),
    [
        ("pnda", "pnda", "", "default"),
        ("pnda", "pnda", "default", "default"),
        ("pnda", "pnda", "dev", 3),
        ("prod1", "prod1,prod", "", "prod"),
        ("prod1", "prod1,prod", "dev", "dev"),
        ("prod1", "prod1,prod", "default", 3),
        ("dev1", "dev1,dev", "", "dev"),
        ("dev1", "dev1,dev", "prod", 3),
        ("both", "dev,prod", "", "prod"),  # the rules' order counts, not the groups'
        ("pnda", "prod,dev", "", "default"),
        ("pnda", "prod,dev", "prod", "prod"),
        ("nobody", "nogroup", "", 2),
        ("nobody", "", "", 2),
        ("nobody", "nogroup", "dev", 2),
        ("prod", "users", "", 2),  # a user is no group of that name
        ("x", "pnda", "", 2),  # and a group no user
        ("x", "dev-ops", "", 2),  # names count as a whole
        ("x", "my.dev", "", 2),
        ("x", "de", "", 2),
    ],
)
def test_the_shipped_policies(asker: Asker, user: str, groups: str, requested: str, queue: str | int) -> None:
    paths = {"default": "root.default", "prod": "root.applications.prod", "dev": "root.applications.dev"}
    for policy, names in ((CAPACITY, {name: name for name in paths}), (FAIR, paths)):
        asker.policy.write_bytes(policy)
        code, out, err = asker.of(user, groups, names.get(requested, requested))
        if isinstance(queue, str):
            assert (code, out, err) == (0, names[queue] + "\n", "")
        else:
            assert (code, out) == (queue, "")
            assert "cure: " in err


@pytest.mark.parametrize(
    ("policy", "user", "groups", "queue"),
    [
        (b"* default", "u", "g", "default"),  # the last line without a line break counts
        (b":g first\n* second", "u", "g", "first"),
        (b"* first\nu: second\n", "u", "g", "first"),
        (b"u first\n", "u", "g", "first"),  # the colon may be missing
        (b"u:other first\n", "u", "g", "first"),  # with a user, the group says nothing
        (b"x:g first\n* second\n", "u", "g", "second"),
        (b"# a\n\n   \n\t# b\n  u:\t first  \n", "u", "g", "first"),
        (b"# a\r\nu: first\r\n", "u", "g", "first"),
        (b"\xef\xbb\xbfu: first\n", "u", "g", "first"),
        (":größe Ω\n".encode(), "u", "größe", "Ω"),
        (":größe q\n* r\n".encode(), "u", "große", "r"),
        ("josé: q\n".encode(), "josé", "", "q"),
        (b":d.v q\n* r\n", "u", "dev", "r"),  # no pattern
        (b":d.v q\n* r\n", "u", "d.v", "q"),
        (b":[a] q\n* r\n", "u", "a", "r"),
        (b":a|g q\n* r\n", "u", "g", "r"),
        (b":1e1 q\n* r\n", "u", "10", "r"),  # names, not numbers
        (b"10: q\n* r\n", "1e1", "g", "r"),
        (b":0010 q\n* r\n", "u", "10", "r"),
        (b"1000: q\n", "1000", "", "q"),
        (b"a\\b: q\n* r\n", "a\\b", "", "q"),
        (b"a@b.c: q\n", "a@b.c", "", "q"),
        (b":g q\n", "u", ",".join(f"g{number}" for number in range(2000)) + ",g", "q"),
    ],
)
def test_what_a_line_means(asker: Asker, policy: bytes, user: str, groups: str, queue: str) -> None:
    asker.policy.write_bytes(policy)
    assert asker.of(user, groups) == (0, f"{queue}\n", "")


@pytest.mark.parametrize(
    ("policy", "line", "words"),
    [
        (b"u\n", 1, "no queue after `u`"),
        (b"# x\nu: a\n:g\n", 3, "no queue after `:g`"),  # the rule before it does not save the policy
        (b"u: a b\n", 1, "more than a member and a queue"),
        (b"u: a # comment\n", 1, "more than a member and a queue"),
        (b"u: *\n", 1, "no name of a queue"),
        (b"u: a*\n", 1, "no name of a queue"),
        (b"u: a$(id)\n", 1, "no name of a queue"),
        (b"u: a,b\n", 1, "no name of a queue"),
        (b": a\n", 1, "no member"),
        (b":* a\n", 1, "no member"),
        (b"*: a\n", 1, "no member"),
        (b"** a\n", 1, "no member"),
        (b"u:g:h a\n", 1, "no member"),
        (b"u: a\x01\n", 1, "control character"),
        (b"u: a\rv: b\n", 1, "control character"),
        (b"\x7fELF a\n", 1, "control character"),
        (b"\0\0 a\0\n", 1, "no name of a queue"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_decided(
    asker: Asker, policy: bytes, line: int, words: str
) -> None:
    asker.policy.write_bytes(policy)
    for user in ("u", "x"):
        code, out, err = asker.of(user, "g")
        assert (code, out) == (1, "")
        assert err.startswith(f"queue-for: {asker.policy}:{line}: ")
        assert words in err
        assert "; cure: " in err


@pytest.mark.parametrize("policy", [b"", b"\n", b"# only a comment\n", b"  \r\n# x"])
def test_a_policy_without_rules_lets_nobody_through(asker: Asker, policy: bytes) -> None:
    asker.policy.write_bytes(policy)
    code, out, err = asker.of("u", "g")
    assert (code, out) == (1, "")
    assert "holds no rule" in err


def test_a_policy_that_is_not_there_lets_nobody_through(asker: Asker) -> None:
    assert asker.of("u", "g")[:2] == (1, "")
    asker.policy.mkdir()
    code, out, err = asker.of("u", "g")
    assert (code, out) == (1, "")
    assert "is no file" in err
    asker.policy.rmdir()
    asker.policy.symlink_to("nowhere")
    assert asker.of("u", "g")[:2] == (1, "")
    asker.policy.unlink()
    os.mkfifo(asker.policy)
    assert asker.of("u", "g")[:2] == (1, "")


def test_an_odd_path_of_the_policy_is_no_assignment(one: Asker, tmp_path: Path) -> None:
    folder = tmp_path / "a=b c"
    folder.mkdir()
    (folder / "x=1").write_bytes(b"u: q\n")
    done = subprocess.run(
        [PROGRAM, "--policy", "x=1", "--user", "u", "--groups", ""],
        cwd=folder, env={"PATH": one.path}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == b"q\n"


def test_without_awk_nobody_is_let_through(one: Asker, tmp_path: Path) -> None:
    one.policy.write_bytes(b"* q\n")
    (tmp_path / "bin" / "awk").unlink()
    done = subprocess.run(
        ["/bin/sh", PROGRAM, "--policy", one.policy, "--user", "u", "--groups", ""],
        env={"PATH": f"{tmp_path}/bin"}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize(
    "words",
    [["--nonsense"], ["a", "b"], ["--user"], ["--user", ""], ["--policy"], ["--groups"], ["-h"]],
)
def test_a_wrong_call(one: Asker, words: list[str]) -> None:
    one.policy.write_bytes(b"* q\n")
    code, out, err = one.ask(*words)
    assert (code, out) == (64, "")
    assert "queue-for: " in err


@pytest.mark.parametrize("requested", ["*", "q*", "Q", " q", "q\n", "q q", "$(id)", "--", "é", "q\t"])
def test_a_request_is_a_name_and_nothing_else(asker: Asker, requested: str) -> None:
    asker.policy.write_bytes(b"u: q\n")
    code, out, err = asker.of("u", "", "--", requested)
    assert (code, out) == (3, "")
    assert "ask for one of: q " in err


def test_why_is_explained(asker: Asker) -> None:
    asker.policy.write_bytes(CAPACITY)
    code, out, err = asker.of("prod1", "dev,prod", "--explain")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "prod",
        f"decided by {asker.policy}:3: :prod prod (group prod)",
        f"may also ask for: dev ({asker.policy}:4: :prod dev)",
    ]
    assert asker.of("prod1", "prod", "--explain", "dev")[1].splitlines() == [
        "dev",
        f"decided by {asker.policy}:4: :prod dev (group prod)",
        f"may also ask for: prod ({asker.policy}:3: :prod prod)",
    ]
    code, out, err = asker.of("prod1", "prod", "--explain", "default")
    assert (code, out) == (3, "")
    assert "prod1 may not use the queue `default`" in err
    assert "ask for one of: prod, dev" in err


def test_the_rules_are_listed(asker: Asker) -> None:
    asker.policy.write_bytes(CAPACITY + b"* dev")
    code, out, _ = asker.ask("--rules")
    assert code == 0
    assert [line.split("\t") for line in out.splitlines()] == [
        ["2", "pnda:", "default"],
        ["3", ":prod", "prod"],
        ["4", ":prod", "dev"],
        ["5", ":dev", "dev"],
        ["6", "*", "dev"],
    ]


def test_a_policy_that_is_replaced_meanwhile_is_the_old_or_the_new_one(one: Asker, tmp_path: Path) -> None:
    """Whoever asks while the policy is swapped gets an answer of one of the two, whole."""
    rules = {name: b"".join(b":g%d %s\n" % (i, name) for i in range(3000)) for name in (b"old", b"new")}
    one.policy.write_bytes(rules[b"old"])
    done = threading.Event()

    def swap() -> None:
        turn = 0
        while not done.is_set():
            (tmp_path / "next").write_bytes(rules[(b"new", b"old")[turn % 2]])
            (tmp_path / "next").rename(one.policy)
            turn += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        answers = [one.of("u", "g2999") for _ in range(60)]
    finally:
        done.set()
        thread.join(60)
    assert {answer[0] for answer in answers} == {0}
    assert {answer[1] for answer in answers} <= {"old\n", "new\n"}


PASSWD = """\
root:x:0:0::/root:/bin/sh
pnda:x:2001:2001::/:/bin/sh
dev1:x:2002:2002::/:/bin/sh
prod1:x:2003:2003::/:/bin/sh
loner:x:2004:2004::/:/bin/sh
1000:x:2005:2005::/:/bin/sh
many:x:2006:3100::/:/bin/sh
spaced:x:2007:2007::/:/bin/sh
primary:x:2008:2101::/:/bin/sh
nameless:x:2009:2009::/:/bin/sh
"""
GROUP = """\
root:x:0:
pnda:x:2001:
dev1:x:2002:
prod1:x:2003:
loner:x:2004:
dev:x:2100:dev1
prod:x:2101:prod1
5:x:2105:spaced
my prod:x:2102:spaced
a,prod:x:2103:spaced
"""
# Group 2009 has no name: id shows its number, and a rule for a group called 2009 is not for it.
REAL = b"pnda: default\n1000: default\n:prod prod\n:prod dev\n:dev dev\n:g39 many\n:2009 wrong\n"


def as_user(one: Asker, base: Path, user: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program as ``user`` of the accounts above, which only that process sees."""
    assert os.geteuid() == 0, "run as root: only root can become another user"
    (base / "passwd").write_text(PASSWD)
    (base / "group").write_text(GROUP + "".join(f"g{i}:x:{3100 + i}:many\n" for i in range(40)))
    (base / "nsswitch").write_text("passwd: files\ngroup: files\n")
    binds = " && ".join(
        f"mount --bind {base}/{name} /etc/{target}"
        for name, target in (("passwd", "passwd"), ("group", "group"), ("nsswitch", "nsswitch.conf"))
    )
    number = next(line.split(":")[2:4] for line in PASSWD.splitlines() if line.startswith(f"{user}:"))
    become = f"setpriv --reuid {number[0]} --regid {number[1]} --init-groups"
    inside = ["unshare", "--mount", "sh", "-c", f'{binds} && exec {become} "$@"', "sh"]
    program = base / "queue-for"
    shutil.copy(PROGRAM, program)
    open_to_all(base)
    return subprocess.run(
        [*inside, str(program), "--policy", str(one.policy), *words],
        env={"PATH": one.path + ":/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("user", "requested", "queue"),
    [
        ("pnda", "", "default"),
        ("dev1", "", "dev"),
        ("dev1", "prod", 3),
        ("prod1", "", "prod"),
        ("prod1", "dev", "dev"),
        ("primary", "", "prod"),  # a member by the primary group alone
        ("loner", "", 2),
        ("1000", "", "default"),
        ("many", "", "many"),
        ("spaced", "", 2),  # in groups whose names hold a space or a comma, not in `prod`
        ("nameless", "", 2),
    ],
)
def test_real_users_and_groups(
    one: Asker, tmp_path: Path, user: str, requested: str, queue: str | int
) -> None:
    one.policy.write_bytes(REAL)
    done = as_user(one, tmp_path, user, *([requested] if requested else []))
    if isinstance(queue, str):
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{queue}\n", "")
    else:
        assert (done.returncode, done.stdout) == (queue, ""), done.stderr


def test_somebody_else_can_be_asked_about(one: Asker, tmp_path: Path) -> None:
    one.policy.write_bytes(REAL)
    assert as_user(one, tmp_path, "dev1", "--user", "prod1").stdout == "prod\n"
    done = as_user(one, tmp_path, "dev1", "--user", "nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "knows no user nosuch" in done.stderr


def test_a_policy_that_may_not_be_read_lets_nobody_through(one: Asker, tmp_path: Path) -> None:
    one.policy.write_bytes(b"* q\n")
    one.policy.chmod(0o600)
    done = as_user(one, tmp_path, "dev1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be read" in done.stderr

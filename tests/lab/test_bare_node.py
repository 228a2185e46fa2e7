"""A node from nothing on, in this order: a plan, the server's certificate, runs that are ended midway."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import tied
from lab import network, nodes, snapshot
from lab.containers import execute
from lab.engine import docker
from lab.model import CHECKOUT, Lab
from mirror.certificates import CertificateRequest, Issued, issue
from tests.lab.conftest import inv
from tests.unit.programs.test_history_server_tls import expired

HOST, UNIT = "manager-1", "flink-history-server.service"
SECONDS = 600
# What a run makes first; while its release is installed; when the history server's part has begun.
BEGUN, INSTALLING, SERVING = "/var/lib/pnda", "/opt/pnda/.flink-* /opt/pnda/flink-*", "/etc/flink-history"
# Not provisioning's: the system's own logs, what programs leave for a while, Ansible's and Salt's folders,
# and how far the log shipper has read, in files that have the numbers of others in their names.
OTHERS = (
    "/proc", "/sys", "/run", "/dev", "/tmp", "/var/tmp", "/var/log/journal", "/var/log/lastlog",
    "/root/.ansible", "/opt/pnda-salt", "/var/lib/pnda-flink-logs",
)  # fmt: skip
WORK = "/var/lib/pnda/salt"  # where a run of Salt, but no plan, keeps its states
ENGINES = pytest.mark.parametrize("engine", ["ansible", "salt"])


@pytest.fixture(scope="module")
def lab(bare_lab: Lab) -> Iterator[Lab]:
    yield bare_lab
    remade(bare_lab)


@pytest.fixture
def at(lab: Lab) -> tuple[str, ...]:
    """The words that mean the host, which has never been provisioned."""
    remade(lab)
    return "--cluster", str(lab.cluster_file), "--limit", HOST


def remade(lab: Lab) -> None:
    docker("rm", "--force", "--volumes", lab.container(HOST))
    nodes.start(lab, nodes.build_images(lab), "salt")


def disk(lab: Lab, form: str) -> list[str]:
    """Return a line for each file of the host, as ``find -printf`` writes it."""
    pruned = [word for path in OTHERS for word in ("-path", path, "-prune", "-o")]
    said = execute(lab, HOST, "find", "/", "-xdev", *pruned, "-printf", f"%p {form}\\n")
    return sorted(said.splitlines())


def result(lab: Lab) -> tuple[list[str], list[str]]:
    """Return what a run left: each path with type, mode, owner and target, and the managed files' content."""
    inv("cluster.render", "--cluster", str(lab.cluster_file))
    paths = [line for line in disk(lab, "%y %m %u %g %l") if not line.startswith(WORK)]
    return paths, snapshot.differences({}, snapshot.take(lab))


@pytest.fixture(scope="module")
def whole(lab: Lab) -> tuple[list[str], list[str]]:
    """What a run leaves that nobody ends."""
    remade(lab)
    inv("provision.apply", "--engine", "salt", "--cluster", str(lab.cluster_file), "--limit", HOST)
    return result(lab)


def apply(engine: str, *at: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(CHECKOUT / "inv"), "provision.apply", "--engine", engine, *at],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def other_key() -> bytes:
    """Return a key that belongs to no certificate."""
    words = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout


def midway(lab: Lab, running: subprocess.Popen[bytes], path: str) -> None:
    """Wait until the run that is at work has made ``path`` on the host."""
    deadline = time.monotonic() + SECONDS
    while not execute(lab, HOST, "sh", "-c", f"ls -d {path} 2>/dev/null || :"):
        assert running.poll() is None, "it was done before it could be ended"
        assert time.monotonic() < deadline
        time.sleep(0.1)


@ENGINES
def test_a_plan_before_the_first_run_has_no_fault_and_leaves_the_disk_as_it_is(
    lab: Lab, at: tuple[str, ...], engine: str
) -> None:
    form = "%y %m %u %g %s %T@ %l"
    before = disk(lab, form)
    done = inv("--json", "provision.plan", "--engine", engine, *at, check=False)
    assert done.returncode == 1, done.stderr
    assert "things would change" in done.stderr
    found = json.loads(done.stdout)["hosts"][HOST]
    assert found["failed"] == ""
    assert len(found["changes"]) > 30
    root = "/root d "  # Ansible made its own folder there
    assert [line for line in disk(lab, form) if not line.startswith(root)] == [
        line for line in before if not line.startswith(root)
    ]


SERVER_FILES = (
    "/var/lib/pnda/flink/history-server.json",
    "/etc/flink-history/1.20.5/flink-conf.yaml",
    "/etc/systemd/system/flink-history-server.service",
)
TLS = "/etc/site-tls"


@dataclass(frozen=True)
class Tls:
    """The node with TLS for its history server, and what the site has issued for it."""

    lab: Lab
    issued: Issued
    at: tuple[str, ...]

    def describe(self, certificate: str = "server.pem", refresh: int = 2) -> None:
        """Write the cluster file: the certificate's name in the node's folder, and another setting."""
        text = self.lab.cluster_file.read_text()
        plain = "    refresh_seconds: 2\n"
        assert plain in text
        files = f"certificate: {TLS}/{certificate}, certificate_key: {TLS}/server.key, ca: {TLS}/ca.pem"
        changed = f"    refresh_seconds: {refresh}\n    tls: {{{files}}}\n"
        Path(self.at[1]).write_text(text.replace(plain, changed))

    def put(self, name: str, content: bytes) -> None:
        """Let the node have a file in the site's folder."""
        script = f"mkdir -p {TLS}; umask 077; cat >{TLS}/{name}"
        execute(self.lab, HOST, "sh", "-ec", script, stdin=content.decode())

    def renew(self) -> str:
        """Give the node another certificate and key in the same files; return what a client would see."""
        self.issued.key.unlink(missing_ok=True)
        issue(CertificateRequest((HOST,), self.issued.key.parent))
        for path in (self.issued.certificate, self.issued.key, self.issued.ca):
            self.put(path.name, path.read_bytes())
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(self.issued.certificate.read_text()))

    def seen(self) -> str:
        """Return the certificate that a client of the server sees."""
        return ssl.get_server_certificate((network.addresses(self.lab)[HOST], 8082), timeout=30)

    def starts(self) -> int:
        """Return how often the server was started."""
        words = ("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")
        return execute(self.lab, HOST, *words).count("Started flink-history-server.service")

    def apply(self, engine: str) -> int:
        """Return how much an apply changed."""
        done = inv("--json", "provision.apply", "--engine", engine, *self.at)
        changed: int = json.loads(done.stdout)["hosts"][HOST]["changed"]
        return changed

    def files(self) -> str:
        """Return the digests of what the server would read at its next start."""
        return execute(self.lab, HOST, "sha256sum", *SERVER_FILES)


@pytest.fixture(scope="module")
def tls(lab: Lab, whole: tuple[list[str], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """The node that was provisioned whole, and then given TLS by Salt."""
    folder = tmp_path_factory.mktemp("tls")
    described = lab.folder / "tls.yml"
    issued = issue(CertificateRequest((HOST,), folder))
    made = Tls(lab, issued, ("--cluster", str(described), "--limit", HOST))
    made.describe()
    first = made.renew()
    assert made.apply("salt") > 0
    assert made.seen() == first
    return made


def test_with_tls_a_second_run_changes_nothing(tls: Tls) -> None:
    starts = tls.starts()
    assert tls.apply("salt") == 0
    assert tls.starts() == starts


@ENGINES
def test_a_renewed_certificate_restarts_the_server_once_and_is_shown(tls: Tls, engine: str) -> None:
    starts, old, files = tls.starts(), tls.seen(), tls.files()
    new = tls.renew()
    assert new != old
    assert tls.seen() == old
    assert tls.apply(engine) > 0
    assert tls.seen() == new
    assert tls.starts() == starts + 1
    assert tls.files() == files


@ENGINES
def test_a_refused_certificate_leaves_server_unit_and_configuration_as_they_were(
    tls: Tls, engine: str
) -> None:
    starts, old, files = tls.starts(), tls.seen(), tls.files()
    tls.put("expired.pem", expired(tls.issued.key))
    tls.describe("expired.pem", refresh=7)
    try:
        done = inv("provision.apply", "--engine", engine, *tls.at, check=False)
    finally:
        tls.describe()
    assert done.returncode == 1
    assert f"{TLS}/expired.pem: expired (" in done.stdout + done.stderr
    assert (tls.files(), tls.starts(), tls.seen()) == (files, starts, old)
    # The site's own files are spoilt in place, and something else is to change.
    key = tls.issued.key.read_bytes()
    tls.put("server.key", other_key())
    tls.describe(refresh=7)
    try:
        done = inv("provision.apply", "--engine", engine, *tls.at, check=False)
    finally:
        tls.put("server.key", key)
        tls.describe()
    assert done.returncode == 1
    assert f"{TLS}/server.key: is not the key of {TLS}/server.pem" in done.stdout + done.stderr
    assert (tls.files(), tls.starts(), tls.seen()) == (files, starts, old)
    # What a reboot would do.
    execute(tls.lab, HOST, "systemctl", "daemon-reload")
    execute(tls.lab, HOST, "systemctl", "restart", UNIT)
    ready = ("/usr/lib/pnda/flink/history-server-ready", f"--settings={SERVER_FILES[0]}")
    execute(tls.lab, HOST, *ready, timeout=120)
    assert tls.seen() == old


def test_a_host_that_does_not_answer_is_named_and_the_other_goes_on(
    lab: Lab, whole: tuple[list[str], list[str]]
) -> None:
    docker("pause", lab.container("edge-1"))
    words = ("--cluster", str(lab.cluster_file), "--limit", HOST, "--limit", "edge-1", "--engine", "salt")
    try:
        done = inv("--json", "provision.apply", *words, check=False)
    finally:
        docker("unpause", lab.container("edge-1"))
    assert done.returncode == 1
    hosts = json.loads(done.stdout)["hosts"]
    assert hosts["edge-1"]["failed"].startswith("edge-1 cannot be reached by ssh: ")
    assert hosts[HOST]["failed"] == ""


def test_a_key_that_is_not_let_in_is_said_with_what_helps(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=30)
    ours = f"{lab.folder}/ssh/id_ed25519"
    settings = lab.ssh_config.read_text()
    assert ours in settings
    # Not by a connection that is open already.
    other = re.sub(r"ControlPath .*", "ControlPath none", settings.replace(ours, str(key)))
    (tmp_path / "ssh_config").write_text(other)
    named = f"  ssh_config: build/{lab.name}/ssh_config\n"
    described = lab.cluster_file.read_text()
    assert named in described
    path = lab.folder / "other_key.yml"
    path.write_text(described.replace(named, f"  ssh_config: {tmp_path}/ssh_config\n"))
    for task in ("apply", "status", "rollback", "remove"):
        done = inv(f"provision.{task}", "--cluster", str(path), "--limit", HOST, check=False)
        assert done.returncode == 1, task
        said = done.stdout + done.stderr
        assert "Permission denied" in said, task
        assert f"the host refuses user or key: see User and IdentityFile in {tmp_path}/ssh_config" in said


@ENGINES
def test_a_first_run_that_is_cut_off_and_then_killed_is_completed_by_the_next(
    lab: Lab, whole: tuple[list[str], list[str]], at: tuple[str, ...], engine: str
) -> None:
    running = apply(engine, *at)
    try:
        midway(lab, running, BEGUN)
        assert inv("provision.apply", *at, check=False).returncode == 3
        midway(lab, running, INSTALLING)
        # The sessions, not the server: as a network that is gone for a moment.
        execute(lab, HOST, "sh", "-ec", "kill -9 $(pgrep -f '^sshd: root')")
        assert running.wait(SECONDS) == 1
    finally:
        running.kill()
        running.wait()
    running = apply(engine, *at)
    try:
        midway(lab, running, SERVING)
    finally:
        # With all that it started, also in sessions of their own.
        for pid in (running.pid, *tied.below(running.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        running.wait()
    inv("provision.apply", "--engine", engine, *at)
    (paths, managed), (all_paths, all_managed) = result(lab), whole
    assert set(paths) ^ set(all_paths) == set()
    assert managed == all_managed

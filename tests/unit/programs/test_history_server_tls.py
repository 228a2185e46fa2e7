"""history-server-tls with real certificates, openssl and keytool's format."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mirror.certificates import CertificateRequest, issue
from provision.manifest import FLINK

PROGRAM = FLINK.programs / "history-server-tls"


@dataclass
class Site:
    """A site's authority, and a certificate of its for manager-1."""

    folder: Path

    def __post_init__(self) -> None:
        self.issued = issue(CertificateRequest(("manager-1",), self.folder / "site"))
        self.tls = {
            "certificate": str(self.issued.certificate),
            "certificate_key": str(self.issued.key),
            "ca": str(self.issued.ca),
            "name": "manager-1",
        }

    def run(self, command: str, *more: str, **changed: str) -> subprocess.CompletedProcess[str]:
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps({"tls": {**self.tls, **changed}}))
        words = [sys.executable, str(PROGRAM), command, f"--settings={settings}", *more]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    def prepare(self, runtime: Path) -> subprocess.CompletedProcess[str]:
        source, settings = self.folder / "conf", self.folder / "prepared.json"
        for folder in (source, runtime):
            folder.mkdir(exist_ok=True)
        user = pwd.getpwuid(os.geteuid()).pw_name
        settings.write_text(json.dumps({"tls": self.tls, "user": user}))
        (source / "config.yaml").write_text("a: 'b'\n")
        (source / "log4j-console.properties").write_text("c = d\n")
        environment = {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(runtime)}
        words = [sys.executable, str(PROGRAM), "prepare", f"--settings={settings}"]
        words.append(f"--configuration={source}")
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)


def expired(key_file: Path) -> bytes:
    """Return a certificate of the key in ``key_file`` that ended yesterday."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "manager-1")])
    day = timedelta(days=1)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - 9 * day).not_valid_after(now - day)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_fits_is_let_through(site: Site) -> None:
    done = site.run("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_does_not_is_named(site: Site, tmp_path: Path) -> None:
    other = issue(CertificateRequest(("manager-2",), tmp_path / "other"))
    junk, open_to_all = tmp_path / "junk.pem", tmp_path / "open.key"
    junk.write_text("junk")
    junk.chmod(0o600)
    open_to_all.write_bytes(site.issued.key.read_bytes())
    open_to_all.chmod(0o644)
    locked = tmp_path / "locked.key"
    words = ["openssl", "pkey", "-in", str(site.issued.key), "-aes256", "-passout", "pass:secret"]
    subprocess.run([*words, "-out", str(locked)], check=True, timeout=60, capture_output=True)
    ended = tmp_path / "ended.pem"
    ended.write_bytes(expired(site.issued.key))
    for changed, said in (
        ({"certificate": "/none.pem"}, "/none.pem: there is no such file"),
        ({"certificate_key": "/none.key"}, "/none.key: there is no such file"),
        ({"ca": "/none-ca.pem"}, "/none-ca.pem: there is no such file"),
        ({"certificate": str(junk)}, f"{junk}: no certificate in PEM"),
        ({"certificate_key": str(junk)}, f"{junk}: no key in PEM, or one with a passphrase"),
        ({"certificate_key": str(locked)}, f"{locked}: no key in PEM, or one with a passphrase"),
        ({"certificate_key": str(open_to_all)}, f"{open_to_all}: everybody may use this key (mode 644)"),
        ({"certificate_key": str(other.key)}, f"{other.key}: is not the key of {site.issued.certificate}"),
        ({"certificate": str(ended)}, f"{ended}: expired ("),
        ({"ca": str(other.ca)}, "unable to get local issuer certificate"),
        ({"ca": ""}, "not to be trusted as manager-1 by /etc/ssl/certs"),
        ({"name": "manager-2"}, "hostname mismatch"),
    ):
        done = site.run("check", **changed)
        assert done.returncode == 1, changed
        assert said in done.stderr, (changed, done.stderr)


def test_what_is_named_on_the_command_line_is_checked_before_a_file_is_written(
    site: Site, tmp_path: Path
) -> None:
    ended = tmp_path / "ended.pem"
    ended.write_bytes(expired(site.issued.key))
    for certificate, code, said in ((site.issued.certificate, 0, ""), (ended, 1, f"{ended}: expired (")):
        named = {**site.tls, "certificate": str(certificate)}
        words = [f"--{key.replace('_', '-')}={value}" for key, value in named.items()]
        done = subprocess.run(
            [sys.executable, str(PROGRAM), "check", *words, "/etc/some-new-file"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert said in done.stderr


def test_the_key_store_is_made_with_a_password_of_its_own(site: Site, tmp_path: Path) -> None:
    passwords = set()
    for name in ("first", "second"):
        runtime = tmp_path / name
        done = site.prepare(runtime)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        conf = runtime / "conf"
        assert oct(conf.stat().st_mode & 0o777) == "0o700"
        assert {oct(path.stat().st_mode & 0o777) for path in conf.iterdir()} == {"0o600"}
        assert (conf / "log4j-console.properties").read_text() == "c = d\n"
        rows = dict(line.split(": ", 1) for line in (conf / "config.yaml").read_text().splitlines())
        assert rows["a"] == "'b'"
        password = rows["security.ssl.rest.keystore-password"]
        assert rows["security.ssl.rest.key-password"] == password
        store = rows["security.ssl.rest.keystore"]
        words = ["openssl", "pkcs12", "-in", store, "-nodes", "-passin", "stdin"]
        shown = subprocess.run(words, input=password, capture_output=True, text=True, timeout=60, check=True)
        assert shown.stdout.count("BEGIN CERTIFICATE") == 1
        assert "BEGIN PRIVATE KEY" in shown.stdout
        passwords.add(password)
    assert len(passwords) == 2


def test_files_that_do_not_fit_make_no_key_store(site: Site, tmp_path: Path) -> None:
    issue(CertificateRequest(("manager-1",), tmp_path / "other"))
    (site.folder / "site" / "server.key").write_bytes((tmp_path / "other" / "server.key").read_bytes())
    done = site.prepare(tmp_path / "run")
    assert done.returncode == 1
    assert f"no key store from {site.issued.certificate} and its key" in done.stderr


def test_a_renewed_certificate_is_seen_by_its_bytes(site: Site, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    assert site.run("stale", f"--runtime={runtime}").returncode == 1  # it does not run
    assert site.prepare(runtime).returncode == 0
    assert site.run("stale", f"--runtime={runtime}").returncode == 1
    before = site.issued.certificate.stat()
    issue(CertificateRequest(("manager-1",), tmp_path / "site"))
    os.utime(site.issued.certificate, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = site.run("stale", f"--runtime={runtime}")
    assert (done.returncode, "another certificate" in done.stdout) == (0, True)

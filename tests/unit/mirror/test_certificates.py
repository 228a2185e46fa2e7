from __future__ import annotations

import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from core.errors import BusyError, DiskError, UsageError, WorldError
from core.locks import held
from mirror import certificate_parts, certificates
from mirror.certificates import CertificateRequest, issue, load_authority
from mirror.tls import server_context
from tests.unit.mirror.served import publish, running


def make(into: Path, *hosts: str, **options: Any) -> Any:
    return issue(CertificateRequest(hosts or ("mirror.site", "127.0.0.1", "::1"), into, **options))


def openssl(*words: Any) -> str:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def test_openssl_believes_it_for_each_of_its_hosts(tmp_path: Path) -> None:
    issued = make(tmp_path)
    for option, host in (("hostname", "mirror.site"), ("ip", "127.0.0.1"), ("ip", "::1")):
        words = ["-x509_strict", "-purpose", "sslserver", f"-verify_{option}", host]
        assert openssl("verify", *words, "-CAfile", issued.ca, issued.certificate).endswith("OK\n")
    words = ["-verify_hostname", "other.site", "-CAfile", issued.ca, issued.certificate]
    assert "hostname mismatch" in openssl("verify", *words)
    assert server_context(issued.certificate, issued.key)


def test_keys_are_their_owners_only(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca.pem").stat().st_mode) == 0o644


def test_renewal_keeps_authority_and_key(tmp_path: Path) -> None:
    first = make(tmp_path, days=10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = make(tmp_path, "other.site", days=20)
    assert (first.new_ca, second.new_ca) == (True, False)
    for name in ("ca.pem", "ca.key", "server.key"):
        assert (tmp_path / name).read_bytes() == before[name]
    assert second.ends > first.ends
    assert server_context(second.certificate, second.key)


@pytest.mark.parametrize("left", [["ca.key"], ["ca.key", "ca.pem"], ["ca.key", "ca.pem", "server.key"]])
def test_a_run_after_a_killed_one_makes_a_whole(tmp_path: Path, left: Any) -> None:
    make(tmp_path)
    for path in list(tmp_path.iterdir()):
        if path.name not in left:
            path.unlink()
    issued = make(tmp_path)
    assert server_context(issued.certificate, issued.key)
    assert openssl("verify", "-CAfile", issued.ca, issued.certificate).endswith("OK\n")


def test_an_authority_from_elsewhere(tmp_path: Path) -> None:
    site = make(tmp_path / "site")
    issued = make(tmp_path / "mirror", ca=site.ca, ca_key=tmp_path / "site" / "ca.key")
    assert not (tmp_path / "mirror" / "ca.key").exists()
    assert issued.ca.read_bytes() == site.ca.read_bytes()
    assert openssl("verify", "-CAfile", issued.ca, issued.certificate).endswith("OK\n")


def _authority(folder: Path, title: str, above: str = "") -> bytes:
    """Write TITLE.key and return TITLE's certificate, issued by ABOVE or by itself."""
    key = certificates._key(folder / f"{title}.key")
    signer = certificates._key(folder / f"{above or title}.key")
    now = datetime.now(UTC)
    name, issuer = certificate_parts.name_of(title), certificate_parts.name_of(above or title)
    return (
        certificate_parts.builder(name, issuer, key, now, now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def test_an_authority_that_another_one_issued(tmp_path: Path) -> None:
    root, middle = _authority(tmp_path, "root"), _authority(tmp_path, "middle", "root")
    ca, ca_key = tmp_path / "middle.pem", tmp_path / "middle.key"
    ca.write_bytes(middle)
    with pytest.raises(UsageError, match="not in the file"):
        make(tmp_path / "site", ca=ca, ca_key=ca_key)
    ca.write_bytes(middle + root)
    issued = make(tmp_path / "site", ca=ca, ca_key=ca_key)
    assert issued.ca.read_bytes() == root
    assert issued.certificate.read_bytes().endswith(middle)
    publish(tmp_path / "mirror", 1, {})
    client = ssl.create_default_context(cafile=issued.ca)
    with running(tmp_path / "mirror", server_context(issued.certificate, issued.key), client) as asked:
        assert asked.ask("/")[2] == b"front"


@pytest.mark.parametrize(
    ("hosts", "days"),
    [((), 1), (("",), 1), (("a b",), 1), (("mirror.site:8443",), 1), (("https://mirror.site",), 1),
     (("münchen.site",), 1), (("1.2.3",), 1), (("1.2.3.400",), 1), (("-a.site",), 1), (("a..b",), 1),
     (("*.*.site",), 1), (("a" * 64,), 1), (("ok.site", "x/y"), 1), (("ok",), 0), (("ok",), 9000)],
)  # fmt: skip
def test_bad_hosts_and_days_write_nothing(tmp_path: Path, hosts: Any, days: int) -> None:
    with pytest.raises(UsageError):
        issue(CertificateRequest(hosts, tmp_path / "new", days))
    assert not (tmp_path / "new").exists()


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1"), make(tmp_path / "2")
    with pytest.raises(UsageError, match="is not the key of"):
        make(tmp_path / "3", ca=one.ca, ca_key=tmp_path / "2" / "ca.key")
    with pytest.raises(UsageError, match="no authority's"):
        make(tmp_path / "3", ca=one.certificate, ca_key=one.key)
    with pytest.raises(UsageError, match="belong together"):
        make(tmp_path / "3", ca=one.ca)
    with pytest.raises(UsageError, match="no private key"):
        make(tmp_path / "3", ca=one.ca, ca_key=one.ca)
    with pytest.raises(UsageError, match="no certificate"):
        load_authority(one.key)
    with pytest.raises(UsageError, match="No such file"):
        load_authority(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be used"):
        server_context(one.certificate, two.key)
    assert not (tmp_path / "3" / "server.pem").exists()


def test_encrypted_and_odd_keys_are_refused_without_asking(tmp_path: Path) -> None:
    issued = make(tmp_path)
    key = serialization.load_pem_private_key(issued.key.read_bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    issued.key.write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(UsageError, match="encrypted"):
        server_context(issued.certificate, issued.key)
    with pytest.raises(UsageError, match="encrypted"):
        make(tmp_path)
    odd = ed25519.Ed25519PrivateKey.generate()
    issued.key.write_bytes(odd.private_bytes(*form, serialization.NoEncryption()))
    with pytest.raises(UsageError, match="not every client"):
        make(tmp_path)


def test_what_has_ended_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = make(tmp_path, days=1)
    authority = issued.ca.read_bytes()

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(days=ahead)

    monkeypatch.setattr(certificates, "datetime", Later)
    ahead = 2
    with pytest.raises(WorldError, match=r"server\.pem: it ended on"):
        server_context(issued.certificate, issued.key)
    ahead = 3649
    assert make(tmp_path).ends < str(datetime.now(UTC) + timedelta(days=3651))  # never after its authority's
    ahead = 3651
    with pytest.raises(WorldError, match=r"ca\.pem: it ended on"):
        make(tmp_path)
    ahead = -1
    with pytest.raises(WorldError, match="is valid from"):
        make(tmp_path)
    assert issued.ca.read_bytes() == authority


def test_two_at_once_and_a_folder_that_is_none(tmp_path: Path) -> None:
    with held(tmp_path / ".lock", "mirror.certificate"), pytest.raises(BusyError):
        make(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        make(tmp_path / "file")
    with pytest.raises(DiskError, match="a file and not a folder"):
        make(tmp_path / "file" / "below")


def test_a_leaf_that_another_authority_of_the_same_name_signed_is_not_ours(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1"), make(tmp_path / "2")
    names = [
        x509.load_pem_x509_certificate(item.ca.read_bytes()).subject.get_attributes_for_oid(
            NameOID.COMMON_NAME
        )[0]
        for item in (one, two)
    ]
    assert names[0].value != names[1].value
    assert "OK" not in openssl("verify", "-CAfile", one.ca, two.certificate)
    assert isinstance(load_authority(one.ca).signature_hash_algorithm, hashes.SHA256)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from core.errors import UsageError
from mirror.lockfile import Lock
from provision import cluster as clusters
from provision import facts as fact_module
from provision import preview
from provision.cluster import ROOT
from provision.facts import Facts
from tests.unit.provision import samples

PLACE = "/var/lib/pnda/flink/mirror-ca.pem"
FILE = "tests/unit/provision/site-ca.pem"


def resolved(path: Path, lock: Lock) -> dict[str, Facts]:
    return fact_module.resolve(clusters.load(path), lock)


def test_nodes_get_the_authority_as_a_file_of_their_own(tmp_path: Path, lock: Lock) -> None:
    its = resolved(samples.cluster_file(tmp_path / "tls.yml", *samples.BY_TLS), lock)["edge-1"]
    assert its["flink_mirror_ca"] == PLACE
    written = preview.render(its)
    assert (ROOT / FILE).read_bytes().strip() in written[PLACE]
    assert f'"mirror_ca": "{PLACE}"'.encode() in written["/var/lib/pnda/flink/release-1.20.5.json"]


def test_without_it_there_is_no_file(tmp_path: Path, lock: Lock) -> None:
    its = resolved(samples.cluster_file(tmp_path / "plain.yml"), lock)["edge-1"]
    assert (its["flink_mirror_ca"], its["flink_mirror_ca_certificates"]) == ("", "")
    assert PLACE not in preview.render(its)


def test_several_authorities_may_stand_in_the_file_and_words_around_them_are_dropped(
    tmp_path: Path, lock: Lock
) -> None:
    ours = (ROOT / FILE).read_text()
    other = trustme.CA().cert_pem.bytes().decode()
    (tmp_path / "ca.pem").write_text(f"the old {{one}}\n{ours}\nthe new one\n{other}")
    change = (FILE, str(tmp_path / "ca.pem"))
    path = samples.cluster_file(tmp_path / "two.yml", *samples.BY_TLS, change)
    text = resolved(path, lock)["edge-1"]["flink_mirror_ca_certificates"]
    assert text == f"{ours.strip()}\n{other.strip()}"


def refused(tmp_path: Path, lock: Lock, *changes: tuple[str, str]) -> str:
    path = samples.cluster_file(tmp_path / "bad.yml", *samples.BY_TLS, *changes)
    with pytest.raises(UsageError) as caught:
        resolved(path, lock)
    lines = path.read_text().splitlines()
    (number,) = [count for count, line in enumerate(lines, 1) if line.startswith("  ca:")]
    assert caught.value.message.startswith(f"{path}:{number}: ")
    assert caught.value.cure
    return f"{caught.value.message} {caught.value.cure}"


def test_an_authority_for_plain_http_is_refused(tmp_path: Path, lock: Lock) -> None:
    assert "without TLS" in refused(tmp_path, lock, ("https://mirror-1", "http://mirror-1"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, lock: Lock) -> None:
    assert "No such file" in refused(tmp_path, lock, ("site-ca.pem", "no-such.pem"))


def test_a_file_without_a_certificate_is_refused(tmp_path: Path, lock: Lock) -> None:
    assert "no PEM block" in refused(tmp_path, lock, ("site-ca.pem", "samples.py"))


def test_a_key_is_refused_and_not_shown(tmp_path: Path, lock: Lock) -> None:
    authority = trustme.CA()
    text = authority.private_key_pem.bytes().decode()
    (tmp_path / "ca.pem").write_text(authority.cert_pem.bytes().decode() + text)
    said = refused(tmp_path, lock, (FILE, str(tmp_path / "ca.pem")))
    assert "private key" in said
    assert text.splitlines()[1] not in said


def test_a_torn_certificate_is_refused(tmp_path: Path, lock: Lock) -> None:
    lines = (ROOT / FILE).read_text().splitlines()
    (tmp_path / "ca.pem").write_text("\n".join([*lines[:3], *lines[4:], ""]))
    assert "cannot be read" in refused(tmp_path, lock, (FILE, str(tmp_path / "ca.pem")))


def test_an_authority_that_has_ended_is_refused(tmp_path: Path, lock: Lock) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(9), now - timedelta(2))
    raw = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(raw)
    said = refused(tmp_path, lock, (FILE, str(tmp_path / "ca.pem")))
    assert f"ended on {now - timedelta(2):%Y-%m-%d}" in said

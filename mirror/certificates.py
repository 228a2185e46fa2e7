"""A site's own certificate authority, and the certificate that its mirror shows to clients.

Keys are ECDSA on P-256, which OpenSSL and every Java since 8 know. A key is written before the
certificate made of it, and taken again when there is one, so that a killed run leaves nothing
that does not belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError, WorldError
from core.files import write_atomic
from core.locks import held
from mirror.certificate_parts import builder, general_name, name_of, pem, usage

if TYPE_CHECKING:
    from cryptography import x509

    from mirror.certificate_parts import Key

_CA_DAYS = 3650
_MOST_DAYS = 825  # what clients of common make accept of a server


@dataclass(frozen=True)
class CertificateRequest:
    """What to issue: ``hosts`` (names or IP addresses) for ``days``, into the folder ``into``.

    ``ca`` and ``ca_key`` name an authority that exists elsewhere; otherwise the one in ``into`` is
    used, or made. The file ``ca`` may hold the authorities above it too, after it.
    """

    hosts: tuple[str, ...]
    into: Path
    days: int = 397
    ca: Path | None = None
    ca_key: Path | None = None


@dataclass(frozen=True)
class Issued:
    """Where everything lies, when the server's certificate ends, and whether the authority is new."""

    certificate: Path
    key: Path
    ca: Path
    hosts: tuple[str, ...]
    ends: str
    new_ca: bool


def issue(request: CertificateRequest) -> Issued:
    """Issue (or renew) ``server.pem`` for its key ``server.key``, by ``ca.pem`` with ``ca.key``.

    Keys are readable by their owner only. Raises UsageError for a bad host, number of days or
    authority, WorldError for an authority that has ended, BusyError when another one issues there,
    DiskError.
    """
    names = [general_name(host) for host in _hosts(request.hosts)]
    if not 1 <= request.days <= _MOST_DAYS:
        raise UsageError(f"--days {request.days}: clients want 1 to {_MOST_DAYS}", "give fewer, and renew")
    if (request.ca is None) != (request.ca_key is None):
        raise UsageError("--ca and --ca-key belong together", "give both, or none to have an authority made")
    into = request.into
    if into.exists() and not into.is_dir():
        raise UsageError(f"{into} is not a folder", "name another --into")
    with held(into / ".lock", f"mirror.certificate in {into}"):
        new_ca = request.ca is None and not (into / "ca.pem").exists()
        ca, ca_key = request.ca or into / "ca.pem", request.ca_key or into / "ca.key"
        authority, signer = _make_authority(ca, ca_key) if new_ca else _load_authority(ca, ca_key)
        key = _key(into / "server.key")
        certificate = _server(names, request.hosts[0], key, authority, signer, request.days)
        between, roots = _chain(ca)
        if request.ca is not None:
            write_atomic(into / "ca.pem", roots)
        write_atomic(into / "server.pem", pem(certificate) + between)
    ends = certificate.not_valid_after_utc.isoformat(timespec="seconds")
    return Issued(into / "server.pem", into / "server.key", into / "ca.pem", request.hosts, ends, new_ca)


def load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate in the PEM file ``path``. Raises UsageError."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no certificate in PEM"
        raise UsageError(f"{path}: {reason}", "give a file as mirror.certificate writes it") from error


def load_authority(path: Path) -> x509.Certificate:
    """Return the certificate at ``path`` if it is an authority's that is valid now.

    Raises UsageError for what is none, WorldError when it has ended.
    """
    from cryptography import x509

    found = load_certificate(path)
    try:
        is_ca = found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    if not is_ca:
        raise UsageError(f"{path}: it is no authority's certificate", "give the ca.pem of mirror.certificate")
    still_valid(found, path, "make a new authority, in another folder, and give it to the clients")
    return found


def still_valid(certificate: x509.Certificate, path: Path, cure: str) -> None:
    """Raise WorldError with ``cure`` unless the certificate from ``path`` is valid now."""
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        raise WorldError(f"{path}: it ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", cure)
    if certificate.not_valid_before_utc > now:
        raise WorldError(
            f"{path}: it is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only",
            "set the clock right, on the machine that issued it or on this one",
        )


def _hosts(hosts: Sequence[str]) -> Sequence[str]:
    if not hosts:
        raise UsageError("no host is named", "give --host mirror.site, or several, separated by commas")
    return hosts


def _make_authority(path: Path, key_path: Path) -> tuple[x509.Certificate, Key]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    key = _key(key_path)
    # Named by its key: two authorities of one name confuse those who trust both.
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]
    name = name_of(f"PNDA mirror authority {mark}")
    now = datetime.now(UTC)
    certificate = (
        builder(name, name, key, now, now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_atomic(path, pem(certificate))
    return certificate, key


def _load_authority(path: Path, key_path: Path) -> tuple[x509.Certificate, Key]:
    certificate = load_authority(path)
    key = _load_key(key_path)
    if key.public_key() != certificate.public_key():
        raise UsageError(f"{key_path} is not the key of {path}", "give the two files of one authority")
    return certificate, key


def _chain(path: Path) -> tuple[bytes, bytes]:
    """Return what a server shows beside its own certificate, and what clients are to trust, as PEM.

    An authority that another one issued is believed by way of that one, which must stand in the file.
    """
    from cryptography import x509

    found = x509.load_pem_x509_certificates(path.read_bytes())
    roots = [item for item in found if item.issuer == item.subject]
    if not roots:
        raise UsageError(
            f"{path}: another authority issued this one, and is not in the file",
            "append its certificate, up to the one that clients trust",
        )
    return b"".join(pem(item) for item in found if item not in roots), b"".join(map(pem, roots))


def _server(
    names: Sequence[x509.GeneralName],
    title: str,
    key: Key,
    authority: x509.Certificate,
    signer: Key,
    days: int,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    now = datetime.now(UTC)
    # Nobody believes a certificate beyond its authority's end.
    ends = min(now + timedelta(days=days), authority.not_valid_after_utc)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        builder(name_of(title[:64]), authority.subject, key, now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _key(path: Path) -> Key:
    """Return the key at ``path``; made and written (mode 0600) when there is none."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if path.exists():
        return _load_key(path)
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomic(path, data, 0o600)
    return key


def _load_key(path: Path) -> Key:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except TypeError:
        raise UsageError(f"{path}: the key is encrypted", "decrypt it into a file of mode 0600") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no private key in PEM"
        raise UsageError(f"{path}: {reason}", "give a key as mirror.certificate writes it") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UsageError(f"{path}: not every client knows its kind of key", "use one on P-256, or RSA")
    return key

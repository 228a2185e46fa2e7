"""The pieces that certificates are made of (RFC 5280)."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    Key = EllipticCurvePrivateKey | RSAPrivateKey

_SKEW = timedelta(hours=1)  # clocks of clients that run behind
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def general_name(host: str) -> x509.GeneralName:
    """Return ``host`` as a certificate names it: a DNS name or an IP address. Raises UsageError."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        labels = host.removeprefix("*.").split(".")
        numeric = labels[-1].isdigit()
        if len(host) > 253 or numeric or not all(_LABEL.fullmatch(label) for label in labels):
            raise UsageError(
                f"--host {host!r} is neither a host's name nor an IP address",
                "give the name as clients write it (an international one in its xn-- form), without a port",
            ) from None
        return x509.DNSName(host.lower())


def builder(
    subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    """Return the beginning of a certificate for ``key``, valid from a little before ``now`` to ``ends``."""
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def usage(*, sign_certificates: bool) -> x509.KeyUsage:
    """Return what the key is for: to sign certificates, or to serve."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not sign_certificates, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def name_of(title: str) -> x509.Name:
    """Return the name of a subject or issuer."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])


def pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)

"""TLS for the mirror's web server."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from core.errors import UsageError
from mirror.certificates import load_certificate, still_valid


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a server that shows ``certificate`` (PEM, with its chain if it has one).

    TLS 1.2 and later. Raises UsageError for files that cannot be read or do not belong together,
    WorldError for a certificate that has ended.
    """
    still_valid(
        load_certificate(certificate), certificate, "run ./inv mirror.certificate again: it renews it"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password(key))
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", "") or error.strerror or type(error).__name__
        raise UsageError(
            f"{certificate} and {key} cannot be used: {reason}",
            "give the certificate and its own key, both PEM and readable, as mirror.certificate writes them",
        ) from error
    return context


def _no_password(key: Path) -> Callable[[], str]:
    def refuse() -> str:
        raise UsageError(f"{key}: the key is encrypted", "give one that is not: nobody is there to type")

    return refuse

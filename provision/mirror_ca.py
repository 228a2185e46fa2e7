"""``mirror.ca``: the authority that a mirror's certificate is believed by, and its facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.marked_yaml import Document, Path_

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_WHERE: Path_ = ("mirror", "ca")


def read(document: Document, mirror_uri: str, folder: Path) -> Path | None:
    """Return the file that ``mirror.ca`` in ``document`` names, None without one.

    ``folder`` is what its path is relative to. Raises UsageError where the mirror is not reached by TLS.
    """
    section: Mapping[str, Any] = document.data.get("mirror", {})
    if "ca" not in section:
        return None
    if not mirror_uri.startswith("https://"):
        raise document.fault(
            _WHERE,
            f"the mirror is {mirror_uri}, without TLS",
            "write mirror.base_uri: https://..., or remove ca",
        )
    return folder / str(section["ca"])


def facts(document: Document, path: Path | None, state: str) -> dict[str, str]:
    """Return where nodes keep the certificates of the file ``path``, and these; empty texts without one.

    ``state`` is the nodes' state directory. Read only when a host gets them: a lab makes its authority
    when it first comes up. Raises UsageError for a file that holds anything but valid certificates.
    """
    return {
        "flink_mirror_ca": f"{state}/mirror-ca.pem" if path else "",
        "flink_mirror_ca_certificates": _certificates(document, path) if path else "",
    }


def _certificates(document: Document, path: Path) -> str:
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise document.fault(
            _WHERE,
            f"{path}: cannot be read: {error.strerror}",
            "name the file of the authority's certificate (./inv mirror.certificate makes ca.pem)",
        ) from error
    blocks = [match.group(0) for match in _BLOCK.finditer(text)]
    kinds = [match.group(1) for match in _BLOCK.finditer(text)]
    if not blocks or set(kinds) != {"CERTIFICATE"}:
        raise document.fault(
            _WHERE,
            f"{path}: holds {', '.join(sorted(set(kinds))).lower() or 'no PEM block'}, not just certificates",
            "name the file of the authority's certificate, without any key",
        )
    for block in blocks:
        try:
            ends = x509.load_pem_x509_certificate(block.encode()).not_valid_after_utc
        except ValueError as error:
            raise document.fault(
                _WHERE,
                f"{path}: a certificate in it cannot be read: {error}",
                "take a whole copy of it",
            ) from error
        if ends < datetime.now(UTC):
            raise document.fault(
                _WHERE,
                f"{path}: a certificate in it ended on {ends:%Y-%m-%d}",
                "name the present authority's",
            )
    return "\n".join(blocks)

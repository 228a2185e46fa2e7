"""The section ``mirror.server`` of a cluster file: what a schema cannot say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.marked_yaml import Document, Path_

_BEGIN = re.compile(r"-----BEGIN ([A-Z ]+)-----")
_END = "-----END PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class MirrorServer:
    """The web server of MIRROR hosts.

    ``root``, ``certificate`` and ``certificate_key`` are paths on the host, the ports TCP ports (0 for
    none), ``site_key`` is the file, on this machine, of the public key that releases are signed with.
    """

    root: str
    address: str
    http_port: int
    https_port: int
    certificate: str
    certificate_key: str
    site_key: Path


def read(document: Document, where: Path_, section: Mapping[str, Any], folder: Path) -> MirrorServer:
    """Return the server that ``section``, at ``where`` in ``document``, describes.

    ``folder`` is what its relative paths are relative to. Raises UsageError with the line.
    """
    http, https = section.get("http_port", 80), section.get("https_port", 443)
    if not http and not https:
        raise document.fault(where, "http_port and https_port are both 0", "leave one of them out")
    if http == https:
        raise document.fault(where, f"http_port and https_port are both {http}", "take two different ports")
    for key in ("certificate", "certificate_key"):
        if https and key not in section:
            raise document.fault(
                where,
                f"https_port is {https}, and {key} is missing",
                "name the file on the host (./inv mirror.certificate makes it), or write `https_port: 0`",
            )
    return MirrorServer(
        section["root"],
        section.get("address", "0.0.0.0"),  # noqa: S104 - a mirror is for all nodes; the key narrows it
        http,
        https,
        section.get("certificate", ""),
        section.get("certificate_key", ""),
        folder / section["site_key"],
    )


def public_key(document: Document, path: Path) -> str:
    """Return the armored public key in ``path``, which ``mirror.server.site_key`` in ``document`` names.

    Read only when a host gets it: a lab makes its key when it first comes up. Raises UsageError.
    """
    where = ("mirror", "server", "site_key")
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise document.fault(
            where,
            f"{path}: cannot be read as an armored OpenPGP key",
            "name the file of the public key that releases are signed with (for the lab: ./inv up makes it)",
        ) from error
    blocks = _BEGIN.findall(text)
    if blocks != ["PGP PUBLIC KEY BLOCK"] or not text.endswith(_END):
        raise document.fault(
            where,
            f"{path}: holds {', '.join(blocks).lower() or 'no armored block'}, not one public key block",
            "export the public key alone: gpg --armor --export FINGERPRINT",
        )
    return text

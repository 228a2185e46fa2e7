"""What ``mirror.client-config`` is told, read from files and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from mirror import client_config
from mirror.certificates import load_authority
from mirror.client_config import CLIENTS, Site
from mirror.lockfile import load

_SUITE = re.compile(r"[a-z][a-z0-9.+-]*")


@dataclass(frozen=True)
class SiteRequest:
    """The options as given; ``ca`` and ``trust`` are paths or "", ``only`` what the mirror holds (all)."""

    base_uri: str
    ca: str
    trust: str
    at: str
    suite: str
    lock: Path
    only: tuple[str, ...] = ()


def make_site(request: SiteRequest, names: Sequence[str]) -> tuple[Site, list[str]]:
    """Return the site and the clients to write for; ``all`` leaves out those that cannot work.

    Raises UsageError for a wrong option or file, WorldError for an authority that has ended.
    """
    for name in names:
        if name not in (*CLIENTS, "all"):
            raise UsageError(f"--client {name}: there is no such client", f"name {', '.join(CLIENTS)} or all")
    if not names:
        raise UsageError("--client names nobody", f"name {', '.join(CLIENTS)} or all")
    base = client_config.base_uri(request.base_uri)
    if request.ca and not base.startswith("https:"):
        raise UsageError("--ca is for https, and --base-uri is not", "give the https address, or no --ca")
    if not _SUITE.fullmatch(request.suite):
        raise UsageError(f"--suite {request.suite!r} is no suite", "give one such as bookworm")
    keys = client_config.public_keys(_read(request.trust), request.trust) if request.trust else ""
    lock = load(request.lock)
    archives = {
        item.path: item.sha512
        for item in lock.files_of(lock.select(request.only))
        if "/" not in item.path and item.path.endswith(".tar.gz")
    }
    at = client_config.folder_on_client(request.at)
    site = Site(base, _authorities(request.ca), keys, at, request.suite, archives)
    if "all" in names:
        return site, [name for name in CLIENTS if name != "apt" or keys]
    return site, [name for name in CLIENTS if name in names]


def _authorities(path: str) -> bytes:
    """Return the certificates in ``path`` as PEM and nothing else that lies there; b"" without a path."""
    if not path:
        return b""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    load_authority(Path(path))
    return b"".join(item.public_bytes(Encoding.PEM) for item in x509.load_pem_x509_certificates(_read(path)))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that exists and can be read") from error

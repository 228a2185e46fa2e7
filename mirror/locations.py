"""Where bytes can be had: an address with its credentials, which never reach a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True)
class Location:
    """An address to fetch from. ``verify``/``cert`` are as in requests; secrets stay out of ``repr``."""

    url: str = field(repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str | None = None  # None: what requests decides (the environment's CA bundle)
    cert: str | None = None

    def __str__(self) -> str:
        return redact(self.url)

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]

    def beside(self, suffix: str) -> Location:
        """Return the location whose path has ``suffix`` appended (``.sha1``, ``.asc``)."""
        return self.at(_append(self.url, suffix))

    def at(self, url: str) -> Location:
        """Return ``url`` reached by the same way (credentials, proxy, certificates)."""
        return Location(url, self.auth, self.proxies, self.verify, self.cert)


def redact(url: str) -> str:
    """Return ``url`` without user, password, query and fragment: what a message may show.

    >>> redact("https://me:secret@host.example:8443/a/b?token=1#x")
    'https://host.example:8443/a/b'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return urlunsplit(
        (parts.scheme, f"[{host}]{port}" if ":" in host else f"{host}{port}", parts.path, "", "")
    )


def scheme_and_host(url: str) -> tuple[str, str]:
    """Return the scheme and host of ``url``; two empty strings when it cannot be read."""
    try:
        parts = urlsplit(url)
        return ("", "") if parts.port == 0 else (parts.scheme, parts.hostname or "")
    except ValueError:  # also where the port is no number
        return "", ""


def _append(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix, fragment=""))

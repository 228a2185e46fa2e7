"""How each host is reached: proxy, certificates and credentials, decided by requests once per host.

requests knows netrc, the environment's proxies and CA bundles; asking it anew for each of many small
files would take most of their time. The connections are those of urllib3, which it stands on
(docs/decisions/0005-requests-decides-urllib3-fetches.md).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from mirror.locations import Location

# Where Debian's and Red Hat's families keep the machine's CA bundle.
_SYSTEM_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))


def trust(verify: bool | str, system: Sequence[Path] = _SYSTEM_BUNDLES) -> bool | str:
    """Return ``verify``, and where it leaves the choice (True) the machine's own CA bundle.

    requests would take the bundle that it brings along, in which a company's CA that stands in the
    machine's store, and which Maven and apt accept, is missing.
    """
    if verify is not True:
        return verify
    named = os.environ.get("SSL_CERT_FILE", "")
    return next((str(path) for path in (*([Path(named)] if named else []), *system) if path.is_file()), True)


@dataclass(frozen=True)
class Way:
    """The connections to a host (``pool``, urllib3's), and ``auth``, what netrc has for it."""

    pool: Any
    proxies: dict[str, str] = field(repr=False)
    auth: tuple[str, str] | None = field(repr=False)
    adapter: HTTPAdapter = field(repr=False)

    def request(
        self, url: str, auth: tuple[str, str] | None, headers: Mapping[str, str], method: str
    ) -> tuple[str, Mapping[str, str]]:
        """Return what the request line names, and all headers, as requests would send them."""
        prepared = _prepared(url, auth or self.auth, headers, method)
        return self.adapter.request_url(prepared, self.proxies), prepared.headers


class Ways:
    """The ways to all hosts, with ``width`` connections each that are kept. Safe for several threads.

    ``connection`` makes the class that a pool's connections are of from urllib3's own.
    """

    def __init__(self, width: int, connection: Callable[[type[Any]], type[Any]]) -> None:
        self._width, self._connection = width, connection
        self._lock = threading.Lock()
        self._ways: dict[tuple[object, ...], Way] = {}

    def to(self, location: Location) -> Way:
        """Return the way to the host of ``location``. Raises ValueError or OSError if it cannot be."""
        parts = urlsplit(location.url)
        key = (parts.scheme, parts.netloc, *location.proxies.items(), location.verify, location.cert)
        with self._lock:
            if key not in self._ways:
                self._ways[key] = self._find(location)
            return self._ways[key]

    def _find(self, location: Location) -> Way:
        merged = requests.Session().merge_environment_settings(
            location.url, dict(location.proxies), True, location.verify, location.cert
        )
        verify = trust(merged["verify"] is None or merged["verify"])
        proxies = dict(merged["proxies"])
        adapter = HTTPAdapter(pool_maxsize=self._width)
        prepared = _prepared(location.url, None, {}, "GET")
        pool: Any = adapter.get_connection_with_tls_context(prepared, verify, proxies, merged["cert"])
        adapter.cert_verify(pool, prepared.url, verify, merged["cert"])  # type: ignore[no-untyped-call]
        pool.ConnectionCls = self._connection(pool.ConnectionCls)
        return Way(pool, proxies, requests.utils.get_netrc_auth(location.url), adapter)


def _prepared(
    url: str, auth: tuple[str, str] | None, headers: Mapping[str, str], method: str
) -> requests.PreparedRequest:
    prepared = requests.PreparedRequest()
    prepared.prepare(method=method, url=url, headers=dict(headers), auth=auth)
    return prepared

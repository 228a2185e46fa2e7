"""The facts of the mirror's own web server, for hosts with the role MIRROR where ``mirror.server`` is set."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from provision import manifest
from provision.cluster import Cluster
from provision.mirror_section import public_key

CONFIGURATION = "/etc/pnda-mirror"
_PROGRAMS = "/usr/lib/pnda/mirror_server"
_PACKAGES = ["nginx"]


def facts(cluster: Cluster, roles: Collection[str]) -> dict[str, Any]:
    """Return the facts of hosts with ``roles`` that begin with ``mirror_server_``: complete, also without it.

    Raises UsageError when the site's public key cannot be read.
    """
    server = cluster.mirror_server
    components = ["server"] if "MIRROR" in roles and server is not None else []
    common: dict[str, Any] = {
        "mirror_server_managed_by": f"Managed by PNDA provisioning (cluster {cluster.name}): "
        "changes made here are overwritten.",
        "mirror_server_components": components,
        "mirror_server_configuration_directory": CONFIGURATION,
        "mirror_server_program_directory": _PROGRAMS,
        "mirror_server_packages": _PACKAGES if components else [],
        "mirror_server_root": server.root if server else "",
        "mirror_server_address": server.address if server else "",
        "mirror_server_http_port": server.http_port if server else 0,
        "mirror_server_https_port": server.https_port if server else 0,
        "mirror_server_certificate": server.certificate if server else "",
        "mirror_server_certificate_key": server.certificate_key if server else "",
        "mirror_server_site_key": public_key(cluster.document, server.site_key)
        if server and components
        else "",
    }
    names = {
        key.removeprefix("mirror_server_"): value for key, value in common.items() if isinstance(value, str)
    }
    scope = manifest.Scope(frozenset(components), frozenset(), names, (), {})
    resolved = manifest.resolve(scope, manifest.MIRROR_SERVER)
    return {
        **common,
        "mirror_server_directories": list(resolved.directories),
        "mirror_server_files": list(resolved.files),
        "mirror_server_links": list(resolved.links),
    }

"""Paths inside a release: which are allowed, and which the release itself makes."""

from __future__ import annotations

import re

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~@=-]*")
_MADE = (
    "release.json", "release.json.asc", "SHA512SUMS", "SHA512SUMS.asc", "catalogue.lock", "sbom.cdx.json",
    "mirror_deb/debian.lock",
)  # fmt: skip
_PAGE = "index.html"
_MADE_FOLDERS = ("mirror_python/simple/", "mirror_deb/dists/", "mirror_keys/")
_MADE_FOR_MAVEN = re.compile(r"mirror_maven/(.+\.sha1|(.+/)?maven-metadata\.xml)")
SIDECAR = ".sha512.txt"


def path_fault(path: str) -> str:
    """Return what is wrong with ``path`` as a release path ("leaves the release", ...), or ""."""
    if not path or path.startswith("/"):
        return "is not a relative path"
    if len(path) > 400:
        return "is too long"
    for part in path.split("/"):
        if part in ("..", ".", ""):
            return "leaves its folder or is not in its shortest form"
        if len(part) > 200 or not _PART.fullmatch(part):
            return "has a part that is not made of letters, digits and . _ + ~ @ = -"
    return ""


def is_made_here(path: str) -> bool:
    """Tell whether the release writes ``path`` itself, so that no entry may bring it."""
    page = path.rsplit("/", 1)[-1] == _PAGE
    if page or _MADE_FOR_MAVEN.fullmatch(path):
        return True
    return path in _MADE or path.endswith(SIDECAR) or path.startswith(_MADE_FOLDERS)


def wants_sidecar(path: str) -> bool:
    """Tell whether a ``.sha512.txt`` lies beside ``path`` (PNDA's layout: the root and mirror_apps)."""
    return "/" not in path or path.startswith(("mirror_apps/", "mirror_misc/"))

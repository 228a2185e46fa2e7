"""Where a release's files go in a document root that is somebody else's: a PNDA mirror's.

PNDA's own mirror has ``mirror_python/simple/PROJECT/index.html`` for its projects (never
``simple/index.html``), ``mirror_python/packages``, ``mirror_misc``, ``mirror_apps`` and its archives
at the top, and shows folders by the web server's own listing (pnda:mirror, create_mirror.sh).
"""

from __future__ import annotations

from mirror.contents import RECORD, SIGNATURE, SUMS
from mirror.paths import SIDECAR, is_made_here

OURS = "mirror_flink"
MANIFEST = f"{OURS}/manifest.json"
SUMS_HERE = f"{OURS}/files.sha512.txt"
_SIMPLE, _SIMPLE_HERE = "mirror_python/simple/", "mirror_python/simple-flink/"
_OWN_FOLDERS = ("mirror_maven/", "mirror_deb/", "mirror_keys/", _SIMPLE)


def place(path: str) -> str:
    """Return where the release's ``path`` goes in a shared document root, "" for what stays away.

    What speaks of the whole release (record, lock, sums) goes to a folder of ours. The Python index
    gets a name of its own, because both mirrors have pages of the same projects. Pages for people
    stay away from folders that are not only ours: they would hide what else is there.
    """
    if path.startswith(_SIMPLE):
        return _SIMPLE_HERE + path.removeprefix(_SIMPLE)
    if path.rsplit("/", 1)[-1] == "index.html" and not path.startswith(_OWN_FOLDERS):
        return ""
    if "/" not in path and is_made_here(path) and not path.endswith(SIDECAR):
        return f"{OURS}/{path}"
    return path


def rank(target: str) -> int:
    """Return when ``target`` is put in place: what names other files comes after them."""
    name = target.rsplit("/", 1)[-1]
    if target.startswith(f"{OURS}/"):
        return 4 if name in (RECORD, RECORD + SIGNATURE, SUMS + SIGNATURE) else 3
    if name in ("Release", "InRelease", "Release.gpg"):
        return 2
    indexes = ("index.html", "index.json", "maven-metadata.xml", "Packages", "Packages.gz")
    return 1 if name in indexes or target.endswith(SIDECAR) else 0

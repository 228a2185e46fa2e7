"""The lab's images, made from Debian packages: one base by mmdebstrap, the others on top of it.

``recipes/<image>/`` holds what an image is: ``packages`` (one a line), ``root/`` (files laid over
it) and ``setup.sh`` (run once inside, last). Its tag is a hash of all that and of its parent, so
that an image is built once and a changed recipe gives another tag.
"""

from __future__ import annotations

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core import console
from core.errors import UpstreamError
from core.process import run
from lab import sources
from lab.engine import docker
from lab.places import locked

RECIPES = Path(__file__).resolve().parent / "recipes"
REPOSITORY = "flink-on-pnda-lab"
_PARENTS = {"base": "", "node": "base", "graphite": "base", "edge": "node", "kafka": "node"}
_EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_BUILD_SECONDS = 1200.0
_CURE = "check apt's sources and the network (apt-get update), then run again"


@dataclass(frozen=True)
class Recipe:
    """What one image is made of; ``tag`` is its full name in Docker."""

    name: str
    parent: str
    packages: tuple[str, ...]
    folder: Path
    tag: str


def recipe(name: str, folder: Path = RECIPES) -> Recipe:
    """Read the recipe ``name`` (a key of the images that the lab knows) and work out its tag."""
    here = folder / name
    parent = _PARENTS[name]
    digest = hashlib.sha256(f"{sources.SUITE} {name}\n".encode())
    if parent:
        digest.update(recipe(parent, folder).tag.encode())
    for path in sorted(p for p in here.rglob("*") if p.is_file()):
        mode = "x" if path.stat().st_mode & 0o100 else "-"
        digest.update(f"{path.relative_to(here)} {mode}\n".encode() + path.read_bytes())
    listing = here / "packages"
    lines = listing.read_text().splitlines() if listing.exists() else []
    packages = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    return Recipe(name, parent, packages, here, f"{REPOSITORY}:{name}-{digest.hexdigest()[:16]}")


def present(tag: str) -> bool:
    """Return whether the engine has the image ``tag``."""
    return docker("image", "inspect", "--format", "{{.Id}}", tag, check=False).code == 0


def ensure(names: tuple[str, ...], log_folder: Path) -> dict[str, str]:
    """Build what is missing of the images ``names`` and return their tags.

    Images of one depth are built at the same time, and one process at a time builds. Each build's
    output is kept as ``<log_folder>/<image>.log``. Raises UpstreamError with its tail when one fails.
    """
    wanted = {name: recipe(name) for name in names}
    if all(present(one.tag) for one in wanted.values()):
        return {name: one.tag for name, one in wanted.items()}
    needed = set(names)
    while parents := {_PARENTS[name] for name in needed if _PARENTS[name]} - needed:
        needed |= parents
    log_folder.mkdir(parents=True, exist_ok=True)
    with locked("lab-images"):
        for depth in sorted({_depth(name) for name in needed}):
            missing = [
                one
                for name in sorted(needed)
                if _depth(name) == depth and not present((one := recipe(name)).tag)
            ]
            with ThreadPoolExecutor(max_workers=len(_PARENTS)) as pool:
                list(pool.map(lambda one: _build(one, log_folder / f"{one.name}.log"), missing))
    return {name: one.tag for name, one in wanted.items()}


def remove_all() -> int:
    """Remove every image that the lab made and that no container uses; return how many."""
    listing = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY).stdout.split()
    order = sorted(listing, key=lambda tag: -_depth(tag.rpartition(":")[2].partition("-")[0]))
    return sum(docker("image", "rm", tag, check=False).code == 0 for tag in order)


def _depth(name: str) -> int:
    parent = _PARENTS.get(name, "")
    return 1 + _depth(parent) if parent else 0


def _build(wanted: Recipe, log: Path) -> None:
    console.say(f"   building the image {wanted.name}")
    log.unlink(missing_ok=True)
    if wanted.parent:
        _derive(wanted, recipe(wanted.parent).tag, log)
    else:
        _bootstrap(wanted, log)


def _bootstrap(wanted: Recipe, log: Path) -> None:
    """Make the base: mmdebstrap into a tar, imported, then its files and set-up like any other image."""
    raw = f"{REPOSITORY}:raw-{wanted.tag.rpartition('-')[2]}"
    with tempfile.TemporaryDirectory(prefix="flink-on-pnda-image-") as folder:
        tar, apt = Path(folder) / "base.tar", Path(folder) / "lab.sources"
        apt.write_text(sources.sources())
        done = run(
            [
                "mmdebstrap", "--format=tar", "--variant=minbase", f"--include={','.join(wanted.packages)}",
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
                *(f"--aptopt={option}" for option in sources.options()),
                sources.SUITE, tar, apt,
            ],
            timeout=_BUILD_SECONDS, what="mmdebstrap", failure=UpstreamError, cure=_CURE,
        )  # fmt: skip
        log.write_text(done.stdout + done.stderr)
        docker("import", "--change", 'CMD ["/sbin/init"]', tar, raw, timeout=300)
    _derive(Recipe(wanted.name, "", (), wanted.folder, wanted.tag), raw, log)
    docker("image", "rm", "--no-prune", raw, check=False)


def _derive(wanted: Recipe, parent_tag: str, log: Path) -> None:
    """Install packages, lay the files over and run the set-up in a container of the parent; commit it.

    A container instead of ``docker build``: the host's certificates and apt credentials are
    mounted for its lifetime and never become part of a layer.
    """
    container = f"flink-on-pnda-build-{wanted.tag.rpartition('-')[2]}-{wanted.name}"
    docker("rm", "-f", container, check=False)
    mounts = ["-v", f"{wanted.folder}:/run/recipe:ro"]
    for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/apt/auth.conf.d"):
        if Path(path).exists() and wanted.packages:
            mounts += ["-v", f"{path}:{path}:ro"]
    try:
        done = docker(
            "run", "--name", container, "--network", "host", *mounts,
            parent_tag, "/bin/sh", "-ec", _script(wanted), timeout=_BUILD_SECONDS,
            what=f"building the image {wanted.name}", failure=UpstreamError, cure=_CURE,
        )  # fmt: skip
        with log.open("a") as stream:
            stream.write(done.stdout + done.stderr)
        docker("commit", "--change", 'CMD ["/sbin/init"]', container, wanted.tag, timeout=300)
    finally:
        docker("rm", "-f", container, check=False)


def _script(wanted: Recipe) -> str:
    lines = ["export DEBIAN_FRONTEND=noninteractive"]
    if wanted.packages:
        lines += [
            "apt-get update -q",
            f"apt-get install -y -q --no-install-recommends {' '.join(wanted.packages)}",
            "apt-get clean",
            "rm -rf /var/lib/apt/lists/*",
        ]
    lines += [
        "if [ -d /run/recipe/root ]; then cp -r --no-preserve=ownership /run/recipe/root/. /; fi",
        "if [ -e /run/recipe/setup.sh ]; then sh /run/recipe/setup.sh; fi",
    ]
    return "\n".join(lines)

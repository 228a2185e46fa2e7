"""apt installs each entry's packages with the mirror as its only source, as its client's files set it up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from core.process import Finished, run
from mirror import lockfile
from mirror.deb_repository import SUITE_KIND
from mirror.entries import DebEntry
from mirror.kept_debs import IN_RELEASE
from mirror.proofs.model import Task, World

_SECONDS = 900.0
_CONFIGURATION = """\
Dir "{folder}";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}";
Dir::Etc "{folder}/etc";
Dir::Etc::parts "{folder}/etc/apt.conf.d";
Dir::Etc::trustedparts "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
"""


def tasks(world: World) -> Iterator[Task]:
    """Yield a proof for each architecture of each entry."""
    for entry in world.entries:
        if isinstance(entry, DebEntry):
            for architecture in entry.architectures:
                yield Task(
                    "apt",
                    f"{entry.name} for {architecture}",
                    partial(_install, world, entry, architecture),
                )


def _install(world: World, entry: DebEntry, architecture: str) -> list[str]:
    """Let apt fetch all that installing the entry's packages on a minimal machine takes."""
    if world.keyring is None:
        return ["the release is not signed, and apt believes no unsigned one (mirror.build --sign-key)"]
    folder = world.scratch / f"apt-{entry.name}-{architecture}"
    configuration = _root(world, entry, architecture, folder)
    updated = _apt(configuration, "update")
    if updated.code != 0:
        return _reasons(updated)
    names = [text.partition("=")[0] for text in entry.packages]
    got = _apt(configuration, "install", "--yes", "--reinstall", "--download-only", *names)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return _reasons(got) if got.code != 0 else []


def _root(world: World, entry: DebEntry, architecture: str, folder: Path) -> Path:
    """Make what apt works in; return its configuration."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc/sources.list.d", "etc/apt.conf.d",
                 "etc/preferences.d"):  # fmt: skip
        (folder / name).mkdir(parents=True)
    (folder / "status").write_text(_status(world, entry, architecture), encoding="utf-8")
    shutil.copy(world.settings / "pnda-mirror.sources", folder / "etc" / "sources.list.d")
    shutil.copy(world.settings / "90pnda-mirror", folder / "etc" / "apt.conf.d")
    path = folder / "apt.conf"
    path.write_text(_CONFIGURATION.format(folder=folder, architecture=architecture), encoding="utf-8")
    return path


def _status(world: World, entry: DebEntry, architecture: str) -> str:
    """Return dpkg's record of a machine that has what the entry takes for installed, and nothing else."""
    kept = lockfile.load(world.release / IN_RELEASE)
    rows: Sequence[Mapping[str, str]] = ()
    for item in kept.inputs:
        assumed = item.source.get("assumed", {})
        if item.source["kind"] == SUITE_KIND and entry.name in assumed:
            rows = assumed[entry.name][architecture]
    return "\n".join(
        "".join(f"{name}: {value}\n" for name, value in row.items()) + "Status: install ok installed\n"
        for row in rows
    )


def _apt(configuration: Path, *words: str) -> Finished:
    return run(
        ["apt-get", "--quiet", *words], timeout=_SECONDS, check=False, what="apt-get",
        env={"APT_CONFIG": str(configuration), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


def _reasons(done: Finished) -> list[str]:
    lines = [line for line in done.stderr.splitlines() if line[:2] in ("E:", "W:")]
    return lines or done.tail().splitlines()[-5:]

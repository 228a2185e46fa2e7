"""An apt of our own: this machine's configuration, but no list, cache, pin or installed package of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from core.errors import DiskError, InternalError, UpstreamError, UsageError, WorldError
from core.process import Finished, run
from mirror.apt_machine import Repository
from mirror.resolving import Missing, NotPublishedError

_TIMEOUT = 900.0
_URI = re.compile(r"^'([^']+)' (\S+)_([^_\s]+)_([^_\s]+)\.deb ")
_UNKNOWN = re.compile(r"^E: (?:Unable to locate package (\S+)|Version '([^']*)' for '([^']*)' was not found)")
# What apt says where the answer came and cannot be believed, in apt's methods and in its library.
_REFUSED = re.compile(
    r"NO_PUBKEY|BADSIG|EXPKEYSIG|EXPSIG|REVKEYSIG|NODATA|invalid signature|couldn't be verified"
    r"|is expired|is not valid yet|Hash Sum mismatch|weak security|unexpected size"
    r"|Clearsigned file isn't valid|No Hash entry|[Ii]nsufficiently signed|Sub-process .* returned an error",
)
_CONFIGURATION = """\
#clear APT::Update;
#clear APT::Periodic;
#clear APT::Default-Release;
#clear APT::Architectures;
#clear DPkg::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear Dir::Etc::preferences;
#clear Dir::Etc::preferencesparts;
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::extended_states "{folder}/extended_states";
Dir::State::status "{folder}/empty";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}";
Dir::Etc::sourcelist "{folder}/ours.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{first}";
APT::Architectures {{ {all} }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Check-Date "true";
Acquire::Check-Valid-Until "true";
Acquire::Languages "none";
Acquire::Retries "3";
"""


@dataclass(frozen=True, order=True)
class Chosen:
    """A package that apt chose: name, version, and its own architecture (``all`` or a machine's)."""

    name: str
    version: str
    architecture: str

    @property
    def asked(self) -> str:
        """Return how apt is asked for exactly this one."""
        return f"{self.name}={self.version}"


class AptRoot:
    """apt working in ``folder`` with ``repositories`` only. The folder is private, and apt's to fill."""

    def __init__(
        self, folder: Path, repositories: Sequence[Repository], architectures: Sequence[str]
    ) -> None:
        if re.search(r'["\s;{}\\]', str(folder)):
            raise UsageError(
                f"{folder}: apt cannot work in a folder of this name", "let TMPDIR name another one"
            )
        self.folder, self.repositories = folder, tuple(repositories)
        self._architectures = tuple(architectures)
        folder.chmod(0o755)  # apt downloads as a user of its own, who must reach it
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "empty").touch()
        listed = " ".join(f'"{name}";' for name in architectures)
        self._configuration = folder / "apt.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(folder=folder, first=architectures[0], all=listed), encoding="utf-8"
        )
        self.use(repositories)

    def use(self, repositories: Sequence[Repository]) -> None:
        """Take only ``repositories`` from now on."""
        self.repositories = tuple(repositories)
        text = "\n".join(self._source(repository) for repository in repositories)
        path = self.folder / "ours.sources"
        path.touch(mode=0o600)  # an address may hold a password
        path.write_text(text, encoding="utf-8")

    def _source(self, repository: Repository) -> str:
        lines = [
            "Types: deb",
            f"URIs: {repository.uri}",
            f"Suites: {repository.suite}",
            f"Components: {' '.join(repository.components)}",
            f"Architectures: {' '.join(self._architectures)}",
            "Targets: Packages",
        ]
        # Nothing else of the machine's source: `trusted=yes` and the like are left behind.
        return "\n".join([*lines, *([f"Signed-By: {repository.signed_by}"] * bool(repository.signed_by)), ""])

    def update(self) -> None:
        """Fetch the indexes. Raises WorldError when apt refuses one, UpstreamError when it cannot be had."""
        done = self._apt("apt-get", "update", "-q")
        if done.code == 0:
            return
        lines = [line for line in done.stderr.splitlines() if line[:2] in ("E:", "W:", "  ")]
        said = _without_logins("\n".join(lines) or done.tail())
        if "No space left" in said:
            raise DiskError(
                f"apt has no room for the index of {_names(self.repositories)} in {self.folder.parent}",
                "free space there, or let TMPDIR name another folder",
            )
        # Of what it could not fetch apt says, too, that it is not signed.
        if _REFUSED.search(said) or ("not signed" in said and "Failed to fetch" not in said):
            raise WorldError(
                f"apt refuses the index of {_names(self.repositories)}\n{said}",
                "check the source, its keyring (Signed-By) and this machine's clock; an index that nobody "
                "whom apt trusts has signed is never used",
            )
        raise UpstreamError(
            f"apt cannot get the index of {_names(self.repositories)}\n{said}",
            "check apt's sources, the network and the proxy (apt-get update), or try again later",
        )

    def signed_release(self, repository: Repository) -> bytes:
        """Return the ``InRelease`` that apt has verified for ``repository``."""
        done = self._apt(
            "apt-get", "indextargets", "--format", "$(REPO_URI)\t$(RELEASE)\t$(FILENAME)\t$(METAKEY)"
        )
        for line in done.stdout.splitlines():
            uri, suite, filename, key = [*line.split("\t"), "", "", ""][:4]
            if uri == repository.uri and suite == repository.suite:
                # apt writes a list's address as its name, slashes as underscores.
                stem = re.split(re.escape("_" + key.replace("/", "_")), filename)[0]
                path = Path(f"{stem}_InRelease")
                if path.is_file():
                    return path.read_bytes()
        raise WorldError(
            f"{repository}: it has no InRelease",
            "only a suite whose index is signed in one file (InRelease) is mirrored",
        )

    def base(self, architecture: str, minbase: bool, packages: Sequence[str]) -> Path:
        """Return a dpkg status file that has ``packages``, or a minimal system, with all they need."""
        wanted = ["?essential", "?priority(^required$)", "apt"] if minbase else list(packages)
        path = self.folder / f"status-{architecture}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}"
        if not wanted:
            return self.folder / "empty"
        if not path.exists():
            chosen = self.choose(wanted, architecture, path=self.folder / "empty")
            text = self.stanzas(chosen)
            path.write_text(
                re.sub(r"(?m)^Package: .*$", r"\g<0>\nStatus: install ok installed", text), encoding="utf-8"
            )
        return path

    def choose(
        self, packages: Sequence[str], architecture: str, path: Path, *, closure: bool = True,
        recommends: bool = False, entry: str = "",
    ) -> tuple[Chosen, ...]:  # fmt: skip
        """Return what apt would bring for ``packages`` where the dpkg status is the file ``path``.

        Named packages are returned even if installed there. Raises NotPublishedError for unknown
        ones, WorldError (with apt's words) for dependencies that nothing satisfies.
        """
        options = [
            "-o", f"APT::Architecture={architecture}", "-o", f"Dir::State::status={path}",
            "-o", f"APT::Install-Recommends={'true' if recommends else 'false'}",
        ]  # fmt: skip
        verb = ["install", "--reinstall"] if closure else ["download"]
        done = self._apt("apt-get", *options, "-y", "-q", "--print-uris", *verb, *packages)
        missing = [match for line in done.stderr.splitlines() if (match := _UNKNOWN.match(line))]
        if missing:
            words = [match[1] or f"{match[3]}={match[2]}" for match in missing]
            raise NotPublishedError([Missing(entry, f"{word} ({architecture})", ()) for word in words])
        if done.code:
            raise WorldError(
                f"{entry}: apt finds no way to install {', '.join(packages)} on {architecture}\n"
                + _without_logins(done.tail()),
                "name other packages or versions, or add the suites that have what is missing to `updates`",
            )
        rows = (_URI.match(line) for line in done.stdout.splitlines())
        return tuple(sorted({Chosen(row[2], unquote(row[3]), row[4]) for row in rows if row}))

    def stanzas(self, chosen: Sequence[Chosen]) -> str:
        """Return the indexes' paragraphs about ``chosen``; of one package there may be several."""
        return self._checked("apt-cache", "show", *(item.asked for item in chosen)).stdout

    def origins(self, chosen: Sequence[Chosen]) -> dict[tuple[str, str], list[str]]:
        """Return by package and version the suites that have it (from ``apt-cache madison``)."""
        done = self._checked("apt-cache", "madison", *sorted({item.name for item in chosen}))
        found: dict[tuple[str, str], list[str]] = {}
        for line in done.stdout.splitlines():
            name, version, index = ([word.strip() for word in line.split(" | ")] + ["", ""])[:3]
            words = index.split()
            if len(words) > 1:
                found.setdefault((name, version), []).append(words[1].rpartition("/")[0])
        return found

    def _checked(self, *words: str) -> Finished:
        done = self._apt(*words)
        if done.code:
            raise InternalError(f"{' '.join(words[:2])}: exit code {done.code}\n{done.tail()}")
        return done

    def _apt(self, program: str, *words: str) -> Finished:
        return run(
            [program, "-c", self._configuration, *words], timeout=_TIMEOUT, check=False,
            failure=UpstreamError, env={"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            what=program, cure="check apt's sources, the network and the proxy",
        )  # fmt: skip


def _names(repositories: Sequence[Repository]) -> str:
    return ", ".join(dict.fromkeys(str(repository) for repository in repositories))


def _without_logins(text: str) -> str:
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)

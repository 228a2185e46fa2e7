"""What this machine's apt is set up with: where a suite is, whose keys count, proxy and credentials."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import UsageError
from core.process import run
from mirror import debian_control
from mirror.locations import Location, redact

_TIMEOUT = 120.0
_FORMAT = "$(CREATED_BY)\t$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)\t$(SOURCESENTRY)"
_SETTING = re.compile(r'^([A-Za-z0-9_:./-]+) "(.*)";$')
# sources.list(5): one-line style, with options in brackets.
_ONE_LINE = re.compile(r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)")


@dataclass(frozen=True)
class Repository:
    """A suite of a Debian repository. ``uri`` ends with a slash and may hold credentials.

    ``signed_by`` is what apt's source says: key files, fingerprints, or a key; "" for apt's own keys.
    """

    uri: str = field(repr=False)
    suite: str
    components: tuple[str, ...]
    signed_by: str

    def __str__(self) -> str:
        return f"{redact(self.uri)} {self.suite}"


def repositories(suites: Sequence[str], components: Sequence[str]) -> tuple[Repository, ...]:
    """Return where apt's sources have ``components`` of ``suites``, in apt's order.

    Raises UsageError when apt is not there, or no source names one of the suites.
    """
    if shutil.which("apt-get") is None:
        raise UsageError(
            "Debian packages are resolved and located by apt, which is not installed",
            "run this on Debian or Ubuntu, or leave entries of kind deb out (--only)",
        )
    done = run(
        ["apt-get", "indextargets", "--no-release-info", "--format", _FORMAT], timeout=_TIMEOUT,
        env={"LC_ALL": "C.UTF-8"}, what="apt, asked for its sources", failure=UsageError,
        cure="mend apt's sources",
    )  # fmt: skip
    found: dict[tuple[str, str], tuple[list[str], str]] = {}
    for line in done.stdout.splitlines():
        created_by, suite, component, uri, entry = [*line.split("\t"), "", "", "", "", ""][:5]
        if created_by == "Packages" and suite in suites and component in components:
            found.setdefault((uri, suite), ([], entry))[0].append(component)
    for suite in suites:
        if suite not in {known for _, known in found}:
            raise UsageError(
                f"apt's sources have no suite {suite} with {' or '.join(components)}",
                "add it to apt's sources (/etc/apt/sources.list.d), or take it out of the catalogue",
            )
    return tuple(
        Repository(uri, suite, tuple(dict.fromkeys(parts)), _signed_by(entry, uri, suite))
        for (uri, suite), (parts, entry) in found.items()
    )


class Settings:
    """apt's effective configuration, read once."""

    def __init__(self) -> None:
        done = run(
            ["apt-config", "dump"], timeout=_TIMEOUT, env={"LC_ALL": "C.UTF-8"}, failure=UsageError,
            what="apt, asked for its settings", cure="mend apt's configuration (apt-config dump)",
        )  # fmt: skip
        self._values = parse_settings(done.stdout)
        self._logins = _logins(self._file("Dir::Etc::netrc"), self._file("Dir::Etc::netrcparts"))

    def location(self, uri: str) -> Location:
        """Return how ``uri`` is reached. Raises UsageError for a way that only apt itself can go."""
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https"):
            raise UsageError(
                f"{redact(uri)}: apt's source is of kind {parts.scheme!r}, which only apt can fetch from",
                "let apt's source name an http or https address",
            )
        host = parts.hostname or ""
        names = (f"Acquire::{parts.scheme}::Proxy::{host}", f"Acquire::{parts.scheme}::Proxy")
        both = (*names, f"Acquire::http::Proxy::{host}", "Acquire::http::Proxy")  # apt's own fallback
        proxy = next((self._values[name] for name in both if self._values.get(name)), "")
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        if proxy.upper() == "DIRECT":
            proxies = {"no_proxy": host}
        ca = self._values.get("Acquire::https::CaInfo") or None
        return Location(uri, _login(parts.netloc.rpartition("@")[2] + parts.path, self._logins), proxies, ca)

    def key_files(self) -> list[Path]:
        """Return the files of the keys that apt trusts where a source names none."""
        parts = self._file("Dir::Etc::trustedparts")
        listed = [path for kind in ("gpg", "asc") for path in sorted(parts.glob(f"*.{kind}"))]
        return [path for path in (self._file("Dir::Etc::trusted"), *listed) if path.is_file()]

    def _file(self, name: str) -> Path:
        """Return a path as apt puts it together: each level relative to the one above."""
        path = Path(self._values.get("Dir", "/") or "/")
        words = name.split("::")
        for depth in range(2, len(words) + 1):
            path /= self._values.get("::".join(words[:depth]), "")
        return path


def parse_settings(dump: str) -> dict[str, str]:
    """Return the single values of ``apt-config dump`` by name; of a repeated name the last one.

    >>> parse_settings('Acquire::http::Proxy "http://proxy.example:3128";')
    {'Acquire::http::Proxy': 'http://proxy.example:3128'}
    """
    found = (_SETTING.match(line) for line in dump.splitlines())
    return {match[1]: match[2] for match in found if match}


def _signed_by(entry: str, uri: str, suite: str) -> str:
    """Return the ``Signed-By`` of the source for ``uri`` and ``suite`` at ``entry`` (``file:line``)."""
    text = Path(entry.rpartition(":")[0]).read_text(encoding="utf-8", errors="replace")
    if not entry.rpartition(":")[0].endswith(".sources"):
        for line in text.splitlines():
            match = _ONE_LINE.match(line)
            if match and _same(match["uri"], uri) and match["suite"] == suite:
                found = re.search(r"(?:^|\s)signed-by=(\S+)", match["options"] or "")
                return found[1].replace(",", " ") if found else ""
        return ""
    for paragraph in debian_control.paragraphs(text):
        uris, suites = str(paragraph.get("URIs", "")).split(), str(paragraph.get("Suites", "")).split()
        if suite in suites and any(_same(one, uri) for one in uris):
            return str(paragraph.get("Signed-By", "")).strip("\n")
    return ""


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _logins(file: Path, folder: Path) -> list[tuple[str, tuple[str, str]]]:
    """Return ``machine`` and login of apt_auth.conf(5), in its order."""
    found = []
    for path in (file, *sorted(folder.glob("*.conf"))):
        try:
            words = path.read_text(encoding="utf-8").split() if path.is_file() else []
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
        fields: dict[str, str] = {}
        for key, value in zip([*words, "machine"], [*words, "", ""][1:], strict=True):
            if key == "machine" and {"machine", "login"} <= fields.keys():
                found.append((fields["machine"], (fields["login"], fields.get("password", ""))))
            if key == "machine":
                fields = {}
            if key in ("machine", "login", "password"):
                fields[key] = value
    return found


def _login(place: str, logins: Sequence[tuple[str, tuple[str, str]]]) -> tuple[str, str] | None:
    """Return the login for ``place`` (host, port and path), as apt_auth.conf(5) says what fits."""
    for machine, login in logins:
        name = re.sub(r"^[a-z]+://", "", machine)
        host, slash, path = name.partition("/")
        asked, _, rest = place.partition("/")
        same_host = asked == host or (":" not in host and asked.partition(":")[0] == host)
        if same_host and (not slash or rest.startswith(path)):
            return login
    return None

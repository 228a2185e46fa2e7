"""The Python package index: pip is asked for its effective settings, the index for its files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from packaging.utils import canonicalize_name

from core.errors import UpstreamError, UsageError
from core.process import run
from mirror.fetch import Fetcher
from mirror.locations import Location, redact, scheme_and_host

_PAGE_LIMIT = 64 << 20
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

# pip has no documented way to print all of its effective options as data; building its own
# `install` parser applies configuration files, environment and built-in defaults as pip does.
_ASK = """
import json
from pip._internal.commands import create_command
options, _ = create_command("install").parse_args([])
names = ("index_url", "extra_index_urls", "no_index", "cert", "client_cert", "proxy", "trusted_hosts")
print(json.dumps({name: getattr(options, name) for name in names}))
"""


@dataclass(frozen=True)
class IndexFile:
    """One file that an index lists: its name, where it is, and the SHA-256 the index gives (or "")."""

    filename: str
    location: Location
    sha256: str
    size: int | None
    requires_python: str
    yanked: bool


@dataclass(frozen=True)
class Settings:
    """pip's effective indexes, as locations (with credentials, so never printed)."""

    indexes: tuple[Location, ...] = field(repr=False)


def settings() -> Settings:
    """Ask pip for its effective index addresses, proxy and certificates.

    Raises UsageError when pip is told to use no index.
    """
    done = run(
        [sys.executable, "-c", _ASK],
        timeout=60,
        what="pip, asked for its settings",
        failure=UsageError,
        cure="mend pip's configuration (pip config debug)",
    )
    return parse_settings(json.loads(done.stdout))


def parse_settings(told: Mapping[str, Any]) -> Settings:
    """Return the Settings that pip's options ``told`` stand for."""
    if told["no_index"] or not told["index_url"]:
        raise UsageError("pip is told to use no index", "unset no-index in pip's configuration")
    proxies = {"http": told["proxy"], "https": told["proxy"]} if told["proxy"] else {}
    verify = told["cert"] or None
    places = []
    for url in (told["index_url"], *told["extra_index_urls"]):
        scheme, host = scheme_and_host(url)
        if scheme not in ("http", "https") or not host:
            raise UsageError(
                f"pip's index {redact(url)} is not reached by http or https", "mend pip's configuration"
            )
        trusted = any(name.split(":")[0] == host for name in told["trusted_hosts"])
        places.append(
            Location(
                url.rstrip("/"), None, proxies, False if trusted else verify, told["client_cert"] or None
            )
        )
    return Settings(tuple(places))


def project_files(fetcher: Fetcher, where: Settings, project: str) -> tuple[IndexFile, ...]:
    """Return all files that the indexes list for ``project``; empty when none knows it.

    Reads PEP 691 JSON, or PEP 503 HTML where an index has only that. Raises UpstreamError for a
    page that is neither.
    """
    found: list[IndexFile] = []
    name = canonicalize_name(project)
    for index in where.indexes:
        page_at = index.at(f"{index.url}/{name}/")
        answer = fetcher.text(page_at, _PAGE_LIMIT, _ACCEPT)
        if answer is not None:
            text, kind = answer
            found += parse_json(text, page_at) if "json" in kind else parse_html(text, page_at)
    return tuple(found)


def parse_json(text: str, page: Location) -> list[IndexFile]:
    """Return the files of a PEP 691 page. Raises UpstreamError when it is not one."""
    try:
        rows = json.loads(text)["files"]
        return [
            IndexFile(
                str(row["filename"]),
                page.at(urljoin(page.url, str(row["url"]))),
                str(row["hashes"].get("sha256", "")).lower(),
                row.get("size") if isinstance(row.get("size"), int) else None,
                str(row.get("requires-python") or ""),
                bool(row.get("yanked", False)),
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UpstreamError(f"{page}: not an index page: {error!r:.100}", "check pip's index-url") from error


def parse_html(text: str, page: Location) -> list[IndexFile]:
    """Return the files of a PEP 503 page; links that name no file are left out.

    Raises UpstreamError for a page that no parser reads.
    """
    reader = _Links()
    try:
        reader.feed(text)
    except AssertionError as error:  # Python's parser on some broken declarations
        raise UpstreamError(f"{page}: not an index page: {error!r:.100}", "check pip's index-url") from error
    files = []
    for attributes in reader.links:
        try:
            parts = urlsplit(urljoin(page.url, attributes.get("href", "")))
        except ValueError:
            continue
        filename = parts.path.rsplit("/", 1)[-1]
        if not filename or parts.scheme not in ("http", "https"):
            continue
        digest = parts.fragment.removeprefix("sha256=") if parts.fragment.startswith("sha256=") else ""
        files.append(
            IndexFile(
                filename, page.at(parts._replace(fragment="").geturl()), digest.lower(), None,
                attributes.get("data-requires-python", ""), "data-yanked" in attributes,
            )
        )  # fmt: skip
    return files


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append({key: value or "" for key, value in attrs})

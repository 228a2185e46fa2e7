from __future__ import annotations

import hashlib
from html.parser import HTMLParser
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote, urlsplit

import html5lib
import pytest

from core.errors import UsageError
from mirror import lockfile
from mirror.contents import contents, unsigned
from mirror.lockfile import LockedEntry, LockedFile

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ("mirror/catalogue.lock", "lab/catalogue.lock")


class Reader(HTMLParser):
    """Collects links, element names, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.words: list[str] = []
        self.meta: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        given = {name: value or "" for name, value in attrs}
        assert not any(name.startswith("on") for name in given)
        if tag == "meta" and "name" in given:
            self.meta[given["name"]] = given["content"]
        self.links += [given[name] for name in ("href", "src") if name in given]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def pages(lock: Any) -> dict[str, str]:
    found = contents(lock, lock.path.read_bytes(), lock.entries())
    made = {path: item.data for path, item in found.items() if path.endswith("index.html")}
    assert all(made.values())
    return {path: data.decode() for path, data in made.items() if data}


@pytest.mark.parametrize("path", LOCKS)
def test_every_page_is_valid_and_every_link_leads_to_a_file_of_the_release(path: str) -> None:
    lock = lockfile.load(ROOT / path)
    there = contents(lock, lock.path.read_bytes(), lock.entries())
    for name, text in pages(lock).items():
        html5lib.HTMLParser(strict=True).parse(text)
        page = Reader(text)
        assert not page.names & {"script", "link", "img", "iframe", "object", "form"}
        assert "@import" not in text
        assert "url(" not in text
        for link in page.links:
            parts = urlsplit(link)
            assert not parts.scheme
            assert not parts.netloc
            target = normpath(join(dirname(name), unquote(parts.path)))
            if parts.path.endswith("/"):
                target += "/index.html"
            assert target in there or not unsigned(target), f"{name}: {link}"


@pytest.mark.parametrize("path", LOCKS)
def test_every_served_file_is_reached_from_the_top(path: str) -> None:
    lock = lockfile.load(ROOT / path)
    made, waiting, seen = pages(lock), ["index.html"], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in made:
            waiting += [normpath(join(dirname(name), urlsplit(x).path)) for x in Reader(made[name]).links]
    assert {item.path for item in lock.files} <= seen


def locked(path: str, licence: str = "", **source: Any) -> LockedFile:
    digests = hashlib.sha256(path.encode()).hexdigest(), hashlib.sha512(path.encode()).hexdigest()
    return LockedFile(path, 1500, *digests, ("one",), {"kind": "url", **source}, licence, {})


def test_what_upstreams_write_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "</td><script>alert(1)</script> {{ 7 * 7 }} & \" '"
    files = [
        locked("mirror_misc/a.jar", evil),
        locked("mirror_maven/g/a/1/a-1.jar", evil),
        locked("mirror_python/packages/a-1-py3-none-any.whl", evil, project="a", requires_python='"><b>'),
    ]
    table = {"one": LockedEntry(('<i>"group',), "0" * 64)}
    lock = lockfile.save(tmp_path / "x.lock", table, files, [])
    for path, text in pages(lock).items():
        html5lib.HTMLParser(strict=True).parse(text)
        page = Reader(text)
        assert not page.names & {"script", "b", "i"}, path
    words = "".join(Reader(pages(lock)["mirror_misc/index.html"]).words)
    assert " ".join(evil.split()) in " ".join(words.split())


def test_uses_are_shown_for_what_is_there(tmp_path: Path) -> None:
    files = [
        locked("x-1.tar.gz"),
        locked("mirror_python/packages/apache_flink-1.2-py3-none-any.whl", project="apache-flink"),
        locked("mirror_deb/pool/bookworm/n_1.0_all.deb", package="n", version="1.0"),
    ]
    table = {"one": LockedEntry(("g",), "0" * 64)}
    lock = lockfile.save(tmp_path / "x.lock", table, files, [])
    top = pages(lock)["index.html"]
    words = "".join(Reader(top).words)
    assert "pip install --index-url BASE/mirror_python/simple/ apache-flink==1.2" in words
    assert "sha512sum -c x-1.tar.gz.sha512.txt" in words
    assert "Suites: bookworm" in words
    assert "mirror_maven" not in words
    assert "1.5 kB" in words
    assert "n_1.0_all.deb" in pages(lock)["mirror_deb/index.html"]


def test_pips_pages_say_which_version_of_the_interface_they_are() -> None:
    made = pages(lockfile.load(ROOT / "mirror/catalogue.lock"))
    for path in ("mirror_python/simple/index.html", "mirror_python/simple/numpy/index.html"):
        assert Reader(made[path]).meta["pypi:repository-version"] == "1.1"


def test_no_entry_may_bring_a_page(tmp_path: Path) -> None:
    files = [locked("mirror_misc/index.html")]
    with pytest.raises(UsageError, match="makes itself"):
        lockfile.save(tmp_path / "x.lock", {"one": LockedEntry(("g",), "0" * 64)}, files, [])

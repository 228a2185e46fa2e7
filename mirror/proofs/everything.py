"""Every file of the release comes over TLS with the bytes that the lock and ``SHA512SUMS`` say."""

from __future__ import annotations

import hashlib
import http.client
import queue
import ssl
import threading
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urljoin, urlsplit

from core.files import CHUNK
from mirror import record
from mirror.contents import RECORD, SIGNATURE, SUMS
from mirror.proofs.model import Task, World

_THREADS = 4
_SECONDS = 120.0
_PAGE = 8 << 20


def tasks(world: World) -> Iterator[Task]:
    """Yield the proofs that need no client but HTTP."""
    yield Task("https", "every file of the release", lambda: _wrong(world))
    yield Task("browser", "every link of the index pages", lambda: _broken_links(world))


def _wrong(world: World) -> list[str]:
    """Return a line for each file that is missing or has other bytes. The lock is believed, not the tree."""
    from mirror.contents import contents

    lock_bytes = (world.release / "catalogue.lock").read_bytes()
    # What is generated is about all that the release holds, whatever was chosen.
    whole = contents(world.lock, lock_bytes, world.held)
    others = {item.path for item in world.lock.files_of(world.held)} - {item.path for item in world.files}
    wanted = {path: item.sha256 for path, item in whole.items() if path not in others}
    waiting: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for item in sorted(wanted.items()):
        waiting.put(item)
    faults: list[str] = []

    def work() -> None:
        with Client(world) as client:
            while True:
                try:
                    path, sha256 = waiting.get_nowait()
                except queue.Empty:
                    return
                status, found = client.digest(path)
                if status != 200:
                    faults.append(f"{path}: missing (HTTP {status})")
                elif found != sha256:
                    faults.append(f"{path}: its sha256 is {found}, and the lock says {sha256}")

    with Client(world) as client:
        for path in _signatures(world, whole):
            if (status := client.exists(path)) != 200:
                faults.append(f"{path}: missing (HTTP {status})")
    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(faults)


def _signatures(world: World, whole: Iterable[str]) -> list[str]:
    """Return what stands outside the lock in a release that is signed."""
    if not record.load(world.release / RECORD).signers:
        return [RECORD]
    indexes = [path for path in whole if path.startswith("mirror_deb/dists/") and path.endswith("/Release")]
    return [
        RECORD, RECORD + SIGNATURE, SUMS + SIGNATURE, *(f"{path}.gpg" for path in indexes),
        *(f"{path.removesuffix('Release')}InRelease" for path in indexes),
    ]  # fmt: skip


class Client:
    """Asks the mirror over one connection that is kept open."""

    def __init__(self, world: World) -> None:
        parts = urlsplit(world.base)
        self._prefix = parts.path
        context = ssl.create_default_context(cafile=str(world.ca))
        self._connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_SECONDS, context=context
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def digest(self, path: str) -> tuple[int, str]:
        """Return the status, and the SHA-256 of the body, that ``path`` is answered with."""
        answer = self._ask(path)
        digest = hashlib.sha256()
        while chunk := answer.read(CHUNK):
            digest.update(chunk)
        return answer.status, digest.hexdigest()

    def page(self, path: str) -> tuple[int, str]:
        """Return the status and the text of an index page."""
        answer = self._ask(path)
        return answer.status, answer.read(_PAGE).decode("utf-8", "replace")

    def exists(self, path: str) -> int:
        """Return the status that ``path`` is answered with, without its body."""
        answer = self._ask(path, "HEAD")
        answer.read()
        return answer.status

    def _ask(self, path: str, method: str = "GET") -> http.client.HTTPResponse:
        self._connection.request(method, f"{self._prefix}/{quote(path)}")
        return self._connection.getresponse()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value] if tag == "a" else []


def _broken_links(world: World) -> list[str]:
    """Follow all links from the front page on, as far as they stay on the mirror."""
    faults: list[str] = []
    seen = {""}
    pages = [""]
    with Client(world) as client:
        while pages:
            page = pages.pop()
            status, text = client.page(page)
            if status != 200:
                faults.append(f"{page or 'the front page'}: missing (HTTP {status})")
                continue
            parser = _Links()
            parser.feed(text)
            for link in parser.found:
                target = urljoin(f"{world.base}/{page}", link)
                path = unquote(urlsplit(target.removeprefix(f"{world.base}/")).path)
                if not target.startswith(f"{world.base}/") or path in seen:
                    continue
                seen.add(path)
                if path.endswith("/"):
                    pages.append(path)
                elif (status := client.exists(path)) != 200:
                    faults.append(
                        f"{path}: missing (HTTP {status}), and {page or 'the front page'} links to it"
                    )
    return faults

# SPDX-License-Identifier: Apache-2.0
"""Hadoop's daemons by HTTP: YARN's ResourceManager, and the storage on HDFS by WebHDFS.

Only a whole JSON object that came in time is believed, and what YARN does not say is never taken for an end.
Paths and fields: Hadoop 3, "ResourceManager REST API's" (`/ws/v1/cluster/info`, `/ws/v1/cluster/apps/ID`) and
"WebHDFS REST API" (LISTSTATUS_BATCH, GETFILESTATUS, DELETE). Clusters without Kerberos only: there a user is
whom `user.name` says, and we are whoever owns what is removed, so that no superuser is needed.
"""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import quote, urlencode, urlsplit

from pnda_housekeeping.storage import Entry, Parts, StorageError

SECONDS = 20.0  # for a whole exchange, also when it trickles
LARGEST = 32 << 20


class AnswerError(Exception):
    """No answer, or none that can be believed; the text says whose, and why."""


class _LateError(Exception):
    pass


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise _LateError in the midst of what is done here when ``seconds`` are over. Main thread only."""

    def late(*_: object) -> None:
        raise _LateError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ask(base: str, path: str, method: str = "GET", seconds: float = SECONDS) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of ``method`` on ``base`` + ``path``.

    No redirect is followed, and no proxy asked. Raises AnswerError: nobody there, too late, cut off, too
    large, no JSON, no object.
    """
    where = f"{base}{path.partition('?')[0]}"
    try:
        with _within(seconds):
            status, length, body, location = _exchange(base, path, method, seconds)
    except _LateError:
        raise AnswerError(f"{where}: no whole answer within {seconds:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AnswerError(f"{where}: {type(error).__name__}: {error}") from error
    if len(body) > LARGEST:
        raise AnswerError(f"{where}: the answer is larger than {LARGEST >> 20} MiB")
    if length:
        raise AnswerError(f"{where}: the answer ended {length} bytes early")
    if 300 <= status < 400:
        raise AnswerError(f"{where}: HTTP {status}, it sends us to {location or 'nowhere'}")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise AnswerError(f"{where}: HTTP {status}, but the answer is no JSON") from None
    if not isinstance(found, dict):
        raise AnswerError(f"{where}: HTTP {status}, but the answer is no JSON object")
    return status, found


def _exchange(base: str, path: str, method: str, seconds: float) -> tuple[int, int, bytes, str]:
    parts = urlsplit(base)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request(method, parts.path.rstrip("/") + path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(LARGEST + 1)
        return answer.status, answer.length or 0, body, answer.headers.get("Location", "")
    finally:
        connection.close()


def table(found: Any, *keys: str) -> dict[str, Any]:
    """Return the object under ``keys`` in ``found``; an empty one where there is none."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


ENDED = frozenset(["FINISHED", "FAILED", "KILLED"])
LIVING = frozenset(["NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING"])


@dataclass(frozen=True)
class Application:
    """What is known of one application: ``state`` is ``ended``, ``living`` or ``unknown``.

    ``ended_at`` are seconds since 1970, 0 where it has not ended or nobody says when.
    """

    state: str
    ended_at: float = 0.0


def active(addresses: Sequence[str]) -> str:
    """Return the address of the one ResourceManager that is active.

    Raises AnswerError where none says so, or more than one: then either may have forgotten something.
    """
    found, said = [], []
    for address in addresses:
        try:
            status, answer = ask(address, "/ws/v1/cluster/info")
        except AnswerError as error:
            said.append(str(error))
            continue
        info = table(answer, "clusterInfo")
        if status == 200 and info.get("state") == "STARTED" and info.get("haState") == "ACTIVE":
            found.append(address)
        else:
            told = f"state {info.get('state')}, haState {info.get('haState')}" if info else "no clusterInfo"
            said.append(f"{address}: HTTP {status}, {told}")
    if len(found) > 1:
        raise AnswerError(f"{' and '.join(found)} both say that they are active")
    if not found:
        raise AnswerError("no active ResourceManager: " + "; ".join(said))
    return found[0]


def application(address: str, name: str) -> Application:
    """Return what the ResourceManager at ``address`` says of the application ``name``.

    Raises AnswerError for an answer that says nothing of it.
    """
    status, answer = ask(address, f"/ws/v1/cluster/apps/{name}")
    if status == 404 and table(answer, "RemoteException").get("exception") == "NotFoundException":
        return Application("unknown")
    app = table(answer, "app")
    if status != 200 or app.get("id") != name:
        raise AnswerError(f"{address}: HTTP {status}, but nothing about {name}")
    state = app.get("state")
    if state in ENDED:
        return Application("ended", _seconds(app.get("finishedTime")))
    if state in LIVING:
        return Application("living")
    raise AnswerError(f"{address}: {name} is in a state that is not known here: {state!r}")


def oldest_start(address: str) -> float:
    """Return when the oldest of the applications that have not ended was started; infinity without any.

    Raises AnswerError.
    """
    states = ",".join(sorted(LIVING))
    status, answer = ask(address, f"/ws/v1/cluster/apps?states={states}")
    if status != 200 or "apps" not in answer:
        raise AnswerError(f"{address}: HTTP {status}, but no list of applications")
    # Without any, "apps" is null or an empty object.
    return min(_starts(address, table(answer, "apps").get("app") or []), default=float("inf"))


def _starts(address: str, found: Any) -> Iterator[float]:
    if not isinstance(found, list):
        raise AnswerError(f"{address}: the list of applications is none")
    for app in found:
        started = _seconds(table(app).get("startedTime"))
        if not started:
            raise AnswerError(f"{address}: an application without its time of start")
        yield started


def _seconds(milliseconds: Any) -> float:
    whole = isinstance(milliseconds, int) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if whole and 0 < milliseconds < 1 << 53 else 0.0


_KINDS = {"FILE": "file", "DIRECTORY": "folder"}


class HdfsStorage:
    """A folder on HDFS, asked for at the NameNodes ``addresses`` (http://host:9870), whichever is active."""

    def __init__(self, uri: str, addresses: Sequence[str], user: str) -> None:
        self.label = uri
        self._root = urlsplit(uri).path.rstrip("/")
        self._addresses, self._user = list(addresses), user

    def owner(self, parts: Parts) -> str:
        """Return who owns a folder."""
        status, answer = self._ask("GET", parts, "", op="GETFILESTATUS")
        owner = table(answer, "FileStatus").get("owner")
        if status != 200 or not isinstance(owner, str) or not owner:
            raise self._fault(parts, status, answer)
        return owner

    def entries(self, parts: Parts, user: str) -> Iterator[Entry]:
        """Yield what is in a folder, a batch at a time; nothing where it is not there."""
        last = ""
        while True:
            words = {"startAfter": last} if last else {}
            status, answer = self._ask("GET", parts, user, op="LISTSTATUS_BATCH", **words)
            if status == 404 and _exception(answer) == "FileNotFoundException":
                return
            listing = table(answer, "DirectoryListing")
            found = table(listing, "partialListing", "FileStatuses").get("FileStatus")
            remaining = listing.get("remainingEntries")
            if status != 200 or not isinstance(found, list) or not isinstance(remaining, int):
                raise self._fault(parts, status, answer)
            before = last
            for item in found:
                entry = _entry(item)
                if entry is None:
                    raise StorageError(f"{self._name(parts)}: the NameNode's list of it is not one")
                last = entry.name
                yield entry
            if remaining <= 0:
                return
            if last == before:
                raise StorageError(f"{self._name(parts)}: the NameNode's list of it has no end")

    def remove(self, parts: Parts, entry: Entry, user: str, aside: Parts) -> bool:
        """Remove ``entry``, which is in ``parts``, with all in it; False where it has changed or is gone."""
        del aside
        path = (*parts, entry.name)
        status, answer = self._ask("GET", path, user, op="GETFILESTATUS")
        if status == 404 and _exception(answer) == "FileNotFoundException":
            return False
        now = _entry({**table(answer, "FileStatus"), "pathSuffix": entry.name})
        if status != 200 or now is None:
            raise self._fault(path, status, answer)
        return now.mark == entry.mark and self._delete(path, user, recursive=True)

    def remove_empty(self, parts: Parts, user: str) -> bool:
        """Remove a folder if it is empty; tell whether it was."""
        try:
            return self._delete(parts, user, recursive=False)
        except StorageError:
            return False

    def leftovers(self, parts: Parts, user: str, dry: bool, problem: Callable[[str], None]) -> int:
        """Return 0: HDFS removes a folder with all in it in one step."""
        del parts, user, dry, problem
        return 0

    def _delete(self, parts: Parts, user: str, recursive: bool) -> bool:
        status, answer = self._ask("DELETE", parts, user, op="DELETE", recursive=str(recursive).lower())
        if status != 200 or not isinstance(answer.get("boolean"), bool):
            raise self._fault(parts, status, answer)
        return bool(answer["boolean"])

    def _ask(self, method: str, parts: Parts, user: str, **words: str) -> tuple[int, dict[str, Any]]:
        path = quote(self._name(parts), safe="/", errors="surrogatepass")
        query = urlencode({**words, "user.name": user or self._user}, errors="surrogatepass")
        said = []
        for address in list(self._addresses):
            try:
                status, answer = ask(address, f"/webhdfs/v1{path}?{query}", method)
            except AnswerError as error:
                said.append(str(error))
            else:
                if _exception(answer) not in ("StandbyException", "RetriableException"):
                    return status, answer
                said.append(f"{address}: {_exception(answer)}")
            # The next request begins with one that may be active.
            self._addresses = [*(one for one in self._addresses if one != address), address]
        raise StorageError(f"{self._name(parts)}: no NameNode: {'; '.join(said)}")

    def _name(self, parts: Parts) -> str:
        return "/".join((self._root, *parts)) or "/"

    def _fault(self, parts: Parts, status: int, answer: dict[str, Any]) -> StorageError:
        said = table(answer, "RemoteException").get("message", "an answer of another kind")
        return StorageError(f"{self._name(parts)}: HTTP {status}: {str(said).splitlines()[0][:300]}")


def _exception(answer: dict[str, Any]) -> Any:
    return table(answer, "RemoteException").get("exception")


def _entry(item: Any) -> Entry | None:
    found = table(item)
    name, owner = found.get("pathSuffix"), found.get("owner")
    modified, size = found.get("modificationTime"), found.get("length")
    if not isinstance(name, str) or not isinstance(owner, str) or not owner:
        return None
    if not name or "/" in name or name in (".", "..") or isinstance(modified, bool) or isinstance(size, bool):
        return None
    if not isinstance(modified, int) or not isinstance(size, int):
        return None
    kind = _KINDS.get(str(found.get("type")), "other")
    mark = (modified, size, int(found["fileId"]) if isinstance(found.get("fileId"), int) else 0)
    return Entry(name, kind, size, modified / 1000, owner, mark)

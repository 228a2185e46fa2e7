# SPDX-License-Identifier: Apache-2.0
"""The storage on HDFS, by WebHDFS: as whoever owns what is removed, so that no superuser is needed.

Operations and answers: Hadoop 3, "WebHDFS REST API" (LISTSTATUS_BATCH, GETFILESTATUS, DELETE). Clusters
without Kerberos only: there a user is whom `user.name` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Callable
from urllib.parse import quote, urlencode, urlsplit

from pnda_housekeeping.answers import AnswerError, ask, table
from pnda_housekeeping.storage import Entry, Parts, StorageError

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
            for item in found:
                entry = _entry(item)
                if entry is None or entry.name <= last:
                    raise StorageError(f"{self._name(parts)}: the NameNode's list of it is not one")
                last = entry.name
                yield entry
            if remaining <= 0:
                return
            if not found:
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
        path = quote(self._name(parts), safe="/")
        query = urlencode({**words, "user.name": user or self._user})
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

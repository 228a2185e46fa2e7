# SPDX-License-Identifier: Apache-2.0
"""Ask a Hadoop daemon by HTTP and believe only a whole JSON object that came in time."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

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

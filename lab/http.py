"""Ask the lab's HTTP services: JSON answers, waits with a limit. Never through the host's proxy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from core.errors import WorldError

_SECONDS = 10.0
_PAUSE = 0.5
T = TypeVar("T")


def get_json(url: str) -> Any:
    """Return the JSON that ``url`` answers; raises WorldError naming the URL otherwise."""
    return _call("GET", url)


def patch(url: str) -> None:
    """Send an empty PATCH to ``url`` (Flink cancels a job that way)."""
    _call("PATCH", url)


def wait(question: Callable[[], T | None], seconds: float, failure: Callable[[str], WorldError]) -> T:
    """Ask ``question`` until it answers something other than None; WorldErrors of it mean "not yet".

    After ``seconds`` raises ``failure(reason)``, where ``reason`` is the last such error.
    """
    deadline = time.monotonic() + seconds
    while True:
        reason = ""
        try:
            answer = question()
        except WorldError as error:
            answer, reason = None, error.message
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise failure(reason)
        time.sleep(_PAUSE)


def _call(method: str, url: str) -> Any:
    import requests

    with requests.Session() as session:
        session.trust_env = False  # the lab's addresses are this machine's own
        try:
            answer = session.request(method, url, timeout=_SECONDS)
            if answer.status_code >= 400:
                raise WorldError(f"{url} answers {answer.status_code}: {answer.text[:300]}")
            if method == "GET" and not answer.content:  # the history server, while it writes that file anew
                raise WorldError(f"{url} answers nothing")
            return answer.json() if answer.content else None
        except (requests.RequestException, ValueError) as error:
            raise WorldError(f"{url}: {error}") from error

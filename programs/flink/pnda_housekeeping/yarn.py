# SPDX-License-Identifier: Apache-2.0
"""What YARN's ResourceManager says of an application. What it does not say is never taken for an end.

Paths and fields: Hadoop 3, "ResourceManager REST API's", `/ws/v1/cluster/info` and `/ws/v1/cluster/apps/ID`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pnda_housekeeping.answers import AnswerError, ask, table

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

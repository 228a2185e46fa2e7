"""What a roll-out is asked for, and what it came to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from core.errors import WorldError

_NAMED = 5  # hosts that a summary names before it counts the others


@dataclass(frozen=True)
class ApplyRequest:
    """A roll-out of the cluster file ``cluster`` by ``engine`` (``ansible`` or ``salt``).

    ``lock`` is the mirror's lock, ``limit`` the hosts to do (none: all), ``check`` a dry run,
    ``again`` that a recorded roll-back may be undone, ``batch`` how many hosts change their version
    at a time.
    """

    cluster: Path
    lock: Path
    engine: str
    limit: tuple[str, ...] = ()
    check: bool = False
    again: bool = False
    batch: int = 10


@dataclass(frozen=True)
class HostResult:
    """What happened on a host: how many tasks or states changed it, a phrase for each, why it failed.

    ``diffs`` has for each change the lines that differ, as far as the engine tells (else empty). They
    may hold secrets: print them by :func:`masked` only. ``put_back`` tells that a failed roll-out put
    the version before back here, which an apply of the same description undoes only on request.
    """

    changed: int
    changes: tuple[str, ...]
    failed: str = ""
    diffs: tuple[str, ...] = ()
    put_back: bool = False


@dataclass(frozen=True)
class Versions:
    """The versions on a host before a run and after it, as pairs; empty texts where there is or was none."""

    client: tuple[str, str]
    history_server: tuple[str, str]

    def document(self) -> dict[str, dict[str, str]]:
        """Return this for programs."""
        pairs = {"client": self.client, "history_server": self.history_server}
        return {name: dict(zip(("before", "after"), pair, strict=True)) for name, pair in pairs.items()}


def state(result: HostResult) -> str:
    """Return in a word how a host ended, with the number of its changes."""
    word = "FAILED" if result.failed else "changed" if result.changed else "unchanged"
    return f"{word} ({result.changed})" if result.changed else word


def some(hosts: Sequence[str]) -> str:
    """Return the names of ``hosts``; of many the first, and how many more."""
    names, more = hosts[:_NAMED], len(hosts) - _NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class ApplyReport:
    """What happened on each host; the hosts are in the order of the cluster file.

    ``versions`` are those of each host, where that is what the run was about.
    """

    engine: str
    hosts: Mapping[str, HostResult]
    versions: Mapping[str, Versions] = field(default_factory=dict)

    def text(self) -> str:
        """Return the summary for people: hosts with the same outcome together, with what changed there."""
        groups: dict[HostResult, list[str]] = {}
        for host, result in self.hosts.items():
            groups.setdefault(replace(result, diffs=()), []).append(host)
        lines = []
        for result, hosts in groups.items():
            lines.append(f"{some(hosts)}: {state(result)}")
            lines += [f"  {change}" for change in result.changes]
            lines += [
                f"  failed: {line}" if not i else f"    {line}"
                for i, line in enumerate(result.failed.splitlines())
            ]
        lines += self._table()
        if len(self.hosts) > 1:
            counts = Counter(state(result).partition(" ")[0] for result in self.hosts.values())
            told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
            lines.append(f"{len(self.hosts)} hosts: {told}")
        return "\n".join(lines) or "no host has anything to provision"

    def _table(self) -> list[str]:
        """Return a line for all hosts that ended equally with the same versions, under a heading."""
        groups: dict[tuple[str, str, str], list[str]] = {}
        for host, its in self.versions.items():
            word = state(self.hosts[host])
            key = (word.partition(" ")[0], _step(its.client), _step(its.history_server))
            groups.setdefault(key, []).append(host)
        rows = [("hosts", "state", "client", "history server")]
        rows += [(some(hosts), *key) for key, hosts in groups.items()]
        return columns(rows) if groups else []

    def document(self) -> dict[str, object]:
        """Return the summary for programs."""
        hosts: dict[str, dict[str, object]] = {
            host: {"changed": result.changed, "changes": list(result.changes), "failed": result.failed}
            for host, result in self.hosts.items()
        }
        for host, its in self.versions.items():
            hosts[host]["versions"] = its.document()
        return {"engine": self.engine, "hosts": hosts}


def _step(pair: tuple[str, str]) -> str:
    before, after = pair
    if before == after or not after:
        return before or "-"
    return f"{before} -> {after}" if before else f"{after} (new)"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return ``rows`` as lines whose columns stand below each other. Pure."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


# Flink's own list of words that make an option's value secret (GlobalConfiguration.SENSITIVE_KEYS, 2.3).
_SENSITIVE = (
    "password|secret|fs.azure.account.key|apikey|api-key|auth-params|service-key|token|basic-auth|"
    "jaas.config|http-headers"
)
_SECRET_LINE = re.compile(rf"^([^:=]*(?:{_SENSITIVE})[^:=]*[:=]).*$", re.IGNORECASE | re.MULTILINE)


def masked(text: str) -> str:
    """Return ``text`` without the values of options that are secret by their name. Pure."""
    return _SECRET_LINE.sub(r"\1 ******", text)


def plan_text(report: ApplyReport) -> str:
    """Return for people what would change on each host, with the lines that would differ."""
    lines = []
    for host, result in report.hosts.items():
        lines.append(f"{host}: {f'{result.changed} would change' if result.changed else 'nothing to change'}")
        for change, diff in zip_longest(result.changes, result.diffs, fillvalue=""):
            lines += [f"  {change}", *(f"    {line}" for line in masked(diff).splitlines())]
        lines += [f"  failed: {result.failed}"] if result.failed else []
    return "\n".join(lines) or "no host has anything to provision"


def plan_document(report: ApplyReport) -> dict[str, object]:
    """Return the same for programs."""
    hosts = {
        host: {
            "changes": [
                {"what": change, "diff": masked(diff)}
                for change, diff in zip_longest(result.changes, result.diffs, fillvalue="")
            ],
            "failed": result.failed,
        }
        for host, result in report.hosts.items()
    }
    return {"engine": report.engine, "hosts": hosts}


class ApplyError(WorldError):
    """At least one host failed; ``report`` says what happened on all of them."""

    def __init__(self, report: ApplyReport) -> None:
        failed: dict[str, list[str]] = {}
        for host, result in report.hosts.items():
            if result.failed:
                failed.setdefault(result.failed, []).append(host)
        again = "mend the cause, then run the same command again: it goes on where it stopped"
        if any(result.put_back for result in report.hosts.values()):
            again = "mend the cause, then run the same command with --again: it undoes the way back"
        super().__init__("\n".join(f"{some(hosts)}: {reason}" for reason, hosts in failed.items()), again)
        self.report = report

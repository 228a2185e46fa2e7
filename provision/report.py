"""What a roll-out is asked for, and what it came to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from core.errors import WorldError


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
    may hold secrets: print them by :func:`masked` only.
    """

    changed: int
    changes: tuple[str, ...]
    failed: str = ""
    diffs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApplyReport:
    """What happened on each host; the hosts are in the order of the cluster file."""

    engine: str
    hosts: Mapping[str, HostResult]

    def text(self) -> str:
        """Return the summary for people: a line for each host, and one for each change."""
        lines = []
        for host, result in self.hosts.items():
            state = "FAILED" if result.failed else "changed" if result.changed else "unchanged"
            lines.append(f"{host}: {state}" + (f" ({result.changed})" if result.changed else ""))
            lines += [f"  {change}" for change in result.changes]
            lines += [
                f"  failed: {line}" if not i else f"    {line}"
                for i, line in enumerate(result.failed.splitlines())
            ]
        return "\n".join(lines) or "no host has anything to provision"

    def document(self) -> dict[str, object]:
        """Return the summary for programs."""
        hosts = {
            host: {"changed": result.changed, "changes": list(result.changes), "failed": result.failed}
            for host, result in self.hosts.items()
        }
        return {"engine": self.engine, "hosts": hosts}


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
        failed = {host: result.failed for host, result in report.hosts.items() if result.failed}
        super().__init__(
            "\n".join(f"{host}: {reason}" for host, reason in failed.items()),
            "mend the cause, then run the same command again: it goes on where it stopped",
        )
        self.report = report

"""The rules that carbon gets for Flink's series: pure text, made from :mod:`provision.metric_names`.

Syntax: carbon's own (1.1.7, ``aggregator/rules.py``, ``rewrite.py``, ``storage.py``). A rule's pattern is
split at its dots before its parts become regular expressions; so a dot inside one is written by its number.
Every rule that matches takes a point, into one buffer where their outputs are equal; so no two rules of
ours match one series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provision.metric_names import (
    BY_JOB,
    FAMILIES,
    KPI,
    MAXIMA,
    MEANS,
    MINIMA,
    PREFIX,
    SUMS,
    Family,
)

# A part of a name becomes a folder or a file of at most 255 bytes: 80 characters of at most 3 each, as
# Flink itself cuts operators' names.
LONGEST = 80
_DOT = r"\x2e"
_OURS = r"^(flink|application\.kpi)\."


def rewrites() -> list[str]:
    """Return the rewrite rules: what a file name or a query cannot hold becomes ``_``, long parts are cut."""
    return [r"[^\w.:-] = _", rf"([^.]{{{LONGEST}}})[^.]+ = \1"]


def aggregations(seconds: int) -> list[dict[str, Any]]:
    """Return the aggregation rules for a report every ``seconds``: of each family ``title`` and ``rules``."""
    return [{"title": family.title, "rules": _rules(family, seconds)} for family in FAMILIES]


def _rules(family: Family, seconds: int) -> list[str]:
    named = {"sum": family.sums, "min": family.mins, "avg": (), "max": ()}
    suffixes = {"sum": SUMS, "min": MINIMA, "avg": MEANS, "max": MAXIMA}
    found = []
    others = []
    for method in ("sum", "min", "avg", "max"):
        if method == family.otherwise:
            continue
        pattern = _one_of(suffixes[method], named[method])
        others.append(pattern)
        found.append(_rule(family, seconds, method, f"(?={pattern}$)"))
    return [*found, _rule(family, seconds, family.otherwise, f"(?!({'|'.join(others)})$)")]


def _one_of(suffixes: Sequence[str], names: Sequence[str]) -> str:
    whole = "".join(f"|{name.replace('.', _DOT)}" for name in names)
    return rf"((\S*{_DOT})?({'|'.join(suffixes)}){whole})"


def _rule(family: Family, seconds: int, method: str, guard: str) -> str:
    taken = family.taken
    if taken.startswith("<host>"):
        taken = f"(?!{BY_JOB}{_DOT}){taken}"
    elif KPI not in taken:
        guard = f"(?!{KPI.replace('.', _DOT)}{_DOT}){guard}"
    return f"{family.kept}.<metric> ({seconds}) = {method} {PREFIX}.{taken}.{guard}<<metric>>"


def storage_schemas(retentions: str) -> list[dict[str, str]]:
    """Return the sections of storage-schemas.conf: ``name``, ``pattern`` and ``retentions``."""
    return [{"name": "pnda-flink", "pattern": _OURS, "retentions": retentions}]


def storage_aggregations() -> list[dict[str, str]]:
    """Return the sections of storage-aggregation.conf: how fine points become a coarser one.

    Counters only rise, so their last value is what counts; a sum would count each event many times.
    """
    ends = {
        "min": ("min", [*MINIMA, "currentInputWatermark", "currentOutputWatermark"]),
        "max": ("max", MAXIMA),
        "count": ("last", ["count"]),
    }
    rows = [
        {"name": f"pnda-flink-{name}", "pattern": rf"{_OURS}(.*\.)?({'|'.join(words)})$", "method": method}
        for name, (method, words) in ends.items()
    ]
    return [*rows, {"name": "pnda-flink-other", "pattern": _OURS, "method": "average"}]

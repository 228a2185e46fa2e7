"""Sizes by the kind of cluster, from ``flavours.yml``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from core import schema
from core.marked_yaml import load
from provision import retention

PATH = Path(__file__).with_name("flavours.yml")


@dataclass(frozen=True)
class Flavour:
    """One flavour. Memory is in Flink's notation (``1024m``: MiB), intervals are in seconds.

    ``history_retained_jobs`` is how many archives the history server keeps, ``log_files`` how many
    rolled files of 100 MB each server log keeps. ``housekeeping_archive_days`` and
    ``housekeeping_temporary_days`` are after how many days archives of jobs and users' temporary files
    go. ``metrics_retentions`` is how long Graphite keeps the
    points, in carbon's notation (:mod:`provision.retention`).
    """

    name: str
    jobmanager_memory: str
    taskmanager_memory: str
    taskmanager_slots: int
    parallelism: int
    history_heap: str
    history_retained_jobs: int
    metrics_interval_seconds: int
    log_files: int
    housekeeping_archive_days: int
    housekeeping_temporary_days: int
    metrics_retentions: str


def flavours(path: Path = PATH) -> dict[str, Flavour]:
    """Return the flavours by name. Raises UsageError with file and line when the file is wrong."""
    document = load(path)
    schema.check_format(document, 1)
    schema.check(document, _schema())
    for name, values in document.data["flavours"].items():
        wrong = retention.fault(values["metrics_retentions"]) or retention.interval_fault(
            values["metrics_interval_seconds"], values["metrics_retentions"]
        )
        if wrong:
            raise document.fault(("flavours", name, "metrics_retentions"), *wrong)
    return {name: Flavour(name=name, **values) for name, values in document.data["flavours"].items()}


def _schema() -> dict[str, Any]:
    memory = {"type": "string", "pattern": "^[1-9][0-9]*[mg]$", "description": "memory such as 1024m"}
    number = {"type": "integer", "minimum": 1, "description": "a whole number, 1 or more"}
    kept = {"type": "string", "description": "retentions such as 10s:6h,1min:7d"}
    # Flavour.__annotations__ are texts here: the module defers their evaluation.
    keys: dict[str, Any] = {
        item.name: memory if item.type == "str" else number for item in fields(Flavour) if item.name != "name"
    }
    keys["metrics_retentions"] = kept
    entry = {"type": "object", "additionalProperties": False, "required": sorted(keys), "properties": keys}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["format", "flavours"],
        "properties": {
            "format": {"type": "integer"},
            "flavours": {"type": "object", "minProperties": 1, "additionalProperties": entry},
        },
    }

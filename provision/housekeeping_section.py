"""The section ``flink.housekeeping`` of a cluster file: what a schema cannot say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.marked_yaml import Document, Path_
from provision.flavours import Flavour
from provision.hadoop_section import Hadoop

WHERE: Path_ = ("flink", "housekeeping")


@dataclass(frozen=True)
class Housekeeping:
    """What is removed, and when. Ages are in days or hours, ``archive_days`` is 0 for no limit of age.

    Without ``enabled`` no host has it at all. A part that is off has its first value empty or 0:
    ``archives``, ``libraries`` and ``temporary`` tell so themselves, ``staging_homes`` is empty.
    """

    enabled: bool
    every_hours: int
    archives: bool
    archive_days: int
    archive_youngest_hours: int
    staging_homes: str
    staging_hours_after_end: int
    staging_unknown_days: int
    libraries: bool
    libraries_days: int
    temporary: bool
    temporary_days: int
    temporary_folders: tuple[str, ...]


def read(document: Document, flavour: Flavour, hadoop: Hadoop) -> Housekeeping:
    """Return what the section in ``document`` says, with the defaults of ``flavour``.

    Raises UsageError with the line for what contradicts the history server's section, and for
    staging that cannot be looked after because nobody is told to be asked.
    """
    flink: dict[str, Any] = document.data["flink"]
    section: dict[str, Any] = flink.get("housekeeping", {})
    archives, staging, libraries, temporary = (
        section.get(part, {}) for part in ("archives", "staging", "libraries", "temporary")
    )
    ttl = flink.get("history_server", {}).get("retained_ttl", "")
    if ttl and "days" in archives:
        raise document.fault(
            (*WHERE, "archives", "days"),
            f"flink.history_server.retained_ttl is {ttl}, and it says the age of archives as well",
            "leave one of the two out",
        )
    return Housekeeping(
        enabled=section.get("enabled", True),
        every_hours=section.get("every_hours", 4),
        archives=archives.get("enabled", True),
        archive_days=0 if ttl else archives.get("days", flavour.housekeeping_archive_days),
        archive_youngest_hours=archives.get("youngest_hours", 1),
        staging_homes=_homes(document, staging, hadoop),
        staging_hours_after_end=staging.get("hours_after_end", 1),
        staging_unknown_days=staging.get("unknown_days", 30),
        libraries=libraries.get("enabled", True),
        libraries_days=libraries.get("days", 30),
        temporary=temporary.get("enabled", True),
        temporary_days=temporary.get("days", flavour.housekeeping_temporary_days),
        temporary_folders=tuple(temporary.get("folders", ("/tmp",))),  # noqa: S108 - the launcher's default
    )


def _homes(document: Document, staging: dict[str, Any], hadoop: Hadoop) -> str:
    where = (*WHERE, "staging")
    if not staging.get("enabled", True) or "homes" not in staging:
        if staging.get("enabled"):
            raise document.fault(
                (*where, "enabled"), "there is no `homes`", "name the folder of the users' home folders"
            )
        return ""
    homes: str = staging["homes"]
    if not hadoop.resource_managers:
        raise document.fault(
            (*where, "homes"),
            "only YARN knows which applications have ended, and hadoop.resource_managers is not set",
            "list the ResourceManagers there, such as [http://rm-1:8088]",
        )
    if homes.startswith("hdfs://") and not hadoop.name_nodes:
        raise document.fault(
            (*where, "homes"),
            f"{homes} is reached by the NameNodes, and hadoop.name_nodes is not set",
            "list the NameNodes there, such as [http://nn-1:9870]",
        )
    return homes

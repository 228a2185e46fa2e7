"""The section ``hadoop`` of a cluster file: where Flink takes Hadoop from, and where its daemons answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NONE, MIRROR, CLUSTER = "none", "mirror", "cluster"
DEFAULT_CONFIGURATION = "/etc/hadoop/conf"


@dataclass(frozen=True)
class Hadoop:
    """Hadoop as Flink meets it.

    ``classpath`` is ``none`` (no YARN, no HDFS), ``mirror`` (the client jars of the lock's group
    ``hadoop``) or ``cluster`` (what ``hadoop classpath`` says on the node).
    ``configuration_directory`` is a path on the nodes. ``resource_managers`` and ``name_nodes`` are
    addresses such as ``http://rm-1:8088``, of all of them; empty where they are not told.
    """

    classpath: str
    configuration_directory: str
    resource_managers: tuple[str, ...]
    name_nodes: tuple[str, ...]


def read(section: Mapping[str, Any]) -> Hadoop:
    """Return what ``section``, which fits the schema, says."""
    return Hadoop(
        section.get("classpath", NONE),
        section.get("configuration_directory", DEFAULT_CONFIGURATION),
        tuple(section.get("resource_managers", ())),
        tuple(section.get("name_nodes", ())),
    )


def facts(hadoop: Hadoop) -> dict[str, str]:
    """Return the facts that begin with ``flink_hadoop_``."""
    return {
        "flink_hadoop_classpath": hadoop.classpath,
        "flink_hadoop_configuration_directory": hadoop.configuration_directory,
    }

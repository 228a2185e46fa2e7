"""The facts of the component ``metrics``: carbon's rules and our aggregator on GRAPHITE hosts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from provision import carbon_rules, retention
from provision.cluster import Cluster

CONFIGURATION = "/etc/pnda-carbon"


def components(cluster: Cluster, roles: Collection[str]) -> list[str]:
    """Return the components that ``roles`` bring beside those of all clusters: ``metrics``, or none."""
    return ["metrics"] if cluster.metrics.carbon and "GRAPHITE" in roles else []


def facts(cluster: Cluster, roles: Collection[str]) -> dict[str, Any]:
    """Return the facts of hosts with ``roles`` that begin with ``flink_carbon_``; complete, also without."""
    carbon = cluster.metrics.carbon
    here = bool(components(cluster, roles))
    seconds = cluster.metrics.interval_seconds
    retentions = cluster.flavour.metrics_retentions
    return {
        "flink_carbon_directory": carbon.directory if carbon else "",
        "flink_carbon_configuration_directory": CONFIGURATION,
        "flink_carbon_creates_per_minute": carbon.creates_per_minute if carbon else 0,
        "flink_carbon_rewrites": carbon_rules.rewrites() if here else [],
        "flink_carbon_aggregations": carbon_rules.aggregations(seconds) if here else [],
        "flink_carbon_storage_schemas": carbon_rules.storage_schemas(retentions) if here else [],
        "flink_carbon_storage_aggregations": carbon_rules.storage_aggregations() if here else [],
        "flink_carbon_needed_share": str(retention.NEEDED_SHARE),
    }

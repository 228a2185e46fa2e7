"""The section ``flink.metrics`` of a cluster file: where Flink's metrics go, how often, and which of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.marked_yaml import Document, Path_
from provision import retention
from provision.flavours import Flavour

WHERE: Path_ = ("flink", "metrics")
# Options that decide what series are called: carbon's rules are made for our own.
_NAMES = ("metrics.scope.", "metrics.reporter.grph.prefix", "metrics.reporter.grph.scope.")


@dataclass(frozen=True)
class Carbon:
    """What we do on hosts with the role GRAPHITE, where carbon is installed already.

    ``directory`` is carbon's own configuration there, ``aggregator_port`` the TCP port of our
    aggregator, ``creates_per_minute`` how many new series carbon makes a minute (0: as the site has it).
    """

    directory: str
    aggregator_port: int
    creates_per_minute: int


@dataclass(frozen=True)
class Metrics:
    """Carbon's host and TCP port, the seconds between two reports, and what is reported.

    ``includes`` are filters in Flink's notation, or ``default`` or ``all``. ``carbon`` is None where
    carbon's host is none of ours.
    """

    graphite_host: str
    graphite_port: int
    interval_seconds: int
    includes: tuple[str, ...]
    carbon: Carbon | None

    @property
    def port(self) -> int:
        """Return the TCP port that Flink reports to."""
        return self.carbon.aggregator_port if self.carbon else self.graphite_port


def read(
    document: Document, section: Mapping[str, Any], host: str, graphite_hosts: Sequence[str], flavour: Flavour
) -> Metrics:
    """Return the metrics that ``section`` describes, with carbon on ``host``.

    ``graphite_hosts`` are the cluster's own with that role. Raises UsageError with the line.
    """
    interval = section.get("interval_seconds", flavour.metrics_interval_seconds)
    wrong = retention.interval_fault(interval, flavour.metrics_retentions)
    if wrong:
        raise document.fault((*WHERE, "interval_seconds"), f"flavor {flavour.name}: {wrong[0]}", wrong[1])
    port = section.get("graphite_port", 2003)
    own: Mapping[str, Any] = section.get("carbon", {})
    managed = own.get("manage", host in graphite_hosts)
    if managed and host not in graphite_hosts:
        raise document.fault(
            (*WHERE, "carbon", "manage"),
            f"{host} is to get carbon's rules, and is no host with the role GRAPHITE",
            f"give {host} that role, or write `manage: false`",
        )
    carbon = Carbon(
        own.get("directory", "/etc/carbon"),
        own.get("aggregator_port", 2023),
        own.get("creates_per_minute", 600),
    )
    if managed and carbon.aggregator_port == port:
        raise document.fault(
            (*WHERE, "carbon", "aggregator_port"),
            f"carbon and its aggregator cannot both listen on {port}",
            "take two different ports",
        )
    return Metrics(
        host, port, interval, tuple(section.get("includes", ["default"])), carbon if managed else None
    )


def check_names(document: Document, where: Path_, options: Mapping[str, str], metrics: Metrics) -> None:
    """Raise UsageError for one of ``options``, at ``where``, that gives series names that no rule knows."""
    for key in options:
        if metrics.carbon and key.startswith(_NAMES):
            raise document.fault(
                (*where, key),
                f"{key}: carbon's rules know the series by the names that are ours",
                "remove it, or write `carbon: {manage: false}` under flink.metrics and keep your own rules",
            )

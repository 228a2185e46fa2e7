"""What of a lab is there, and what is where."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import WorldError
from lab import containers, engine, graphite, history, http, network, session_cluster, shape
from lab.model import Lab


@dataclass(frozen=True)
class Status:
    """``hosts``: each container's state; ``where``: addresses to open; ``faults``: what does not run."""

    hosts: dict[str, str]
    where: dict[str, str]
    faults: tuple[str, ...]


def where(lab: Lab) -> dict[str, str]:
    """Return what a user can open or call, by what it is; the addresses work from this machine."""
    addresses = network.addresses(lab)
    return {
        "mirror": f"http://{addresses.get('mirror-1', 'mirror-1')}/ (and https as mirror-1, by the authority "
        f"{(lab.site / 'tls' / 'ca.pem').relative_to(lab.checkout)})",
        "history server": f"{history.address(lab)}/",
        "Flink session cluster": f"{session_cluster.address(lab)}/",
        "Graphite": f"{graphite.address(lab)}/",
        "Kafka broker": f"{addresses.get('kafka-1', 'kafka-1')}:9092 (as kafka-1:9092 inside the lab)",
        "shell": f"ssh -F {lab.ssh_config.relative_to(lab.checkout)} HOST ({', '.join(shape.hosts(lab))})",
        "remove": "./inv down" + ("" if lab.name == "lab" else f" --name {lab.name}"),
    }


def status(lab: Lab) -> Status:
    """Look at the containers and ask the services that a brought-up lab answers for."""
    if not engine.alive():
        return Status({}, {}, ("no Docker engine answers",))
    states = containers.states(lab)
    hosts = {host: states.get(host, "absent") for host in shape.hosts(lab)}
    faults = [f"{host} is {state}" for host, state in hosts.items() if state != "running"]
    if faults:
        return Status(hosts, {}, tuple(faults))
    for what, url in {
        "the history server": f"{history.address(lab)}/config",
        "the session cluster": f"{session_cluster.address(lab)}/overview",
        "Graphite": f"{graphite.address(lab)}/metrics/find?query=*",
    }.items():
        try:
            http.get_json(url)
        except WorldError as error:
            faults.append(f"{what} does not answer ({error.message})")
    return Status(hosts, where(lab), tuple(faults))

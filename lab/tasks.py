"""The lab's tasks: they parse, call and print; everything else lies in the modules beside this one."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from core.errors import UsageError

_NAME = "which lab (default: lab)"
_ENGINE = "what provisions the nodes: ansible or salt"


def _engine(value: str) -> str:
    if value not in {"ansible", "salt"}:
        raise UsageError(f"--engine {value} is not known", "use --engine ansible or --engine salt")
    return value


@task(help={"name": _NAME, "engine": _ENGINE})
def nodes(_: Context, name: str = "lab", engine: str = "ansible") -> None:
    """Bring up bare nodes only: containers with systemd and ssh, nothing provisioned."""
    from core import console
    from lab import network
    from lab.model import lab_named
    from lab.nodes import bring_up

    lab = lab_named(name)
    fresh = bring_up(lab, _engine(engine))
    addresses = network.addresses(lab)
    document = {"ssh_config": str(lab.ssh_config), "made": fresh, "addresses": addresses}
    lines = [
        f"ssh -F {lab.ssh_config.relative_to(lab.checkout)} HOST",
        *(f"  {h}  {a}" for h, a in addresses.items()),
    ]
    console.result(document, "\n".join(lines))


ns = Collection("lab")
ns.add_task(nodes)

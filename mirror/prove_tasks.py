"""The task that proves a release complete."""

from __future__ import annotations

import os
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from core import console
from core.errors import UsageError, WorldError


@task(
    help={
        "root": "The mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror.",
        "catalogue": "The catalogue that the release was locked from.",
        "only": "Groups or entries, separated by commas; default: all that the release holds.",
        "release": "Serial of the release; default: the published one.",
        "trust": "File of the public keys that apt believes; default: those that lie in the release.",
    }
)
def prove(
    _: Context,
    root: str = "",
    catalogue: str = "mirror/catalogue.yml",
    only: str = "",
    release: int = 0,
    trust: str = "",
) -> None:
    """Prove a release complete: Maven, pip, apt, Salt and curl work from it, cut off from all else."""
    from mirror.prove import ProveRequest
    from mirror.prove import prove as run_clients

    if trust and not Path(trust).is_file():
        raise UsageError(f"--trust {trust}: there is no such file", "give a file of public keys")
    report = run_clients(
        ProveRequest(
            Path(catalogue),
            Path(root or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror"),
            tuple(word.strip() for word in only.split(",") if word.strip()),
            release or None,
            Path(trust) if trust else None,
        )
    )
    rows = [
        {"client": proof.client, "subject": proof.subject, "faults": list(proof.faults)}
        for proof in report.proofs
    ]
    document = {"release": report.serial, "entries": list(report.entries), "proofs": rows}
    text = f"release {report.serial}: {len(report.proofs)} proofs over {len(report.entries)} entries"
    if not report.faults:
        console.result(document, f"{text}, nothing is missing")
        return
    if console.settings.json:
        console.result(document, "")
    raise WorldError(
        f"{text}\n" + "\n".join(report.faults),
        "what was published and is gone: ./inv mirror.repair; what no entry brings in: add it to the "
        "catalogue, lock and build",
    )

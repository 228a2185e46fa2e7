"""The task that repairs a mirror."""

from __future__ import annotations

import os
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from core import console
from mirror.release_tasks import HELP_SIGNING


@task(
    help={
        "lock": "The lock, in case the release's own copy of it is damaged.",
        "bundle": "A bundle (or several: a,b) that may have what the cache lacks; then upstream is asked.",
        "root": "The mirror's root folder; default: $PNDA_MIRROR_ROOT or build/mirror.",
        **HELP_SIGNING,
    }
)
def repair(
    _: Context,
    lock: str = "mirror/catalogue.lock",
    root: str = "",
    bundle: str = "",
    sign_key: str = "",
    sign_passphrase_file: str = "",
    unsigned: bool = False,
) -> None:
    """Re-hash everything; set damaged files aside, take right ones from the cache or upstream, publish."""
    from mirror.repair import repair as run_repair
    from mirror.signing import load_signers

    chosen = Path(root or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")
    bundles = [Path(word) for word in bundle.split(",") if word]
    signers = load_signers(sign_key, sign_passphrase_file)
    report = run_repair(chosen, Path(lock), signers, unsigned, bundles)
    kinds = ("missing", "changed", "extra", "store")
    names = {kind: list(getattr(report.findings, kind)) for kind in kinds}
    document = {
        **names, "set_aside": [str(path) for path in report.set_aside], "release": str(report.release),
        "serial": report.serial, "published": report.published, "requests": report.requests,
        "fetched_bytes": report.fetched_bytes, "bundle_bytes": report.bundle_bytes,
    }  # fmt: skip
    words = {**{kind: kind for kind in kinds}, "store": "damaged in the store"}
    lines = [f"  {words[kind]}: {name}" for kind in kinds for name in names[kind]]
    lines += [f"  kept as {path}" for path in report.set_aside]
    if bundle:
        lines.append(f"{report.bundle_bytes / 1e6:.1f} MB came out of the bundle")
    lines.append(f"fetched {report.fetched_bytes / 1e6:.1f} MB in {report.requests} requests")
    state = "published" if report.published else "was whole"
    lines.append(f"release {report.serial} {state}: {report.release}")
    console.result(document, "\n".join(lines))

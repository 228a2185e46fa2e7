"""The task that reports licences."""

from __future__ import annotations

import os
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from core import console


@task(
    help={
        "lock": "The lock (exactly which bytes).",
        "root": "The mirror whose resolved Debian packages count: $PNDA_MIRROR_ROOT or build/mirror.",
        "only": "Groups or entries, separated by commas; default: all.",
        "deny": "SPDX identifiers or names, separated by commas: exit 1 if a file needs one of them.",
        "markdown": "Print a document in Markdown.",
    }
)
def licences(
    _: Context,
    lock: str = "mirror/catalogue.lock",
    root: str = "",
    only: str = "",
    deny: str = "",
    markdown: bool = False,
) -> None:
    """Report the licences of what is mirrored, those without an SPDX expression file by file."""
    from core.errors import WorldError
    from mirror import kept_debs
    from mirror import licences as reporting

    chosen = Path(root or os.environ.get("PNDA_MIRROR_ROOT", "") or "build/mirror")
    loaded = kept_debs.loaded(Path(lock), chosen)
    uses = reporting.report(loaded, loaded.select(_words(only)) if only else loaded.entries())
    refused = reporting.denied(uses, _words(deny))
    document = {"licences": [vars(use) for use in uses], "denied": [vars(use) for use in refused]}
    lines = (reporting.markdown if markdown else reporting.text)(uses)
    if not refused:
        console.result(document, "\n".join(lines))
        return
    if console.settings.json:
        console.result(document, "")
    faults = [f"  {path}: {use.licence}" for use in refused for path in use.files]
    raise WorldError(
        "\n".join([f"{len(faults)} files need a licence that is denied", *faults]),
        "take them out of the catalogue, or off the list of denied licences",
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())

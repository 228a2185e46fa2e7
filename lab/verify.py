"""Run the testinfra suite, tests/infra, against the lab's provisioned hosts over Docker."""

from __future__ import annotations

import os
import re
import sys

from core.errors import WorldError
from core.process import run
from lab.model import Lab
from lab.snapshot import facts_folder, load_facts

_SECONDS = 900.0
_PASSED = re.compile(r"\b(\d+) passed\b")


def verify(lab: Lab) -> str:
    """Run the suite and return its closing line.

    Raises WorldError with pytest's report when a check fails, or when none ran.
    """
    facts = load_facts(lab)
    hosts = ",".join(f"docker://{lab.container(host)}" for host in facts)
    done = run(
        [
            sys.executable, "-m", "pytest", "-q", "--color=no", "tests/infra",
            f"--hosts={hosts}", f"--facts={facts_folder(lab)}",
        ],
        timeout=_SECONDS, cwd=lab.checkout, check=False, what="testinfra",
        # Docker's client of the engine's own version, as everywhere in the lab.
        env={"PATH": f"/usr/bin:{os.environ.get('PATH', '')}"},
    )  # fmt: skip
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    if done.code != 0 or not _PASSED.search(closing):
        raise WorldError(
            f"the testinfra suite does not pass on the lab {lab.name}\n{done.tail()}",
            f"run it yourself: .venv/bin/pytest tests/infra --hosts={hosts} --facts={facts_folder(lab)}",
        )
    return closing

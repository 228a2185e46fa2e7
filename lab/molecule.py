"""Molecule's scenario (``molecule/default``): what it needs, and a run of it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from core import console, locks
from core.errors import WorldError
from core.files import write_atomic
from core.process import run
from lab import containers, engine, images, molecule_environment, up
from lab.model import Lab

_SECONDS = 1800.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DONE = re.compile(r"^default ➜ (\w+): Executed: Successful$", re.MULTILINE)


@dataclass(frozen=True)
class MoleculeRun:
    """A run that succeeded: its steps in order, and how many checks of the testinfra suite passed."""

    steps: tuple[str, ...]
    checks: int


def molecule(lab: Lab, words: Sequence[str]) -> MoleculeRun:
    """Prepare the scenario, run ``molecule`` with ``words`` and return what it did.

    Raises WorldError with the tail of what Molecule said where it fails, or where a test run checked nothing.
    An engine that was started for it is stopped when nothing runs on it any more.
    """
    with locks.held(lab.folder / "molecule.lock", "run of Molecule"):
        with console.step("image, mirror and Molecule"):
            folder = molecule_environment.ensure(lab.checkout)
            settings = prepare(lab)
        report, log = lab.folder / "checks.xml", lab.folder / "molecule.log"
        report.unlink(missing_ok=True)
        home = lab.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        with console.step(f"molecule {' '.join(words)}"):
            done = run(
                [folder / "bin" / "molecule", "--env-file", settings, *words],
                timeout=_SECONDS, cwd=lab.checkout, check=False, what="molecule",
                env=molecule_environment.variables(folder, home),
            )  # fmt: skip
        write_atomic(log, _COLOUR.sub("", done.stdout + done.stderr))
        engine.stop_if_ours()
    if done.code != 0:
        raise WorldError(f"molecule ended with {done.code}\n{done.tail()}", f"see {log}")
    passed = checks(report)
    if not passed and {"test", "verify"} & set(words):
        raise WorldError("Molecule has checked nothing", f"see {log}")
    # Its summary, which is the only part without the level of a log line.
    return MoleculeRun(tuple(_DONE.findall(log.read_text(encoding="utf-8"))), passed)


def prepare(lab: Lab) -> Path:
    """Make image, mirror and facts of the scenario be there; return the file of its settings.

    That file is Molecule's ``--env-file``.
    """
    from mirror import lockfile
    from provision import cluster as clusters
    from provision import facts, preview

    engine.ensure()
    tags = images.ensure(("base", "node"), lab.folder / "logs")
    up.mirror(lab)
    described = clusters.load(lab.checkout / "clusters" / "molecule.yml")
    lock = lockfile.load(lab.checkout / "mirror" / "catalogue.lock")
    preview.write(described.build, facts.resolve(described, lock))
    settings = {
        "PNDA_MOLECULE_PREFIX": lab.container(""),
        "PNDA_MOLECULE_FOLDER": str(lab.folder),
        "PNDA_MOLECULE_MIRROR": str(lab.mirror_root),
        "PNDA_MOLECULE_MIRROR_IMAGE": tags["base"],
        "PNDA_MOLECULE_IMAGE": tags["node"],
        "PNDA_MOLECULE_SYSTEMD": shlex.join(containers.SYSTEMD),
    }
    target = lab.folder / "molecule.env.yml"
    write_atomic(target, json.dumps(settings, indent=2) + "\n")
    return target


def checks(report: Path) -> int:
    """Return how many checks passed, as the JUnit file ``report`` has it; 0 where there is none."""
    from defusedxml.ElementTree import parse

    try:
        root = parse(report).getroot()
    except (OSError, ParseError):
        return 0
    suites = [] if root is None else list(root.iter("testsuite"))
    bad = sum(int(suite.get(kind, 0)) for suite in suites for kind in ("failures", "errors", "skipped"))
    return sum(int(suite.get("tests", 0)) for suite in suites) - bad

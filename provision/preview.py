"""The files of a host as they will land there: plain Jinja with the rules that both engines share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InternalError
from core.files import write_atomic
from provision.facts import Facts, release_of
from provision.manifest import FLINK, FORMULAS, Formula

if TYPE_CHECKING:
    import jinja2


def environment(formula: Formula) -> jinja2.Environment:
    """Return the Jinja environment: strict about names, nothing trimmed, the last newline kept."""
    import jinja2

    # These are configuration files, not HTML: nothing is to be escaped.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(formula.templates),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - see above
    )


def render(facts: Facts) -> dict[str, bytes]:
    """Return the bytes of every managed file of a host, by destination.

    ``facts`` are those of one host. Raises InternalError for a template that asks for a fact
    which is not there.
    """
    result = {}
    for formula in FORMULAS:
        result.update(_render(formula, facts))
    return result


def _render(formula: Formula, facts: Facts) -> dict[str, bytes]:
    import jinja2

    templates = environment(formula)
    result = {}
    for entry in facts[f"{formula.name}_files"]:
        if entry["kind"] == "program":
            result[entry["destination"]] = (formula.programs / entry["source"]).read_bytes()
            continue
        try:
            text = templates.get_template(entry["source"]).render(variables(formula, facts, entry))
        except jinja2.UndefinedError as error:
            raise InternalError(f"{entry['source']} for {entry['destination']}: {error.message}") from error
        result[entry["destination"]] = text.encode()
    return result


def variables(formula: Formula, facts: Facts, entry: dict[str, str]) -> dict[str, Any]:
    """Return what a template sees: the host's facts, its manifest entry, and Flink's release it is about."""
    own = {f"{formula.name}_file": entry}
    return {**facts, **own, **({"flink_release": release_of(facts, entry)} if formula is FLINK else {})}


def write(build: Path, facts: dict[str, Facts]) -> Path:
    """Write the preview of all hosts under ``build``/preview and their facts under ``build``/facts.

    What an earlier render left there is removed first. Returns the preview's folder.
    """
    for name in ("preview", "facts"):
        shutil.rmtree(build / name, ignore_errors=True)
    for host, its in facts.items():
        write_atomic(build / "facts" / f"{host}.json", json.dumps(its, indent=2, sort_keys=True) + "\n")
        (build / "preview" / host).mkdir(parents=True)
        modes = {
            entry["destination"]: int(entry["mode"], 8)
            for formula in FORMULAS
            for entry in its[f"{formula.name}_files"]
        }
        for destination, content in render(its).items():
            write_atomic(build / "preview" / host / destination.lstrip("/"), content, modes[destination])
    return build / "preview"

"""The files of a host as they will land there: plain Jinja with the rules that both engines share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import locks
from core.errors import InternalError
from core.files import replacing, write_passing, writing
from provision.fact_text import FactTexts
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


class Renderer:
    """Renders many hosts: a template is compiled once, and its text made once for hosts that it is equal on.

    A template's text follows from the variables that it names. They are known by their identity, so
    no fact may be changed meanwhile.
    """

    def __init__(self) -> None:
        self._environments: dict[str, jinja2.Environment] = {}
        self._named: dict[tuple[str, str], tuple[str, ...]] = {}
        self._programs: dict[Path, bytes] = {}
        # The values are kept beside the text: as long as they live, no others have their identities.
        self._made: dict[tuple[object, ...], tuple[list[Any], bytes]] = {}

    def render(self, facts: Facts) -> dict[str, bytes]:
        """Return the bytes of every managed file of a host, by destination.

        ``facts`` are those of one host. Raises InternalError for a template that asks for a fact
        which is not there.
        """
        return {
            entry["destination"]: self._program(formula, entry)
            if entry["kind"] == "program"
            else self._text(formula, facts, entry)
            for formula in FORMULAS
            for entry in facts[f"{formula.name}_files"]
        }

    def _program(self, formula: Formula, entry: dict[str, str]) -> bytes:
        path = formula.programs / entry["source"]
        if path not in self._programs:
            self._programs[path] = path.read_bytes()
        return self._programs[path]

    def _text(self, formula: Formula, facts: Facts, entry: dict[str, str]) -> bytes:
        import jinja2

        if formula.name not in self._environments:
            self._environments[formula.name] = environment(formula)
        templates = self._environments[formula.name]
        source = entry["source"]
        if (formula.name, source) not in self._named:
            self._named[formula.name, source] = _named(templates, source)
        seen = variables(formula, facts, entry)
        values = [seen.get(name) for name in self._named[formula.name, source]]
        key = (formula.name, source, *map(id, values))
        if key not in self._made:
            try:
                text = templates.get_template(source).render(seen)
            except jinja2.UndefinedError as error:
                raise InternalError(f"{source} for {entry['destination']}: {error.message}") from error
            self._made[key] = values, text.encode()
        return self._made[key][1]


def _named(templates: jinja2.Environment, source: str) -> tuple[str, ...]:
    """Return the names of the variables that the template ``source`` asks for, sorted."""
    from jinja2 import meta

    loader = templates.loader
    if loader is None:
        raise InternalError(f"{source}: no folder of templates")
    text = loader.get_source(templates, source)[0]
    return tuple(sorted(meta.find_undeclared_variables(templates.parse(text))))


def render(facts: Facts) -> dict[str, bytes]:
    """Return the bytes of every managed file of one host, as :meth:`Renderer.render` does."""
    return Renderer().render(facts)


def variables(formula: Formula, facts: Facts, entry: dict[str, str]) -> dict[str, Any]:
    """Return what a template sees: the host's facts, its manifest entry, and Flink's release it is about."""
    own = {f"{formula.name}_file": entry}
    return {**facts, **own, **({"flink_release": release_of(facts, entry)} if formula is FLINK else {})}


def write(build: Path, facts: Mapping[str, Facts]) -> tuple[Path, int]:
    """Write the preview of all hosts under ``build``/preview and their facts under ``build``/facts.

    Each of the two takes the place of an earlier one at once. A host that gets the same as one before
    it is a link to that one's folder. Returns the preview's folder, and how many files all hosts get.
    Raises BusyError while another render of the same cluster is at work, DiskError.
    """
    texts, renderer, count = FactTexts(), Renderer(), 0
    written: dict[tuple[tuple[str, int, bytes], ...], str] = {}
    with (
        locks.held(build / "render.lock", f"render of {build.name}"),
        replacing(build / "facts") as facts_folder,
        replacing(build / "preview") as folder,
    ):
        for host, its in facts.items():
            write_passing(facts_folder / f"{host}.json", texts.text(its).encode())
            files = _files(its, renderer.render(its))
            count += len(files)
            with writing(folder):
                if files in written:
                    (folder / host).symlink_to(written[files])
                    continue
                (folder / host).mkdir()
            written[files] = host
            for destination, mode, content in files:
                write_passing(folder / host / destination.lstrip("/"), content, mode)
    return build / "preview", count


def _files(facts: Facts, texts: Mapping[str, bytes]) -> tuple[tuple[str, int, bytes], ...]:
    """Return destination, mode and bytes of each file of a host."""
    entries = (entry for formula in FORMULAS for entry in facts[f"{formula.name}_files"])
    return tuple(
        (entry["destination"], int(entry["mode"], 8), texts[entry["destination"]]) for entry in entries
    )

"""Which licences a mirror's files are under, as far as upstreams state them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError
from mirror.licence_names import expression
from mirror.lockfile import Lock, LockedFile

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Use:
    """A licence and the files under it.

    ``licence``: an SPDX expression if ``spdx``, else upstream's own words, or :data:`NOT_STATED`.
    ``files``: paths in the release; a part of an assembled archive stands as ``archive: part``.
    """

    licence: str
    spdx: bool
    files: tuple[str, ...]


def report(lock: Lock, entries: Iterable[str]) -> tuple[Use, ...]:
    """Return the licences of what a release of ``entries`` serves: SPDX first, those not stated last."""
    files: dict[tuple[int, str], list[str]] = {}
    for title, item in _titled(lock, entries):
        spdx = expression(item.licence)
        stated = " ".join(item.licence.split())
        rank = 0 if spdx else 1 if stated else 2
        files.setdefault((rank, spdx or stated or NOT_STATED), []).append(title)
    return tuple(
        Use(licence, rank == 0, tuple(sorted(titles))) for (rank, licence), titles in sorted(files.items())
    )


def denied(uses: Iterable[Use], words: Sequence[str]) -> tuple[Use, ...]:
    """Return the uses that cannot be had without a licence among ``words``.

    Where upstream leaves a choice, one that is not denied is enough. A word is an SPDX identifier, or
    a name just as the report has it, "not stated" included. Raises UsageError for a word that is
    neither, since a misspelt one would deny nothing.
    """
    listed = tuple(uses)
    names = {use.licence.casefold() for use in listed} | {NOT_STATED}
    for word in words:
        if word.casefold() not in names and not expression(word):
            raise UsageError(
                f"--deny: {word!r} is no SPDX identifier and no licence of this report",
                "write SPDX identifiers such as GPL-3.0-only, or names as ./inv mirror.licences prints them",
            )
    exact = {word.casefold() for word in words}
    wanted = exact | {expression(word).casefold() for word in words}
    return tuple(
        use
        for use in listed
        if use.licence.casefold() in exact or (use.spdx and not _possible(use.licence, wanted))
    )


def text(uses: Iterable[Use]) -> list[str]:
    """Return the report as lines for people; files are listed where no SPDX expression is known."""
    lines = []
    for use in uses:
        lines.append(f"{len(use.files):>5}  {use.licence}{'' if use.spdx else '  (no SPDX expression)'}")
        lines += [] if use.spdx else [f"         {path}" for path in use.files]
    return lines


def markdown(uses: Iterable[Use]) -> list[str]:
    """Return the report as a table and a list of files per licence, in Markdown."""
    listed = tuple(uses)
    lines = ["# Licences", "", "| licence | files | SPDX |", "|---|---:|---|"]
    lines += [
        f"| {_cell(use.licence)} | {len(use.files)} | {'yes' if use.spdx else 'no'} |" for use in listed
    ]
    for use in listed:
        lines += ["", f"## {_cell(use.licence)}", "", *(f"* `{path}`" for path in use.files)]
    return lines


def _titled(lock: Lock, entries: Iterable[str]) -> list[tuple[str, LockedFile]]:
    found = []
    for item in lock.files_of(entries):
        found.append((item.path, item))
        found += [(f"{item.path}: {part.path}", part) for part in parts(lock, item)]
    return found


def parts(lock: Lock, item: LockedFile) -> tuple[LockedFile, ...]:
    """Return the inputs that an assembled archive contains (none for any other file)."""
    if item.source["kind"] != "assembly":
        return ()
    from mirror import derived  # loads what assembles

    return tuple(lock.input(name) for name in derived.inputs_of(item.source))


def _possible(spdx: str, denied: set[str]) -> bool:
    from license_expression import get_spdx_licensing

    def allowed(node: Any) -> bool:
        operator = getattr(node, "operator", "").strip().upper()
        if operator in ("AND", "OR"):
            return (all if operator == "AND" else any)(allowed(part) for part in node.args)
        names = {str(node).casefold(), *(str(part).casefold() for part in node.decompose())}
        return not names & denied

    return allowed(get_spdx_licensing().parse(spdx))


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;")

"""The options that one Flink version knows, from ``options/<version>.tsv``, which Flink itself told.

A line holds key, type, default, an enumeration's values, and what came instead of a deprecated option
(``-`` where Flink does not say). ``./inv options.refresh`` makes the files (:mod:`provision.option_refresh`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.errors import InternalError, UsageError
from provision import lines

FOLDER = Path(__file__).with_name("options")
HEADER = ("key", "type", "default", "values", "deprecated for")
UNKNOWN_SUCCESSOR = "-"
_PLACE = re.compile(r"<[^>]*>")
# Families of keys that Flink hands on unread, so that it has no option for them.
FREE = (
    "containerized.master.env.",  # environment of the JobManager's container on YARN
    "containerized.taskmanager.env.",  # and of the TaskManagers'
    "flink.hadoop.",  # to Hadoop's configuration
    "flink.yarn.",  # to YARN's configuration
    "fs.abfs.",  # these and the next: to the file system of that name
    "fs.azure.",
    "fs.gs.",
    "fs.oss.",
    "fs.s3.",
    "fs.s3a.",
    "gs.",
    "presto.s3.",
    "s3.",
    "s3a.",
    "metrics.reporter.",  # each reporter has parameters of its own
    "traces.reporter.",
    "events.reporter.",
    "external-resource.",
    "security.delegation.token.provider.",
    "security.delegation.token.receiver.",
    "sql-gateway.endpoint.",  # endpoints may come from elsewhere
    "table.catalog-store.",  # each kind of store has parameters of its own
)
# So near to a known name of its family, a free one is a slip of the pen.
_SLIP = 0.85
# So near to any known name, an unknown one is offered that name.
_NEAR = 0.82


@dataclass(frozen=True)
class Option:
    """One option. ``kind`` is its type in Flink's words, ``values`` an enumeration's constants.

    ``successors`` is empty for a current option; a deprecated one has keys, or :data:`UNKNOWN_SUCCESSOR`.
    """

    key: str
    kind: str
    default: str
    values: tuple[str, ...]
    successors: tuple[str, ...]

    @property
    def replacements(self) -> tuple[str, ...]:
        """Return the successors that Flink names."""
        return tuple(key for key in self.successors if key != UNKNOWN_SUCCESSOR)


@dataclass(frozen=True)
class Catalogue:
    """All options of ``version``: ``exact`` by key, ``patterns`` for keys with a name inside."""

    version: str
    exact: Mapping[str, Option]
    patterns: tuple[tuple[re.Pattern[str], Option], ...]
    maps: tuple[Option, ...]

    def find(self, key: str) -> Option | None:
        """Return the option that ``key`` sets, or None if Flink knows none.

        The entry of a map (``pipeline.global-job-parameters.mine``) and a key of a free family are
        options of the kind String.
        """
        if key in self.exact:
            return self.exact[key]
        for pattern, option in self.patterns:
            if pattern.fullmatch(key):
                return option
        if any(key.startswith(f"{option.key}.") for option in self.maps):
            return Option(key, "String", "", (), ())
        if self._free(key) and not self._slip(key):
            return Option(key, "String", "", (), ())
        return None

    def nearest(self, key: str) -> str:
        """Return the key that ``key`` was probably meant to be, or an empty text; never a deprecated one."""
        close = difflib.get_close_matches(key, self.exact, n=1, cutoff=_NEAR)
        near = self._slip(key) or (close[0] if close else "")
        option = self.exact.get(near)
        if option and option.successors:
            return option.replacements[0] if option.replacements else ""
        return near

    def _free(self, key: str) -> bool:
        return any(key.startswith(prefix) and len(key) > len(prefix) for prefix in FREE)

    def _slip(self, key: str) -> str:
        """Return the known key of the same family that ``key`` nearly is."""
        parts = key.split(".")
        candidates = [name for name in self.exact if name.split(".")[:2] == parts[:2]]
        for _, option in self.patterns:
            # The same place has the same name: metrics.reporter.NAME.interval for NAME as written.
            words = option.key.split(".")
            places = [index for index, word in enumerate(words) if _PLACE.fullmatch(word)]
            if places and places[0] < len(parts) and words[: places[0]] == parts[: places[0]]:
                words[places[0]] = parts[places[0]]
                candidates.append(".".join(words))
        named = [name for name in candidates if not _PLACE.search(name)]
        close = difflib.get_close_matches(key, named, n=1, cutoff=_SLIP)
        return close[0] if close and close[0] != key else ""


def path_of(version: str) -> Path:
    """Return where the catalogue of ``version`` stands."""
    return FOLDER / f"{version}.tsv"


def versions() -> list[str]:
    """Return the versions that have a catalogue, oldest first."""
    return sorted((path.stem for path in FOLDER.glob("*.tsv")), key=lines.order_of)


@lru_cache(maxsize=16)
def load(version: str) -> Catalogue:
    """Return the catalogue of ``version``. Raises UsageError where there is none."""
    path = path_of(version)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"the options of Flink {version} are not known: there is no {path.name} in provision/options",
            f"./inv options.refresh --version {version}",
        ) from error
    return parse(version, text)


def parse(version: str, text: str) -> Catalogue:
    """Return the catalogue that ``text`` (a TSV file) holds. Raises InternalError for another layout."""
    head, *rows = text.splitlines()
    if tuple(head.split("\t")) != HEADER:
        raise InternalError(f"{path_of(version)}: its first line is not {', '.join(HEADER)}")
    found = [_option(version, row) for row in rows]
    patterns = [
        (_pattern(option.key), option)
        for option in found
        if "<" in option.key and not option.key.endswith(">")
    ]
    return Catalogue(
        version,
        {option.key: option for option in found if "<" not in option.key},
        tuple(patterns),
        tuple(option for option in found if option.kind == "Map" and "<" not in option.key),
    )


def render(options: Iterable[Option]) -> bytes:
    """Return the TSV file of ``options``: sorted by key, the same bytes for the same options."""
    rows = [HEADER]
    for option in sorted(options, key=lambda its: its.key):
        rows.append(
            (option.key, option.kind, option.default, ",".join(option.values), ",".join(option.successors))
        )
    return "".join("\t".join(row) + "\n" for row in rows).encode()


def _option(version: str, row: str) -> Option:
    fields = row.split("\t")
    if len(fields) != len(HEADER):
        raise InternalError(f"{path_of(version)}: a line without {len(HEADER)} fields: {row}")
    key, kind, default, values, successors = fields
    return Option(
        key,
        kind,
        default,
        tuple(values.split(",")) if values else (),
        tuple(successors.split(",")) if successors else (),
    )


def _pattern(key: str) -> re.Pattern[str]:
    return re.compile("[^.]+".join(re.escape(part) for part in _PLACE.split(key)))

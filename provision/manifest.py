"""A manifest (``templates/NAME/manifest.yml``) resolved for one host: plain lists, every path final."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from core import schema
from core.errors import InternalError
from core.marked_yaml import load

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Formula:
    """What is one role and one formula: its ``name``, components, and what a changed file may notify.

    Its facts are the host's whose names begin with ``name`` and an underscore.
    """

    name: str
    components: tuple[str, ...]
    notifies: tuple[str, ...]

    @property
    def templates(self) -> Path:
        """Return the folder of its templates and of its manifest."""
        return ROOT / "templates" / self.name

    @property
    def programs(self) -> Path:
        """Return the folder of the programs that it puts on nodes."""
        return ROOT / "programs" / self.name


FLINK = Formula(
    "flink",
    ("base", "install", "client", "history_server", "metrics", "housekeeping", "logs"),
    ("history_server", "metrics", "logs"),
)
MIRROR_SERVER = Formula("mirror_server", ("server",), ("server",))
YARN_QUEUES = Formula("yarn_queues", ("policy", "mappings"), ())
# In the order in which they are applied to a host.
FORMULAS = (MIRROR_SERVER, YARN_QUEUES, FLINK)


def has_components(facts: Mapping[str, Any]) -> bool:
    """Tell whether anything at all is to be provisioned on the host that ``facts`` are of."""
    return any(components_of(facts))


def formulas_of(facts: Mapping[str, Any]) -> list[str]:
    """Return the names of the formulas that are applied to a host, in order.

    Flink's always is one: it takes away what a host had before, also where it has nothing of Flink now.
    """
    return [one.name for one in FORMULAS if one is FLINK or facts[f"{one.name}_components"]]


def components_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the components of a host; those of all formulas but Flink have the formula's name before."""
    return tuple(
        component if formula is FLINK else f"{formula.name}.{component}"
        for formula in FORMULAS
        for component in facts[f"{formula.name}_components"]
    )


@dataclass(frozen=True)
class Scope:
    """What the manifest is resolved for.

    ``names`` are the placeholders that always hold, ``releases`` those of each version on the host,
    ``history`` those of the history server's version (empty without one). Each release's names
    hold at least ``version`` and ``parser`` (``legacy`` or ``yaml``). ``first`` are the components
    of which this host is the first.
    """

    components: frozenset[str]
    first: frozenset[str]
    names: Mapping[str, str]
    releases: Sequence[Mapping[str, str]]
    history: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """What one host gets, in order: each entry a flat table, as it stands in the facts.

    ``managed`` are the rows by which programs/flink/take-away knows what was described before.
    """

    directories: tuple[dict[str, str], ...]
    files: tuple[dict[str, str], ...]
    links: tuple[dict[str, str], ...]
    managed: tuple[str, ...]


def resolve(scope: Scope, formula: Formula = FLINK) -> Manifest:
    """Return ``formula``'s manifest for ``scope``.

    What two components want in the same way is the first one's alone. Raises InternalError when two
    entries claim one path in different ways.
    """
    document = _document(formula)
    manifest = Manifest(
        _once(_resolved(document["directories"], scope, _directory)),
        _once(_resolved(document["files"], scope, _file)),
        _once(_resolved(document["links"], scope, _link)),
        tuple(_managed(document, scope, "" if formula is FLINK else f"{formula.name}.")),
    )
    seen: set[str] = set()
    for entry in (*manifest.directories, *manifest.files, *manifest.links):
        if entry["destination"] in seen:
            raise InternalError(f"the manifest writes {entry['destination']} twice")
        seen.add(entry["destination"])
    return manifest


def _once(entries: Iterator[dict[str, str]]) -> tuple[dict[str, str], ...]:
    found: list[dict[str, str]] = []
    for entry in entries:
        if {**entry, "component": ""} not in [{**other, "component": ""} for other in found]:
            found.append(entry)
    return tuple(found)


def _managed(document: Mapping[str, list[dict[str, Any]]], scope: Scope, prefix: str) -> Iterator[str]:
    """Yield a row for each thing that goes when nothing describes it any more, each once."""
    found: dict[str, str] = {}
    for rows, kind in (("directories", "folder"), ("files", "file"), ("links", "link"), ("remains", "")):
        for entry in _resolved(document.get(rows, []), scope, partial(_managed_row, kind)):
            if entry["kind"] != "stays":
                found.setdefault(entry["what"], f"{prefix}{entry['owner']} {entry['kind']} {entry['what']}")
    yield from found.values()


def _managed_row(kind: str, row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {
        "owner": f"{row['component']}@{names['version']}" if "each" in row else row["component"],
        "kind": row.get("leaving", kind),
        "what": (row.get("destination") or row["what"]).format_map(names),
    }


def _resolved(rows: list[dict[str, Any]], scope: Scope, shape: Any) -> Iterator[dict[str, str]]:
    for row in rows:
        if row["component"] not in scope.components:
            continue
        if row.get("first") and row["component"] not in scope.first:
            continue
        if "needs" in row and not scope.names[row["needs"]]:
            continue
        shipper = scope.names.get("log_shipper")
        if row.get("shipper", shipper) != shipper:
            continue
        for names in _each(row, scope):
            if row.get("parser", names.get("parser")) == names.get("parser"):
                yield shape(row, {**scope.names, **names})


def _each(row: Mapping[str, Any], scope: Scope) -> Sequence[Mapping[str, str]]:
    each = row.get("each")
    if each == "release":
        return scope.releases
    return [scope.history] if each == "history" else [{}]


def _directory(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {
        "component": row["component"],
        "destination": row["destination"].format_map(names),
        "owner": row.get("owner", "root").format_map(names),
        "group": row.get("group", "root").format_map(names),
        "mode": row.get("mode", "0755"),
    }


def _file(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {
        **_directory({"mode": "0644", **row}, names),
        "kind": row["kind"],
        "source": row["source"],
        "release": names.get("version", "") if "each" in row else "",
        "notify": row.get("notify", ""),
    }


def _link(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {
        "component": row["component"],
        "destination": row["destination"].format_map(names),
        "target": row["target"].format_map(names),
        "notify": row.get("notify", ""),
    }


@cache
def _document(formula: Formula) -> dict[str, list[dict[str, Any]]]:
    document = load(formula.templates / "manifest.yml")
    schema.check_format(document, 1)
    schema.check(document, _schema(formula))
    data: dict[str, list[dict[str, Any]]] = document.data
    return data


def _schema(formula: Formula) -> dict[str, Any]:
    text = {"type": "string"}
    notify = {"enum": list(formula.notifies)}
    common = {
        "component": {"enum": list(formula.components)},
        "each": {"enum": ["release", "history"]},
        "destination": text,
    }
    owned = {"owner": text, "group": text, "mode": {"type": "string", "pattern": "^[01][0-7]{3}$"}}
    shipper = {"shipper": {"enum": ["rsyslog", "logstash"]}}
    leaving = {"leaving": {"enum": ["tree", "stays"]}}
    directory = {**common, **owned, **shipper, **leaving, "first": {"type": "boolean"}}
    file = {
        **common,
        **owned,
        "needs": text,
        **shipper,
        "parser": {"enum": ["legacy", "yaml"]},
        "kind": {"enum": ["template", "program"]},
        "source": text,
        "notify": notify,
    }
    link = {**common, "target": text, "notify": notify}
    remains = {"component": common["component"], "each": common["each"], "what": text}
    remains |= {"leaving": {"enum": ["tree", "undo"]}}
    return _table(
        {
            "format": {"type": "integer"},
            "directories": _list(_table(directory, ["component", "destination"])),
            "files": _list(_table(file, ["component", "destination", "kind", "source"])),
            "links": _list(_table(link, ["component", "destination", "target"])),
            "remains": _list(_table(remains, ["component", "leaving", "what"])),
        },
        ["format", "directories", "files", "links"],
    )


def _table(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

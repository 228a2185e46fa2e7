"""YAML whose every value still knows the line that it stood on.

Plain data plus a map from a value's path to its line, so that a schema library can check the
data and the error can still name ``file:line``. Only the safe subset of YAML is accepted:
no tags, no duplicate keys, keys are strings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import UsageError, in_file

Path_ = tuple[str | int, ...]
_MAX_BYTES = 4 << 20
_LISTED = 50
# What JSON can say as well: no dates, no binary, no objects.
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


@dataclass(frozen=True)
class Document:
    """A loaded YAML file: ``data`` is plain; ``lines`` maps a path of keys to a 1-based line."""

    path: Path
    data: Any
    lines: Mapping[Path_, int]

    def line(self, where: Iterable[str | int]) -> int | None:
        """Return the line of ``where``, or of its nearest ancestor that has one."""
        key = tuple(where)
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key)

    def fault(self, where: Iterable[str | int], message: str, cure: str) -> UsageError:
        """Return the error that says ``message`` about the value at ``where``, with its line."""
        return UsageError(in_file(self.path, self.line(where), message), cure)


def load(path: Path) -> Document:
    """Load the YAML file at ``path``.

    Raises UsageError with file, line and cure when it is missing, not UTF-8, over 4 MiB, not
    YAML, uses tags or aliases, or repeats a key.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file", "check the name and the folder") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
    if len(raw) > _MAX_BYTES:
        raise UsageError(f"{path}: larger than 4 MiB", "this cannot be a file of this kind")
    return loads(raw, path)


def loads(raw: bytes, path: Path) -> Document:
    """Like :func:`load`, from bytes; ``path`` is only used in messages."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            in_file(path, raw[: error.start].count(b"\n") + 1, "not UTF-8"), "save the file as UTF-8"
        ) from error
    try:
        # Not libyaml's loader: it is quicker, and dies of a file that is nested some thousand deep.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(
            in_file(path, mark.line + 1 if mark else None, f"not YAML: {problem}"),
            "mend the syntax at that line",
        ) from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply", "flatten the file") from error
    if node is None:
        raise UsageError(f"{path}: the file is empty", "write at least its `format` line")
    lines: dict[Path_, int] = {}
    return Document(path, _Builder(path, lines).build(node, ()), lines)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a phrase that offers the nearest of ``known`` to ``word``, else lists them (50 at most)."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    more = len(names) - _LISTED
    return "known here: " + ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


class _Builder:
    """Turns nodes into plain data, and notes the line of each value in ``lines``."""

    def __init__(self, path: Path, lines: dict[Path_, int]) -> None:
        self._path, self._lines = path, lines
        self._seen: set[int] = set()
        self._scalars = yaml.SafeLoader("")

    def build(self, node: yaml.Node, where: Path_) -> Any:
        self._lines.setdefault(where, node.start_mark.line + 1)
        if id(node) in self._seen and not isinstance(node, yaml.ScalarNode):
            raise UsageError(
                in_file(self._path, node.start_mark.line + 1, "YAML aliases are not accepted here"),
                "write the value out where it is used",
            )
        self._seen.add(id(node))
        if node.tag not in _PLAIN_TAGS:
            raise self._not_plain(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*where, i)) for i, item in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._not_plain(node) from error

    def _not_plain(self, node: yaml.Node) -> UsageError:
        return UsageError(
            in_file(self._path, node.start_mark.line + 1, f"not a plain value: {str(node.value)[:60]!r}"),
            "quote it, or write a number, a string, true or false",
        )

    def _mapping(self, node: yaml.MappingNode, where: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise UsageError(in_file(self._path, line, "a key must be a plain word"), "write it out")
            key = key_node.value
            if key in result:
                first = self._lines[(*where, key)]
                raise UsageError(
                    in_file(self._path, line, f"the key {key!r} stands here twice (first on line {first})"),
                    "keep one of them",
                )
            self._lines[(*where, key)] = line
            result[key] = self.build(value_node, (*where, key))
        return result

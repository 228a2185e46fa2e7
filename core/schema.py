"""Check a loaded YAML document against a JSON Schema, and say what is wrong in words with a cure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from core.errors import UsageError
from core.marked_yaml import Document, nearest

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


def check_format(document: Document, newest: int) -> None:
    """Raise UsageError unless the document is a mapping whose ``format`` is 1 to ``newest``."""
    if not isinstance(document.data, dict):
        raise document.fault((), "the file must hold keys and values", "begin with a line `format: 1`")
    value = document.data.get("format")
    if value is None:
        raise document.fault((), "the line `format: 1` is missing", "add it as the first line")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise document.fault(("format",), f"format is {value!r}, not a number", f"write `format: {newest}`")
    if value > newest:
        raise document.fault(
            ("format",),
            f"format {value} is newer than this program knows ({newest})",
            "use a newer release of this program for this file",
        )


def check(document: Document, schema: dict[str, Any]) -> None:
    """Raise UsageError for the first (by line) breach of ``schema``, naming file, line and cure."""
    from jsonschema import Draft202012Validator  # slow to load, and not every command checks a file

    errors = list(Draft202012Validator(schema).iter_errors(document.data))
    if errors:
        # A misspelt key is also a missing one: the first says more.
        faults = [(error.validator == "required", *_fault(document, error)) for error in errors]
        raise min(faults, key=lambda fault: fault[:2])[2]


def _fault(document: Document, error: ValidationError) -> tuple[int, UsageError]:
    where = tuple(error.absolute_path)
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    name = ".".join(str(part) for part in where) or "the file"
    if error.validator == "additionalProperties":
        known = set(schema.get("properties", {}))
        pattern_ok = schema.get("patternProperties", {})
        extra = [key for key in cast(dict[str, Any], error.instance) if key not in known]
        if not pattern_ok and extra:
            line = document.line((*where, extra[0]))
            return line or 0, document.fault(
                (*where, extra[0]), f"unknown key {extra[0]!r} in {name}", nearest(extra[0], known)
            )
        message, cure = f"{name}: {error.message}", schema.get("description", "rename that key")
    elif error.validator == "required":
        message, cure = f"{name}: {error.message.replace(' is a required property', ' is missing')}", "add it"
    elif error.validator == "enum":
        choices = [str(choice) for choice in cast(list[object], error.validator_value)]
        message, cure = f"{name} is {error.instance!r}", nearest(str(error.instance), choices)
    elif error.validator == "type":
        message = f"{name} is {error.instance!r}, which is not of type {error.validator_value}"
        cure = schema.get("description", f"write a value of type {error.validator_value}")
    else:
        message, cure = f"{name}: {error.message}", schema.get("description", "see docs/reference")
    return document.line(where) or 0, document.fault(where, message, cure)

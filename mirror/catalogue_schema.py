"""The JSON Schema of ``catalogue.yml``; what each key means stands in docs/reference/mirror.md."""

from __future__ import annotations

from typing import Any

FORMAT = 1

_NAME = {"type": "string", "pattern": r"^[a-z0-9][a-z0-9._-]*$", "description": "use a-z, 0-9, . _ and -"}
_TEXT = {"type": "string", "minLength": 1}
_VERSION = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._+-]*$",
    "description": 'write the version as a quoted string, such as "1.20.5"',
}
_VERSIONS = {
    "type": "array",
    "items": _VERSION,
    "minItems": 1,
    "uniqueItems": True,
    "description": "list the acceptable versions, the wanted one first",
}
_GA = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9._-]+:[A-Za-z0-9._-]+$",
    "description": "write group:artifact",
}
_PINNED = {
    "type": "array",
    "items": {
        "type": "string",
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!]+$",
        "description": "write project==version",
    },
    "uniqueItems": True,
}
_GROUPS = {"type": "array", "items": _NAME, "minItems": 1, "uniqueItems": True}
_SIGNERS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "string",
        "pattern": r"^([0-9A-F]{16}|[0-9A-F]{40}|[0-9A-F]{64})$",
        "description": "write a primary key's whole fingerprint: 40 hex digits in capitals, no spaces",
    },
    "minItems": 1,
    "uniqueItems": True,
}
# A list for all files of the entry, or lists by Maven group.
_SIGNING: dict[str, Any] = {
    "signers": {
        **_SIGNERS,
        "type": ["array", "object"],
        "propertyNames": {
            "pattern": r"^[A-Za-z0-9._-]+$",
            "description": "write a Maven group",
        },
        "additionalProperties": _SIGNERS,
        "minProperties": 1,
    },
    "require": {"enum": ["signature"]},
}
_DEB = {
    "type": "string",
    "pattern": r"^[a-z0-9][a-z0-9+.-]+(=[0-9][A-Za-z0-9.+:~-]*)?$",
    "description": "write a Debian package's name, or name=version",
}
_SUITE = {
    "type": "string",
    "pattern": r"^[a-z0-9][a-z0-9.-]*$",
    "description": "write a suite as apt's sources name it, such as bookworm",
}
_CLASSIFIER = {"type": "string", "pattern": r"^[A-Za-z0-9._-]+$"}
_GOAL = {
    "type": "string",
    "pattern": r"^[a-z][A-Za-z0-9._-]*(:[A-Za-z0-9._-]+)*$",
    "description": "write a phase, or a goal as prefix:goal or group:artifact:version:goal",
}


def _object(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _entry(kind: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return _object(["kind", "groups", *required], {"kind": {"const": kind}, "groups": _GROUPS, **properties})


_KINDS: dict[str, dict[str, Any]] = {
    "file": _entry(
        "file",
        ["path"],
        {
            "path": _TEXT,
            "url": {"type": "string", "pattern": r"^https?://", "description": "write an http(s) URL"},
            "apache": _TEXT,
            "versions": _VERSIONS,
            "signers": _SIGNERS,
            "require": _SIGNING["require"],
        },
    ),
    "maven": _entry(
        "maven",
        [],
        {
            "artifacts": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    ["artifact", "versions"],
                    {"artifact": _GA, "versions": _VERSIONS, "classifier": _CLASSIFIER},
                ),
            },
            "closure": {"type": "boolean"},
            "project": _object(
                ["folder"],
                {
                    "folder": {
                        "type": "string",
                        "pattern": r"^projects/[A-Za-z0-9_][A-Za-z0-9._-]*$",
                        "description": "write projects/NAME, a folder beside the catalogue",
                    },
                    "profiles": {
                        "type": "array",
                        "minItems": 1,
                        "uniqueItems": True,
                        "items": _CLASSIFIER,
                    },
                    "goals": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _GOAL},
                },
            ),
            **_SIGNING,
            "repository": _TEXT,
            "copies": {
                "type": "array",
                "items": _object(
                    ["into"],
                    {"into": _TEXT, "only": {"type": "array", "minItems": 1, "items": _CLASSIFIER}},
                ),
            },
        },
    ),
    "python": _entry(
        "python",
        ["requirements", "targets", "into"],
        {
            "requirements": {"type": "array", "minItems": 1, "items": _TEXT},
            "targets": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _NAME},
            "into": _TEXT,
            "provided": _PINNED,
            "build": _PINNED,
        },
    ),
    "deb": _entry(
        "deb",
        ["suite", "packages"],
        {
            "suite": _SUITE,
            "updates": {"type": "array", "uniqueItems": True, "items": _SUITE},
            "origin": _TEXT,
            "components": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _NAME},
            "architectures": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$", "description": "write amd64"},
            },
            "packages": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _DEB},
            "closure": {"type": "boolean"},
            "recommends": {"type": "boolean"},
            "base": {
                "oneOf": [
                    {"enum": ["minbase", "none"]},
                    {"type": "array", "minItems": 1, "uniqueItems": True, "items": _DEB},
                ],
                "description": "write minbase, none, or the list of packages that the machines have already",
            },
        },
    ),
    "assembly": _entry(
        "assembly",
        ["recipe", "path", "version", "scala", "target"],
        {
            "recipe": {"enum": ["flink"]},
            "path": _TEXT,
            "version": _VERSION,
            "origin": {"enum": ["assembled", "apache"]},
            **_SIGNING,
            "scala": _VERSION,
            "target": _NAME,
            "add": {
                "type": "array",
                "items": _object(
                    ["artifacts", "versions", "into"],
                    {
                        "artifacts": {"type": "array", "minItems": 1, "items": _GA},
                        "versions": _VERSIONS,
                        "classifier": _CLASSIFIER,
                        "into": _TEXT,
                        "name": _CLASSIFIER,
                    },
                ),
            },
        },
    ),
}

SCHEMA: dict[str, Any] = _object(
    ["format", "entries"],
    {
        "format": {"type": "integer"},
        "targets": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": _object(
                ["python", "machine", "glibc"],
                {
                    "python": {"type": "string", "pattern": r"^3\.[0-9]+$", "description": 'write "3.11"'},
                    "machine": {"enum": ["x86_64", "aarch64"]},
                    "glibc": {"type": "string", "pattern": r"^2\.[0-9]+$", "description": 'write "2.36"'},
                },
            ),
        },
        "entries": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": _NAME,
            "additionalProperties": {
                "type": "object",
                "required": ["kind", "groups"],
                "properties": {"kind": {"enum": list(_KINDS)}},
                "allOf": [
                    {
                        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                        "then": checked,
                    }
                    for kind, checked in _KINDS.items()
                ],
            },
        },
    },
)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.marked_yaml import loads
from core.schema import check, check_format

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["format", "name"],
    "properties": {
        "format": {"type": "integer"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "description": "write small letters only"},
        "engine": {"enum": ["ansible", "salt"]},
        "ports": {"type": "array", "items": {"type": "integer", "maximum": 65535}},
    },
}


def read(text: str) -> Any:
    return loads(text.encode(), Path("f.yml"))


@pytest.mark.parametrize(
    ("text", "line", "message", "cure"),
    [
        ("format: 1\nname: a\nnmae: b\n", 3, "unknown key 'nmae'", "did you mean 'name'?"),
        ("format: 1\n", 1, "'name' is missing", "add it"),
        ("format: 1\nname: A1\n", 2, "does not match", "write small letters only"),
        ("format: 1\nname: 7\n", 2, "not of type string", "write small letters only"),
        ("format: 1\nname: a\nengine: slat\n", 3, "engine is 'slat'", "did you mean 'salt'?"),
        ("format: 1\nname: a\nports:\n  - 1\n  - 70000\n", 5, "ports.1", "see docs"),
    ],
)
def test_a_breach_names_line_and_cure(text: str, line: int, message: str, cure: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(read(text), SCHEMA)
    assert caught.value.message.startswith(f"f.yml:{line}: ")
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    "text", ["- 1\n", "name: a\n", "format: x\n", "format: 0\n", "format: true\n", "format: 2\n"]
)
def test_a_wrong_format_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        check_format(read(text), 1)


def test_a_good_document_passes() -> None:
    document = read("format: 1\nname: a\nports: [1]\n")
    check_format(document, 1)
    check(document, SCHEMA)

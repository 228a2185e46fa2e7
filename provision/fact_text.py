"""Facts as JSON text: what equal hosts share is turned into text once."""

from __future__ import annotations

import json
from typing import Any

from provision.facts import Facts


class FactTexts:
    """Turns the facts of many hosts into indented JSON, each shared value once.

    The text is what ``json.dumps(facts, indent=2, sort_keys=True)`` and a line break give. Values are
    known by their identity, so none may be changed meanwhile.
    """

    def __init__(self) -> None:
        # The value is kept beside its text: as long as it lives, no other has its identity.
        self._made: dict[int, tuple[Any, str]] = {}

    def text(self, facts: Facts) -> str:
        """Return the JSON document of one host's facts."""
        lines = ",\n".join(f"  {json.dumps(key)}: {self._value(facts[key])}" for key in sorted(facts))
        return f"{{\n{lines}\n}}\n"

    def _value(self, value: Any) -> str:
        if not isinstance(value, list | dict):
            return json.dumps(value)
        if id(value) not in self._made:
            # A string in JSON holds no line break, so these are the layout's own.
            text = json.dumps(value, indent=2, sort_keys=True).replace("\n", "\n  ")
            self._made[id(value)] = value, text
        return self._made[id(value)][1]

"""Whether a text is a value of an option's type, as Flink's own parsers have it.

The rules were read from Flink 1.20.5 and 2.3.0 (``ConfigurationUtils``, ``TimeUtils``, ``MemorySize``);
a test has Flink itself parse what is accepted here. In one point we are stricter: a bare number is no
duration and no memory size, as few people mean milliseconds or bytes by it.
"""

from __future__ import annotations

import difflib
import re

from provision.option_catalogue import Option

Fault = tuple[str, str]
_UNITS_OF_TIME = {
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "min"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("µs", "micro", "micros", "microsecond", "microseconds"), "µs"),
    **dict.fromkeys(("ns", "nano", "nanos", "nanosecond", "nanoseconds"), "ns"),
}
_UNITS_OF_MEMORY = {
    **dict.fromkeys(("b", "bytes"), 1),
    **dict.fromkeys(("k", "kb", "kibibytes"), 1 << 10),
    **dict.fromkeys(("m", "mb", "mebibytes"), 1 << 20),
    **dict.fromkeys(("g", "gb", "gibibytes"), 1 << 30),
    **dict.fromkeys(("t", "tb", "tebibytes"), 1 << 40),
}
_WITH_UNIT = re.compile(r"([0-9]+)\s*(\S*)")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LONG = (1 << 63) - 1
_RANGES = {"Integer": (-(1 << 31), (1 << 31) - 1), "Long": (-_LONG - 1, _LONG)}


def fault(option: Option, text: str, legacy: bool) -> Fault | None:
    """Return (what is wrong, the cure) with ``text`` as the value of ``option``, or None.

    ``legacy`` tells that Flink 1.x's parser reads it, which knows no lists or maps in YAML's notation.
    """
    kind = option.kind
    if kind.startswith("List<"):
        return _list_fault(option, kind[5:-1], text, legacy)
    if kind == "Map":
        return _map_fault(text, legacy)
    return _scalar_fault(kind, option.values, text)


def _scalar_fault(kind: str, values: tuple[str, ...], text: str) -> Fault | None:
    if kind in _RANGES:
        return _whole_fault(kind, text)
    if kind in ("Double", "Float"):
        return None if _REAL.fullmatch(text) else (f"{text!r} is no number", "write a number such as 0.5")
    if kind == "Boolean":
        known = text.lower() in ("true", "false")
        return None if known else (f"{text!r} is neither true nor false", "write true or false")
    if kind == "Duration":
        return _duration_fault(text)
    if kind == "MemorySize":
        return _memory_fault(text)
    if kind == "Enum":
        return _enum_fault(values, text)
    return None


def _whole_fault(kind: str, text: str) -> Fault | None:
    if not _WHOLE.fullmatch(text):
        return f"{text!r} is no whole number", "write a whole number, without a unit"
    low, high = _RANGES[kind]
    if not low <= int(text) <= high:
        return f"{text} is too large", f"write a whole number from {low} to {high}"
    return None


def _duration_fault(text: str) -> Fault | None:
    found = _WITH_UNIT.fullmatch(text)
    cure = "write a whole number with its unit, such as '10 s': d, h, min, s, ms, µs or ns"
    if not found:
        return f"{text!r} is no duration", cure
    number, unit = found[1], found[2].lower()
    if not unit:
        if int(number) == 0:
            return None
        return f"{text!r} has no unit of time", f"write the unit: '{text} s', or '{text} ms'"
    if unit not in _UNITS_OF_TIME:
        return f"{text!r}: {found[2]!r} is no unit of time", cure
    if int(number) > _LONG // 1000000000 // 86400:
        return f"{text!r} is too long", cure
    return None


def _memory_fault(text: str) -> Fault | None:
    found = _WITH_UNIT.fullmatch(text)
    cure = "write a whole number with its unit, such as 1024m: b, k, m, g or t (powers of 1024)"
    if not found:
        return f"{text!r} is no memory size", cure
    number, unit = found[1], found[2].lower()
    if not unit:
        if int(number) == 0:
            return None
        return (
            f"{text!r} has no unit, and Flink would take it for bytes",
            f"write the unit: {text}m, or {text}b",
        )
    if unit not in _UNITS_OF_MEMORY:
        return f"{text!r}: {found[2]!r} is no unit of memory", cure
    if int(number) * _UNITS_OF_MEMORY[unit] > _LONG:
        return f"{text!r} is too much", cure
    return None


def _enum_fault(values: tuple[str, ...], text: str) -> Fault | None:
    if text.lower() in (value.lower() for value in values):
        return None
    close = difflib.get_close_matches(text.lower(), [value.lower() for value in values], n=1)
    offer = next((value for value in values if close and value.lower() == close[0]), "")
    choices = "one of " + ", ".join(values)
    return f"{text!r} is not {choices}", f"did you mean {offer!r}?" if offer else f"write {choices}"


def _list_fault(option: Option, kind: str, text: str, legacy: bool) -> Fault | None:
    if kind == "Map":
        return None  # a list of maps is Kubernetes's; none runs here
    if not legacy and text.startswith("[") and text.endswith("]"):
        parts = text[1:-1].split(",")
        cure = "parts are parted by ','"
    else:
        cure = "parts of a list are parted by ';', and one in quotes by ';' as well"
        try:
            parts = _split(text, ";")
        except ValueError as error:
            return f"{text!r}: {error}", cure
    for part in parts:
        wrong = _scalar_fault(kind, option.values, part.strip()) if part.strip() else None
        if wrong:
            return wrong[0], f"{wrong[1]}; {cure}"
    return None


def _map_fault(text: str, legacy: bool) -> Fault | None:
    if not legacy and text.startswith("{") and text.endswith("}"):
        return None
    cure = "write pairs such as name:value,other:value; quote what holds a comma or a colon"
    names = []
    try:
        for pair in _split(text, ","):
            parts = _split(pair, ":")
            if len(parts) != 2:
                return f"{pair!r} is no pair", cure
            names.append(parts[0])
    except ValueError as error:
        return f"{text!r}: {error}", cure
    twice = sorted({name for name in names if names.count(name) > 1})
    return (f"{twice[0]!r} stands there twice", "keep one of them") if twice else None


def _split(text: str, delimiter: str) -> list[str]:
    """Return the parts of ``text`` as Flink's StructuredOptionsSplitter has them, without empty ones.

    A part may stand in quotes, doubled inside them; then a delimiter or the end must follow. Raises
    ValueError with the reason.
    """
    parts: list[str] = []
    expected = place = 0  # how many parts there may be so far
    while place < len(text):
        if text[place] == delimiter:
            expected, place = len(parts), place + 1
            continue
        if text[place].isspace():
            place += 1
            continue
        if len(parts) > expected:
            raise ValueError(f"after a quotation a {delimiter!r} must follow")
        if text[place] in "'\"":
            part, place = _quoted(text, place)
        else:
            end = text.find(delimiter, place)
            end = len(text) if end < 0 else end
            part, place = text[place:end].strip(), end
        parts.append(part)
    return parts


def _quoted(text: str, start: int) -> tuple[str, int]:
    """Return the quotation that begins at ``start``, and the place after it."""
    quote, place = text[start], start + 1
    found = []
    while place < len(text):
        if text[place] != quote:
            found.append(text[place])
        elif text[place + 1 : place + 2] == quote:
            found.append(quote)
            place += 1
        else:
            return "".join(found), place + 1
        place += 1
    raise ValueError("a quotation has no end")

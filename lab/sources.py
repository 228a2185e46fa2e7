"""The host's own apt configuration, as far as it serves the suite that the images are made of.

A site that has a Debian mirror or an apt proxy of its own has said so in ``/etc/apt``; the lab
takes it from there and names no archive itself.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import UsageError
from core.process import run

SUITE = "bookworm"
_FIELDS = {"arch": "Architectures", "lang": "Languages"}  # what sources.list(5) calls otherwise in deb822
_SUITES = {SUITE, f"{SUITE}-updates", f"{SUITE}-security", f"{SUITE}/updates"}
_OPTIONS = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
    "Acquire::Languages",
)


def sources(folder: Path = Path("/etc/apt")) -> str:
    """Return the host's enabled sources of ``SUITE``, in deb822 form.

    Reads ``sources.list`` and ``sources.list.d`` under ``folder``. Raises UsageError where none
    of them serves the suite.
    """
    stanzas: list[str] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            stanzas += _deb822(text)
        elif path.suffix == ".list":
            stanzas += [stanza for line in text.splitlines() if (stanza := _one_line(line))]
    if not any(SUITE in stanza.split() for stanza in stanzas):
        raise UsageError(
            f"the lab's images are of Debian's {SUITE}, and no apt source in {folder} serves it",
            f"add one, for example as {folder}/sources.list.d/{SUITE}.sources",
        )
    return "\n".join(stanzas)


def options() -> tuple[str, ...]:
    """Return apt's effective settings that a build in another root needs too (proxies, retries, dates)."""
    done = run(["apt-config", "dump"], timeout=30)
    return tuple(line for line in done.stdout.splitlines() if line.startswith(_OPTIONS) and '"";' not in line)


def _deb822(text: str) -> list[str]:
    kept = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        fields: dict[str, str] = {}
        name = ""
        for line in lines:
            if line[0] in " \t":
                fields[name] += "\n" + line
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if (
            fields.get("enabled", "yes").lower() in {"no", "false", "0"}
            or "deb" not in fields.get("types", "").split()
        ):
            continue
        suites = [suite for suite in fields.get("suites", "").split() if suite in _SUITES]
        if suites:
            fields |= {"types": "deb", "suites": " ".join(suites)}
            kept.append("\n".join(f"{key.title()}: {value}" for key, value in fields.items()) + "\n")
    return kept


def _one_line(line: str) -> str:
    words = line.partition("#")[0].split()
    if not words or words[0] != "deb":
        return ""
    rest = words[1:]
    extra: list[str] = []
    if rest and rest[0].startswith("["):
        end = next((i for i, word in enumerate(rest) if word.endswith("]")), None)
        if end is None:
            return ""
        inner = " ".join(rest[: end + 1]).strip("[] ").split()
        extra = [
            f"{_FIELDS.get(key, key.title())}: {value.replace(',', ' ')}"
            for key, _, value in (word.partition("=") for word in inner)
        ]
        rest = rest[end + 1 :]
    if len(rest) < 3 or rest[1] not in _SUITES:
        return ""
    return (
        "\n".join(
            [
                "Types: deb",
                f"Uris: {rest[0]}",
                f"Suites: {rest[1]}",
                f"Components: {' '.join(rest[2:])}",
                *extra,
            ]
        )
        + "\n"
    )

# SPDX-License-Identifier: Apache-2.0
"""What a part did, in counts: bounded, however many files there are."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable

TOLD = 20  # problems that are told in words; the others are counted


def ignore(_text: str) -> None:
    """Tell nobody."""


class PartReport:
    """One part's work: what was deleted (or would be), what was kept and why, what went wrong.

    ``tell`` is called with one line for everything that is deleted.
    """

    def __init__(self, name: str, tell: Callable[[str], None] = ignore) -> None:
        self.name = name
        self.deleted = 0
        self.bytes = 0
        self.kept: Counter[str] = Counter()
        self.problems: list[str] = []
        self.problem_count = 0
        self._tell = tell

    def delete(self, what: str, size: int = 0) -> None:
        """Count something that is deleted."""
        self.deleted += 1
        self.bytes += size
        self._tell(f"{self.name}: delete {printable(what)}")

    def keep(self, reason: str, count: int = 1) -> None:
        """Count something that could have gone, but for ``reason``."""
        self.kept[reason] += count

    def problem(self, text: str) -> None:
        """Count something that this part could not do."""
        self.problem_count += 1
        if len(self.problems) < TOLD:
            self.problems.append(printable(text))

    def document(self) -> dict[str, Any]:
        """Return this for programs."""
        return {
            "deleted": self.deleted,
            "bytes": self.bytes,
            "kept": dict(sorted(self.kept.items())),
            "problems": self.problem_count,
            "told": self.problems,
        }

    def lines(self, dry: bool) -> list[str]:
        """Return this for people."""
        verb = "would be deleted" if dry else "deleted"
        found = [f"{self.name}: {self.deleted} {verb} ({self.bytes / 1e6:.1f} MB)"]
        found += [f"{self.name}: kept {count}: {reason}" for reason, count in sorted(self.kept.items())]
        found += [f"{self.name}: problem: {text}" for text in self.problems]
        if self.problem_count > len(self.problems):
            found.append(f"{self.name}: and {self.problem_count - len(self.problems)} problems more")
        return found


def printable(text: str) -> str:
    """Return ``text`` on one line, whatever a file is called."""
    return text.encode("unicode_escape", "surrogateescape").decode("ascii", "replace") if odd(text) else text


def odd(text: str) -> bool:
    """Tell whether ``text`` cannot be printed as it is."""
    return not text.isprintable()

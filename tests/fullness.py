"""How thorough a run of the tests is: the usual one, or ``./inv test --full``."""

from __future__ import annotations

import os

VARIABLE = "PNDA_TEST_FULL"
FULL = os.environ.get(VARIABLE) == "1"


def examples(usual: int, full: int) -> int:
    """Return how many examples a test is given that costs more than the others."""
    return full if FULL else usual

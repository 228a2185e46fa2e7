"""How long Graphite keeps points, in carbon's notation, and which intervals that can hold.

``10s:6h,1m:7d``: a point every 10 s for 6 h, then one a minute for 7 days. The rules are whisper's
(``validateArchiveList``): finer archives first, each step a multiple of the one before, each kept longer.
"""

from __future__ import annotations

import re
from itertools import pairwise

Fault = tuple[str, str]
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_PART = re.compile(r"([1-9][0-9]*)(s|min|m|h|d|w|y):([1-9][0-9]*)(s|min|m|h|d|w|y)")
# Carbon makes a coarser point only where this share of the finer ones is there (its xFilesFactor): in the
# rules that we give it, and in its own where nobody says otherwise.
NEEDED_SHARE = 0.5


def archives(retentions: str) -> list[tuple[int, int]]:
    """Return (seconds between points, seconds kept) of each archive. Raises ValueError."""
    found = []
    for part in retentions.split(","):
        match = _PART.fullmatch(part.strip())
        if not match:
            raise ValueError(f"{part.strip()!r} is no retention")
        found.append((int(match[1]) * _SECONDS[match[2]], int(match[3]) * _SECONDS[match[4]]))
    return found


def fault(retentions: str) -> Fault | None:
    """Return (what is wrong, the cure) with ``retentions``, or None."""
    cure = "write retentions such as 10s:6h,1m:7d: finest first, each step a multiple, each kept longer"
    try:
        found = archives(retentions)
    except ValueError as error:
        return str(error), cure
    for step, kept in found:
        if kept < step:
            return f"{retentions}: an archive is kept for {kept} s, less than its step of {step} s", cure
    for (step, kept), (next_step, next_kept) in pairwise(found):
        if next_step <= step or next_step % step or next_kept <= kept or kept // step < next_step // step:
            return f"{retentions}: {next_step} s for {next_kept} s cannot follow {step} s for {kept} s", cure
    return None


def interval_fault(seconds: int, retentions: str) -> Fault | None:
    """Return (what is wrong, the cure) with a report every ``seconds``, or None.

    More reports than the finest archive has points for overwrite each other; with fewer than half of its
    points filled, the coarser archives stay empty.
    """
    found = archives(retentions)
    step = found[0][0]
    longest = int(step / NEEDED_SHARE)
    offer = f"write {step}, or change metrics_retentions in provision/flavours.yml"
    if seconds < step:
        return (
            f"a report every {seconds} s is more than Graphite holds ({retentions}): one every {step} s",
            offer,
        )
    if len(found) > 1 and seconds > longest:
        return (
            f"a report every {seconds} s fills too few of Graphite's points ({retentions}): "
            f"the archives after the first would stay empty",
            offer,
        )
    return None

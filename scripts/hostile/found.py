"""What may be wrong with how a case ended, counted.

Owns the counters and their meaning. Does not know how cases are made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.hostile.warm import Ended

COUNTERS = (
    "tracebacks",
    "hangs",
    "accepted_nonsense",
    "bytes_changed",
    "earlier_results_lost",
    "more_than_a_line",
    "good_rows_lost",
)
"""``tracebacks``: a traceback, an internal error (its traceback lies in a file), or death by a signal that was not
ours. ``hangs``: the time was up. ``accepted_nonsense``: what can't be meant was taken. ``bytes_changed``: a result
differs from that of a run that was let alone. ``earlier_results_lost``: a file that was there before is gone or other.
``more_than_a_line``: a refusal that is not one line. ``good_rows_lost``: rows that nothing is wrong with were not used
because of others."""
MENDABLE = 2
_STATUSES = {0, 1, MENDABLE, 130, 141}
_PYTHON = re.compile(
    r"Traceback \(most recent call last\)|^internal error|: internal error: |Exception ignored in", re.MULTILINE
)
Snapshot = Mapping[str, tuple[int, int, int]]


@dataclass(slots=True)
class Tally:
    """What was tried, and what was found."""

    tried: Counter[str] = field(default_factory=Counter)
    """Cases by kind."""
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    """A line for each, with what it takes to see it again."""
    statuses: Counter[int] = field(default_factory=Counter)
    last: Ended | None = None
    """How the last case ended."""

    def add(self, name: str, kind: str, ended: Ended, wrong: Iterable[str], shown: str) -> None:
        """Takes in a case."""
        self.tried[kind] += 1
        self.statuses[ended.status] += 1
        self.last = ended
        for what in wrong:
            self.counts[what] += 1
            self.findings.append(f"{what} {name}: {shown} -> {ended.status}: {ended.last[:400]}")

    def take(self, other: Tally) -> None:
        """Takes in what another process has tried."""
        self.tried += other.tried
        self.counts += other.counts
        self.statuses += other.statuses
        self.findings += other.findings
        self.last = other.last or self.last


def wrong_with(ended: Ended, *, nonsense: bool = False) -> set[str]:
    """Counters that the end of a command adds to, whatever it was for; ``nonsense``: whether it must have refused."""
    found = set()
    if ended.hung:
        return {"hangs"}
    if _PYTHON.search(ended.err) or _PYTHON.search(ended.out) or ended.status not in _STATUSES:
        found.add("tracebacks")
    elif ended.status == MENDABLE and (len(_said(ended)) > 1 or not ended.err.strip()):
        found.add("more_than_a_line")
    if nonsense and ended.status == 0:
        found.add("accepted_nonsense")
    return found


def _said(ended: Ended) -> list[str]:
    """The lines of a refusal, without those that tell of progress, name single rows, show a usage or are a library's
    warning."""
    return [
        line
        for line in ended.err.strip().splitlines()
        if not line.startswith(("left out ", "step ", "usage: ", "  ")) and "Warning: " not in line
    ]


def snapshot(folder: Path) -> Snapshot:
    """Every file below a folder with its size, its time and its number: whatever writes to one changes these."""
    return {
        str(path.relative_to(folder)): ((found := path.stat()).st_size, found.st_mtime_ns, found.st_ino)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lost(before: Snapshot, after: Snapshot, but: str = "") -> list[str]:
    """Files that are gone or other, except below ``but``."""
    return [
        name for name, seen in before.items() if after.get(name) != seen and not (but and name.startswith(f"{but}/"))
    ]

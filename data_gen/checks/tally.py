"""What is counted in rows, and the line that is printed of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from data_gen.tasks.nearness import Nearness

SECRETS = ("number", "extent", "extent_at_end", "misheard")
"""What of a request a listener can't know yet, beside its values; see `data_gen.tasks.twins.others`."""
COUNTERS = (
    "peeked",
    *(f"knew_{secret}" for secret in SECRETS),
    "knew_end",
    "twins_diverged_early",
    "gold_not_reached",
    "repeated_actions",
    "prefix_broken",
)
LOST = "gold_lost_at_false_end"
"""No fault of a row: an endpoint was wrong, an effect started before the user's last word was heard, and what was asked
for in the end can't be had any more."""


@dataclass(slots=True)
class Tally:
    """What was counted in some rows."""

    rows: int = 0
    """How many rows."""
    counts: Counter[str] = field(default_factory=Counter)
    """Rows by what is wrong with them (`COUNTERS`), and `LOST`."""
    templates: Counter[str] = field(default_factory=Counter)
    """How often each wording was used."""
    corrected: int = 0
    """Rows whose tags name a correction."""
    tokens: Counter[str] = field(default_factory=Counter)
    """Tokens of all rows, by the name of the tokenizer."""
    tags: Counter[str] = field(default_factory=Counter)
    """Rows by tag; a row has several."""
    calls: Counter[int] = field(default_factory=Counter)
    """Rows by how many calls gold has."""
    owned: dict[str, set[str]] = field(default_factory=dict)
    """What each split's rows contain that no other split's may."""
    nearness: Nearness = field(default_factory=Nearness)
    """How near test's rows are to train's."""
    turns: Counter[str] = field(default_factory=Counter)
    """Turns of conversations by kind."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Conversations by how many turns they have."""
    faulty: list[str] = field(default_factory=list)
    """Rows at fault, and with what."""

    def add(self, other: Tally) -> None:
        """Takes in another tally."""
        self.rows += other.rows
        self.faulty += other.faulty
        self.corrected += other.corrected
        self.nearness.update(other.nearness)
        for name in ("counts", "templates", "tokens", "tags", "calls", "turns", "lengths"):
            getattr(self, name).update(getattr(other, name))
        for split, things in other.owned.items():
            self.owned.setdefault(split, set()).update(things)

    def report(self) -> dict[str, Any]:
        """The line that is printed."""
        splits = list(self.owned.values())
        overlap = set().union(*(a & b for n, a in enumerate(splits) for b in splits[n + 1 :])) if splits else set()
        told = sum(self.templates.values())
        return {
            "rows": self.rows,
            **{name: self.counts[name] for name in (*COUNTERS, LOST)},
            "split_overlap": len(overlap),
            "templates": len(self.templates),
            "largest_template_share": round(max(self.templates.values()) / told, 4) if told else None,
            "share_with_correction": round(self.corrected / self.rows, 4) if self.rows else None,
            "mean_tokens": {name: round(total / self.rows) for name, total in self.tokens.items()},
            "calls": self._shares(self.calls),
            "tags": self._shares(self.tags),
            "nearness": self.nearness.report(),
        } | (self._of_turns() if self.turns else {})

    def _of_turns(self) -> dict[str, Any]:
        """How many turns there are, and the share of each kind among them and of each number among conversations."""
        total = self.turns.total()
        kinds = {kind: round(count / total, 4) for kind, count in sorted(self.turns.items())}
        return {"turns": total, "kinds_of_turns": kinds, "turns_of_conversations": self._shares(self.lengths)}

    def _shares(self, counted: Counter[Any]) -> dict[str, float]:
        """Shares of the rows, in the order of what was counted."""
        return {str(key): round(count / self.rows, 4) for key, count in sorted(counted.items())}

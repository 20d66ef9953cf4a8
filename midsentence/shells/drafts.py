"""Reuse of what a session wrote in earlier attempts at a turn, as a guess at what it writes next; every token is
checked.

In a mode that is *verified* the shell treats every update as if it were the last
(`midsentence.core.events.EndPredicted`), so the model plans on everything said so far while the user is still speaking.
The next words discard that attempt, and a new one begins. Most of the new attempt repeats the old one. As long as the
old tokens are those that the model would write now, they are read in one pass, like the draft in speculative decoding.
So the model's output, and its actions, are exactly those that it would produce with the whole request in front of it.

Owns which tokens are foreseen, and which reads are identical. Does not know time and devices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from midsentence.core.events import StartTool
from midsentence.models.model import LEAST_FORESEEN, common

_KEPT_ATTEMPTS = 4
_LEAST_AGREED = 3
"""Tokens by which an earlier attempt is found to go on as this one does."""
_MOST_AGREED = 8


@dataclass(frozen=True, slots=True)
class Drafted:
    """What became of the attempts of a session that is verified."""

    attempts: int
    """How often what was begun was thrown away."""
    foreseen: int
    """Tokens that were foreseen, and read; of what was cut, as far as it had come."""
    right: int
    """Those of them that were written."""
    kept: frozenset[tuple[int, int]]
    """Starts, as (call, version), for which no tool was run: the same read had been, or was running."""


class Drafts:
    """What was written for the turn under way, and what of it was written again."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, ...]] = []
        """What the attempt under way has written, a generation each."""
        self._earlier: list[list[tuple[int, ...]]] = []
        """The attempts before it, the last first."""
        self._given: tuple[int, tuple[int, ...]] | None = None
        """After how many tokens of the generation under way what was foreseen, as long as it is not known what became
        of it."""
        self._refused: int | None = None
        """The token that was foreseen in vain, if one was just before."""
        self._quiet_until = 0
        """Tokens of the generation under way before which nothing is foreseen, for it went wrong just before."""
        self.attempts = self.foreseen = self.right = 0
        """See `Drafted`; of all turns."""

    def wrote(self, ids: Sequence[int]) -> None:
        """A generation has ended, or was cut; ``ids`` of it stand."""
        self._settle(ids)
        if self._given is not None:  # cut in the middle of it
            seen = max(0, len(ids) - self._given[0])
            self.foreseen, self.right = self.foreseen + seen, self.right + seen
        if ids:
            self._spans.append(tuple(ids))
        self._given, self._refused, self._quiet_until = None, None, 0

    def again(self) -> None:
        """The attempt was thrown away; the next begins."""
        self.attempts += 1
        if self._spans:
            self._earlier = [self._spans, *self._earlier][:_KEPT_ATTEMPTS]
        self._spans = []

    def forget(self) -> None:
        """The turn is over."""
        self._spans, self._earlier = [], []

    def ids(self, written: Sequence[int]) -> tuple[int, ...]:
        """What is likely to come next; nothing where it is not worth a pass to read it.

        Args:
            written: what the generation under way has written so far.
        """
        if self._settle(written):
            return ()
        found = self._likely(tuple(written))
        if found:
            self._given = len(written), found
        return found

    def _likely(self, written: tuple[int, ...]) -> tuple[int, ...]:
        n, k = len(written), len(self._spans)
        if n < self._quiet_until:
            return ()
        alike = [spans[k] for spans in self._earlier if k < len(spans)]
        for span in alike:
            if len(span) - n >= LEAST_FORESEEN and span[:n] == written:
                return span[n:]
        for span in alike:
            if len(rest := _resumed(span, written, self._refused)) >= LEAST_FORESEEN:
                return rest
        return ()

    def drafted(self, kept: Iterable[tuple[int, int]]) -> Drafted:
        """What became of all that; ``kept`` as in `Drafted`."""
        return Drafted(self.attempts, self.foreseen, self.right, frozenset(kept))

    def _settle(self, written: Sequence[int]) -> bool:
        """Sees what became of what was foreseen. Whether some of that is still to come."""
        if self._given is None:
            return False
        after, ids = self._given
        since = tuple(written[after : after + len(ids)])
        right = common(since, ids)
        if right == len(since) < len(ids):
            return True
        self._given, self.foreseen, self.right = None, self.foreseen + len(ids), self.right + right
        self._refused = ids[right] if right < len(ids) else None
        self._quiet_until = after + (_LEAST_AGREED if right == 0 else 0)
        return False


def _resumed(span: Sequence[int], written: Sequence[int], refused: int | None) -> tuple[int, ...]:
    """How an earlier generation goes on behind the place that is most like the end of what is written."""
    if not written:
        return ()
    best, least = 0, 1 if written[-1] == refused else _LEAST_AGREED
    place = None
    for at in range(1, len(span) + 1):
        agreed = 0
        while agreed < min(at, len(written), _MOST_AGREED) and span[at - 1 - agreed] == written[-1 - agreed]:
            agreed += 1
        nearer = place is None or abs(at - len(written)) < abs(place - len(written))
        if agreed >= least and (agreed > best or agreed == best and nearer):
            best, place = agreed, at
    return tuple(span[place:]) if place is not None else ()


def read_key(start: StartTool) -> str:
    """The same for every call of the same tool with the same arguments."""
    return json.dumps([start.name, dict(start.args)], sort_keys=True, default=repr)

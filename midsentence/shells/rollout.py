"""What comes of a session, on whichever clock: its log, and what can be read off it.

Owns the result. Does not know who ran the session, how it is scored, and how a log is folded again
(`midsentence.shells.log.replay`).
"""

from __future__ import annotations

from dataclasses import dataclass

from midsentence.core.events import Command, EndPredicted, Event, UserUpdate
from midsentence.core.reducer import State
from midsentence.shells.drafts import Drafted


@dataclass(frozen=True, slots=True)
class Rollout:
    """A finished episode: its log, and what can be read off it."""

    state: State
    """The core's last state; holds the transcript and the call graph."""
    prompt_ids: tuple[int, ...]
    """Ids of the prompt, with which the context began."""
    history: tuple[tuple[Event, tuple[Command, ...]], ...]
    """Every event with the commands that came of it, in order. The events alone replay to the same state."""
    outcome: str
    """``answered``, ``stalled`` (nothing left to happen and no answer), ``too_long``, or the core's own."""
    end_ns: int
    """When the last event happened."""
    starts_ns: tuple[int, ...] = (0,)
    """When the user began to say each turn that was said."""
    drafted: Drafted | None = None
    """Of an episode that is verified."""
    updates: tuple[UserUpdate | EndPredicted, ...] = ()
    """All that the recogniser passes on, in order, that included which the episode did not live to hear; of a
    conversation, of its first turn. Empty of a live session, which can't know it."""

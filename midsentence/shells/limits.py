"""The deadlines and bounds of a live session.

Owns which values they may have. Does not know who keeps them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and bounds of a session. A tool's own deadline is its ``timeout_s``."""

    inbox_events: int = 64
    """Events that wait for the core before those who bring more must wait too."""
    backlog_segments: int = 16
    """Segments that wait for the model before further words of the user are put together into one update."""
    update_chars: int = 100_000
    """Longest text of one update: an hour of speech has 50,000."""
    model_s: float = 60.0
    """Longest wait for the model: for a token, or for an append to be taken in."""
    silence_s: tuple[float, ...] = (0.6, 1.2, 2.4)
    """With ``commit_on = silence``: seconds after the last words came at which the session is told that nobody speaks.
    The first must be longer than the recogniser takes between updates; empty for a caller that knows better and says so
    by `midsentence.shells.live.Session.silent`."""
    idle_s: float = 600.0
    """Longest time in which nothing at all happens."""
    cancel_s: float = 1.0
    """How long a cancelled tool has to clean up before it is abandoned."""
    drain_s: float = 2.0
    """At the end: how long writes that have started have to finish, since half a write is worst."""

    def __post_init__(self) -> None:
        for name in ("inbox_events", "backlog_segments", "update_chars"):
            if type(value := getattr(self, name)) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; use a whole number from 1 on")
        for name in ("model_s", "idle_s", "cancel_s", "drain_s"):
            if not _is_time(value := getattr(self, name)) or value == 0 and name in ("model_s", "idle_s"):
                raise ValueError(
                    f"{name} is {value!r}; use seconds, a number {'above' if name in ('model_s', 'idle_s') else 'from'} 0"
                )
        times = self.silence_s
        are_times = isinstance(times, tuple | list) and all(_is_time(at_s) and at_s > 0 for at_s in times)
        if not are_times or list(times) != sorted(set(times)):
            raise ValueError(
                f"silence_s is {times!r}; use seconds above 0, each later than the one before, or () for none"
            )


def _is_time(value: Any) -> bool:
    """Whether something is a finite number of seconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf

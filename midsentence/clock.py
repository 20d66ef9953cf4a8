"""Time as integer nanoseconds, and the token clock that turns token counts into time.

Owns the arithmetic of virtual time: when token *n* of a span ends, what an append costs, how many tokens fit before
an event. Zero is the start of the user's first word. Does not know what the tokens say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

NS_PER_S = 1_000_000_000


def ns(seconds: float) -> int:
    """Seconds to integer nanoseconds, rounded to the nearest."""
    return round(seconds * NS_PER_S)


def seconds(at_ns: int) -> float:
    """Integer nanoseconds to seconds."""
    return at_ns / NS_PER_S


def local_now() -> str:
    """The date and time on the wall, ``YYYY-MM-DD HH:MM:SS``: the "now" of a session that a person opens."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def parse_now(given: object) -> datetime:
    """The moment that a "now" from outside names; nothing else of it may go on, into a prompt or a tool.

    Raises:
        ValueError: it is not of the form that `local_now` writes.
    """
    if isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", given, re.ASCII):
        try:
            return datetime.fromisoformat(given)
        except ValueError:
            pass  # no such day or hour
    raise ValueError(f"now is {str(given)[:40]!r}; give a date and time as in '2025-03-01 14:30:00'")


@dataclass(frozen=True, slots=True)
class Profile:
    """A device: how fast it writes, how fast it reads, and what starting to read costs."""

    name: str
    """The name that reports print."""
    decode_tokens_per_s: int
    """Tokens generated a second, one session at a time."""
    prefill_tokens_per_s: int
    """Tokens taken in a second."""
    restart_ns: int
    """Fixed cost of every append: stopping, copying, launching, in nanoseconds."""

    def __post_init__(self) -> None:
        for field in ("decode_tokens_per_s", "prefill_tokens_per_s"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"profile {self.name!r}: {field} is {value!r}; it must be a whole number of at least 1"
                )
        if self.restart_ns < 0:
            raise ValueError(f"profile {self.name!r}: restart_ns is {self.restart_ns}; it must not be negative")

    def token_end_ns(self, start_ns: int, n: int) -> int:
        """When token ``n`` (counted from 1) of a span begun at ``start_ns`` ends."""
        return start_ns + n * NS_PER_S // self.decode_tokens_per_s

    def tokens_by(self, start_ns: int, at_ns: int) -> int:
        """How many tokens of a span begun at ``start_ns`` have ended by ``at_ns``, that instant included."""
        if at_ns < start_ns:
            return 0
        # the largest n with n * NS // rate <= elapsed
        return ((at_ns - start_ns + 1) * self.decode_tokens_per_s - 1) // NS_PER_S

    def append_ns(self, tokens: int) -> int:
        """What taking in ``tokens`` costs: ``restart + max(1/decode, tokens/prefill)``; nothing for no tokens."""
        if tokens == 0:
            return 0
        one_step = NS_PER_S // self.decode_tokens_per_s
        return self.restart_ns + max(one_step, tokens * NS_PER_S // self.prefill_tokens_per_s)


class Clock(Protocol):
    """What a shell reads time from. The core never sees one: it gets time as an argument."""

    def now_ns(self) -> int:
        """Nanoseconds since the start of the user's first word."""
        ...


class WallClock:
    """Real time since the start of the user's first word; 0 until the user starts.

    Args:
        source: nanoseconds from any fixed point, never running backwards.
    """

    def __init__(self, source: Callable[[], int] = time.monotonic_ns) -> None:
        self._source = source
        self._zero_ns: int | None = None

    def start(self) -> None:
        """The user's first word begins now. Only the first call counts."""
        if self._zero_ns is None:
            self._zero_ns = self._source()

    def now_ns(self) -> int:
        """Nanoseconds since `start`."""
        return 0 if self._zero_ns is None else self._source() - self._zero_ns

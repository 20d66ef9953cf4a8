"""When a session is told that nobody speaks.

Owns the times at which a silence is reported, and where they fall in speech whose timing is known. Does not know what a
silence
means: the agent decides that. A live session, which sees no words before they are recognised, counts from when they
came (`midsentence.shells.inbox`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from midsentence.clock import ns
from midsentence.core.events import Silence, UserUpdate

STEPS_NS = (ns(0.3), ns(0.6), ns(1.2), ns(2.4))
"""Growing: the longer nobody has spoken, the less another tenth of a second tells."""


def silences(
    words: Sequence[tuple[int, int]], updates: Iterable[UserUpdate], steps_ns: Sequence[int] = STEPS_NS
) -> list[Silence]:
    """The silences of a request: after each word, as long as no other begins.

    A step that falls before the recogniser has passed the word on is not told (its lag), nor one after the endpoint has
    spoken.

    Args:
        words: start and end of each, in order.
        updates: what the recogniser passes on, in order.
        steps_ns: how long nobody has spoken when it is told.
    """
    heard = list(updates)
    found = []
    for (_, end_ns), (next_ns, _) in pairwise([*words, (max((u.at_ns for u in heard), default=0) + steps_ns[-1], 0)]):
        told_ns = next((update.at_ns for update in heard if update.at_ns >= end_ns and update.text), None)
        over_ns = next((update.at_ns for update in heard if update.at_ns >= end_ns and update.final), next_ns)
        for step_ns in steps_ns:
            at_ns = end_ns + step_ns
            if told_ns is not None and told_ns <= at_ns < min(next_ns, over_ns):
                found.append(Silence(at_ns, step_ns))
    return found

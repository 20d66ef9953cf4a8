"""What is dropped from a context that grows too long, and what the model is shown of the transcript afterwards.

Owns the policy: the oldest go first. Results of earlier turns give way to a line each; if that is not enough, earlier
turns go whole, and one line says so; and if the turn that is under way alone is too long, the older of its own results.
A transcript keeps all of it, calls keep their results (``$7`` still has what call 7 gave), and their numbers run on.
Does not know tokens' ids: a context that has let something go is another one, which a shell makes anew from the prompt
on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from midsentence.core.transcript import Segment, Transcript

FULL_SHARE, LEFT_SHARE = 0.75, 0.5
"""How full a context is, between two turns, for something to be let go; and how full it is meant to be then."""
_SHORT_CHARS = 40
"""A result as short as this stays: a line in its place would be no shorter."""
_FIXED_CHARS = 12
"""About what a segment of the environment takes beside its text."""


@dataclass(frozen=True, slots=True)
class Turned:
    """Where a turn of the user's begins, after an answer."""

    at: int
    """Segments of the transcript before it."""
    highest: int
    """The highest call ID before it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of a transcript its context shows."""

    turns: int = 0
    """Turns, from the first, that are left out whole."""
    results: int = 0
    """Segments of the transcript up to which results are left out."""


def shown(transcript: Transcript, turned: Sequence[Turned], how: Shown) -> tuple[Segment, ...]:
    """The segments that a context holds after its prompt."""
    segments = list(transcript)
    first = turned[how.turns - 1].at if how.turns else 0
    lines = (
        [_turns_line(turned[how.turns - 1], how.turns, segments[first - 1].at_ns if first else 0)] if how.turns else []
    )
    return (*lines, *(_as_line(one) if n < how.results else one for n, one in enumerate(segments) if n >= first))


def shown_less(
    transcript: Transcript, turned: Sequence[Turned], how: Shown, *, tokens: int, most: int, of_this_turn: bool
) -> Shown | None:
    """The least that brings a context to ``most`` tokens, about; or all that there is to let go; None where there is
    nothing.

    Args:
        transcript: all that was ever in it.
        turned: where the turns after the first begin.
        how: what it shows now.
        tokens: how many it has now, without its prompt.
        most: how many it is meant to have, without its prompt.
        of_this_turn: whether results of the turn under way may go too.
    """
    now = shown(transcript, turned, how)
    written = sum(len(segment.ids) for segment in now)
    rate = max(0, tokens - written) / max(1, sum(map(_weight, now)))
    last = None
    for less in _ever_less(list(transcript), turned, how, of_this_turn):
        last = less
        left = shown(transcript, turned, less)
        if sum(len(segment.ids) + rate * _weight(segment) for segment in left) <= most:
            break
    return last


def _ever_less(
    segments: Sequence[Segment], turned: Sequence[Turned], how: Shown, of_this_turn: bool
) -> Iterator[Shown]:
    began = turned[-1].at if turned else 0
    for at in _results(segments, how.results, began):
        yield (how := replace(how, results=at))
    for turns in range(how.turns + 1, len(turned) + 1):
        yield (how := replace(how, turns=turns))
    if of_this_turn:
        # what came last has not been read yet
        newest = max((n for n, segment in enumerate(segments) if segment.kind == "model"), default=0)
        for at in _results(segments, max(how.results, began), newest):
            yield (how := replace(how, results=at))


def _results(segments: Sequence[Segment], start: int, end: int) -> Iterator[int]:
    """The places after each result between two places that a line is shorter than."""
    return (n + 1 for n in range(start, end) if _as_line(segments[n]) is not segments[n])


def _as_line(segment: Segment) -> Segment:
    if segment.kind not in ("tool_result", "tool_error") or len(segment.text) <= _SHORT_CHARS:
        return segment
    label, _, rest = segment.text.partition(":")
    return replace(segment, text=f"{label}: … [{len(rest) - 1} characters left out] …")


def _turns_line(next_one: Turned, turns: int, at_ns: int) -> Segment:
    calls = f", with calls 1 to {next_one.highest}" if next_one.highest else ""
    return Segment("cancel", f"turns 1 to {turns}: no longer shown{calls}", at_ns)


def _weight(segment: Segment) -> int:
    return 0 if segment.kind == "model" else len(segment.text) + _FIXED_CHARS

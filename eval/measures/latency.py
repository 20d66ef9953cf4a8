"""Response latency, success by deadline, and where the time went.

Owns what is counted from when to when. Does not know which episodes are right and how figures get intervals.

| measure | symbol | from | to |
|---|---|---|---|
| response latency | L | end of the user's last word | the answer is out and every call has come to its end |
| first token | | the same | the end of the first token of the answer that went out |
| success by τ | S(τ) | | share of tasks that are right with L ≤ τ |

**An episode that never answers** carries the cap, a fixed time after the end of speech (`EvalConfig.cap_s`), and no
episode carries more: ending early by failing is never fast. An episode that answers wrongly carries its own latency,
for the user waits for it all the same; speedups count only tasks that both modes get right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.measures.trace import Span, Trace

PARTS = ("listening", "answering", "thinking", "waiting_for_tool", "waiting_for_commit", "given_up")
"""What the time after the last word is spent on. Where two are true of an instant, the earlier here counts:

- ``listening``: the final update has not arrived;
- ``answering``: the answer that went out is being written;
- ``thinking``: the model writes anything else, or takes in;
- ``waiting_for_tool``: the model rests and a tool runs;
- ``waiting_for_commit``: the model rests and no tool runs: calls are held, by a grace or for a word that reopens the
  turn;
- ``given_up``: the episode is over without an answer, up to the cap."""

AREA_S = 8
"""The area under the curve of success by deadline is taken over ``[0, AREA_S]`` and divided by it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One episode's times, in nanoseconds from the end of the last word."""

    total_ns: int
    """Response latency, or the cap; negative if the task was done while the last word was still being said."""
    first_token_ns: int | None
    """To the end of the answer's first token; None without an answer."""
    answered: bool
    """Whether the episode was answered; if not, ``total_ns`` is the cap."""
    parts_ns: dict[str, int]
    """The time of the response by `PARTS`; adds up to ``total_ns`` exactly."""


def latency(trace: Trace, answered: bool, speech_end_ns: int, cap_ns: int) -> Latency:
    """Measures an episode.

    Args:
        trace: what happened.
        answered: whether its outcome is ``answered``.
        speech_end_ns: the end of the last word.
        cap_ns: what an episode without an answer carries, from the end of the last word; the most that any carries.
    """
    if not answered or not trace.emits:
        return Latency(cap_ns, None, False, partition(trace, speech_end_ns, speech_end_ns + cap_ns))
    end_ns = min(trace.emits[-1][0], speech_end_ns + cap_ns)
    answer = _answer(trace)
    first_ns = _first_token_ns(answer) - speech_end_ns if answer is not None else None
    return Latency(end_ns - speech_end_ns, first_ns, True, partition(trace, speech_end_ns, end_ns))


def _answer(trace: Trace) -> Span | None:
    """The span whose answer went out: the last complete one before it did."""
    out_ns = trace.emits[-1][0]
    return next(
        (
            s
            for s in reversed(trace.spans)
            if s.end_ns <= out_ns and s.ended == "action" and s.pieces and s.pieces[-1].part == "answer"
        ),
        None,
    )


def _first_token_ns(span: Span) -> int:
    # within a piece tokens are evenly spaced: one decode step each
    piece = span.pieces[-1]
    return piece.start_ns + (piece.end_ns - piece.start_ns) // max(1, piece.tokens)


def partition(trace: Trace, from_ns: int, to_ns: int) -> dict[str, int]:
    """Divides ``[from_ns, to_ns)`` among `PARTS`; the shares add up to its length, whatever the log says."""
    if to_ns <= from_ns:  # done before the last word ended: nothing was waited for
        return dict.fromkeys(PARTS, 0) | {"listening": to_ns - from_ns}
    # a session that ended before it heard the end is over, not listening
    heard_ns = trace.final_ns if trace.final_ns is not None else trace.end_ns
    answer = _answer(trace) if trace.emits else None
    answering = (
        [(piece.start_ns, piece.end_ns) for piece in answer.pieces if piece.part == "answer"]
        if answer is not None
        else []
    )
    thinking = [(span.start_ns, span.end_ns) for span in trace.spans] + list(trace.appends)
    running = [(run.start_ns, run.end_ns) for run in trace.runs]
    layers = [[(min(from_ns, heard_ns), heard_ns)], answering, thinking, running]
    layers.append([(from_ns, trace.end_ns)])
    edges = sorted({from_ns, to_ns, *(t for layer in layers for pair in layer for t in pair if from_ns < t < to_ns)})
    parts = dict.fromkeys(PARTS, 0)
    for start, end in pairwise(edges):
        part = next(
            (name for name, layer in zip(PARTS, layers) if any(a <= start and end <= b for a, b in layer)), PARTS[-1]
        )
        parts[part] += end - start
    return parts


def success_by(rights: Sequence[bool], latencies_s: Sequence[float], deadline_s: float) -> float:
    """Share of episodes that are right within ``deadline_s`` of the end of speech."""
    return sum(right and late <= deadline_s for right, late in zip(rights, latencies_s, strict=True)) / len(rights)


def success_curve(
    rights: Sequence[bool], latencies_s: Sequence[float], step_s: float = 0.1
) -> list[tuple[float, float]]:
    """``(deadline, success)`` over ``[0, AREA_S]`` in seconds."""
    return [
        (round(n * step_s, 6), success_by(rights, latencies_s, n * step_s)) for n in range(round(AREA_S / step_s) + 1)
    ]


def success_area(rights: Sequence[bool], latencies_s: Sequence[float]) -> float:
    """Area under the exact curve of success by deadline over ``[0, AREA_S]``, divided by ``AREA_S``: in [0, 1]."""
    gained = sum(
        min(AREA_S, AREA_S - late) for right, late in zip(rights, latencies_s, strict=True) if right and late < AREA_S
    )
    return gained / AREA_S / len(rights)

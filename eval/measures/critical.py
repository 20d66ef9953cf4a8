"""The critical path: what an episode's end waited for, step by step back to the end of speech.

Owns the walk back through a trace: the answer or the last call that ended, why it began when it did, what was written
and taken in before that, up to the update that all of it answers. The parts add up to the latency. Does not know what
could have been
faster: that is the floor's and the listener's (`eval.measures.floor`, `eval.measures.listener`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from eval.measures.trace import Line, Run, Span, Trace
from midsentence.core.lines import AmendLine, CallLine, CommitLine

CAUSES = (
    "the end of speech",
    "an update",
    "taking in",
    "reads",
    "held calls",
    "read lines",
    "held lines",
    "amendments",
    "commits",
    "removals",
    "thoughts",
    "the answer",
    "other",
)
"""What the end of an episode waits for:

- ``the end of speech``, ``an update``: until the recogniser has passed on the final update, or the words that all the
  rest follows from;
- ``taking in``: segments go into the context;
- ``reads``, ``held calls``: tools run, those that may run at once and those that wait for a commit;
- ``read lines``, ``held lines``, ``amendments``, ``commits``, ``removals``, ``thoughts``, ``the answer``: tokens are
  written;
- ``other``: the tag that ends an action, a pause, a token that was cut."""


def critical_path(seen: Trace, speech_end_ns: int, latency_ns: int, held: Set[str]) -> dict[str, int]:
    """Nanoseconds from the end of the last word to the end of an episode that answered, by `CAUSES`.

    Args:
        seen: what happened.
        speech_end_ns: the end of the last word.
        latency_ns: from there to the end; the parts add up to it, or to 0 if it is less.
        held: the tools that wait for a commit.
    """
    walk = _Walk(seen, speech_end_ns, held)
    walk.back(speech_end_ns + latency_ns)
    return {cause: walk.spent[cause] for cause in CAUSES}


class _Walk:
    def __init__(self, seen: Trace, from_ns: int, held: Set[str]) -> None:
        self.seen, self.from_ns, self.held = seen, from_ns, held
        self.spent: Counter[str] = Counter()

    def spend(self, start_ns: int, end_ns: int, cause: str) -> None:
        self.spent[cause] += max(0, end_ns - max(start_ns, self.from_ns))

    def back(self, at_ns: int) -> None:
        """From the end, each time to what began or ended just when the next thing could begin."""
        run, span = self._run_to(at_ns), self._span_to(at_ns)
        append: tuple[int, int] | None = None
        while at_ns > self.from_ns:
            if run is not None:
                self.spend(run.start_ns, run.end_ns, "held calls" if run.name in self.held else "reads")
                at_ns, span = run.start_ns, self._let_go(run.start_ns)
                run = self._run_to(at_ns) if span is None else None
            elif append is not None:
                self.spend(*append, "taking in")
                at_ns = append[0]
                if (
                    update := next((update for update in self.seen.updates if update.at_ns == at_ns), None)
                ) is not None:
                    return self.spend(self.from_ns, at_ns, "the end of speech" if update.final else "an update")
                span = self._span_to(at_ns)
                run = self._run_to(at_ns) if span is None else None
                append = self._append_to(at_ns) if span is None and run is None else None
            elif span is not None:
                at_ns = self._written(span, at_ns)
                append = self._append_to(at_ns)
                span = self._span_to(at_ns) if append is None else None
            else:  # nothing in the log says why
                return self.spend(self.from_ns, at_ns, "other")

    def _written(self, span: Span, at_ns: int) -> int:
        for piece in span.pieces:
            end_ns = min(piece.end_ns, at_ns)
            if piece.start_ns >= at_ns:
                break
            if piece.part != "tool_call":
                self.spend(
                    piece.start_ns, end_ns, {"think": "thoughts", "answer": "the answer"}.get(piece.part, "other")
                )
                continue
            start_ns = piece.start_ns
            for line in span.lines:
                if start_ns < line.at_ns <= end_ns:
                    self.spend(start_ns, line.at_ns, self._kind(line))
                    start_ns = line.at_ns
            self.spend(start_ns, end_ns, "other")
        return span.start_ns

    def _kind(self, line: Line) -> str:
        match line.order:
            case CommitLine():
                return "commits"
            case AmendLine():
                return "amendments"
            case CallLine():
                return "held lines" if line.order.name in self.held else "read lines"
        return "removals"

    def _run_to(self, at_ns: int) -> Run | None:
        ended = [
            run for run in self.seen.runs if run.end_ns == at_ns > run.start_ns and run.ended in ("done", "failed")
        ]
        return ended[0] if ended else None

    def _span_to(self, at_ns: int) -> Span | None:
        return next((span for span in self.seen.spans if span.end_ns == at_ns > span.start_ns), None)

    def _append_to(self, at_ns: int) -> tuple[int, int] | None:
        return next(((start_ns, end_ns) for start_ns, end_ns in self.seen.appends if end_ns == at_ns > start_ns), None)

    def _let_go(self, at_ns: int) -> Span | None:
        """The span that wrote what let a call go: its line, a commit, or the end of an action that commits."""
        return next(
            (span for span in self.seen.spans if any(line.at_ns == at_ns for line in span.lines)), self._span_to(at_ns)
        )

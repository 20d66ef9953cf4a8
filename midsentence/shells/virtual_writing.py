"""What is being written in an episode, and how long a device takes for it.

Owns the token clock: a token is written at the decode rate, read at the prefill rate where it is forced or was foreseen
rightly, and an action of a planner's costs what a model's would. Does not know what is done with what is written.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from midsentence.clock import NS_PER_S, Profile
from midsentence.core.events import Event, ModelEnded, ModelOutput
from midsentence.models.model import Constraint, common
from midsentence.shells.drafts import Drafts
from midsentence.shells.needs import Need, NeedAppend, NeedToken, NeedVerify
from midsentence.shells.virtual_context import EpisodeContext

_END = -1
"""Stands for the end of what a model or a plan writes."""


@dataclass(slots=True)
class _Span:
    """What is being written: its tokens, and where its clock stands."""

    generation: int
    base_ns: int
    planned: bool
    ids: list[int]
    texts: list[str]
    stops: list[int] = field(default_factory=list)
    """Counts of tokens after which the core must be told: a line, a tag or the text ends there."""
    sent: int = 0
    base: int = 0
    """Tokens before ``base_ns``."""
    forced: int = 0
    """Tokens up to here were taken in as a forced run, and end at the prefill rate."""
    checked: tuple[int, int, int] = (0, 0, 0)
    """The last run of foreseen tokens that the model wrote indeed: after which token, up to which, and when it was
    read."""
    constraint: Constraint | None = None
    mark: int = 0
    """Length of the model's context before this span and its header."""
    headed: bool = False
    decoder: Any = None
    plan: Sequence[int] | None = None
    """All of it, where a planner writes it token by token."""


class Writer:
    """Writes an episode's generations, one at a time, up to any time."""

    def __init__(self, profile: Profile, context: EpisodeContext, drafts: Drafts | None, forces: bool) -> None:
        """Nothing is being written.

        Args:
            profile: how fast.
            context: of the episode.
            drafts: of an episode that is verified.
            forces: whether what the grammar leaves no choice of is taken in at the prefill rate, or written like the
                rest.
        """
        self._profile, self._context, self._drafts, self._forces = profile, context, drafts, forces
        self._span: _Span | None = None

    @property
    def writes(self) -> bool:
        """Whether a generation is under way."""
        return self._span is not None

    def begin(self, generation: int, now_ns: int, constraint: Constraint | None) -> None:
        """A generation that the model writes."""
        self._span = _Span(generation, now_ns, False, [], [], constraint=constraint)

    def begin_plan(self, generation: int, now_ns: int, ids: list[int], budgets: Sequence[int]) -> None:
        """A generation that is known to its end.

        Args:
            generation: its number.
            now_ns: when it begins.
            ids: all of it.
            budgets: counts of tokens after which the core must be told, whatever they say.
        """
        if self._context.model is None:
            self._context.read_all()
        decoder = self._context.renderer.decoder()
        if self._drafts is not None:  # written token by token, as a model would
            self._span = _Span(generation, now_ns, False, [], [], plan=ids, headed=True, decoder=decoder)
            return
        texts = [decoder.push(id) for id in ids]
        ends = {max(1, tokens) for tokens in budgets}
        # every item of the protocol ends with one of these, so the core misses nothing between two stops
        stops = [n for n, text in enumerate(texts, start=1) if ">" in text or "\n" in text or n in ends]
        self._span = _Span(generation, now_ns, True, ids, texts, stops)

    def write(self, until_ns: int) -> Generator[Need, int | None, Event | None]:
        """Writes on up to the next stop, unless the time comes before. What the core is told, if anything."""
        span = self._span
        assert span is not None
        if span.planned:
            fits = span.base + self._profile.tokens_by(span.base_ns, until_ns)
            stop = next((n for n in span.stops if n > span.sent), len(span.ids))
            if span.sent == len(span.ids) < fits:  # a model would spend a token on ending its turn
                return ModelEnded(self._end_ns(span, span.sent + 1), span.generation)
            upto = min(fits, stop)
        else:
            if span.sent == len(span.ids):
                yield from self._force(span)
            if span.sent == len(span.ids):
                yield from self._check(span)
            upto = span.sent + 1
            end_ns = self._end_ns(span, upto)
            if end_ns > until_ns:
                return None
            if span.sent == len(span.ids) and not (yield from self._draw(span)):
                return ModelEnded(self._end_ns(span, span.sent + 1), span.generation)
            if upto == span.forced:
                span.base_ns, span.base = end_ns, upto
        return self._tell(span, upto, self._end_ns(span, upto)) if upto > span.sent else None

    def stop(self, keep: int) -> None:
        """Ends the generation; its first ``keep`` tokens stand."""
        span, self._span = self._span, None
        if span is None:
            return
        if span.headed and span.plan is None:
            self._context.cut(span.mark, keep)
        if self._drafts is not None:
            self._drafts.wrote(span.ids[:keep])
        self._context.wrote(span.ids[:keep], by_model=not span.planned and span.plan is None)

    def _end_ns(self, span: _Span, n: int) -> int:
        after, upto, read_ns = span.checked
        if after < n <= upto:
            return read_ns
        if n <= span.forced:
            return span.base_ns + (n - span.base) * NS_PER_S // self._profile.prefill_tokens_per_s
        return self._profile.token_end_ns(span.base_ns, n - span.base)

    def _tell(self, span: _Span, upto: int, at_ns: int) -> ModelOutput:
        text, ids = "".join(span.texts[span.sent : upto]), tuple(span.ids[span.sent : upto])
        span.sent = upto
        return ModelOutput(at_ns, span.generation, text, ids)

    def _head(self, span: _Span) -> Generator[NeedAppend, None, None]:
        """Brings the model's context up to the start of the span."""
        if not span.headed:
            span.headed, span.decoder = True, self._context.renderer.decoder()
            span.mark = yield from self._context.head()

    def _draw(self, span: _Span) -> Generator[Need, int | None, bool]:
        """Draws one token from the model. Gives whether it did not end the text instead."""
        token = yield from self._token(span)
        if token is not None:
            self._take(span, token)
        return token is not None

    def _token(self, span: _Span) -> Generator[Need, int | None, int | None]:
        """The next token of the model's, or of the plan's; None where the text ends."""
        if span.plan is not None:
            token = span.plan[len(span.ids)] if len(span.ids) < len(span.plan) else _END
        else:
            yield from self._head(span)
            drawn = yield NeedToken(span.constraint)
            assert drawn is not None
            token = _END if drawn in self._context.driven()[0].end_ids else drawn
        return None if token == _END else token

    def _check(self, span: _Span) -> Generator[Need, int | None, None]:
        """Has what is foreseen read in one pass, as far as it is what would be written anyway."""
        drafts = self._drafts
        if drafts is None or not (foreseen := drafts.ids(span.ids)):
            return
        base_ns, after = self._end_ns(span, span.sent), len(span.ids)
        if span.plan is not None:
            right = common(foreseen, span.plan[after:])
        else:
            yield from self._head(span)
            answer = yield NeedVerify(foreseen, span.constraint)
            assert answer is not None
            right = answer
        for token in foreseen[:right]:
            self._take(span, token, pushed=True)
        read_ns = base_ns + self._profile.append_ns(len(foreseen))
        span.checked, span.base_ns, span.base = (after, len(span.ids), read_ns), read_ns, len(span.ids)

    def _take(self, span: _Span, token: int, pushed: bool = False) -> None:
        span.ids.append(token)
        span.texts.append(span.decoder.push(token))
        if span.constraint is not None and not pushed:
            span.constraint.push(token)

    def _forced(self, span: _Span) -> tuple[int, ...]:
        """What the grammar leaves no choice of, in the tokenizer's own spelling."""
        return tuple(span.constraint.forced()) if span.constraint is not None and self._forces else ()

    def _force(self, span: _Span) -> Generator[NeedAppend, None, None]:
        """Takes in what must come next, if anything; it is told token by token, so that an event may cut it."""
        if not (forced := self._forced(span)):
            return
        yield from self._head(span)
        yield NeedAppend(forced)
        span.base_ns, span.base = self._end_ns(span, span.sent), span.sent
        for token in forced:
            self._take(span, token)
        span.forced = len(span.ids)

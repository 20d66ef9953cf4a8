"""The core on the virtual clock: exact, repeatable, the same on any machine.

Owns the event queue of an episode, the token clock of what a planner or a model writes, and tools that take the time
their latency model says. Data generation runs it with the expert, evaluation with the expert or a model; `run_batch`
keeps many episodes of one model going at once, which changes no episode. Refuses to know where requests come from and
how an episode is scored.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from midsentence.clock import NS_PER_S, Profile, ns
from midsentence.core import reducer
from midsentence.core.events import (
    PRIORITY,
    Append,
    Appended,
    CancelTool,
    Command,
    Emit,
    EndPredicted,
    Event,
    Forget,
    Generate,
    ModelEnded,
    ModelOutput,
    SetTimer,
    Silence,
    Speaking,
    StartTool,
    Stop,
    StopSpeaking,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.forgetting import shown
from midsentence.core.modes import Settings
from midsentence.core.outcome import Boundary, Outcome
from midsentence.core.reducer import Phase, State
from midsentence.models.model import Constraint, Grammar, Mask, Model, Stream, Verifies, common
from midsentence.models.planned import Planner
from midsentence.rendering.renderer import Renderer, Rendering
from midsentence.shells.drafts import Drafted, Drafts, read_key
from midsentence.shells.spoken import Spoken, User
from midsentence.tools.tool import Toolbox


@dataclass(frozen=True, slots=True)
class Rollout:
    """A finished episode: its log, and what can be read off it."""

    state: State
    """The core's last state; holds the transcript and the call graph."""
    prompt_ids: tuple[int, ...]
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
    """All that the recogniser passes on, in order, that included which the episode did not live to hear; of a conversation, of its first
    turn. Empty of a live session, which can't know it."""


@dataclass(frozen=True, slots=True)
class NeedAppend:
    """The episode's context must take in ids before anything else."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NeedToken:
    """The episode needs the model's next token."""

    mask: Mask | None


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
    """The last run of foreseen tokens that the model wrote indeed: after which token, up to which, and when it was read."""
    constraint: Constraint | None = None
    mark: int = 0
    """Length of the model's context before this span and its header."""
    headed: bool = False
    decoder: Any = None
    plan: Sequence[int] | None = None
    """All of it, where a planner writes it token by token."""


@dataclass(frozen=True, slots=True)
class NeedVerify:
    """The episode foresees ids, and needs to know how many of them the model would write; those it takes in."""

    ids: tuple[int, ...]
    constraint: Constraint | None


_Need = NeedAppend | NeedToken | NeedVerify
_Steps = Generator[_Need, int | None, Rollout]


class Episode:
    """One session on the virtual clock."""

    def __init__(
        self,
        *,
        settings: Settings,
        profile: Profile,
        toolbox: Toolbox,
        updates: Iterable[UserUpdate | EndPredicted | Silence],
        renderer: Renderer,
        prompt_ids: Sequence[int],
        planner: Planner | None = None,
        grammar: Grammar | None = None,
        forces: bool = True,
        session: str = "episode",
        limit_ns: int = ns(120),
        user: User | None = None,
    ) -> None:
        self.profile, self.toolbox, self.renderer = profile, toolbox, renderer
        self.planner, self.grammar, self.limit_ns = planner, grammar, limit_ns
        # whether what the grammar leaves no choice of is taken in at the prefill rate, or written like the rest
        self.forces = forces
        self.prompt_ids = tuple(prompt_ids)
        self.state = reducer.start(settings, toolbox.specs, session, len(self.prompt_ids))
        self.history: list[tuple[Event, tuple[Command, ...]]] = []
        self.stream: Stream | None = None
        self.model: Model | None = None
        self._rendering = Rendering(renderer)
        self._context: list[int] = []
        """All ids after the prompt."""
        self._unsent: list[int] = []
        """Those at its end that the model's context has not taken in yet."""
        self._span: _Span | None = None
        self._queue: list[tuple[int, int, int, Event | Callable[[int], Event | None]]] = []
        self._seq = 0
        self._users = 0
        self.user, self.starts_ns = user, [0]
        self._drafts = Drafts() if settings.verified else None
        self._reads: dict[str, _Read] = {}
        self._kept: set[tuple[int, int]] = set()
        self._past: list[int] = []
        """What the model's context still holds behind what counts of it: of an attempt that was thrown away."""
        self._spoken: Spoken | None = None  # what is being said of an answer
        self._cancelled: set[tuple[int, int]] = set()
        heard = tuple(updates)
        self.updates = tuple(update for update in heard if not isinstance(update, Silence))
        self._hear(heard)

    def attach(self, model: Model, seed: int) -> Stream:
        """Opens its context in a model, which drives it from now on."""
        self.model, self.stream = model, model.open(self.prompt_ids, seed=seed)
        return self.stream

    def run(self) -> Rollout:
        """Runs to the end with the planner in the model's place.

        Raises:
            ValueError: the episode has no planner, or one that leaves an action to a model; `run_batch` drives it with one.
        """
        if self.planner is None:
            raise ValueError("this episode has no planner; run it with simulate.run_batch and a model")
        steps = self.steps()
        try:
            while True:
                next(steps)
                raise ValueError("this episode's planner leaves an action to a model; run it with simulate.run_batch and one")
        except StopIteration as stop:
            rollout: Rollout = stop.value
            return rollout

    def steps(self) -> _Steps:
        """The episode as a coroutine: yields what it needs of a model, is sent the token, returns the rollout."""
        outcome = "stalled"
        while self.state.phase is not Phase.FINISHED:
            due = self._queue[0][0] if self._queue else None
            if self._span is not None and (yield from self._write(due)):
                continue
            if due is None and self._span is None or self.state.answered and not self._users and not self.state.graph.live:
                break
            if due is None or due > self.limit_ns:
                outcome = "too_long"
                break
            at_ns, _, _, what = heapq.heappop(self._queue)
            event = what(at_ns) if callable(what) else what
            if event is not None:
                self._users -= isinstance(event, UserUpdate)
                self._feed(event)
        if self.state.answered:
            outcome = "answered"
        end_ns = self.history[-1][0].at_ns if self.history else 0
        drafted = self._drafts.drafted(self._kept) if self._drafts is not None else None
        return Rollout(
            self.state, self.prompt_ids, tuple(self.history), self.state.outcome or outcome, end_ns, tuple(self.starts_ns), drafted,
            self.updates)

    def _hear(self, updates: Iterable[UserUpdate | EndPredicted | Silence]) -> None:
        for update in updates:
            if isinstance(update, Silence) and self.state.settings.commit_on != "silence":
                continue
            self._users += isinstance(update, UserUpdate)
            self._schedule(update.at_ns, PRIORITY[type(update)], update)

    def _schedule(self, at_ns: int, priority: int, what: Event | Callable[[int], Event | None]) -> None:
        self._seq += 1
        heapq.heappush(self._queue, (at_ns, priority, self._seq, what))

    def _feed(self, event: Event) -> None:
        had_answered = self.state.answered
        self.state, commands = reducer.step(self.state, event)
        self.history.append((event, commands))
        for command in commands:
            self._obey(command, event.at_ns)
        if self._drafts is not None and self.state.answered and not had_answered:
            self._drafts.forget()
            self._reads.clear()
        if self._drafts is not None and isinstance(event, UserUpdate) and not event.final:
            self._feed(EndPredicted(event.at_ns))

    def _obey(self, command: Command, now_ns: int) -> None:
        match command:
            case Append(segments):
                ids = self._rendering.environment(segments)
                again = common(ids, self._past)
                self._settle(again)
                self._context += ids
                self._unsent += ids[again:]
                after_ns = now_ns + self.profile.append_ns(len(ids) - again)
                self._schedule(after_ns, PRIORITY[Appended], Appended(after_ns, len(ids)))
            case Forget():
                self._renew(now_ns)
            case Generate(generation):
                self._span = self._begin(generation, now_ns)
            case Stop(keep=keep):
                self._stop(keep)
            case StartTool():
                self._start_tool(command, now_ns)
            case CancelTool(call, version):
                self._cancelled.add((call, version))
            case SetTimer(at_ns, timer):
                self._schedule(at_ns, PRIORITY[Timer], Timer(at_ns, timer))
            case Emit(text) if (user := self.user) is not None:
                self._speak(user, text, now_ns)
            case StopSpeaking() if (spoken := self._spoken) is not None:
                self._spoken = None
                self._schedule(now_ns, PRIORITY[Speaking], Speaking(now_ns, "cut", spoken.heard(now_ns)))

    def _renew(self, now_ns: int) -> None:
        """Makes the context anew; what it begins with as before stays, and costs nothing."""
        had, sent = [*self._context, *self._past], len(self._context) - len(self._unsent)
        self._rendering = Rendering(self.renderer)
        self._context = list(self._rendering.take(shown(self.state.transcript, self.state.turned, self.state.shown)))
        same = common(had, self._context)
        kept = min(same, sent)
        self._unsent = self._context[kept:]
        self._past = had[kept:sent] if same == len(self._context) == kept else []
        if not self._past:
            self._settle(0)
        if self._drafts is not None:
            self._drafts.again()
        after_ns = now_ns + self.profile.append_ns(len(self._context) - same)
        self._schedule(after_ns, PRIORITY[Appended], Appended(after_ns, len(self._context)))

    def _settle(self, again: int) -> None:
        """What the model's context holds of a thrown away attempt goes, but for so many tokens, which come next as they did then."""
        if self.model is not None and self.stream is not None:
            length = len(self.prompt_ids) + len(self._context) - len(self._unsent) + again
            if self.stream.length > length:
                self.model.crop(self.stream, length)
        self._past = []

    # -- the user ----------------------------------------------------------------------------------------------

    def _speak(self, user: User, text: str, now_ns: int) -> None:
        """Speaks an answer; the user, unless still in the middle of a turn, hears it and says the next one."""
        turn = len(self.starts_ns) - 1
        spoken = self._spoken = user.voice(turn, text, now_ns)
        self._schedule(now_ns, PRIORITY[Speaking], Speaking(now_ns, "begun"))
        self._schedule(spoken.end_ns, PRIORITY[Speaking], lambda at_ns: self._fall_silent(spoken, at_ns))
        if any(isinstance(what, UserUpdate) and (what.text.strip() or what.retracts) for *_, what in self._queue):
            return
        if (said := user.next(turn + 1, spoken)) is None:
            return
        start_ns, updates = said
        # an endpoint that hears somebody speak again says nothing
        late = [entry for entry in self._queue if entry[0] >= start_ns and isinstance(entry[3], UserUpdate | EndPredicted | Silence)]
        self._users -= sum(isinstance(entry[3], UserUpdate) for entry in late)
        self._queue = [entry for entry in self._queue if entry not in late]
        heapq.heapify(self._queue)
        self.starts_ns.append(start_ns)
        self._hear(updates)

    def _fall_silent(self, spoken: Spoken, at_ns: int) -> Event | None:
        if self._spoken is not spoken:
            return None
        self._spoken = None
        return Speaking(at_ns, "ended")

    # -- writing -----------------------------------------------------------------------------------------------

    def _begin(self, generation: int, now_ns: int) -> _Span:
        plan = self.planner.plan(self.state) if self.planner is not None else None
        if plan is None:
            constraint = self.grammar.begin(self.state) if self.grammar is not None else None
            return _Span(generation, now_ns, False, [], [], constraint=constraint)
        ids = list(self.renderer.action_ids(plan) if isinstance(plan, str) else plan)
        if self.model is None:
            self._unsent.clear()
        if self._drafts is not None:  # written token by token, as a model would
            return _Span(generation, now_ns, False, [], [], plan=ids, headed=True, decoder=self.renderer.decoder())
        decoder = self.renderer.decoder()
        texts = [decoder.push(id) for id in ids]
        state, limits = self.state, self.state.settings
        budgets = (limits.max_generated_tokens - state.turn_tokens, limits.max_context_tokens - state.context_tokens + 1)
        ends = {max(1, tokens) for tokens in budgets}
        # every item of the protocol ends with one of these, so the core misses nothing between two stops
        stops = [n for n, text in enumerate(texts, start=1) if ">" in text or "\n" in text or n in ends]
        return _Span(generation, now_ns, True, ids, texts, stops)

    def _write(self, due_ns: int | None) -> Generator[_Need, int | None, bool]:
        """Writes on up to the next stop, unless an event is due before. Gives whether the core was told anything."""
        span = self._span
        assert span is not None
        if span.planned:
            fits = span.base + self.profile.tokens_by(span.base_ns, self.limit_ns if due_ns is None else min(due_ns, self.limit_ns))
            stop = next((n for n in span.stops if n > span.sent), len(span.ids))
            if span.sent == len(span.ids) < fits:  # a model would spend a token on ending its turn
                self._feed(ModelEnded(self._end_ns(span, span.sent + 1), span.generation))
                return True
            upto = min(fits, stop)
        else:
            if span.sent == len(span.ids):
                yield from self._force(span)
            if span.sent == len(span.ids):
                yield from self._check(span)
            upto = span.sent + 1
            end_ns = self._end_ns(span, upto)
            if end_ns > self.limit_ns or due_ns is not None and end_ns > due_ns:
                return False
            if span.sent == len(span.ids) and (yield from self._draw(span)):
                return True
            if upto == span.forced:
                span.base_ns, span.base = end_ns, upto
        if upto <= span.sent:
            return False
        self._tell(span, upto, self._end_ns(span, upto))
        return True

    def _end_ns(self, span: _Span, n: int) -> int:
        after, upto, read_ns = span.checked
        if after < n <= upto:
            return read_ns
        if n <= span.forced:
            return span.base_ns + (n - span.base) * NS_PER_S // self.profile.prefill_tokens_per_s
        return self.profile.token_end_ns(span.base_ns, n - span.base)

    def _tell(self, span: _Span, upto: int, at_ns: int) -> None:
        text, ids = "".join(span.texts[span.sent: upto]), tuple(span.ids[span.sent: upto])
        span.sent = upto
        self._feed(ModelOutput(at_ns, span.generation, text, ids))

    def _driven(self) -> tuple[Model, Stream]:
        """The model that writes, and its context: `run_batch` has set both before it asks for the first token."""
        assert self.model is not None and self.stream is not None
        return self.model, self.stream

    def _head(self, span: _Span) -> Generator[NeedAppend, None, None]:
        """Brings the model's context up to the start of the span."""
        if span.headed:
            return
        span.headed, span.decoder = True, self.renderer.decoder()
        if self._unsent:
            yield NeedAppend(tuple(self._unsent))
            self._unsent.clear()
        span.mark = self._driven()[1].length
        if header := self._rendering.header():
            yield NeedAppend(header)

    def _draw(self, span: _Span) -> Generator[_Need, int | None, bool]:
        """Draws one token from the model. Gives whether it ended the text instead."""
        token = yield from self._token(span)
        if token is None:
            self._feed(ModelEnded(self._end_ns(span, span.sent + 1), span.generation))
            return True
        self._take(span, token)
        return False

    def _token(self, span: _Span) -> Generator[_Need, int | None, int | None]:
        """The next token of the model's, or of the plan's; None where the text ends."""
        if span.plan is not None:
            token = span.plan[len(span.ids)] if len(span.ids) < len(span.plan) else _END
        else:
            yield from self._head(span)
            drawn = yield NeedToken(span.constraint)
            assert drawn is not None
            token = _END if drawn in self._driven()[0].end_ids else drawn
        return None if token == _END else token

    def _check(self, span: _Span) -> Generator[_Need, int | None, None]:
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
        read_ns = base_ns + self.profile.append_ns(len(foreseen))
        span.checked, span.base_ns, span.base = (after, len(span.ids), read_ns), read_ns, len(span.ids)

    def _take(self, span: _Span, token: int, pushed: bool = False) -> None:
        span.ids.append(token)
        span.texts.append(span.decoder.push(token))
        if span.constraint is not None and not pushed:
            span.constraint.push(token)

    def _forced(self, span: _Span) -> tuple[int, ...]:
        """What the grammar leaves no choice of, in the tokenizer's own spelling."""
        return tuple(span.constraint.forced()) if span.constraint is not None and self.forces else ()

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

    def _stop(self, keep: int) -> None:
        span = self._span
        self._span = None
        if span is None:
            return
        if span.headed and span.plan is None:
            header = self._rendering.header()
            model, stream = self._driven()
            model.crop(stream, span.mark + (len(header) + keep if keep else 0))
        if self._drafts is not None:
            self._drafts.wrote(span.ids[:keep])
        written = self._rendering.model(span.ids[:keep])
        self._context += written
        if (span.planned or span.plan is not None) and self.model is not None:
            self._unsent += written  # the model did not write it, and must read it

    # -- tools -------------------------------------------------------------------------------------------------

    def _start_tool(self, start: StartTool, now_ns: int) -> None:
        latency_ns = self.toolbox.latency_ns(start.name, start.args)
        if self._drafts is not None:
            self._drop_reads(start)
            if (read := self._reads.get(read_key(start))) is not None and read.stands:
                self._kept.add((start.call, start.version))
                at_ns = max(now_ns, read.ready_ns)
                self._schedule(at_ns, PRIORITY[ToolResult], lambda at_ns: self._finish_read(start, read, at_ns))
                return
            if self.toolbox.specs[start.name].access != "write" and latency_ns <= start.timeout_ns:
                new = self._reads[read_key(start)] = _Read(start.name, now_ns + latency_ns)
                self._schedule(new.ready_ns, PRIORITY[ToolResult], lambda at_ns: self._finish_read(start, new, at_ns))
                return
        if latency_ns > start.timeout_ns:
            why = f"no answer within {start.timeout_ns / NS_PER_S:g} s"
            late = ToolError(now_ns + start.timeout_ns, start.call, start.version, why, "timeout")
            self._schedule(late.at_ns, PRIORITY[ToolError], late)
        # what a tool does, it does at the end of its latency: a read that was cancelled by then does nothing
        self._schedule(now_ns + latency_ns, PRIORITY[ToolResult], lambda at_ns: self._finish_tool(start, at_ns))

    def _finish_tool(self, start: StartTool, at_ns: int) -> Event | None:
        if (start.call, start.version) in self._cancelled:
            return None
        if self._drafts is not None:
            self._drop_reads(start)
        return self._ran(start).event(start, at_ns)

    def _finish_read(self, start: StartTool, read: _Read, at_ns: int) -> Event | None:
        """A read that is kept ends, for whoever asked for it, also after all of them have cancelled it."""
        if read.outcome is None:
            read.outcome = self._ran(start)
        return None if (start.call, start.version) in self._cancelled else read.outcome.event(start, at_ns)

    def _drop_reads(self, start: StartTool) -> None:
        """A call begins or ends. If it is an effect, what it may change, as far as tools say, is not kept."""
        specs = self.toolbox.specs
        if (spec := specs[start.name]).access == "write":
            self._reads = {key: read for key, read in self._reads.items() if not spec.conflicts_with(specs[read.name])}

    def _ran(self, start: StartTool) -> Outcome:
        with Boundary(KeyboardInterrupt) as ended:
            ended.gives(self.toolbox.run(start.name, start.args))
        return ended.outcome


@dataclass(slots=True)
class _Read:
    """A read that was run in an attempt, and is not run again."""

    name: str
    ready_ns: int
    outcome: Outcome | None = None
    """None while it runs."""

    @property
    def stands(self) -> bool:
        """Whether there is any use in it: a failure is not kept, the read may be tried again."""
        return self.outcome is None or self.outcome.kind == "done"


_END = -1
"""Stands for the end of what a model or a plan writes."""


def run_batch(
    episodes: Sequence[Episode], model: Model, batch: int = 8, on_done: Callable[[int, Rollout], Any] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Rollout]:
    """Runs episodes with a model, up to ``batch`` at once; each gives what it would give alone.

    Args:
        episodes: none of them with a planner that never leaves an action to the model.
        model: the backend that all share.
        batch: the most contexts kept at once.
        on_done: called with an episode's index and rollout as soon as it ends.
        seeds: what each one's sampling follows from; by default its place.
    """
    done: dict[int, Rollout] = {}
    waiting = iter(enumerate(episodes))
    active: dict[int, tuple[Stream, _Steps, _Need]] = {}

    def advance(index: int, stream: Stream, steps: _Steps, reply: int | None) -> None:
        try:
            active[index] = (stream, steps, steps.send(reply))
        except StopIteration as stop:
            active.pop(index, None)
            model.close(stream)
            done[index] = stop.value
            if on_done is not None:
                on_done(index, stop.value)

    while True:
        while len(active) < batch and (item := next(waiting, None)) is not None:
            index, episode = item
            seed = index if seeds is None else seeds[index]
            advance(index, episode.attach(model, seed), episode.steps(), None)
        if not active:
            return [done[index] for index in range(len(episodes))]
        appends = [(index, *entry) for index, entry in active.items() if isinstance(entry[2], NeedAppend)]
        if appends:
            model.append([(stream, need.ids) for _, stream, _, need in appends if isinstance(need, NeedAppend)])
            for index, stream, steps, _ in appends:
                advance(index, stream, steps, None)
            continue
        checks = [(index, *entry) for index, entry in active.items() if isinstance(entry[2], NeedVerify)]
        for index, stream, steps, need in checks:
            if isinstance(need, NeedVerify):
                verify = model.verify if isinstance(model, Verifies) else partial(_verify, model)
                advance(index, stream, steps, verify(stream, need.ids, need.constraint))
        if checks:
            continue
        rows = [(index, stream, steps, need) for index, (stream, steps, need) in active.items() if isinstance(need, NeedToken)]
        tokens = model.decode([stream for _, stream, _, _ in rows], [need.mask for *_, need in rows])
        for (index, stream, steps, _), token in zip(rows, tokens, strict=True):
            advance(index, stream, steps, token)


def _verify(model: Model, stream: Stream, ids: Sequence[int], constraint: Constraint | None) -> int:
    """`Verifies.verify` of a model that lacks it, token by token: what a simulation measures does not hang on the engine."""
    right = 0
    while right < len(ids):
        if constraint is not None and (forced := tuple(constraint.forced())):
            if forced != tuple(ids[right: right + len(forced)]):
                break
            model.append([(stream, forced)])
            written = forced
        else:
            (token,) = model.decode([stream], [constraint])
            if token != ids[right]:
                model.crop(stream, stream.length - 1)
                break
            written = (token,)
        if constraint is not None:
            for token in written:
                constraint.push(token)
        right += len(written)
    return right


def replay(rollout_state: State, events: Iterable[Event]) -> State:
    """Folds recorded events over a fresh state: the same log gives the same transcript, byte for byte."""
    for event in events:
        rollout_state, _ = reducer.step(rollout_state, event)
    return rollout_state

"""All that a session is: as one frozen value between two events, and as the working state of the step that takes in an
event.

Owns `State`, how a fresh one is made, and its mutable twin `Draft`. Does not know how it changes: that is
`midsentence.core.reducer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from immutables import Map

from midsentence.core.calls import CallState, Commits, Graph
from midsentence.core.events import Command
from midsentence.core.forgetting import Shown, Turned
from midsentence.core.modes import Settings
from midsentence.core.parser import Parser
from midsentence.core.transcript import Segment, Transcript
from midsentence.tools.tool import ToolSpec


class Phase(StrEnum):
    """What the model is doing."""

    IDLE = "idle"
    APPENDING = "appending"
    GENERATING = "generating"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Pending:
    """A segment that waits to be appended, and the call version whose result it carries, if any."""

    segment: Segment
    """What is appended."""
    call: int = 0
    """The call's ID; 0 if the segment carries no result."""


@dataclass(frozen=True, slots=True)
class Before:
    """A session as it stood before a predicted end of speech was acted on: what it goes back to if speech goes on."""

    graph: Graph
    """The calls."""
    transcript: Transcript
    """All segments."""
    inbox: tuple[Pending, ...]
    """What waited to be appended."""
    informed: bool
    """As in `State`, and so are the next four."""
    errors_in_row: int
    """Invalid actions in a row."""
    turn_tokens: int
    """Tokens that the model had written in this turn."""
    unshown: tuple[str, ...]
    """Words that the model had not been shown."""
    unshown_retracts: int
    """How many of the words that it had been shown were taken back."""
    still: bool
    """Whether nothing was being written, so that it can be gone back to."""


@dataclass(frozen=True, slots=True)
class State:
    """All that a session is. Made by `start`, changed only by `step`."""

    settings: Settings
    """The row of the mode, with changes."""
    tools: Mapping[str, ToolSpec]
    """By name."""
    session: str = "session"
    """Prefix of idempotency keys."""
    now_ns: int = 0
    """Time of the last event."""
    phase: Phase = Phase.IDLE
    """What the model is doing."""
    outcome: str = ""
    """Why the session is finished; empty while it is not."""
    transcript: Transcript = field(default_factory=Transcript)
    """All segments so far, those that the context leaves out included."""
    inbox: tuple[Pending, ...] = ()
    """What waits to be appended."""
    graph: Graph = field(default_factory=Graph)
    """All calls so far."""
    commits: Commits = Commits()
    """Which calls have been committed, and whether that still lets them go."""
    parser: Parser = field(default_factory=Parser)
    """Where in its action the model is."""
    generation: int = 0
    """Number of the last generation that began, from 1; 0 before the first."""
    span_tokens: int = 0
    """Tokens accepted from the generation under way."""
    span_lines: int = 0
    """Call lines accepted from it."""
    saw_final: bool = False
    """Whether the generation under way began with the final update in its context."""
    saw_silence: bool = False
    """Whether it began with a silence after the last word in its context."""
    cut_pending: bool = False
    """Whether new information waits for a line or an action to finish."""
    wake: bool = False
    """Whether there is a reason to generate."""
    spoken: bool = False
    """Whether the user has ever said a word."""
    final_heard: bool = False
    """Whether the last that was heard is a final update: what is committed may run, and an answer may go out."""
    predicted: bool = False
    """Whether a predicted end of speech stands that an eager mode has acted on; the final update has not come yet."""
    rests: bool = False
    """Whether the attempt on that prediction would rather wait: for the real end, or for more words."""
    before: Before | None = None
    """How all stood before that prediction. What is new or another since is thrown away with it."""
    spent: int = 0
    """The highest version of any call that was thrown away so: late answers to those are none to calls issued since."""
    outdated: bool = False
    """Whether the context holds what was thrown away, and has to be made anew."""
    unshown: tuple[str, ...] = ()
    """Words that the user has said and that the model has not been shown, where it is shown the whole at the end."""
    unshown_retracts: int = 0
    """How many of the words that it has been shown are taken back before those."""
    final_in_context: bool = False
    """Whether the model reads what was said as whole and may answer: it has been shown the end of speech, by the final
    update or, in an eager mode, by a predicted end that stands."""
    silence_in_context: bool = False
    """Whether the last thing in the context that was heard is a silence."""
    informed: bool = False
    """Whether a result or an error of a tool has ever been in the context, of a removed call even."""
    answer: str | None = None
    """A provisional answer, until every live call is terminal."""
    answered: bool = False
    """Whether this turn's answer has gone out."""
    speaking: bool = False
    """Whether an answer is being spoken, as far as the shell has told."""
    settled: int = 0
    """The highest call ID when the last answer went out: what failed or was skipped by then is over for good."""
    turn: int = 1
    """Turns that the user opened with a word; one that a mere retraction or a full stop opened goes on with the one
    before."""
    errors_in_row: int = 0
    """Invalid actions since the last valid one."""
    turned: tuple[Turned, ...] = ()
    """Where each turn after the first begins in the transcript."""
    shown: Shown = Shown()
    """What the context leaves out of the transcript."""
    prompt_tokens: int = 0
    """Tokens of the prompt."""
    context_tokens: int = 0
    """Tokens of the whole context, the prompt's included."""
    renewing: bool = False
    """Whether the append under way is of the whole context, made anew."""
    turn_tokens: int = 0
    """Tokens that the model has written in this turn."""
    turn_writes: int = 0
    """Writes started in this turn."""
    session_writes: int = 0
    """Writes started in this session."""
    extra_writes: int = 0
    """Writes that the user's word allows beyond the session's own number."""
    asked_more: bool = False
    """Whether a write was refused because the session's number is used up."""
    asked: Map[str, int] = Map()
    """Resolved text of a write that was refused for want of confirmation → the turn."""
    starts: int = 0
    """Tools started so far."""
    timer: int = 0
    """Number of the commit grace that runs; a timer with another number is an old one."""
    grace: bool = False
    """Whether a commit grace runs."""


@dataclass(slots=True)
class Draft:
    """A `State` while one step changes it: field for field the same, and said there. Lives for one step.

    Everything in it is immutable, so that what a step changes is a field of the draft and never of the state that it
    came from.
    """

    settings: Settings
    tools: Mapping[str, ToolSpec]
    session: str
    now_ns: int
    phase: Phase
    outcome: str
    transcript: Transcript
    inbox: tuple[Pending, ...]
    graph: Graph
    commits: Commits
    parser: Parser
    generation: int
    span_tokens: int
    span_lines: int
    saw_final: bool
    saw_silence: bool
    cut_pending: bool
    wake: bool
    spoken: bool
    final_heard: bool
    predicted: bool
    rests: bool
    before: Before | None
    spent: int
    outdated: bool
    unshown: tuple[str, ...]
    unshown_retracts: int
    final_in_context: bool
    silence_in_context: bool
    informed: bool
    answer: str | None
    answered: bool
    speaking: bool
    settled: int
    turn: int
    errors_in_row: int
    turned: tuple[Turned, ...]
    shown: Shown
    prompt_tokens: int
    context_tokens: int
    renewing: bool
    turn_tokens: int
    turn_writes: int
    session_writes: int
    extra_writes: int
    asked_more: bool
    asked: Map[str, int]
    starts: int
    timer: int
    grace: bool
    commands: list[Command] = field(default_factory=list)
    """What the step asks for, in order."""
    voided: set[int] = field(default_factory=set)
    """Calls whose results are void and that the model has still to be told of."""


def thaw(state: State) -> Draft:
    """The draft of a state's next step."""
    return Draft(
        settings=state.settings,
        tools=state.tools,
        session=state.session,
        now_ns=state.now_ns,
        phase=state.phase,
        outcome=state.outcome,
        transcript=state.transcript,
        inbox=state.inbox,
        graph=state.graph,
        commits=state.commits,
        parser=state.parser,
        generation=state.generation,
        span_tokens=state.span_tokens,
        span_lines=state.span_lines,
        saw_final=state.saw_final,
        saw_silence=state.saw_silence,
        cut_pending=state.cut_pending,
        wake=state.wake,
        spoken=state.spoken,
        final_heard=state.final_heard,
        predicted=state.predicted,
        rests=state.rests,
        before=state.before,
        spent=state.spent,
        outdated=state.outdated,
        unshown=state.unshown,
        unshown_retracts=state.unshown_retracts,
        final_in_context=state.final_in_context,
        silence_in_context=state.silence_in_context,
        informed=state.informed,
        answer=state.answer,
        answered=state.answered,
        speaking=state.speaking,
        settled=state.settled,
        turn=state.turn,
        errors_in_row=state.errors_in_row,
        turned=state.turned,
        shown=state.shown,
        prompt_tokens=state.prompt_tokens,
        context_tokens=state.context_tokens,
        renewing=state.renewing,
        turn_tokens=state.turn_tokens,
        turn_writes=state.turn_writes,
        session_writes=state.session_writes,
        extra_writes=state.extra_writes,
        asked_more=state.asked_more,
        asked=state.asked,
        starts=state.starts,
        timer=state.timer,
        grace=state.grace,
    )


def freeze(draft: Draft) -> State:
    """The state that a draft has become."""
    return State(
        settings=draft.settings,
        tools=draft.tools,
        session=draft.session,
        now_ns=draft.now_ns,
        phase=draft.phase,
        outcome=draft.outcome,
        transcript=draft.transcript,
        inbox=draft.inbox,
        graph=draft.graph,
        commits=draft.commits,
        parser=draft.parser,
        generation=draft.generation,
        span_tokens=draft.span_tokens,
        span_lines=draft.span_lines,
        saw_final=draft.saw_final,
        saw_silence=draft.saw_silence,
        cut_pending=draft.cut_pending,
        wake=draft.wake,
        spoken=draft.spoken,
        final_heard=draft.final_heard,
        predicted=draft.predicted,
        rests=draft.rests,
        before=draft.before,
        spent=draft.spent,
        outdated=draft.outdated,
        unshown=draft.unshown,
        unshown_retracts=draft.unshown_retracts,
        final_in_context=draft.final_in_context,
        silence_in_context=draft.silence_in_context,
        informed=draft.informed,
        answer=draft.answer,
        answered=draft.answered,
        speaking=draft.speaking,
        settled=draft.settled,
        turn=draft.turn,
        errors_in_row=draft.errors_in_row,
        turned=draft.turned,
        shown=draft.shown,
        prompt_tokens=draft.prompt_tokens,
        context_tokens=draft.context_tokens,
        renewing=draft.renewing,
        turn_tokens=draft.turn_tokens,
        turn_writes=draft.turn_writes,
        session_writes=draft.session_writes,
        extra_writes=draft.extra_writes,
        asked_more=draft.asked_more,
        asked=draft.asked,
        starts=draft.starts,
        timer=draft.timer,
        grace=draft.grace,
    )


def knows_the_end(state: State | Draft) -> bool:
    """Whether what is being written may commit, or answer: it was begun in the knowledge that the user has finished."""
    return state.saw_final or state.settings.commit_on == "silence" and state.saw_silence


def nothing_moves(state: State | Draft) -> bool:
    """Whether no call goes on by itself: to pause, once the user has finished, would be to wait for ever."""
    if state.settings.commit == "line":
        if state.predicted and any(state.commits.covers(state.graph[id]) for id in state.graph.live):
            return False  # the real end of speech lets them go
        return not state.grace and not any(state.graph.in_state(CallState.RUNNING))
    return not state.graph.live  # the end of a pause commits


def turn_spent(state: State | Draft) -> bool:
    """Whether the turn has had all the writes that it may have."""
    return state.turn_writes >= state.settings.max_writes_per_turn


def session_spent(state: State | Draft) -> bool:
    """Whether the session has had all that it may have before the user speaks again."""
    return state.session_writes >= state.settings.max_writes_per_session + state.extra_writes


def start(settings: Settings, tools: Mapping[str, ToolSpec], session: str = "session", prompt_tokens: int = 0) -> State:
    """The state of a fresh session, its prompt already taken in."""
    return State(settings, tools, session, prompt_tokens=prompt_tokens, context_tokens=prompt_tokens)

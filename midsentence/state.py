"""All that a session is, as one frozen value.

Owns `State` and how a fresh one is made. Refuses to know how it changes: that is `midsentence.core`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from immutables import Map

from midsentence.calls import CallState, Commits, Graph
from midsentence.forgetting import Shown, Turned
from midsentence.modes import Settings
from midsentence.protocol import Parser
from midsentence.tools.tool import ToolSpec
from midsentence.transcript import Segment, Transcript


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
    call: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """All that a session is. Made by `start`, changed only by `step`."""

    settings: Settings
    tools: Mapping[str, ToolSpec]
    session: str = "session"
    """Prefix of idempotency keys."""
    now_ns: int = 0
    phase: Phase = Phase.IDLE
    outcome: str = ""
    """Why the session is finished; empty while it is not."""
    transcript: Transcript = field(default_factory=Transcript)
    inbox: tuple[Pending, ...] = ()
    """What waits to be appended."""
    graph: Graph = field(default_factory=Graph)
    commits: Commits = Commits()
    parser: Parser = field(default_factory=Parser)
    generation: int = 0
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
    before: Map = Map()
    """``Map[int, Call]``: the calls as they stood before that prediction. What is new or another since is thrown away with it."""
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
    """Turns that the user opened with a word; one that a mere retraction or a full stop opened goes on with the one before."""
    errors_in_row: int = 0
    turned: tuple[Turned, ...] = ()
    """Where each turn after the first begins in the transcript."""
    shown: Shown = Shown()
    """What the context leaves out of the transcript."""
    prompt_tokens: int = 0
    context_tokens: int = 0
    renewing: bool = False
    """Whether the append under way is of the whole context, made anew."""
    turn_tokens: int = 0
    """Tokens that the model has written in this turn."""
    turn_writes: int = 0
    """Writes started in this turn."""
    session_writes: int = 0
    extra_writes: int = 0
    """Writes that the user's word allows beyond the session's own number."""
    asked_more: bool = False
    """Whether a write was refused because the session's number is used up."""
    asked: Map = Map()
    """``Map[str, int]``: resolved text of a write that was refused for want of confirmation → the turn."""
    starts: int = 0
    """Tools started so far."""
    timer: int = 0
    """Number of the commit grace that runs; a timer with another number is an old one."""
    grace: bool = False
    """Whether a commit grace runs."""


def knows_the_end(state: State) -> bool:
    """Whether what is being written may commit, or answer: it was begun in the knowledge that the user has finished."""
    return state.saw_final or state.settings.commit_on == "silence" and state.saw_silence


def nothing_moves(state: State) -> bool:
    """Whether no call goes on by itself: to pause, once the user has finished, would be to wait for ever."""
    if state.settings.commit == "line":
        if state.predicted and any(state.commits.covers(state.graph[id]) for id in state.graph.live):
            return False  # the real end of speech lets them go
        return not state.grace and not any(state.graph.in_state(CallState.RUNNING))
    return not state.graph.live  # the end of a pause commits


def start(settings: Settings, tools: Mapping[str, ToolSpec], session: str = "session", prompt_tokens: int = 0) -> State:
    """The state of a fresh session, its prompt already taken in."""
    return State(settings, tools, session, prompt_tokens=prompt_tokens, context_tokens=prompt_tokens)

"""The judge of a soaked session: compares what the toolbox saw with the session's log and with what its user said.

Owns the counters. Reads events and commands, and the world's ledger; does not know the core's state. All times are
nanoseconds of the machine's own clock, which the ledger keeps too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from midsentence.core.events import Command, Event, Generate, ModelOutput, StartTool, ToolResult, UserUpdate
from scripts.soak.player import wanted
from scripts.soak.world import SPECS, Ran, found

COUNTERS = ("hangs", "effects_before_commit", "effects_more_than_once", "lost_effects")
_ENDS_A_LINE = ("\n", "</tool_call>", "</answer>", "<pause>")


@dataclass(slots=True)
class Heard:
    """What the user did, with its time: the user's own book, kept before the session is told."""

    at_ns: int
    speaks: bool
    final: bool


@dataclass(slots=True)
class Answered:
    """A turn that was answered: what its user had said by then."""

    at_ns: int
    words: tuple[str, ...]


@dataclass(slots=True)
class Conversation:
    """All that the judge is shown of one session."""

    zero_ns: int = 0
    """The machine's clock at the session's zero."""
    said: list[Heard] = field(default_factory=list)
    turns: list[Answered] = field(default_factory=list)
    log: Sequence[tuple[Event, tuple[Command, ...]]] = ()
    ledger: Sequence[Ran] = ()


def judged(talk: Conversation) -> Counter[str]:
    """How often what must not happen did."""
    counts: Counter[str] = Counter()
    starts = {
        (one.key, one.name): index
        for index, (_, commands) in reversed(list(enumerate(talk.log)))
        for one in commands
        if isinstance(one, StartTool)
    }  # the first of each key
    for ran in talk.ledger:
        if SPECS[ran.tool].access != "read" and not _was_let_go(talk, ran, starts.get((ran.key, ran.tool))):
            counts["effects_before_commit"] += 1
    did = [ran for ran in talk.ledger if SPECS[ran.tool].access == "write" and ran.did_ns]
    by_meaning, by_key = Counter((ran.tool, ran.what) for ran in did), Counter(ran.key for ran in did)
    counts["effects_more_than_once"] += max(
        sum(n - 1 for n in by_meaning.values()), sum(n - 1 for n in by_key.values())
    )
    counts["lost_effects"] += _lost(talk)
    return +counts


def _was_let_go(talk: Conversation, ran: Ran, start: int | None) -> bool:
    """Whether, before a run began, the user had finished, the model had written a line since, and nobody had spoken
    after."""
    if start is None:
        return False
    # a busy loop takes in a token after words that came a moment later: it was ordered when the last of what went
    # before had come
    at_ns = talk.zero_ns + max(event.at_ns for event, _ in talk.log[: start + 1])
    before = [one for one in talk.said if one.at_ns <= at_ns]
    spoke = max((n for n, one in enumerate(before) if one.speaks), default=-1)
    if ran.began_ns < at_ns or not any(one.final for one in before[max(0, spoke) :]):
        return False
    words = [
        n
        for n in range(start + 1)
        if isinstance(event := talk.log[n][0], UserUpdate) and (event.text.strip() or event.retracts)
    ]
    since = words[-1] if words else 0
    return any(_ends_a_line(event) and _began_since(talk, since, event) for event, _ in talk.log[since : start + 1])


def _ends_a_line(event: Event) -> bool:
    return isinstance(event, ModelOutput) and any(end in event.text for end in _ENDS_A_LINE)


def _began_since(talk: Conversation, since: int, event: Event) -> bool:
    """Whether an output is of a generation that began after the last words were heard."""
    return isinstance(event, ModelOutput) and any(
        isinstance(one, Generate) and one.generation == event.generation
        for _, commands in talk.log[since:]
        for one in commands
    )


def _lost(talk: Conversation) -> int:
    """Writes that the log says were started, or done, and the world never saw so; and those that an answered turn asked
    for."""
    started, done, began = Counter(), Counter(), {}
    for event, commands in talk.log:
        for one in commands:
            if isinstance(one, StartTool) and SPECS[one.name].access == "write":
                started[one.key] += 1
                began[one.call, one.version] = one.key
        if isinstance(event, ToolResult) and (event.call, event.version) in began:
            done[began[event.call, event.version]] += 1
    ran, did = Counter(run.key for run in talk.ledger), Counter(run.key for run in talk.ledger if run.did_ns)
    lost = sum((started - ran).values()) + sum((done - did).values())
    seen = {(run.tool, run.what): run for run in talk.ledger}
    for turn in talk.turns:
        for verb, thing in wanted(turn.words):
            tool, what = ("send", found(thing)) if verb == "forward" else (verb, thing)
            if SPECS[tool].access != "write" or (tool, what) in seen and seen[tool, what].began_ns <= turn.at_ns:
                continue
            if not (verb == "forward" and ("look", thing) in seen and seen["look", thing].fault):
                lost += 1
    return lost

"""What the table of transitions says, the core does: without a row's effect, what the effect is for does not happen."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from immutables import Map

from midsentence.core import reducer
from midsentence.core.calls import ROWS, TABLE, Call, CallState, Commits, Graph, Input
from midsentence.core.events import (
    Append,
    CancelTool,
    Command,
    Event,
    ModelOutput,
    Moved,
    StartTool,
    ToolResult,
    Unmoved,
    UserUpdate,
    from_json,
)
from midsentence.core.forgetting import Shown, Turned
from midsentence.core.modes import settings
from midsentence.core.parser import Parser
from midsentence.core.state import Before, Draft, Pending, Phase, State, freeze, thaw
from midsentence.core.transcript import Segment, Transcript
from midsentence.core.values import Ref
from midsentence.testing import TOOLS

SPECS = {spec.name: spec for spec in TOOLS}
STALE = [row.state for row in ROWS if row.effect == "drop"]


def session(state: CallState, **fields) -> State:
    """A session whose model writes while call 1, a read in its second version, is in a state."""
    call = Call(1, SPECS["look"], {"what": "a"}, version=2, state=state, **fields)
    fresh = reducer.start(settings("speculative"), SPECS)
    return replace(fresh, graph=Graph().put(call), phase=Phase.GENERATING, generation=1, spoken=True)


def after(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """The session after an event, the model at rest and what waited in its context; with the commands of both steps."""
    state, commands = reducer.step(state, event)
    if state.phase is Phase.GENERATING:
        state, more = reducer.step(
            state, ModelOutput(0, 1, "</tool_call>" if state.parser.where == "tool_call" else "<pause>", (1,))
        )
        commands += more
    return state, commands


def told(commands: tuple[Command, ...]) -> list[str]:
    """What the model is told, as ``kind text``."""
    return [
        f"{segment.kind} {segment.text}"
        for command in commands
        if isinstance(command, Append)
        for segment in command.segments
    ]


def line(text: str) -> ModelOutput:
    return ModelOutput(0, 1, f"<tool_call>{text}\n", (1,))


def without(monkeypatch: pytest.MonkeyPatch, state: CallState, input: Input) -> None:
    """Takes a row's effect out of the table."""
    row = TABLE[state, input]
    assert row.effect
    monkeypatch.setitem(TABLE, (state, input), row._replace(effect=""))


def test_the_effects_that_there_are_have_a_test_here():
    assert {(row.input, row.effect) for row in ROWS if row.effect} == {
        (Input.START, "start"),
        (Input.REWIND, "cancel"),
        (Input.REMOVE, "cancel"),
        (Input.REWIND, "void"),
        (Input.REMOVE, "void"),
        (Input.STALE, "drop"),
    }
    assert {row.state for row in ROWS if row.input is Input.STALE} == set(STALE) == set(CallState)


def test_start_starts_the_tool(monkeypatch):
    def started() -> list[str]:
        _, commands = after(session(CallState.BLOCKED), UserUpdate(0, "hello"))
        assert Moved(1, CallState.READY, Input.START) in commands
        return [f"{command.name} {command.args}" for command in commands if isinstance(command, StartTool)]

    assert started() == ["look {'what': 'a'}"]
    without(monkeypatch, CallState.READY, Input.START)
    assert started() == []


@pytest.mark.parametrize(("input", "text"), [(Input.REWIND, '1. look("b")'), (Input.REMOVE, "REMOVE 1")])
def test_cancel_cancels_the_tool(monkeypatch, input, text):
    def cancelled() -> list[Command]:
        _, commands = after(session(CallState.RUNNING, started=1), line(text))
        assert Moved(1, CallState.RUNNING, input) in commands
        return [command for command in commands if isinstance(command, CancelTool)]

    assert cancelled() == [CancelTool(1, 2)]
    without(monkeypatch, CallState.RUNNING, input)
    assert cancelled() == []


@pytest.mark.parametrize(("input", "text"), [(Input.REWIND, '1. look("b")'), (Input.REMOVE, "REMOVE 1")])
def test_void_takes_a_result_back_that_the_model_has_seen(monkeypatch, input, text):
    def said() -> list[str]:
        _, commands = after(session(CallState.DONE, result="x", in_context=True), line(text))
        assert Moved(1, CallState.DONE, input) in commands
        return told(commands)

    assert said() == ["cancel 1"]
    without(monkeypatch, CallState.DONE, input)
    assert said() == []


@pytest.mark.parametrize(("input", "text"), [(Input.REWIND, '1. look("b")'), (Input.REMOVE, "REMOVE 1")])
def test_void_takes_a_result_back_that_still_waits_for_the_model(monkeypatch, input, text):
    def said() -> list[str]:
        waits = Pending(Segment("tool_result", "1v2: x", 0), call=1)
        _, commands = after(replace(session(CallState.DONE, result="x"), inbox=(waits,)), line(text))
        assert Moved(1, CallState.DONE, input) in commands
        return told(commands)

    assert said() == []
    without(monkeypatch, CallState.DONE, input)
    assert said() == ["tool_result 1v2: x"]


def test_a_retry_tells_of_the_results_that_it_makes_void():
    """They were taken back, and the model was not told."""
    state = session(CallState.FAILED)
    taker = Call(2, SPECS["look"], {"what": Ref(1)}, state=CallState.DONE, result="x", in_context=True)
    _, commands = after(replace(state, graph=state.graph.put(taker)), line('1. look("a")'))
    assert Moved(2, CallState.DONE, Input.REWIND) in commands
    assert told(commands) == ["cancel 2"]


@pytest.mark.parametrize("state", STALE)
def test_drop_drops_a_late_answer(monkeypatch, state):
    def seen() -> list[str]:
        _, commands = after(session(state), ToolResult(0, 1, 1, "old"))
        assert Moved(1, state, Input.STALE) in commands
        return [text for text in told(commands) if "old" in text]

    assert seen() == []
    without(monkeypatch, state, Input.STALE)
    assert len(seen()) == 1


def test_where_there_is_no_row_nothing_changes(monkeypatch):
    monkeypatch.delitem(TABLE, (CallState.RUNNING, Input.REMOVE))
    state, commands = after(session(CallState.RUNNING, started=1), line("REMOVE 1"))
    assert Unmoved(1, CallState.RUNNING, Input.REMOVE) in commands
    assert state.graph[1].state is CallState.RUNNING and not any(
        isinstance(command, CancelTool) for command in commands
    )


# --- the working state


ODD = {
    "session": "s",
    "now_ns": 7,
    "phase": Phase.APPENDING,
    "outcome": "closed",
    "transcript": Transcript().append(Segment("model", "x", 0)),
    "inbox": (Pending(Segment("error", "x", 0)),),
    "graph": Graph(highest=3),
    "commits": Commits(2, 1, 1),
    "parser": Parser("think"),
    "before": Before(Graph(), Transcript(), (), False, 0, 0, (), 0, True),
    "unshown": ("x",),
    "answer": "so",
    "asked": Map({"x": 1}),
    "turned": (Turned(1, 1),),
    "shown": Shown(1, 1),
}
"""A value other than its default for each field that is neither a number nor a truth value."""


def test_a_draft_has_every_field_of_a_state_and_becomes_it_again():
    mine = [(field.name, field.type) for field in fields(State)]
    assert [(field.name, field.type) for field in fields(Draft)] == [
        *mine,
        ("commands", "list[Command]"),
        ("voided", "set[int]"),
    ]
    changes = dict(ODD)
    for n, field in enumerate(fields(State)):
        if field.type in ("int", "bool"):
            changes[field.name] = not field.default if field.type == "bool" else 100 + n
    odd = replace(reducer.start(settings("speculative"), SPECS), **changes)
    plain = reducer.start(settings("speculative"), {})
    assert [field.name for field in fields(State) if getattr(odd, field.name) == getattr(plain, field.name)] == [
        "settings"
    ]
    assert freeze(thaw(odd)) == odd


def test_a_step_leaves_the_state_that_it_came_from_as_it_was():
    before = session(CallState.RUNNING, started=1)
    same = replace(before)
    reducer.step(before, line('1. look("b")\n2. look("c")'))
    reducer.step(before, ToolResult(0, 1, 2, "x"))
    assert before == same


# --- moves in logs


@pytest.mark.parametrize(
    ("what", "made"),
    [
        ("blocked:hold", Moved(3, CallState.BLOCKED, Input.HOLD)),
        ("no_transition:cancelled:remove", Unmoved(3, CallState.CANCELLED, Input.REMOVE)),
    ],
)
def test_a_log_of_before_moves_had_a_type_is_read(what, made):
    assert from_json({"type": "Note", "what": what, "call": 3}) == made

"""The table of transitions, and the questions that the core asks of the graph."""

from __future__ import annotations

import pytest

from midsentence.core import reducer
from midsentence.core.calls import ROWS, TABLE, TERMINAL, Call, CallState, Graph, Input, effect_key
from midsentence.core.events import (
    Appended,
    CancelTool,
    ModelOutput,
    Moved,
    StartTool,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.modes import settings
from midsentence.core.values import Join, Ref
from midsentence.testing import TOOLS
from midsentence.tools.tool import Param, ToolSpec

SPECS = {spec.name: spec for spec in TOOLS}


def call(id: int, tool: str = "look", *needs: int, state: CallState = CallState.BLOCKED, **fields) -> Call:
    return Call(id, SPECS[tool], {"what": [Ref(need) for need in needs]}, state=state, **fields)


def graph(*calls: Call) -> Graph:
    made = Graph()
    for one in calls:
        made = made.put(one)
    return made


# --- the table


def test_a_state_and_an_input_have_one_row():
    assert len(TABLE) == len(ROWS)


def test_every_state_can_be_reached_from_blocked():
    reached, front = {CallState.BLOCKED}, [CallState.BLOCKED]
    while front:
        state = front.pop()
        for row in ROWS:
            if row.state is state and row.next not in reached:
                reached.add(row.next)
                front.append(row.next)
    assert reached == set(CallState)


def test_a_removed_call_stays_removed():
    assert {row.input for row in ROWS if row.state is CallState.CANCELLED} == {Input.STALE}


def test_only_a_ready_call_starts():
    assert [row.state for row in ROWS if row.next is CallState.RUNNING and row.input is not Input.STALE] == [
        CallState.READY
    ]


def test_what_runs_is_cancelled_and_what_is_done_is_voided_however_it_is_taken_back():
    effects = {(row.state, row.input): row.effect for row in ROWS if row.input in (Input.REWIND, Input.REMOVE)}
    assert {key: effect for key, effect in effects.items() if effect} == {
        (CallState.RUNNING, Input.REWIND): "cancel",
        (CallState.RUNNING, Input.REMOVE): "cancel",
        (CallState.DONE, Input.REWIND): "void",
        (CallState.DONE, Input.REMOVE): "void",
    }


def test_nothing_takes_back_a_write_of_unknown_outcome():
    assert {row.input for row in ROWS if row.state is CallState.UNKNOWN} == {Input.RESULT, Input.FAILURE, Input.STALE}


def test_a_late_answer_changes_no_state():
    late = [row for row in ROWS if row.input is Input.STALE]
    assert {row.state for row in late} == set(CallState)
    assert all(row.next is row.state and row.effect == "drop" for row in late)


def test_every_row_says_why():
    assert all(row.why for row in ROWS)


# --- the graph


def test_what_depends_on_a_call_directly_or_not_the_removed_left_out():
    removed = call(5, "look", 1, state=CallState.CANCELLED)
    made = graph(call(1), call(2, "look", 1), call(3, "look", 2), call(4), removed, call(6, "look", 4, 3))
    assert made.below(1) == (2, 3, 6)
    assert made.below(4) == (6,)
    assert made.below(6) == ()


def test_a_call_that_named_an_operand_only_in_an_older_version_does_not_depend_on_it():
    made = graph(call(1), call(2, "look", 1), call(3, "look", 2)).put(call(2))
    assert made.below(1) == ()
    assert made.below(2) == (3,)


def test_references_are_found_in_lists_fields_and_joined_texts():
    nested = Call(9, SPECS["send"], {"to": [{"a": Ref(1)}], "text": Join(("to ", Ref(2)))})
    assert nested.needs == {1, 2}


def test_live_is_what_is_not_terminal():
    made = graph(*(call(n, state=state) for n, state in enumerate(CallState, start=1)))
    assert {str(made[id].state) for id in made.live} == {"blocked", "ready", "held", "running"}
    assert set(CallState) - TERMINAL == {made[id].state for id in made.live}
    assert made.highest == len(CallState)


@pytest.mark.parametrize(
    ("state", "frozen"), [("running", True), ("done", True), ("unknown", True), ("held", False), ("failed", False)]
)
def test_a_write_is_frozen_from_its_start_unless_it_says_that_it_did_nothing(state, frozen):
    made = graph(call(1), call(2, "look", 1), call(3, "note", 2, state=CallState(state)))
    assert made[3].frozen is frozen
    assert made.effect_below(1) == (3 if frozen else None)
    assert not call(4, state=CallState.RUNNING).frozen


def test_a_call_waits_for_a_smaller_unfinished_one_in_conflict():
    made = graph(call(1, "page"), call(2, "note"), call(3, "page"), call(4, "look"))
    assert [made.waits_for(made[id]) for id in (1, 2, 3, 4)] == [False, True, True, False]
    done = made.put(call(1, "page", state=CallState.DONE)).put(call(2, "note", state=CallState.FAILED))
    assert [done.waits_for(done[id]) for id in (2, 3)] == [False, False]


def test_two_reads_of_a_resource_are_no_conflict():
    assert not SPECS["page"].conflicts_with(SPECS["page"])
    assert SPECS["note"].conflicts_with(SPECS["page"]) and SPECS["page"].conflicts_with(SPECS["note"])


def test_equal_calls_have_equal_texts():
    one = Call(1, SPECS["look"], {"what": {"b": 1, "a": 2}, "where": "x"})
    assert one.text == Call(2, SPECS["look"], {"where": "x", "what": {"a": 2, "b": 1}}).text
    assert Call(1, SPECS["look"], {"what": "$1"}).text != Call(1, SPECS["look"], {"what": Ref(1)}).text


def test_changing_a_graph_leaves_the_old_one_as_it_was():
    before = graph(call(1))
    after = before.put(call(1, state=CallState.DONE)).put(call(2, "look", 1))
    assert (before[1].state, 2 in before, before.below(1)) == (CallState.BLOCKED, False, ())
    assert (after[1].state, after.below(1)) == (CallState.DONE, (2,))


# --- the core's use of it


def written(specs, *texts: str) -> tuple[reducer.State, list]:
    """A session that heard all and then wrote ``texts``, one action each; with all commands."""
    state, all_commands = reducer.start(settings("speculative", commit="action"), specs), []
    events = [UserUpdate(0, "x", True), Appended(0, 1)]
    for event in events:
        state, commands = reducer.step(state, event)
        all_commands += commands
    for text in texts:
        state, commands = reducer.step(state, ModelOutput(0, state.generation, text, (1,)))
        all_commands += commands
    return state, all_commands


def test_the_key_of_an_effect_is_the_same_for_every_attempt_and_another_for_every_call():
    _, commands = written(SPECS, '<tool_call>\n1. look("a")\n1. look("b")\n2. look("c")\n</tool_call>')
    keys = [(c.call, c.version, c.key) for c in commands if isinstance(c, StartTool)]
    assert keys == [
        (1, 2, effect_key("session", 1, 'look(what="b")')),
        (2, 1, effect_key("session", 2, 'look(what="c")')),
    ]
    assert effect_key("session", 1, "a") != effect_key("session", 1, "b") != effect_key("other", 1, "b")


def test_a_cancelled_tool_is_named_with_the_version_that_runs():
    _, commands = written(SPECS, '<tool_call>\n1. look("a")\n', '1. look("b")\n')
    assert [c for c in commands if isinstance(c, CancelTool)] == [CancelTool(1, 1)]


def test_every_transition_is_noted():
    _, commands = written(SPECS, '<tool_call>\n1. send("a")\n</tool_call>')
    moves = [c for c in commands if isinstance(c, Moved)]
    assert moves == [Moved(1, CallState.BLOCKED, Input.CLEAR), Moved(1, CallState.READY, Input.START)]


def test_a_schema_of_a_foreign_kind_stops_nothing():
    odd = {"odd": ToolSpec("odd", (Param("a", {"type": "geo"}), Param("b", {"type": "string"})), "read")}
    state, commands = written(odd, '<tool_call>\n1. odd("here", 5)\n')
    assert state.inbox == () and state.transcript.last.text == "odd: b must be string, got 5: odd(a: any, b: str)"
    state, commands = written(odd, '<tool_call>\n1. odd("here", "x")\n')
    assert any(isinstance(c, StartTool) for c in commands)


def test_two_equal_writes_that_may_be_repeated_may_both_fail():
    """Each frees only its own effect; the first had taken the other's entry with it, and the second raised."""
    send = ToolSpec("send", (Param("to", {}),), "write", repeatable=True)
    state = reducer.start(settings("parallel"), {"send": send})
    text = '<tool_call>\n1. send("Bob")\n2. send("Bob")\n</tool_call>'
    for event in (
        UserUpdate(0, "twice to Bob", final=True),
        Appended(1, 5),
        ModelOutput(2, 1, text, (1,)),
        ToolError(3, 1, 1, "no"),
        ToolError(4, 2, 1, "no"),
    ):
        state, _ = reducer.step(state, event)
    assert [state.graph[id].state for id in (1, 2)] == [CallState.FAILED, CallState.FAILED]
    assert not state.graph.effects


def test_only_writes_are_confirmed():
    with pytest.raises(ValueError, match="confirm is for writes, but access is 'read'"):
        ToolSpec("look", access="read", confirm=True)


def test_a_number_that_json_does_not_have_is_no_answer():
    state, _ = written(SPECS, '<tool_call>\n1. look("a")\n</tool_call>')
    state, _ = reducer.step(state, ToolResult(0, 1, 1, {"n": float("nan")}))
    assert state.graph[1].state is CallState.FAILED


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("commit", "use line, action or paper"),
        ("commit_on", "use final or silence"),
        ("revise", "use amend or reissue"),
        ("interrupt", "use token, line or action"),
        ("revise_cascade", "use rerun or cancel"),
    ],
)
def test_a_rule_that_there_is_not_is_refused_with_those_there_are(name, fix):
    """It was taken for the paper's without a word."""
    with pytest.raises(ValueError, match=f"{name} is 'lines'; {fix}"):
        settings("speculative", **{name: "lines"})

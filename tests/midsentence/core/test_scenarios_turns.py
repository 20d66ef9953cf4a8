"""Who writes when: interruption, appends, ties, endings, the five modes, and what each invalid action is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from midsentence.clock import ns
from midsentence.core.modes import MODES
from midsentence.testing import PAUSE, ToolFailure, answer, calls, play

LONG = "<answer>it is all done now</answer>"


@pytest.mark.parametrize("interrupt", ["token", "line", "action"])
def test_a_thought_is_cut_at_once(interrupt):
    played = play(
        user=[(0.0, "text Bob"), (0.35, "that.")],
        model=[calls('1. look("Bob")', think="one two three"), answer()],
        interrupt=interrupt,
    )
    assert played.rows("user model told say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.35, "user", "that."),
        (0.35, "model", "<think>one ✂"),
        (0.35, "told", "/think_interrupted"),
        (0.35, "told", "final_query_update that"),
        (0.75, "model", "<answer>done</answer>"),
        (0.75, "say", "done"),
    ]


def test_interrupt_line_lets_a_call_line_that_has_begun_finish():
    played = play(
        user=[(0.0, "text Bob"), (0.35, "that.")],
        model=[calls('1. look("Bob")', '2. look("a")'), answer()],
        interrupt="line",
    )
    assert played.rows("user model start told say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.35, "user", "that."),
        (0.4, "model", '<tool_call>\n1. look("Bob") ✂'),
        (0.4, "start", "1 look(Bob)"),
        (0.4, "told", "/tool_call_interrupted"),
        (0.4, "told", "final_query_update that"),
        (0.8, "model", "<answer>done</answer>"),
        (1.4, "say", "done"),
        (1.4, "told", 'tool_result 1: "ok"'),
    ]


def test_interrupt_line_cuts_between_lines_and_complete_lines_stand():
    played = play(
        user=[(0.0, "text Bob"), (0.45, "that.")],
        model=[calls('1. look("Bob")', '2. look("a")'), answer()],
        interrupt="line",
    )
    assert played.rows("user model start told say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (0.45, "user", "that."),
        (0.45, "model", '<tool_call>\n1. look("Bob") ✂'),
        (0.45, "told", "/tool_call_interrupted"),
        (0.45, "told", "final_query_update that"),
        (0.85, "model", "<answer>done</answer>"),
        (1.4, "say", "done"),
        (1.4, "told", 'tool_result 1: "ok"'),
    ]


def test_interrupt_token_voids_a_partial_line():
    played = play(
        user=[(0.0, "text Bob"), (0.35, "that.")],
        model=[calls('1. look("Bob")', '2. look("a")'), answer()],
        interrupt="token",
    )
    assert played.rows("user model start told say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.35, "user", "that."),
        (0.35, "model", "<tool_call>\n1. ✂"),
        (0.35, "told", "/tool_call_interrupted"),
        (0.35, "told", "final_query_update that"),
        (0.75, "model", "<answer>done</answer>"),
        (0.75, "say", "done"),
    ]


def test_interrupt_action_lets_an_action_that_has_begun_finish():
    played = play(
        user=[(0.0, "text Bob"), (0.35, "that.")],
        model=[calls('1. look("Bob")', '2. look("a")'), answer()],
        interrupt="action",
    )
    assert played.rows("user model start told say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.35, "user", "that."),
        (0.4, "start", "1 look(Bob)"),
        (0.6, "start", "2 look(a)"),
        (0.7, "model", '<tool_call>\n1. look("Bob")\n2. look("a")\n</tool_call>'),
        (0.7, "told", "final_query_update that"),
        (1.1, "model", "<answer>done</answer>"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (1.6, "say", "done"),
        (1.6, "told", 'tool_result 2: "ok"'),
    ]


def test_a_result_does_not_cut_an_answer():
    played = play(user=[(0.0, "text Bob.")], model=[calls('1. look("Bob")'), LONG], takes={"look": 0.4})
    assert played.rows("model result told say") == [
        (0.0, "told", "final_query_update text Bob"),
        (0.5, "model", '<tool_call>\n1. look("Bob")\n</tool_call>'),
        (0.8, "result", "1 ok"),
        (1.2, "model", "<answer>it is all done now</answer>"),
        (1.2, "say", "it is all done now"),
        (1.2, "told", 'tool_result 1: "ok"'),
    ]


def test_a_failure_cuts_an_answer():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. look("Bob")'), LONG, answer("sorry")],
        takes={"look": 0.4},
        answers={"look": ToolFailure("no such person")},
    )
    assert played.rows("model error told say") == [
        (0.0, "told", "final_query_update text Bob"),
        (0.5, "model", '<tool_call>\n1. look("Bob")\n</tool_call>'),
        (0.8, "error", "1 failed: no such person"),
        (0.8, "model", "<answer>it is ✂"),
        (0.8, "told", "/answer_interrupted"),
        (0.8, "told", "tool_error 1: no such person"),
        (1.2, "model", "<answer>sorry</answer>"),
        (1.2, "say", "sorry"),
    ]


def test_a_failure_cuts_an_answer_in_modes_that_wait_for_calls_too():
    """Nothing runs while such a mode writes; but a write that timed out may say late that it did nothing."""
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")'), "<answer>" + "word " * 30 + "</answer>", answer("sorry")],
        mode="parallel",
        takes={"note": 7},
        answers={"note": ToolFailure("no ink")},
    )
    assert played.rows("start error model say") == [
        (0.4, "start", "1 note(a)"),
        (0.5, "model", '<tool_call>\n1. note("a")\n</tool_call>'),
        (5.4, "error", "1 timeout: no answer within 5 s"),
        (7.4, "error", "1 failed: no ink"),
        (
            7.4,
            "model",
            "<answer>word word word word word word word word word word word word word word word word word ✂",
        ),
        (7.8, "model", "<answer>sorry</answer>"),
        (7.8, "say", "sorry"),
    ]


def test_speech_cuts_an_answer():
    played = play(user=[(0.0, "text Bob."), (0.4, "no.")], model=[LONG, answer("well")])
    assert played.rows("user model told say") == [
        (0.0, "user", "text Bob."),
        (0.0, "told", "final_query_update text Bob"),
        (0.4, "user", "no."),
        (0.4, "model", "<answer>it is ✂"),
        (0.4, "told", "/answer_interrupted"),
        (0.4, "told", "final_query_update no"),
        (0.8, "model", "<answer>well</answer>"),
        (0.8, "say", "well"),
    ]


def test_what_falls_due_during_an_append_is_appended_as_one_batch_after_it():
    """The first update has 29 words and its tag: 30 tokens, 0.3 s."""
    played = play(
        user=[(0.0, "word " * 28 + "word"), (0.05, "more"), (0.1, "words"), (0.15, "still.")], model=[answer()]
    )
    assert played.rows("told say")[1:] == [
        (0.3, "told", "partial_query_update more"),
        (0.3, "told", "partial_query_update words"),
        (0.3, "told", "final_query_update still"),
        (0.7, "say", "done"),
    ]


def test_a_token_that_ends_as_an_update_comes_counts():
    played = play(user=[(0.0, "x"), (0.4, "y.")], model=[calls('1. look("a")'), answer()], interrupt="token")
    assert played.rows("start user model say") == [
        (0.0, "user", "x"),
        (0.4, "start", "1 look(a)"),
        (0.4, "user", "y."),
        (0.4, "model", '<tool_call>\n1. look("a") ✂'),
        (0.8, "model", "<answer>done</answer>"),
        (1.4, "say", "done"),
    ]


def test_at_equal_times_the_result_comes_before_the_update_and_the_update_before_the_timer():
    """All three at 1.5. Were the timer first, call 2 would start; were the update first, one append would hold both."""
    played = play(
        user=[(0.0, "x."), (1.5, "y.")],
        model=[calls('1. look("a")', '2. send("b")'), answer("one"), answer("two")],
        takes={"look": 1.1},
        commit_grace_ns=ns(0.8),
    )
    assert played.rows("result told user timer start say") == [
        (0.0, "user", "x."),
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (1.5, "result", "1 ok"),
        (1.5, "told", 'tool_result 1: "ok"'),
        (1.5, "user", "y."),
        (1.5, "timer", "grace"),
        (1.6, "told", "final_query_update y"),
        (2.8, "timer", "grace"),
        (2.8, "start", "2 send(b)"),
        (3.8, "result", "2 ok"),
        (3.8, "say", "two"),
        (3.8, "told", 'tool_result 2: "ok"'),
    ]


def test_a_new_turn_begins_after_the_answer():
    played = play(
        user=[(0.0, "text Bob."), (3.0, "and Al.")],
        model=[calls('1. send("Bob")'), answer("one"), calls('2. send("Al")'), answer("two")],
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "text Bob."),
        (0.0, "told", "final_query_update text Bob"),
        (0.5, "start", "1 send(Bob)"),
        (1.5, "say", "one"),
        (1.5, "told", 'tool_result 1: "ok"'),
        (3.0, "user", "and Al."),
        (3.0, "told", "final_query_update and Al"),
        (3.5, "start", "2 send(Al)"),
        (4.5, "say", "two"),
        (4.5, "told", 'tool_result 2: "ok"'),
    ]
    assert played.rollout.state.turn == 2


def test_nothing_left_to_happen_and_no_answer_is_stalled():
    played = play(user=[(0.0, "x")], model=[PAUSE])
    assert (played.outcome, played.end_s) == ("stalled", 0.2)


def test_a_tool_that_outlives_the_limit_ends_the_episode():
    played = play(user=[(0.0, "x.")], model=[calls('1. look("a")'), PAUSE], takes={"look": 29}, limit_s=20)
    assert (played.outcome, played.end_s) == ("too_long", 0.6)


def test_a_model_that_writes_past_the_limit_ends_the_episode():
    played = play(user=[(0.0, "x.")], model=["<think>" + "hm " * 300 + "</think><pause>"], limit_s=20)
    assert (played.outcome, played.end_s) == ("too_long", 20.0)
    assert played.rollout.state.turn_tokens == 199


def test_the_budget_of_a_turn_ends_the_session_at_its_last_token():
    played = play(user=[(0.0, "x.")], model=["<think>" + "hm " * 30 + "</think><pause>"], max_generated_tokens=8)
    assert played.rows("model finish") == [
        (0.9, "model", "<think>hm hm hm hm hm hm hm"),
        (0.9, "finish", "out_of_budget"),
    ]


def test_the_budget_is_a_turns():
    played = play(user=[(0.0, "x."), (2.0, "y."), (4.0, "z.")], model=[LONG, LONG, LONG], max_generated_tokens=8)
    assert played.rows("user say finish") == [
        (0.0, "user", "x."),
        (0.8, "say", "it is all done now"),
        (2.0, "user", "y."),
        (2.8, "say", "it is all done now"),
        (4.0, "user", "z."),
        (4.8, "say", "it is all done now"),
    ]


def test_a_context_that_the_model_overflows_is_an_ending():
    played = play(user=[(0.0, "x")], model=["<think>" + "hm " * 30 + "</think><pause>"], max_context_tokens=10)
    assert played.rows("model finish") == [
        (1.0, "model", "<think>hm hm hm hm hm hm hm hm"),
        (1.0, "finish", "context_overflow"),
    ]


def test_a_context_that_the_environment_overflows_is_an_ending():
    played = play(user=[(0.0, "x"), (1.0, "a b c d e f g")], model=[PAUSE], max_context_tokens=10)
    assert played.rows("told finish") == [
        (0.0, "told", "partial_query_update x"),
        (1.0, "told", "partial_query_update a b c d e f g"),
        (1.1, "finish", "context_overflow"),
    ]


def test_an_ending_cancels_what_can_be_cancelled():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', '2. send("b")', "3. send($1)"), LONG],
        takes={"look": 9, "send": 9},
        max_generated_tokens=12,
    )
    assert played.rows("start stop finish") == [
        (0.4, "start", "1 look(a)"),
        (0.9, "start", "2 send(b)"),
        (1.3, "stop", "1"),
        (1.3, "finish", "out_of_budget"),
    ]
    assert played.states() == {1: "cancelled", 2: "running", 3: "cancelled"}


def test_the_session_fails_with_the_invalid_action_after_the_allowed_ones():
    played = play(user=[(0.0, "x.")], model=["hello"] * 3, max_errors_in_row=2)
    assert played.rows("told finish") == [
        (0.0, "told", "final_query_update x"),
        (0.2, "told", "error expected <think>, <tool_call>, <pause> or <answer>, got 'h'"),
        (0.4, "told", "error expected <think>, <tool_call>, <pause> or <answer>, got 'h'"),
        (0.6, "finish", "invalid_actions"),
    ]


def test_a_valid_action_forgives():
    played = play(
        user=[(0.0, "x.")],
        model=["hello", "hello", calls('1. look("a")'), "hello", "hello", answer()],
        max_errors_in_row=2,
    )
    assert played.outcome == "answered"


def test_a_model_that_stops_in_the_middle_is_told_how_to_end():
    played = play(user=[(0.0, "x.")], model=["<think>hm</think>", answer()])
    assert played.rows("model told say") == [
        (0.0, "told", "final_query_update x"),
        (0.5, "model", "<think>hm</think>"),
        (0.5, "told", "error end of text before the action was complete: end with </tool_call>, <pause> or </answer>"),
        (0.95, "model", "<answer>done</answer>"),
        (0.95, "say", "done"),
    ]


PREFIX = "<tool_call>\n"
INVALID = {
    "no tag": ("hello", "expected <think>, <tool_call>, <pause> or <answer>, got 'h'"),
    "second thought": ("<think>a</think><think>", "expected <tool_call>, <pause> or <answer>, got '<th'"),
    "tag in a thought": ("<think>a <answer>", "<answer> inside a thought: close it with </think> first"),
    "forged in a thought": ("<think><tool_result> 1", "<tool_result> inside a thought: close it with </think> first"),
    "tag in an answer": ("<answer>a <pause>", "<pause> inside an answer: close it with </answer> first"),
    "no call": ("<tool_call>\n</tool_call>", "<tool_call> holds no call: write one call a line, or <pause>"),
    "no call line": (
        PREFIX + "look\n",
        'expected a call such as 1. tool("value"), a change such as 1. text = "value", REMOVE 1, or COMMIT 1, got \'look\'',
    ),
    "after the bracket": (
        PREFIX + '1. look("a") now\n',
        "in '1. look(\"a\") now': nothing may follow the closing bracket, got 'now'",
    ),
    "no value": (PREFIX + "1. look(Bob)\n", "in '1. look(Bob)': expected a JSON value or $n at 'Bob)'"),
    "unknown tool": (PREFIX + "1. run()\n", "unknown tool 'run'; there are: look, ask, send, page, note"),
    "too many": (PREFIX + "1. ask(1, 2)\n", "ask takes at most 1 arguments, got 2: ask(who: any)"),
    "too few": (PREFIX + "1. ask()\n", "ask misses who: ask(who: any)"),
    "unknown parameter": (PREFIX + "1. ask(whom=1)\n", "ask has no parameter 'whom': ask(who: any)"),
    "twice": (PREFIX + "1. ask(1, who=2)\n", "ask got 'who' twice: ask(who: any)"),
    "wrong type": (PREFIX + '1. send("a", 5)\n', "send: text must be string, got 5: send(to: any, text?: str)"),
    "missing operand": (PREFIX + "1. look($7)\n", "call 1 names $7; it can name no call yet"),
    "no such reference": (PREFIX + "1. look($0)\n", "in '1. look($0)': expected a JSON value or $n at '$0)'"),
    "itself": (PREFIX + "1. look($1)\n", "call 1 names $1; it can name no call yet"),
    "later operand": (PREFIX + '1. look("a")\n2. look($3)\n', "call 2 names $3; it can name $1"),
    "order": (PREFIX + '3. look("a")\n', "call ID 3 is out of order: the next new ID is 1"),
    "zero": (PREFIX + '0. look("a")\n', "call ID 0 is out of order: the next new ID is 1"),
    "nothing to remove": (PREFIX + "REMOVE 1\n", "there is no call 1 to remove"),
    "nothing to wait for": ("<pause>", "nothing is running and the user has finished: call a tool or answer"),
    "stopped": (
        "<think>a</think>",
        "end of text before the action was complete: end with </tool_call>, <pause> or </answer>",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_action_is_told_what_is_wrong_and_what_is_allowed(case):
    text, error = INVALID[case]
    played = play(user=[(0.0, "x.")], model=[text, answer()])
    assert [what for _, _, what in played.rows("told") if what.startswith("error")] == [f"error {error}"]
    assert played.outcome == "answered"


def test_an_answer_before_the_final_update_is_refused_as_it_opens():
    played = play(user=[(0.0, "x"), (1.0, "y.")], model=[LONG, PAUSE, answer()])
    assert played.rows("user model told say") == [
        (0.0, "user", "x"),
        (0.0, "told", "partial_query_update x"),
        (0.2, "model", "<answer>"),
        (0.2, "told", "/answer_interrupted"),
        (0.2, "told", "error no answer before the final update: <pause> or call a tool"),
        (0.43, "model", "<pause>"),
        (1.0, "user", "y."),
        (1.0, "told", "final_query_update y"),
        (1.4, "model", "<answer>done</answer>"),
        (1.4, "say", "done"),
    ]


def test_sequential_allows_one_call_an_action():
    played = play(user=[(0.0, "x.")], model=[calls('1. look("a")', '2. look("b")'), answer()], mode="sequential")
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (0.6, "told", "/tool_call_interrupted"),
        (0.6, "told", "error at most 1 call in one action"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (1.8, "say", "done"),
    ]


REQUEST = [(0.0, "text"), (1.0, "Bob"), (2.0, "that"), (3.0, "ten.")]
BOTH = calls('1. look("Bob")', "2. send($1)")
ONE_BY_ONE = [calls('1. look("Bob")'), calls("2. send($1)"), answer()]
PLANS = {
    "sequential": ONE_BY_ONE,
    "parallel": [BOTH, answer()],
    "async_tools": [BOTH, answer()],
    "eager_end": [BOTH, answer()],
    "async_io": [PAUSE, BOTH, PAUSE, answer()],
    "speculative": [PAUSE, BOTH, PAUSE, PAUSE, answer()],
    "verified": [BOTH, answer()] * 4,
}


def test_every_mode_has_a_plan():
    assert set(PLANS) == set(MODES)


def test_sequential_waits_for_the_user_and_for_each_call():
    played = play(REQUEST, PLANS["sequential"], mode="sequential")
    assert played.rows("model start result say") == [
        (3.4, "start", "1 look(Bob)"),
        (3.5, "model", '<tool_call>\n1. look("Bob")\n</tool_call>'),
        (4.4, "result", "1 ok"),
        (4.8, "start", "2 send(ok)"),
        (4.9, "model", "<tool_call>\n2. send($1)\n</tool_call>"),
        (5.8, "result", "2 ok"),
        (6.2, "model", "<answer>done</answer>"),
        (6.2, "say", "done"),
    ]


def test_parallel_waits_for_the_user_and_writes_all_calls_at_once():
    played = play(REQUEST, PLANS["parallel"], mode="parallel")
    assert played.rows("model start result say") == [
        (3.4, "start", "1 look(Bob)"),
        (3.7, "model", '<tool_call>\n1. look("Bob")\n2. send($1)\n</tool_call>'),
        (4.4, "result", "1 ok"),
        (4.4, "start", "2 send(ok)"),
        (5.4, "result", "2 ok"),
        (5.8, "model", "<answer>done</answer>"),
        (5.8, "say", "done"),
    ]


def test_async_tools_waits_for_the_user_and_answers_while_calls_run():
    played = play(REQUEST, PLANS["async_tools"], mode="async_tools")
    assert played.rows("model start result say") == [
        (3.4, "start", "1 look(Bob)"),
        (3.7, "model", '<tool_call>\n1. look("Bob")\n2. send($1)\n</tool_call>'),
        (4.0, "model", "<answer>done</answer>"),
        (4.4, "result", "1 ok"),
        (4.4, "start", "2 send(ok)"),
        (5.4, "result", "2 ok"),
        (5.4, "say", "done"),
    ]


def test_async_io_plans_while_the_user_speaks_with_every_tool_held():
    played = play(REQUEST, PLANS["async_io"], mode="async_io")
    assert played.rows("model start result say") == [
        (0.2, "model", "<pause>"),
        (1.7, "model", '<tool_call>\n1. look("Bob")\n2. send($1)\n</tool_call>'),
        (2.2, "model", "<pause>"),
        (3.4, "model", "<answer>done</answer>"),
        (3.4, "start", "1 look(Bob)"),
        (4.4, "result", "1 ok"),
        (4.4, "start", "2 send(ok)"),
        (5.4, "result", "2 ok"),
        (5.4, "say", "done"),
    ]


def test_speculative_reads_while_the_user_speaks():
    played = play(REQUEST, PLANS["speculative"], mode="speculative")
    assert played.rows("model start result say") == [
        (0.2, "model", "<pause>"),
        (1.4, "start", "1 look(Bob)"),
        (1.7, "model", '<tool_call>\n1. look("Bob")\n2. send($1)\n</tool_call>'),
        (2.2, "model", "<pause>"),
        (2.4, "result", "1 ok"),
        (2.6, "model", "<pause>"),
        (3.4, "model", "<answer>done</answer>"),
        (3.4, "start", "2 send(ok)"),
        (4.4, "result", "2 ok"),
        (4.4, "say", "done"),
    ]


def test_the_modes_side_by_side():
    """The same request, two calls and the last word at 3 s: when the answer goes out."""
    assert {mode: play(REQUEST, plan, mode=mode).rows("say")[-1][0] for mode, plan in PLANS.items()} == {
        "sequential": 6.2,
        "parallel": 5.8,
        "async_tools": 5.4,
        "eager_end": 5.4,
        "async_io": 5.4,
        "speculative": 4.4,
        "verified": 4.2,
    }


def test_the_worked_example_of_the_docs():
    played = play(
        user=[(0.0, "text Bob"), (1.0, "no"), (1.3, "Alice"), (2.5, "that the meeting is at ten.")],
        model=[
            calls('1. look("Bob")', "2. send($1)", think="to: Bob; msg=?"),
            "<think>to: not Bob</think><pause>",
            calls('1. look("Alice")', think="to: Bob→Alice; msg=?"),
            "<think>msg: The meeting is at ten.</think>",
            calls('2. send($1, "The meeting is at ten.")'),
            answer("I texted Alice."),
        ],
        takes={"look(Bob)": 2},
        answers={"look(Alice)": "555"},
    )
    rows = [f"{at_s:4.2f}  {who:7}{what.replace(chr(10), ' ⏎ ')}".rstrip() for at_s, who, what in played.rows()]
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    assert page.split("```text\n")[1].split("\n```")[0].split("\n") == rows

"""What the agent promises: no effect without a commit of its own time, none twice, nothing read leaves early, no end of
writes."""

from __future__ import annotations

import pytest

from midsentence.core import reducer
from midsentence.core.events import Appended, ModelOutput, Silence, StartTool, ToolResult, UserUpdate
from midsentence.core.modes import settings
from midsentence.testing import PAUSE, PLAIN, ToolFailure, answer, calls, play
from midsentence.tools.tool import Param, ToolSpec

NO_FUNDS = ToolFailure("no funds")
WORDS = " ".join(["word"] * 30)
LONG = calls(f'4. look("{WORDS}")')
"""33 tokens, 3.3 s: what happens meanwhile does not cut a line that has begun."""


# --- a release belongs to one commit


def test_a_late_answer_starts_no_payment_in_a_turn_that_asked_for_none():
    """Mail (1) times out; a read of the same book (2) runs; paying what it says (3) fails; "then do not pay"; the mail
    answers."""
    played = play(
        user=[(0.0, "x."), (9.0, "then do not pay.")],
        model=[
            calls('1. note("a")', '2. page("p")', "3. send($2)"),
            *[PAUSE] * 3,
            answer("failed"),
            calls('4. look("z")'),
            *[PAUSE] * 3,
            answer(),
        ],
        takes={"note": 12, "look": 6},
        answers={"page": ["12", "99"], "send": [NO_FUNDS, "paid"]},
    )
    assert played.rows("user start error result say") == [
        (0.0, "user", "x."),
        (0.9, "start", "1 note(a)"),
        (5.9, "error", "1 timeout: no answer within 5 s"),
        (5.9, "start", "2 page(p)"),
        (6.9, "result", "2 12"),
        (6.9, "start", "3 send(12)"),
        (7.9, "error", "3 failed: no funds"),
        (8.3, "say", "failed"),
        (9.0, "user", "then do not pay."),
        (9.4, "start", "4 look(z)"),
        (12.9, "result", "1 ok"),
        (12.9, "start", "2v2 page(p)"),
        (13.9, "result", "2v2 99"),
        (15.4, "result", "4 ok"),
        (15.8, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "done", 3: "failed", 4: "done"}


def test_nor_within_one_turn():
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. note("a")', '2. page("p")', "3. send($2)"),
            *[PAUSE] * 3,
            calls('4. look("z")'),
            *[PAUSE] * 3,
            answer(),
        ],
        takes={"note": 12, "look": 6},
        answers={"page": ["12", "99"], "send": [NO_FUNDS, "paid"]},
    )
    assert played.rows("start error result say") == [
        (0.9, "start", "1 note(a)"),
        (5.9, "error", "1 timeout: no answer within 5 s"),
        (5.9, "start", "2 page(p)"),
        (6.9, "result", "2 12"),
        (6.9, "start", "3 send(12)"),
        (7.9, "error", "3 failed: no funds"),
        (8.3, "start", "4 look(z)"),
        (12.9, "result", "1 ok"),
        (12.9, "start", "2v2 page(p)"),
        (13.9, "result", "2v2 99"),
        (14.3, "result", "4 ok"),
        (14.7, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "done", 3: "failed", 4: "done"}


def test_a_late_answer_sends_out_no_egress():
    """Call 2 asks elsewhere with what call 1's book says; when the note answers late, the page is read again and 3
    waits."""
    played = play(
        user=[(0.0, "x."), (9.0, "y.")],
        model=[
            calls('1. note("a")', '2. page("p")', "3. ask($2)"),
            *[PAUSE] * 2,
            answer("one"),
            calls('4. look("z")'),
            *[PAUSE] * 3,
            answer(),
        ],
        takes={"note": 12, "look": 6},
        answers={"page": ["12", "99"]},
        allowed_egress=frozenset({"ask"}),
    )
    assert played.rows("user start error result say") == [
        (0.0, "user", "x."),
        (0.9, "start", "1 note(a)"),
        (5.9, "error", "1 timeout: no answer within 5 s"),
        (5.9, "start", "2 page(p)"),
        (6.9, "result", "2 12"),
        (6.9, "start", "3 ask(12)"),
        (7.9, "result", "3 ok"),
        (7.9, "say", "one"),
        (9.0, "user", "y."),
        (9.4, "start", "4 look(z)"),
        (12.9, "result", "1 ok"),
        (12.9, "start", "2v2 page(p)"),
        (13.9, "result", "2v2 99"),
        (15.4, "result", "4 ok"),
        (15.8, "say", "done"),
    ]


def test_a_late_answer_starts_no_held_read():
    played = play(
        user=[(0.0, "x."), (9.0, "y.")],
        model=[
            calls('1. note("a")', '2. page("p")'),
            *[PAUSE] * 2,
            answer("one"),
            calls('3. look("z")'),
            *[PAUSE] * 3,
            answer(),
        ],
        mode="async_io",
        takes={"note": 12, "look": 6},
        answers={"page": ["12", "99"]},
    )
    assert played.rows("user start error result say") == [
        (0.0, "user", "x."),
        (0.7, "start", "1 note(a)"),
        (5.7, "error", "1 timeout: no answer within 5 s"),
        (5.7, "start", "2 page(p)"),
        (6.7, "result", "2 12"),
        (7.1, "say", "one"),
        (9.0, "user", "y."),
        (9.5, "start", "3 look(z)"),
        (12.7, "result", "1 ok"),
        (15.5, "result", "3 ok"),
        (16.14, "say", "done"),
    ]


def test_a_held_read_that_a_late_answer_makes_stale_waits_for_a_new_commit():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")', '2. page("p")', '3. look("z")'), *[PAUSE] * 2, LONG, PAUSE, answer()],
        mode="async_io",
        takes={"note": 9, "look(z)": 10},
        answers={"page": ["12", "99"]},
        all_used=False,
    )
    assert played.rows("start error model result say") == [
        (0.9, "model", '<tool_call>\n1. note("a")\n2. page("p")\n3. look("z")\n</tool_call>'),
        (0.9, "start", "1 note(a)"),
        (0.9, "start", "3 look(z)"),
        (1.0, "model", "<pause>"),
        (5.9, "error", "1 timeout: no answer within 5 s"),
        (5.9, "start", "2 page(p)"),
        (6.18, "model", "<pause>"),
        (6.9, "result", "2 12"),
        (9.9, "result", "1 ok"),
        (10.2, "model", f'<tool_call>\n4. look("{WORDS}") ✂'),
        (10.4, "model", "<pause>"),
        (10.4, "start", "2v2 page(p)"),
        (10.4, "start", f"4 look({WORDS})"),
        (10.9, "result", "3 ok"),
        (11.3, "model", "<answer>done</answer>"),
        (11.4, "result", "2v2 99"),
        (11.4, "result", "4 ok"),
        (11.4, "say", "done"),
    ]


def test_what_a_late_answer_makes_of_a_skipped_write_is_for_the_model_to_order():
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. note("a")', "2. look($1)", "3. send($1)"),
            PAUSE,
            calls('4. look("z")'),
            PAUSE,
            PAUSE,
            calls("3. send($1)"),
            answer(),
        ],
        takes={"note": 6, "look(z)": 4},
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update x"),
        (0.9, "start", "1 note(a)"),
        (5.9, "error", "1 timeout: no answer within 5 s"),
        (
            5.9,
            "told",
            "tool_error 1: unknown whether it took effect (timeout: no answer within 5 s); it will not be retried",
        ),
        (5.9, "told", "tool_error 2: skipped: call 1 is unknown"),
        (5.9, "told", "tool_error 3: skipped: call 1 is unknown"),
        (6.52, "start", "4 look(z)"),
        (6.9, "result", "1 ok"),
        (6.9, "start", "2v2 look(ok)"),
        (6.9, "told", 'tool_result 1: "ok"'),
        (7.9, "result", "2v2 ok"),
        (7.9, "told", 'tool_result 2v2: "ok"'),
        (8.4, "start", "3v2 send(ok)"),
        (9.4, "result", "3v2 ok"),
        (9.4, "told", 'tool_result 3v2: "ok"'),
        (10.52, "result", "4 ok"),
        (10.52, "say", "done"),
        (10.52, "told", 'tool_result 4: "ok"'),
    ]


def test_a_write_whose_operand_is_read_again_waits_for_a_new_commit():
    """Committed at 0.9 with the old page in mind; the note makes that stale, and what is sent now is what nobody has
    seen."""
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. note("a")', '2. page("p")'),
            PAUSE,
            PAUSE,
            calls('1. note("b")', "3. send($2)"),
            LONG,
            answer(),
        ],
        answers={"note(a)": ToolFailure("no ink"), "page": ["old", "new"]},
    )
    assert played.rows("start error result model say") == [
        (0.7, "model", '<tool_call>\n1. note("a")\n2. page("p")\n</tool_call>'),
        (0.7, "start", "1 note(a)"),
        (0.8, "model", "<pause>"),
        (1.7, "error", "1 failed: no ink"),
        (1.7, "start", "2 page(p)"),
        (1.9, "model", "<pause>"),
        (2.7, "result", "2 old"),
        (3.4, "model", '<tool_call>\n1. note("b")\n3. send($2)\n</tool_call>'),
        (3.4, "start", "1v2 note(b)"),
        (4.4, "result", "1v2 ok"),
        (4.4, "start", "2v2 page(p)"),
        (5.4, "result", "2v2 new"),
        (6.7, "model", f'<tool_call>\n4. look("{WORDS}") ✂'),
        (6.7, "start", f"4 look({WORDS})"),
        (7.1, "model", "<answer>done</answer>"),
        (7.1, "start", "3v2 send(new)"),
        (7.7, "result", "4 ok"),
        (8.1, "result", "3v2 ok"),
        (8.1, "say", "done"),
    ]


def test_a_failed_write_stays_failed_when_what_it_was_made_from_is_revised():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', "2. send($1)"), PAUSE, PAUSE, calls('1. look("b")'), PAUSE, answer()],
        answers={"look": ["one", "two"], "send": [NO_FUNDS, "paid"]},
    )
    assert played.rows("start error result say") == [
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 one"),
        (1.4, "start", "2 send(one)"),
        (2.4, "error", "2 failed: no funds"),
        (2.8, "start", "1v2 look(b)"),
        (3.8, "result", "1v2 two"),
        (4.2, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "failed"}


def test_a_write_skipped_in_an_earlier_turn_stays_skipped_when_its_operand_is_tried_again():
    played = play(
        user=[(0.0, "x."), (4.0, "then do not, but look it up.")],
        model=[calls('1. look("a")', "2. send($1)"), PAUSE, answer("failed"), calls('1. look("a")'), answer()],
        answers={"look": [ToolFailure("busy"), "one"]},
        all_used=False,
    )
    assert played.rows("user start error result say") == [
        (0.0, "user", "x."),
        (0.4, "start", "1 look(a)"),
        (1.4, "error", "1 failed: busy"),
        (1.8, "say", "failed"),
        (4.0, "user", "then do not, but look it up."),
        (4.4, "start", "1v2 look(a)"),
        (5.4, "result", "1v2 one"),
        (5.4, "say", "done"),
    ]


def test_a_skipped_write_that_is_written_again_is_tried_again():
    played = play(
        user=[(0.0, "x."), (4.0, "try again.")],
        model=[
            calls('1. look("a")', "2. send($1)"),
            PAUSE,
            answer("failed"),
            calls('1. look("a")', "2. send($1)"),
            answer(),
        ],
        answers={"look": [ToolFailure("busy"), "one"]},
        all_used=False,
    )
    assert played.rows("user start error result say") == [
        (0.0, "user", "x."),
        (0.4, "start", "1 look(a)"),
        (1.4, "error", "1 failed: busy"),
        (1.8, "say", "failed"),
        (4.0, "user", "try again."),
        (4.4, "start", "1v2 look(a)"),
        (5.4, "result", "1v2 one"),
        (5.4, "start", "2v2 send(one)"),
        (6.4, "result", "2v2 ok"),
        (6.4, "say", "done"),
    ]


# --- equal effects


def test_equal_effects_however_they_are_spelled_are_one():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. send("a", "b c")', '2. send(text=" b  c", to="a")'), calls('1. send("a", "b c ")'), answer()],
    )
    assert played.rows("start say") == [
        (2.06, "start", "1 send(a, b c)"),
        (3.06, "say", "done"),
    ]
    assert "invalid_action" in played.notes and "identical_reissue 1" in played.notes


def test_a_later_turn_may_ask_for_the_same_again():
    played = play(
        user=[(0.0, "x."), (3.0, "again.")],
        model=[calls('1. send("a")'), answer("one"), calls('2. send("a")'), answer("two")],
    )
    assert played.rows("user start say") == [
        (0.0, "user", "x."),
        (0.5, "start", "1 send(a)"),
        (1.5, "say", "one"),
        (3.0, "user", "again."),
        (3.5, "start", "2 send(a)"),
        (4.5, "say", "two"),
    ]


def test_a_tool_that_may_be_repeated_is():
    played = play(
        user=[(0.0, "skip two.")],
        model=[calls("1. skip()", "2. skip()"), answer()],
        specs=[ToolSpec("skip", repeatable=True)],
    )
    assert played.rows("start say") == [
        (0.7, "start", "1 skip()"),
        (0.7, "start", "2 skip()"),
        (1.7, "say", "done"),
    ]


def test_a_failed_write_that_is_revised_has_another_key():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. send("a")'), PAUSE, calls('1. send("b")'), answer()],
        answers={"send(a)": NO_FUNDS},
    )
    keys = [c.key for _, commands in played.rollout.history for c in commands if isinstance(c, StartTool)]
    assert [key.rpartition(":")[0] for key in keys] == ["episode:1", "episode:1"] and keys[0] != keys[1]


# --- the number of writes, and the user's confirmation


def test_a_turn_has_a_largest_number_of_writes():
    played = play(
        user=[(0.0, "x."), (4.0, "go on.")],
        model=[calls('1. send("a")', '2. send("b")', '3. send("c")'), answer("two"), calls('4. send("c")'), answer()],
        max_writes_per_turn=2,
        all_used=False,
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "x."),
        (0.0, "told", "final_query_update x"),
        (0.9, "start", "1 send(a)"),
        (0.9, "start", "2 send(b)"),
        (
            0.9,
            "told",
            "tool_error 3: 2 writes have run in this turn, the most it may have: ask the user, who can go on in the next",
        ),
        (1.9, "told", 'tool_result 1: "ok"'),
        (1.9, "say", "two"),
        (2.0, "told", 'tool_result 2: "ok"'),
        (4.0, "user", "go on."),
        (4.0, "told", "final_query_update go on"),
        (4.5, "start", "4 send(c)"),
        (5.5, "say", "done"),
        (5.5, "told", 'tool_result 4: "ok"'),
    ]


def test_a_session_has_a_largest_number_of_writes_that_the_users_word_extends():
    played = play(
        user=[(0.0, "x."), (3.0, "y."), (6.0, "yes."), (9.0, "z.")],
        model=[
            calls('1. send("a")'),
            answer("one"),
            calls('2. send("b")'),
            answer("asks"),
            calls('3. send("b")'),
            answer("two"),
            calls('4. send("c")'),
            answer("asks"),
        ],
        max_writes_per_session=1,
        max_writes_per_turn=1,
        all_used=False,
    )
    assert played.rows("user start error told say") == [
        (0.0, "user", "x."),
        (0.0, "told", "final_query_update x"),
        (0.5, "start", "1 send(a)"),
        (1.5, "say", "one"),
        (1.5, "told", 'tool_result 1: "ok"'),
        (3.0, "user", "y."),
        (3.0, "told", "final_query_update y"),
        (3.5, "told", "tool_error 2: 1 writes have run in this session: ask the user, whose next turn allows 1 more"),
        (3.98, "say", "asks"),
        (6.0, "user", "yes."),
        (6.0, "told", "final_query_update yes"),
        (6.5, "start", "3 send(b)"),
        (7.5, "say", "two"),
        (7.5, "told", 'tool_result 3: "ok"'),
        (9.0, "user", "z."),
        (9.0, "told", "final_query_update z"),
        (9.5, "told", "tool_error 4: 2 writes have run in this session: ask the user, whose next turn allows 1 more"),
        (9.98, "say", "asks"),
    ]


PAY = ToolSpec("pay", (Param("to", {}), Param("amount", {})), confirm=True)


def test_a_write_that_wants_confirmation_runs_in_the_turn_after_it_was_asked_for():
    played = play(
        user=[(0.0, "pay Bob ten."), (3.0, "yes.")],
        model=[calls('1. pay("Bob", 10)'), answer("sure"), calls('2. pay("Bob", 10.0)'), answer("paid")],
        specs=[PAY],
        all_used=False,
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "pay Bob ten."),
        (0.0, "told", "final_query_update pay Bob ten"),
        (
            0.6,
            "told",
            "tool_error 1: pay needs the user's confirmation: ask, and order it anew in the next turn if the user agrees",
        ),
        (1.1, "say", "sure"),
        (3.0, "user", "yes."),
        (3.0, "told", "final_query_update yes"),
        (3.6, "start", "2 pay(Bob, 10.0)"),
        (4.6, "say", "paid"),
        (4.6, "told", 'tool_result 2: "ok"'),
    ]


def test_the_confirmation_is_for_that_effect_and_that_turn_only():
    played = play(
        user=[(0.0, "pay Bob ten."), (3.0, "how late is it."), (6.0, "pay."), (9.0, "yes eleven.")],
        model=[
            calls('1. pay("Bob", 10)'),
            answer("sure"),
            answer("noon"),
            calls('2. pay("Bob", 10)'),
            answer("sure"),
            calls('3. pay("Bob", 11)'),
            answer("sure"),
        ],
        specs=[PAY],
        all_used=False,
    )
    assert played.rows("user start say") == [
        (0.0, "user", "pay Bob ten."),
        (1.1, "say", "sure"),
        (3.0, "user", "how late is it."),
        (3.4, "say", "noon"),
        (6.0, "user", "pay."),
        (7.1, "say", "sure"),
        (9.0, "user", "yes eleven."),
        (10.1, "say", "sure"),
    ]
    assert played.states() == {1: "failed", 2: "failed", 3: "failed"}


def test_an_update_without_words_opens_no_turn():
    """Nobody has spoken: the same may not be asked for again, and nothing is confirmed."""
    played = play(
        user=[(0.0, "x."), (3.0, ".")],
        model=[calls('1. send("a")'), answer("one")],
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "x."),
        (0.0, "told", "final_query_update x"),
        (0.5, "start", "1 send(a)"),
        (1.5, "say", "one"),
        (1.5, "told", 'tool_result 1: "ok"'),
        (3.0, "user", "."),
    ]
    assert (played.rollout.state.turn, played.notes) == (1, ["nothing_said"])


def test_an_answer_written_without_knowing_of_a_failure_does_not_go_out():
    """The mail answers late and the page is read again, and fails, while a mode that waits for calls thinks about its
    answer."""
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. note("a")', '2. page("p")'),
            calls('3. look("z")'),
            f"<think>{WORDS}</think><answer>paid</answer>",
            answer("sorry"),
        ],
        mode="parallel",
        takes={"note": 12, "look": 4},
        answers={"page": ["12", NO_FUNDS]},
    )
    assert played.rows("error result say") == [
        (5.4, "error", "1 timeout: no answer within 5 s"),
        (6.4, "result", "2 12"),
        (10.8, "result", "3 ok"),
        (12.4, "result", "1 ok"),
        (13.4, "error", "2v2 failed: no funds"),
        (14.8, "say", "sorry"),
    ]
    assert played.notes == ["stale_read 2", "answer_discarded"]


def told(*events, specs, **changes):
    """The state and commands of a session given these events; a text is what the model writes next, and appends take no
    time."""
    state, said = reducer.start(settings("speculative", **(PLAIN | changes)), {spec.name: spec for spec in specs}), []
    for event in events:
        given = ModelOutput(state.now_ns, state.generation, event, (1,)) if isinstance(event, str) else event
        state, commands = reducer.step(state, given)
        said += commands
        while str(state.phase) == "appending":
            state, commands = reducer.step(state, Appended(state.now_ns, 1))
            said += commands
    return state, [command.call for command in said if isinstance(command, StartTool)]


@pytest.mark.parametrize(
    ("word", "runs"),
    [
        (UserUpdate(1, "", True, 1), 0),
        (UserUpdate(1, ".", True), 0),
        (UserUpdate(1, "\u200b", True), 0),
        (UserUpdate(1, "yes", True), 1),
    ],
    ids=["taken_back", "full_stop", "nothing_seen", "word"],
)
@pytest.mark.parametrize(
    ("first", "then", "changes"),
    [
        (('1. send("a")',), '2. send("a")', {}),
        (('1. pay("Bob", 10)',), '2. pay("Bob", 10)', {}),
        (('1. send("a")', '2. send("b")'), '3. send("c")', {"max_writes_per_session": 1}),
    ],
    ids=["repeats", "confirms", "extends"],
)
def test_only_a_word_confirms_repeats_and_extends(word, runs, first, then, changes):
    """A recogniser that takes a word back or adds a full stop after the answer does not say yes for the user."""
    _, started = told(
        UserUpdate(0, "do it now", True),
        calls(*first),
        ToolResult(0, 1, 1, "ok"),
        answer("sure"),
        word,
        calls(then),
        specs=[ToolSpec("send", (Param("what", {}),)), PAY],
        **changes,
    )
    assert (len(first) + 1 in started) is bool(runs)


def test_one_confirmation_is_for_one_effect():
    """Also where a tool's equal effects may be repeated."""
    burn = ToolSpec("burn", (Param("what", {}),), confirm=True, repeatable=True)
    _, started = told(
        UserUpdate(0, "do it", True),
        calls('1. burn("x")'),
        answer("sure"),
        UserUpdate(1, "yes", True),
        calls('2. burn("x")'),
        ToolResult(2, 2, 1, "ok"),
        calls('3. burn("x")'),
        specs=[burn],
    )
    assert started == [2]


@pytest.mark.parametrize("depth", [100, 490, 700, 5000])
@pytest.mark.parametrize("above", [0, 300])
def test_a_result_nested_deep_is_that_calls_error_from_whatever_depth_the_core_is_called(depth, above):
    """What Python's own limit allows depends on the caller: the same events gave another session, or an exception."""
    value = 1
    for _ in range(depth):
        value = [value]

    def called(levels):
        if levels:
            return called(levels - 1)
        return told(
            UserUpdate(0, "do it", True),
            calls('1. look("x")', "2. pay($1, 1)"),
            ToolResult(1, 1, 1, value),
            specs=[
                ToolSpec("look", (Param("what", {}),), "read"),
                ToolSpec("pay", (Param("to", {}), Param("amount", {}))),
            ],
        )

    state, _ = called(above)
    assert {call.id: str(call.state) for call in state.graph.calls.values()} == {1: "failed", 2: "skipped"}


@pytest.mark.parametrize(
    "event", [UserUpdate(1, "go", False, 10**5000), Silence(1, 10**5000)], ids=["retracts", "silence"]
)
def test_numbers_that_python_wont_write_do_not_make_the_core_raise(event):
    state, _ = told(UserUpdate(0, "go"), event, specs=[], commit_on="silence")
    assert str(state.phase) == "generating"

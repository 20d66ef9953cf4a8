"""When calls run: the three classes of tool, the commit point, effects, false ends of speech, provisional answers."""

from __future__ import annotations

from midsentence.clock import ns
from midsentence.core.execution import NOT_TWICE
from midsentence.testing import PAUSE, ToolFailure, answer, calls, play

ASK = frozenset({"ask"})


def test_reads_run_at_once_egress_and_writes_are_held():
    played = play(
        user=[(0.0, "x"), (2.0, "y.")], model=[calls('1. look("a")', '2. ask("b")', '3. send("c")'), PAUSE, answer()]
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 ok"),
        (2.0, "user", "y."),
        (2.4, "start", "2 ask(b)"),
        (2.4, "start", "3 send(c)"),
        (3.4, "result", "2 ok"),
        (3.4, "result", "3 ok"),
        (3.4, "say", "done"),
    ]


def test_an_allowed_egress_runs_at_once_unless_it_names_a_result():
    played = play(
        user=[(0.0, "x"), (3.0, "y.")],
        model=[calls('1. look("a")', '2. ask("b")', "3. ask($1)"), PAUSE, PAUSE, answer()],
        answers={"look": "555"},
        allowed_egress=ASK,
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x"),
        (0.4, "start", "1 look(a)"),
        (0.6, "start", "2 ask(b)"),
        (1.4, "result", "1 555"),
        (1.6, "result", "2 ok"),
        (3.0, "user", "y."),
        (3.4, "start", "3 ask(555)"),
        (4.4, "result", "3 ok"),
        (4.4, "say", "done"),
    ]


def test_with_a_result_in_the_context_an_allowed_egress_carries_only_what_the_user_said():
    played = play(
        user=[(0.0, "x other"), (3.0, "y.")],
        model=[calls('1. look("a")'), calls('2. ask("call 555 now")', '3. ask("other")'), PAUSE, answer()],
        answers={"look": "555"},
        allowed_egress=ASK,
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x other"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 555"),
        (2.2, "start", "3 ask(other)"),
        (3.0, "user", "y."),
        (3.2, "start", "2 ask(call 555 now)"),
        (3.2, "result", "3 ok"),
        (4.2, "result", "2 ok"),
        (4.2, "say", "done"),
    ]


def test_so_it_is_with_a_number():
    played = play(
        user=[(0.0, "x other"), (3.0, "y.")],
        model=[calls('1. look("a")'), calls("2. ask(4711)"), PAUSE, answer()],
        answers={"look": {"pin": 4711}},
        allowed_egress=ASK,
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x other"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", '1 {"pin": 4711}'),
        (3.0, "user", "y."),
        (3.2, "start", "2 ask(4711)"),
        (4.2, "result", "2 ok"),
        (4.6, "say", "done"),
    ]


def test_and_when_the_call_that_said_it_was_removed():
    played = play(
        user=[(0.0, "x other"), (3.0, "y.")],
        model=[calls('1. look("a")'), calls("REMOVE 1", '2. ask("4711")'), answer()],
        answers={"look": "4711"},
        allowed_egress=ASK,
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x other"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 4711"),
        (3.0, "user", "y."),
        (3.4, "start", "2 ask(4711)"),
        (4.4, "result", "2 ok"),
        (4.4, "say", "done"),
    ]


def test_or_revised():
    played = play(
        user=[(0.0, "x other"), (3.0, "y.")],
        model=[calls('1. look("a")'), calls('1. look("b")', '2. ask("4711")'), PAUSE, answer()],
        answers={"look": ["4711", "9"]},
        allowed_egress=ASK,
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x other"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 4711"),
        (1.8, "start", "1v2 look(b)"),
        (2.8, "result", "1v2 9"),
        (3.0, "user", "y."),
        (3.4, "start", "2 ask(4711)"),
        (4.4, "result", "2 ok"),
        (4.4, "say", "done"),
    ]


def test_conflicting_calls_run_in_the_order_of_their_ids():
    played = play(user=[(0.0, "x.")], model=[calls('1. note("a")', '2. page("p")', '3. look("q")'), answer()])
    assert played.rows("start result say") == [
        (0.8, "start", "3 look(q)"),
        (0.9, "start", "1 note(a)"),
        (1.8, "result", "3 ok"),
        (1.9, "result", "1 ok"),
        (1.9, "start", "2 page(p)"),
        (2.9, "result", "2 ok"),
        (2.9, "say", "done"),
    ]


def test_a_read_waits_for_a_held_write_that_it_must_see():
    played = play(
        user=[(0.0, "x"), (2.0, "y.")], model=[calls('1. page("a")', '2. note("b")', '3. page("c")'), PAUSE, answer()]
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x"),
        (0.4, "start", "1 page(a)"),
        (1.4, "result", "1 ok"),
        (2.0, "user", "y."),
        (2.4, "start", "2 note(b)"),
        (3.4, "result", "2 ok"),
        (3.4, "start", "3 page(c)"),
        (4.4, "result", "3 ok"),
        (4.4, "say", "done"),
    ]


def test_a_read_that_an_effect_makes_stale_reads_again_before_anything_uses_it():
    """Call 1 failed, so 2 read the book; revised, 1 writes after all: 2 is read again, and 3 sends what it says
    then."""
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")', '2. page("p")'), PAUSE, PAUSE, calls('1. note("b")', "3. send($2)"), answer()],
        answers={"note(a)": ToolFailure("no ink"), "page": ["old", "new"]},
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update x"),
        (0.7, "start", "1 note(a)"),
        (1.7, "error", "1 failed: no ink"),
        (1.7, "start", "2 page(p)"),
        (1.7, "told", "tool_error 1: no ink"),
        (2.7, "result", "2 old"),
        (2.7, "told", 'tool_result 2: "old"'),
        (3.4, "start", "1v2 note(b)"),
        (3.4, "told", "cancel 2"),
        (4.4, "result", "1v2 ok"),
        (4.4, "start", "2v2 page(p)"),
        (4.4, "told", 'tool_result 1v2: "ok"'),
        (5.4, "result", "2v2 new"),
        (5.4, "start", "3v2 send(new)"),
        (5.4, "told", 'tool_result 2v2: "new"'),
        (6.4, "result", "3v2 ok"),
        (6.4, "say", "done"),
        (6.4, "told", 'tool_result 3v2: "ok"'),
    ]
    assert "stale_read 2" in played.notes


def test_a_stale_read_that_an_effect_was_computed_from_stays():
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. note("a")', '2. page("p")', "3. send($2)"),
            PAUSE,
            PAUSE,
            PAUSE,
            calls('1. note("b")'),
            answer(),
        ],
        answers={"note(a)": ToolFailure("no ink"), "page": ["old", "new"]},
    )
    assert played.rows("start error result say") == [
        (0.9, "start", "1 note(a)"),
        (1.9, "error", "1 failed: no ink"),
        (1.9, "start", "2 page(p)"),
        (2.9, "result", "2 old"),
        (2.9, "start", "3 send(old)"),
        (3.9, "result", "3 ok"),
        (4.4, "start", "1v2 note(b)"),
        (5.4, "result", "1v2 ok"),
        (5.4, "say", "done"),
    ]


def test_held_calls_are_released_as_one_batch_in_the_order_of_their_needs():
    played = play(
        user=[(0.0, "x"), (3.0, "y.")],
        model=[calls('1. look("a")', "2. send($1)", '3. send("b")', "4. send($2)"), PAUSE, answer()],
        answers={"look": "one", "send(one)": "two"},
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 one"),
        (3.0, "user", "y."),
        (3.4, "start", "2 send(one)"),
        (3.4, "start", "3 send(b)"),
        (4.4, "result", "2 two"),
        (4.4, "start", "4 send(two)"),
        (4.4, "result", "3 ok"),
        (5.4, "result", "4 ok"),
        (5.4, "say", "done"),
    ]


def test_what_needs_a_failed_call_is_skipped_and_the_rest_of_the_batch_runs():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. send("a")', "2. send($1)", '3. send("b")'), PAUSE, answer()],
        answers={"send(a)": ToolFailure("no such person")},
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update x"),
        (0.9, "start", "1 send(a)"),
        (0.9, "start", "3 send(b)"),
        (1.9, "error", "1 failed: no such person"),
        (1.9, "told", "tool_error 1: no such person"),
        (1.9, "told", "tool_error 2: skipped: call 1 is failed"),
        (1.9, "result", "3 ok"),
        (2.02, "told", 'tool_result 3: "ok"'),
        (2.42, "say", "done"),
    ]
    assert played.states() == {1: "failed", 2: "skipped", 3: "done"}


def test_a_cut_action_commits_nothing():
    """The write is complete when speech goes on, before the action ends: held, and revised in time."""
    played = play(
        user=[(0.0, "text Bob."), (0.45, "no Alice.")],
        model=[calls('1. send("Bob")'), calls('1. send("Alice")'), answer()],
    )
    assert played.rows() == [
        (0.0, "user", "text Bob."),
        (0.0, "told", "final_query_update text Bob"),
        (0.45, "user", "no Alice."),
        (0.45, "model", '<tool_call>\n1. send("Bob") ✂'),
        (0.45, "told", "/tool_call_interrupted"),
        (0.45, "told", "final_query_update no Alice"),
        (0.95, "model", '<tool_call>\n1. send("Alice")\n</tool_call>'),
        (0.95, "start", "1v2 send(Alice)"),
        (1.25, "model", "<answer>done</answer>"),
        (1.95, "result", "1v2 ok"),
        (1.95, "say", "done"),
        (1.95, "told", 'tool_result 1v2: "ok"'),
    ]


def test_an_action_with_an_error_commits_nothing():
    played = play(user=[(0.0, "x.")], model=[calls('1. send("a")', '2. nosuch("b")'), PAUSE, answer()])
    assert played.rows("start result say") == [
        (0.82, "start", "1 send(a)"),
        (1.82, "result", "1 ok"),
        (2.22, "say", "done"),
    ]


def test_an_action_begun_before_the_final_update_commits_nothing():
    """With interrupt = action the first action ends after the end of speech, which it did not know of."""
    played = play(user=[(0.0, "x"), (0.2, "y.")], model=[calls('1. send("a")'), PAUSE, answer()], interrupt="action")
    assert played.rows("user model start result say") == [
        (0.0, "user", "x"),
        (0.2, "user", "y."),
        (0.5, "model", '<tool_call>\n1. send("a")\n</tool_call>'),
        (0.7, "model", "<pause>"),
        (0.7, "start", "1 send(a)"),
        (1.7, "result", "1 ok"),
        (2.1, "model", "<answer>done</answer>"),
        (2.1, "say", "done"),
    ]


def test_a_write_that_has_started_can_be_neither_revised_nor_removed_nor_can_what_it_was_made_from():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', "2. send($1)"), PAUSE, calls('1. look("b")'), calls("REMOVE 2"), answer()],
        takes={"send": 3},
    )
    assert played.rows("start stop told result say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (1.4, "result", "1 ok"),
        (1.4, "start", "2 send(ok)"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (1.8, "told", "/tool_call_interrupted"),
        (1.8, "told", "error call 2 already took effect: call 1 can't be revised"),
        (2.22, "told", "/tool_call_interrupted"),
        (2.22, "told", "error call 2 already took effect: call 2 can't be removed"),
        (4.4, "result", "2 ok"),
        (4.4, "say", "done"),
        (4.4, "told", 'tool_result 2: "ok"'),
    ]


def test_a_write_equal_to_one_that_runs_or_is_done_is_refused():
    played = play(
        user=[(0.0, "x.")], model=[calls('1. send("a")'), calls('2. send("a")'), PAUSE, calls('2. send("a")'), answer()]
    )
    assert played.rows("start told result say") == [
        (0.0, "told", "final_query_update x"),
        (0.5, "start", "1 send(a)"),
        (0.8, "told", "/tool_call_interrupted"),
        (0.8, "told", f"error call 2 repeats call 1: {NOT_TWICE}"),
        (1.5, "result", "1 ok"),
        (1.5, "told", 'tool_result 1: "ok"'),
        (1.9, "told", "/tool_call_interrupted"),
        (1.9, "told", f"error call 2 repeats call 1: {NOT_TWICE}"),
        (2.46, "say", "done"),
    ]


def test_a_write_equal_to_one_that_is_held_is_refused():
    played = play(user=[(0.0, "x"), (1.0, "y.")], model=[calls('1. send("a")', '2. send("a")'), PAUSE, answer()])
    assert played.rows("user start told say") == [
        (0.0, "user", "x"),
        (0.0, "told", "partial_query_update x"),
        (0.6, "told", "/tool_call_interrupted"),
        (0.6, "told", f"error call 2 repeats call 1: {NOT_TWICE}"),
        (1.0, "user", "y."),
        (1.0, "told", "final_query_update y"),
        (1.4, "start", "1 send(a)"),
        (2.4, "say", "done"),
        (2.4, "told", 'tool_result 1: "ok"'),
    ]


def test_a_write_that_turns_out_equal_once_its_operand_is_there_is_refused():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', "2. send($1)", '3. send("Bob")'), answer(), answer("once")],
        answers={"look": "Bob"},
    )
    assert played.rows("start told result say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (0.9, "start", "3 send(Bob)"),
        (1.4, "result", "1 Bob"),
        (1.4, "told", 'tool_result 1: "Bob"'),
        (1.4, "told", f"tool_error 2: repeats call 3: {NOT_TWICE}"),
        (1.9, "result", "3 ok"),
        (1.97, "say", "once"),
        (1.97, "told", 'tool_result 3: "ok"'),
    ]


def test_speech_after_the_end_of_speech_holds_again_what_has_not_started():
    """Call 2 was released at 0.7 and waits for call 1 over the book; at 1.0 the user goes on."""
    played = play(
        user=[(0.0, "x."), (1.0, "no"), (3.0, "stop.")],
        model=[calls('1. note("a")', '2. note("b")'), PAUSE, PAUSE, PAUSE, calls("REMOVE 2"), answer()],
    )
    assert played.rows("user model start result say") == [
        (0.0, "user", "x."),
        (0.7, "model", '<tool_call>\n1. note("a")\n2. note("b")\n</tool_call>'),
        (0.7, "start", "1 note(a)"),
        (0.8, "model", "<pause>"),
        (1.0, "user", "no"),
        (1.2, "model", "<pause>"),
        (1.7, "result", "1 ok"),
        (1.9, "model", "<pause>"),
        (3.0, "user", "stop."),
        (3.5, "model", "<tool_call>\nREMOVE 2\n</tool_call>"),
        (3.8, "model", "<answer>done</answer>"),
        (3.8, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "cancelled"}


def test_speech_after_the_end_of_speech_takes_back_the_provisional_answer():
    played = play(
        user=[(0.0, "text Bob."), (2.0, "and Al.")],
        model=[calls('1. look("Bob")', "2. send($1)"), answer("one"), calls('3. send("Al")'), answer("two")],
        takes={"look": 3},
    )
    assert played.rows("user model start result say") == [
        (0.0, "user", "text Bob."),
        (0.4, "start", "1 look(Bob)"),
        (0.7, "model", '<tool_call>\n1. look("Bob")\n2. send($1)\n</tool_call>'),
        (1.0, "model", "<answer>one</answer>"),
        (2.0, "user", "and Al."),
        (2.5, "model", '<tool_call>\n3. send("Al")\n</tool_call>'),
        (2.5, "start", "3 send(Al)"),
        (2.8, "model", "<answer>two</answer>"),
        (3.4, "result", "1 ok"),
        (3.4, "start", "2 send(ok)"),
        (3.5, "result", "3 ok"),
        (4.4, "result", "2 ok"),
        (4.4, "say", "two"),
    ]


def test_a_call_that_runs_when_speech_goes_on_runs_on():
    played = play(
        user=[(0.0, "text Bob."), (1.0, "and Al"), (2.0, "too.")],
        model=[calls('1. send("Bob")', "2. send($1)"), PAUSE, PAUSE, PAUSE, calls('3. send("Al")'), answer()],
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "text Bob."),
        (0.7, "start", "1 send(Bob)"),
        (1.0, "user", "and Al"),
        (1.7, "result", "1 ok"),
        (2.0, "user", "too."),
        (2.5, "start", "2 send(ok)"),
        (2.5, "start", "3 send(Al)"),
        (3.5, "result", "2 ok"),
        (3.5, "result", "3 ok"),
        (3.5, "say", "done"),
    ]


def test_the_commit_grace_gives_speech_time_to_go_on():
    played = play(
        user=[(0.0, "text Bob."), (1.0, "no"), (3.0, "Al.")],
        model=[calls('1. send("Bob")'), PAUSE, PAUSE, calls('1. send("Al")'), answer()],
        commit_grace_ns=ns(1),
    )
    assert played.rows("user model timer start say") == [
        (0.0, "user", "text Bob."),
        (0.5, "model", '<tool_call>\n1. send("Bob")\n</tool_call>'),
        (0.6, "model", "<pause>"),
        (1.0, "user", "no"),
        (1.2, "model", "<pause>"),
        (1.5, "timer", "grace"),
        (3.0, "user", "Al."),
        (3.5, "model", '<tool_call>\n1. send("Al")\n</tool_call>'),
        (3.8, "model", "<answer>done</answer>"),
        (4.5, "timer", "grace"),
        (4.5, "start", "1v2 send(Al)"),
        (5.5, "say", "done"),
    ]
    assert "stale_timer" in played.notes


def test_speech_during_a_grace_starts_a_new_one():
    played = play(
        user=[(0.0, "x."), (1.0, "more.")],
        model=[calls('1. send("a")'), PAUSE, calls('2. send("b")'), answer()],
        commit_grace_ns=ns(2),
    )
    assert played.rows("user timer start say") == [
        (0.0, "user", "x."),
        (1.0, "user", "more."),
        (2.5, "timer", "grace"),
        (3.5, "timer", "grace"),
        (3.5, "start", "1 send(a)"),
        (3.5, "start", "2 send(b)"),
        (4.5, "say", "done"),
    ]


def test_a_grace_of_the_last_turn_shortens_none_of_the_next():
    played = play(
        user=[(0.0, "x."), (0.8, "more.")], model=[answer(), calls('1. send("a")'), answer()], commit_grace_ns=ns(2)
    )
    assert played.rows("user model timer start say") == [
        (0.0, "user", "x."),
        (0.4, "model", "<answer>done</answer>"),
        (0.4, "say", "done"),
        (0.8, "user", "more."),
        (1.3, "model", '<tool_call>\n1. send("a")\n</tool_call>'),
        (1.6, "model", "<answer>done</answer>"),
        (2.4, "timer", "grace"),
        (3.3, "timer", "grace"),
        (3.3, "start", "1 send(a)"),
        (4.3, "say", "done"),
    ]


def test_an_answer_may_be_written_early_and_goes_out_when_all_calls_are_terminal():
    played = play(
        user=[(0.0, "x.")], model=[calls('1. look("a")', "2. send($1)"), answer()], takes={"look": 2, "send": 2}
    )
    assert played.rows("model start result say") == [
        (0.4, "start", "1 look(a)"),
        (0.7, "model", '<tool_call>\n1. look("a")\n2. send($1)\n</tool_call>'),
        (1.0, "model", "<answer>done</answer>"),
        (2.4, "result", "1 ok"),
        (2.4, "start", "2 send(ok)"),
        (4.4, "result", "2 ok"),
        (4.4, "say", "done"),
    ]


def test_a_failure_discards_the_provisional_answer():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', "2. send($1)"), answer("sent"), answer("sorry")],
        answers={"send": ToolFailure("no credit")},
    )
    assert played.rows("model start error told say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (0.7, "model", '<tool_call>\n1. look("a")\n2. send($1)\n</tool_call>'),
        (1.0, "model", "<answer>sent</answer>"),
        (1.4, "start", "2 send(ok)"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (2.4, "error", "2 failed: no credit"),
        (2.4, "told", "tool_error 2: no credit"),
        (2.8, "model", "<answer>sorry</answer>"),
        (2.8, "say", "sorry"),
    ]


def test_a_write_that_timed_out_is_unknown_and_never_tried_again():
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. note("a")', "2. look($1)"),
            PAUSE,
            calls('1. note("a")'),
            calls('1. note("b")'),
            calls('3. note("a")'),
            answer(),
        ],
        takes={"note": 20},
    )
    assert played.rows("start error told say") == [
        (0.0, "told", "final_query_update x"),
        (0.7, "start", "1 note(a)"),
        (5.7, "error", "1 timeout: no answer within 5 s"),
        (
            5.7,
            "told",
            "tool_error 1: unknown whether it took effect (timeout: no answer within 5 s); it will not be retried",
        ),
        (5.7, "told", "tool_error 2: skipped: call 1 is unknown"),
        (6.65, "told", "/tool_call_interrupted"),
        (6.65, "told", "error call 1 already took effect: call 1 can't be revised"),
        (7.07, "told", "/tool_call_interrupted"),
        (7.07, "told", f"error call 3 repeats call 1: {NOT_TWICE}"),
        (7.63, "say", "done"),
    ]
    assert played.states() == {1: "unknown", 2: "skipped"}


def test_an_unknown_write_that_answers_after_all_is_done_and_revives_what_was_skipped():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")', "2. look($1)"), PAUSE, calls('3. look("z")'), PAUSE, answer()],
        takes={"note": 6, "look": 2},
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update x"),
        (0.7, "start", "1 note(a)"),
        (5.7, "error", "1 timeout: no answer within 5 s"),
        (
            5.7,
            "told",
            "tool_error 1: unknown whether it took effect (timeout: no answer within 5 s); it will not be retried",
        ),
        (5.7, "told", "tool_error 2: skipped: call 1 is unknown"),
        (6.25, "start", "3 look(z)"),
        (6.7, "result", "1 ok"),
        (6.7, "start", "2v2 look(ok)"),
        (6.7, "told", 'tool_result 1: "ok"'),
        (8.25, "result", "3 ok"),
        (8.25, "told", 'tool_result 3: "ok"'),
        (8.7, "result", "2v2 ok"),
        (8.7, "say", "done"),
        (8.7, "told", 'tool_result 2v2: "ok"'),
    ]


def test_what_was_skipped_when_the_answer_went_out_stays_skipped():
    """Call 1 answers at 10.7, in the next turn; the user was told that nothing was sent, so call 2 must not start."""
    played = play(
        user=[(0.0, "x."), (7.0, "and z.")],
        model=[
            calls('1. note("a")', "2. send($1)"),
            PAUSE,
            answer("failed"),
            calls('3. look("z")'),
            PAUSE,
            PAUSE,
            answer("found"),
        ],
        takes={"note": 10, "look": 5},
    )
    assert played.rows("user start error result say") == [
        (0.0, "user", "x."),
        (0.7, "start", "1 note(a)"),
        (5.7, "error", "1 timeout: no answer within 5 s"),
        (6.25, "say", "failed"),
        (7.0, "user", "and z."),
        (7.4, "start", "3 look(z)"),
        (10.7, "result", "1 ok"),
        (12.4, "result", "3 ok"),
        (12.8, "say", "found"),
    ]
    assert played.states() == {1: "done", 2: "skipped", 3: "done"}


def test_reads_that_did_not_wait_for_an_unknown_write_read_again_when_it_answers():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")', '2. page("p")', '3. look("q")'), PAUSE, PAUSE, answer(), answer("again")],
        takes={"note": 8, "look": 8.5},
        answers={"page": ["old", "new"]},
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update x"),
        (0.8, "start", "3 look(q)"),
        (0.9, "start", "1 note(a)"),
        (5.9, "error", "1 timeout: no answer within 5 s"),
        (5.9, "start", "2 page(p)"),
        (
            5.9,
            "told",
            "tool_error 1: unknown whether it took effect (timeout: no answer within 5 s); it will not be retried",
        ),
        (6.9, "result", "2 old"),
        (6.9, "told", 'tool_result 2: "old"'),
        (8.9, "result", "1 ok"),
        (8.9, "start", "2v2 page(p)"),
        (8.9, "told", "cancel 2"),
        (8.9, "told", 'tool_result 1: "ok"'),
        (9.3, "result", "3 ok"),
        (9.3, "told", 'tool_result 3: "ok"'),
        (9.9, "result", "2v2 new"),
        (9.9, "say", "again"),
        (9.9, "told", 'tool_result 2v2: "new"'),
    ]


def test_a_write_that_crashed_is_unknown_a_read_that_crashed_is_failed():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. send("a")', '2. look("b")'), PAUSE, PAUSE, answer()],
        answers={"send": RuntimeError("boom"), "look": RuntimeError("bang")},
    )
    assert played.rows("start error told say") == [
        (0.0, "told", "final_query_update x"),
        (0.6, "start", "2 look(b)"),
        (0.7, "start", "1 send(a)"),
        (1.6, "error", "2 crashed: RuntimeError: bang"),
        (1.6, "told", "tool_error 2: crashed: RuntimeError: bang"),
        (1.7, "error", "1 crashed: RuntimeError: boom"),
        (
            1.7,
            "told",
            "tool_error 1: unknown whether it took effect (crashed: RuntimeError: boom); it will not be retried",
        ),
        (2.15, "say", "done"),
    ]
    assert played.states() == {1: "unknown", 2: "failed"}


def test_an_answer_that_is_no_json_is_a_crash():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', '2. send("b")'), PAUSE, PAUSE, answer()],
        answers={"look": {1}, "send": {2}},
    )
    assert played.rows("told say") == [
        (0.0, "told", "final_query_update x"),
        (1.4, "told", "tool_error 1: crashed: its answer is no JSON value but set"),
        (
            1.7,
            "told",
            "tool_error 2: unknown whether it took effect (crashed: its answer is no JSON value but set); it will not be retried",
        ),
        (2.21, "say", "done"),
    ]
    assert played.states() == {1: "failed", 2: "unknown"}


def test_arguments_that_do_not_fit_once_resolved_fail_the_call():
    played = play(
        user=[(0.0, "x.")], model=[calls('1. look("a")', '2. send("b", $1)'), PAUSE, answer()], answers={"look": 5}
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (1.4, "told", "tool_result 1: 5"),
        (1.4, "told", "tool_error 2: text must be string, got 5: send(to: any, text?: str)"),
        (1.85, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "failed"}

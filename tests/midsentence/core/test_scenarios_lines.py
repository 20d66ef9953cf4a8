"""The lines of the second edition: amendments, open calls, references in any direction, COMMIT lines, and silences."""

from __future__ import annotations

from midsentence.clock import ns
from midsentence.core.execution import NOT_TWICE
from midsentence.testing import PAUSE, ToolFailure, answer, calls, play
from midsentence.tools.tool import Param, ToolSpec

SMS = ToolSpec("sms", (Param("to", {}), Param("text", {"type": "string"})), "write")
NEW = {"revise": "amend", "commit": "line", "specs": [SMS]}
COMMIT = calls("COMMIT")


# --- amendments and open calls


def test_an_amendment_sets_one_argument():
    played = play(
        user=[(0.0, "text Bob hi"), (2.0, "no Al.")],
        model=[calls('1. send("Bob", "hi")'), calls('1. to = "Al"'), answer()],
    )
    assert played.rows("user start say") == [
        (0.0, "user", "text Bob hi"),
        (2.0, "user", "no Al."),
        (2.7, "start", "1v2 send(Al, hi)"),
        (3.7, "say", "done"),
    ]
    assert "revise 1" in played.notes


def test_an_amendment_adds_to_a_text():
    played = play(
        user=[(0.0, "text Bob on my way"), (2.0, "home."), (4.0, "now.")],
        model=[
            calls('1. send("Bob", "on my way")'),
            calls('1. text += " home"'),
            answer(),
            calls('1. text += " now"'),
            answer(),
        ],
        takes={"send": 3},
        all_used=False,
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "text Bob on my way"),
        (0.0, "told", "partial_query_update text Bob on my way"),
        (2.0, "user", "home."),
        (2.0, "told", "final_query_update home"),
        (2.8, "start", "1v2 send(Bob, on my way home)"),
        (4.0, "user", "now."),
        (4.0, "told", "final_query_update now"),
        (4.7, "told", "/tool_call_interrupted"),
        (4.7, "told", "error call 1 already took effect: call 1 can't be revised"),
        (5.8, "say", "done"),
        (5.8, "told", 'tool_result 1v2: "ok"'),
    ]


def test_a_result_can_be_added_to_a_text():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', '2. send("Bob", "it says ")', "2. text += $1", '2. text += "!"'), answer()],
        answers={"look": "hello"},
    )
    assert played.rows("start say") == [
        (0.4, "start", "1 look(a)"),
        (2.1, "start", "2v3 send(Bob, it says hello!)"),
        (3.1, "say", "done"),
    ]


def test_an_amendment_that_does_not_fit_is_told_why():
    played = play(
        user=[(0.0, "x.")],
        model=[calls("1. look([1])", '1. what += "a"'), calls('1. who = "a"'), calls('2. what = "a"'), answer()],
    )
    assert played.rows("told") == [
        (0.0, "told", "final_query_update x"),
        (0.8, "told", "/tool_call_interrupted"),
        (0.8, "told", "error += adds to a text, but what of call 1 is [1]: set it with ="),
        (1.48, "told", "/tool_call_interrupted"),
        (1.48, "told", 'tool_result 1: "ok"'),
        (1.48, "told", "error look has no parameter 'who': look(what: any, where?: any)"),
        (2.12, "told", "/tool_call_interrupted"),
        (2.12, "told", "error there is no call 2 to change; the next new ID is 2"),
    ]


def test_amending_a_running_call_cancels_it_and_what_is_made_from_it_waits():
    played = play(
        user=[(0.0, "x"), (0.8, "y.")],
        model=[calls('1. look("a")', "2. look($1)"), calls('1. where = "b"'), answer()],
    )
    assert played.rows("user start stop result told say") == [
        (0.0, "user", "x"),
        (0.0, "told", "partial_query_update x"),
        (0.4, "start", "1 look(a)"),
        (0.8, "user", "y."),
        (0.8, "told", "final_query_update y"),
        (1.4, "stop", "1"),
        (1.4, "start", "1v2 look(a, b)"),
        (2.4, "result", "1v2 ok"),
        (2.4, "start", "2 look(ok)"),
        (2.4, "told", 'tool_result 1v2: "ok"'),
        (3.4, "result", "2 ok"),
        (3.4, "say", "done"),
        (3.4, "told", 'tool_result 2: "ok"'),
    ]


def test_amending_a_call_that_took_effect_is_an_error():
    played = play(
        user=[(0.0, "x."), (0.7, "y.")],
        model=[calls('1. send("a")'), calls('1. text = "late"'), answer()],
        takes={"send": 3},
        all_used=False,
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "x."),
        (0.0, "told", "final_query_update x"),
        (0.5, "start", "1 send(a)"),
        (0.7, "user", "y."),
        (1.0, "told", "/tool_call_interrupted"),
        (1.0, "told", "final_query_update y"),
        (1.0, "told", "error call 1 already took effect: call 1 can't be revised"),
        (3.5, "say", "done"),
        (3.5, "told", 'tool_result 1: "ok"'),
    ]


def test_an_amendment_that_changes_nothing_is_a_counted_no_op():
    played = play(user=[(0.0, "x.")], model=[calls('1. look("a")', '1. what = "a"'), answer()])
    assert played.rows("start say") == [
        (0.4, "start", "1 look(a)"),
        (1.4, "say", "done"),
    ]
    assert played.notes[0] == "identical_reissue 1"


def test_an_open_call_waits_and_runs_when_it_is_whole():
    played = play(
        user=[(0.0, "look"), (2.0, "at Bob.")], model=[calls("1. look()"), calls('1. what = "Bob"'), answer()], **NEW
    )
    assert played.rows("user start say") == [
        (0.0, "user", "look"),
        (2.0, "user", "at Bob."),
        (2.6, "start", "1v2 look(Bob)"),
        (3.6, "say", "done"),
    ]


def test_what_names_an_open_call_waits_with_it():
    played = play(
        user=[(0.0, "look"), (2.0, "at Bob.")],
        model=[calls("1. look()", "2. send($1)"), calls('1. what = "Bob"'), answer()],
        **NEW,
    )
    assert played.rows("user start say") == [
        (0.0, "user", "look"),
        (2.0, "user", "at Bob."),
        (2.6, "start", "1v2 look(Bob)"),
        (3.6, "start", "2 send(ok)"),
        (4.6, "say", "done"),
    ]


def test_committing_an_open_call_is_an_error_that_names_what_it_misses():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. sms("Bob")', "COMMIT 1"), answer(), calls('1. text = "hi"', "COMMIT 1"), answer()],
        **NEW,
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update text Bob"),
        (0.6, "told", "/tool_call_interrupted"),
        (0.6, "told", "error call 1 misses text: give it with 1. text = ..., or REMOVE 1"),
        (1.06, "told", "error call 1 misses text: give it with 1. text = ..., or REMOVE 1"),
        (1.91, "start", "1v2 sms(Bob, hi)"),
        (2.91, "say", "done"),
        (2.91, "told", 'tool_result 1v2: "ok"'),
    ]


def test_so_it_is_if_what_is_committed_needs_one():
    played = play(
        user=[(0.0, "x.")],
        model=[calls("1. look()", "2. send($1)", "COMMIT 2"), calls('1. what = "a"', "COMMIT 2"), answer()],
        **NEW,
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.8, "told", "/tool_call_interrupted"),
        (0.8, "told", "error call 1 misses what: give it with 1. what = ..., or REMOVE 1"),
        (1.46, "start", "1v2 look(a)"),
        (2.46, "start", "2 send(ok)"),
        (2.46, "told", 'tool_result 1v2: "ok"'),
        (3.46, "say", "done"),
        (3.46, "told", 'tool_result 2: "ok"'),
    ]


def test_and_at_the_end_of_an_action_where_that_commits():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. sms("Bob")'), calls('1. text = "hi"'), answer()],
        revise="amend",
        specs=[SMS],
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update text Bob"),
        (0.5, "told", "error call 1 misses text: give it with 1. text = ..., or REMOVE 1"),
        (1.25, "start", "1v2 sms(Bob, hi)"),
        (2.25, "say", "done"),
        (2.25, "told", 'tool_result 1v2: "ok"'),
    ]


def test_two_open_writes_of_the_same_beginning_are_no_repetition_until_they_are_whole():
    played = play(
        user=[(0.0, "x.")],
        model=[
            calls('1. sms("Bob")', '2. sms("Bob")', '1. text = "a"', '2. text = "a"'),
            calls('2. text = "b"', "COMMIT"),
            answer(),
        ],
        **NEW,
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (1.4, "told", "/tool_call_interrupted"),
        (1.4, "told", f"error call 2 repeats call 1: {NOT_TWICE}"),
        (2.26, "start", "1v2 sms(Bob, a)"),
        (2.26, "start", "2v2 sms(Bob, b)"),
        (3.26, "told", 'tool_result 1v2: "ok"'),
        (3.26, "say", "done"),
    ]


def test_without_amendments_a_call_is_written_whole():
    played = play(user=[(0.0, "x.")], model=[calls("1. look()"), answer()], commit="line")
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "told", "/tool_call_interrupted"),
        (0.4, "told", "error look misses what: look(what: any, where?: any)"),
        (0.8, "say", "done"),
    ]


# --- references in any direction


def test_a_call_may_name_one_with_a_higher_number():
    """Call 1 was written first; what it needs came later, and goes first."""
    played = play(
        user=[(0.0, "x"), (3.0, "y.")],
        model=[calls('1. send("Bob", "hi")'), calls('2. look("Bob")', "1. to = $2"), answer()],
        all_used=False,
        answers={"look": "555"},
    )
    assert played.rows("user start result say") == [
        (0.0, "user", "x"),
        (3.0, "user", "y."),
        (3.4, "start", "2 look(Bob)"),
        (4.4, "result", "2 555"),
        (4.4, "start", "1v2 send(555, hi)"),
        (5.4, "result", "1v2 ok"),
        (5.4, "say", "done"),
    ]


def test_a_ring_is_refused_when_it_is_written():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("a")', "2. look($1)", "3. look($2)", "1. what = $3"), calls("1. where = $1"), answer()],
        all_used=False,
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.4, "start", "1 look(a)"),
        (1.2, "told", "/tool_call_interrupted"),
        (1.2, "told", "error call 1 names $3; it can name no call yet"),
        (1.4, "start", "2 look(ok)"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (2.4, "start", "3 look(ok)"),
        (2.4, "told", 'tool_result 2: "ok"'),
        (3.4, "say", "done"),
        (3.4, "told", 'tool_result 3: "ok"'),
    ]


def test_what_is_made_from_a_later_call_goes_after_it_also_in_a_conflict():
    """1 needs 3; 2 and 3 are in conflict with it and each other: the order is 2, 3, 1, and nobody waits in a ring."""
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")', '2. note("b")', '3. page("p")', "1. what = $3"), answer()],
        answers={"page": "text"},
    )
    assert played.rows("start result say") == [
        (1.3, "start", "2 note(b)"),
        (2.3, "result", "2 ok"),
        (2.3, "start", "3 page(p)"),
        (3.3, "result", "3 text"),
        (3.3, "start", "1v2 note(text)"),
        (4.3, "result", "1v2 ok"),
        (4.3, "say", "done"),
    ]


def test_a_late_operand_that_fails_takes_an_earlier_call_with_it():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. send("Bob")', '2. look("Bob")', "1. to = $2"), PAUSE, answer("sorry")],
        answers={"look": ToolFailure("nobody")},
        all_used=False,
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.6, "start", "2 look(Bob)"),
        (1.6, "told", "tool_error 2: nobody"),
        (1.6, "told", "tool_error 1v2: skipped: call 2 is failed"),
        (2.0, "say", "sorry"),
    ]


def test_removing_a_later_operand_removes_the_earlier_call_made_from_it():
    played = play(
        user=[(0.0, "x"), (3.0, "y.")],
        model=[calls('1. send("Bob")', '2. look("Bob")', "1. to = $2"), PAUSE, calls("REMOVE 2"), answer()],
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "x"),
        (0.0, "told", "partial_query_update x"),
        (0.6, "start", "2 look(Bob)"),
        (1.6, "told", 'tool_result 2: "ok"'),
        (3.0, "user", "y."),
        (3.0, "told", "final_query_update y"),
        (3.5, "told", "cancel 1, 2"),
        (3.9, "say", "done"),
    ]
    assert played.states() == {1: "cancelled", 2: "cancelled"}


# --- COMMIT lines


def test_a_commit_line_lets_go_at_once_while_others_are_written():
    played = play(
        user=[(0.0, "x.")], model=[calls('1. send("a")', "COMMIT 1", '2. send("b")', "COMMIT 2"), answer()], **NEW
    )
    assert played.rows("model start say") == [
        (0.6, "start", "1 send(a)"),
        (1.0, "start", "2 send(b)"),
        (1.1, "model", '<tool_call>\n1. send("a")\nCOMMIT 1\n2. send("b")\nCOMMIT 2\n</tool_call>'),
        (1.4, "model", "<answer>done</answer>"),
        (2.0, "say", "done"),
    ]


def test_it_lets_go_what_is_needed_too_and_nothing_else():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. send("a")', "2. send($1)", '3. send("c")', "COMMIT 2"), PAUSE, PAUSE, COMMIT, answer()],
        **NEW,
    )
    assert played.rows("model start say") == [
        (1.0, "start", "1 send(a)"),
        (1.1, "model", '<tool_call>\n1. send("a")\n2. send($1)\n3. send("c")\nCOMMIT 2\n</tool_call>'),
        (1.2, "model", "<pause>"),
        (2.0, "start", "2 send(ok)"),
        (2.2, "model", "<pause>"),
        (3.3, "start", "3 send(c)"),
        (3.4, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (3.7, "model", "<answer>done</answer>"),
        (4.3, "say", "done"),
    ]


def test_a_commit_line_without_numbers_lets_go_all():
    played = play(
        user=[(0.0, "x"), (2.0, "y.")], model=[calls('1. send("a")', '2. send("b")'), COMMIT, answer()], **NEW
    )
    assert played.rows("user start say") == [
        (0.0, "user", "x"),
        (2.0, "user", "y."),
        (2.3, "start", "1 send(a)"),
        (2.3, "start", "2 send(b)"),
        (3.3, "say", "done"),
    ]


def test_neither_the_end_of_an_action_nor_a_pause_commits():
    played = play(user=[(0.0, "x.")], model=[calls('1. send("a")'), PAUSE, COMMIT, answer()], **NEW)
    assert played.rows("model start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.5, "model", '<tool_call>\n1. send("a")\n</tool_call>'),
        (0.6, "model", "<pause>"),
        (0.6, "told", "error nothing is running, and a pause commits nothing: COMMIT or REMOVE 1, or answer"),
        (0.95, "start", "1 send(a)"),
        (1.05, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (1.35, "model", "<answer>done</answer>"),
        (1.95, "say", "done"),
        (1.95, "told", 'tool_result 1: "ok"'),
    ]


def test_an_answer_commits_all():
    played = play(user=[(0.0, "x.")], model=[calls('1. send("a")'), answer()], **NEW)
    assert played.rows("model start say") == [
        (0.5, "model", '<tool_call>\n1. send("a")\n</tool_call>'),
        (0.8, "model", "<answer>done</answer>"),
        (0.8, "start", "1 send(a)"),
        (1.8, "say", "done"),
    ]


def test_no_commit_line_before_the_final_update():
    played = play(
        user=[(0.0, "x"), (3.0, "y.")], model=[calls('1. send("a")', "COMMIT"), PAUSE, COMMIT, answer()], **NEW
    )
    assert played.rows("user start told say") == [
        (0.0, "user", "x"),
        (0.0, "told", "partial_query_update x"),
        (0.5, "told", "/tool_call_interrupted"),
        (0.5, "told", "error no COMMIT before the final update: <pause> or go on"),
        (3.0, "user", "y."),
        (3.0, "told", "final_query_update y"),
        (3.3, "start", "1 send(a)"),
        (4.3, "say", "done"),
        (4.3, "told", 'tool_result 1: "ok"'),
    ]


def test_a_commit_line_that_names_no_call_is_an_error():
    played = play(
        user=[(0.0, "x.")], model=[calls('1. send("a")', "COMMIT 4"), calls("REMOVE 1", "COMMIT 1"), answer()], **NEW
    )
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.6, "told", "/tool_call_interrupted"),
        (0.6, "told", "error there is no call 4 to commit; there are 1"),
        (1.22, "told", "/tool_call_interrupted"),
        (1.22, "told", "error there is no call 1 to commit; none waits"),
        (1.63, "say", "done"),
    ]


def test_a_commit_line_of_a_cut_action_stands():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. look("q")', '2. note("a")', "COMMIT 2", '3. send("b")'), calls('3. send("b")'), answer()],
        takes={"look": 0.5},
        **NEW,
    )
    assert played.rows("model start say") == [
        (0.4, "start", "1 look(q)"),
        (0.8, "start", "2 note(a)"),
        (1.0, "model", '<tool_call>\n1. look("q")\n2. note("a")\nCOMMIT 2\n3. send("b") ✂'),
        (1.5, "model", '<tool_call>\n3. send("b")\n</tool_call>'),
        (1.8, "model", "<answer>done</answer>"),
        (1.8, "start", "3 send(b)"),
        (2.8, "say", "done"),
    ]


def test_a_commit_is_for_the_call_as_it_stood():
    played = play(
        user=[(0.0, "x.")],
        model=[calls('1. note("a")', '2. note("b")', "COMMIT", '2. what = "c"'), PAUSE, COMMIT, answer()],
        **NEW,
    )
    assert played.rows("model start result say") == [
        (0.7, "start", "1 note(a)"),
        (1.2, "model", '<tool_call>\n1. note("a")\n2. note("b")\nCOMMIT\n2. what = "c"\n</tool_call>'),
        (1.3, "model", "<pause>"),
        (1.7, "result", "1 ok"),
        (2.0, "start", "2v2 note(c)"),
        (2.1, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (2.4, "model", "<answer>done</answer>"),
        (3.0, "result", "2v2 ok"),
        (3.0, "say", "done"),
    ]


def test_speech_after_a_commit_line_takes_back_what_has_not_started():
    played = play(
        user=[(0.0, "x."), (1.2, "no"), (3.0, "stop.")],
        model=[calls('1. note("a")', '2. note("b")', "COMMIT"), PAUSE, PAUSE, PAUSE, calls("REMOVE 2"), answer()],
        all_used=False,
        **NEW,
    )
    assert played.rows("user model start say") == [
        (0.0, "user", "x."),
        (0.7, "start", "1 note(a)"),
        (0.8, "model", '<tool_call>\n1. note("a")\n2. note("b")\nCOMMIT\n</tool_call>'),
        (0.9, "model", "<pause>"),
        (1.2, "user", "no"),
        (1.4, "model", "<pause>"),
        (1.9, "model", "<pause>"),
        (3.0, "user", "stop."),
        (3.5, "model", "<tool_call>\nREMOVE 2\n</tool_call>"),
        (3.8, "model", "<answer>done</answer>"),
        (3.8, "say", "done"),
    ]


def test_a_commit_line_waits_for_the_grace():
    played = play(user=[(0.0, "x.")], model=[calls('1. send("a")', "COMMIT"), answer()], commit_grace_ns=ns(1), **NEW)
    assert played.rows("timer start say") == [
        (1.5, "timer", "grace"),
        (1.5, "start", "1 send(a)"),
        (2.5, "say", "done"),
    ]


def test_where_the_end_of_an_action_commits_there_are_no_commit_lines():
    played = play(user=[(0.0, "x.")], model=[calls('1. send("a")', "COMMIT"), answer()])
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update x"),
        (0.5, "told", "/tool_call_interrupted"),
        (0.5, "told", "error COMMIT is not known here: calls go when the user has finished and your action ends"),
        (0.98, "start", "1 send(a)"),
        (1.98, "say", "done"),
        (1.98, "told", 'tool_result 1: "ok"'),
    ]


def test_modes_that_wait_for_calls_commit_by_lines_too():
    played = play(
        user=[(0.0, "x.")], model=[calls('1. look("q")', "2. send($1)"), COMMIT, answer()], mode="parallel", **NEW
    )
    assert played.rows("model start say") == [
        (0.4, "start", "1 look(q)"),
        (0.7, "model", '<tool_call>\n1. look("q")\n2. send($1)\n</tool_call>'),
        (1.7, "start", "2 send(ok)"),
        (1.8, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (3.1, "model", "<answer>done</answer>"),
        (3.1, "say", "done"),
    ]


# --- silence

SILENT = NEW | {"commit_on": "silence"}


def test_a_silence_is_news_and_a_commit_on_it_needs_no_final_update():
    played = play(
        user=[(0.0, "text Bob"), (2.0, ".")],
        model=[calls('1. send("Bob")'), COMMIT, answer()],
        silences=[(0.9, 0.6), (1.5, 1.2)],
        **SILENT,
    )
    assert played.rows("user told model start say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.5, "model", '<tool_call>\n1. send("Bob")\n</tool_call>'),
        (0.9, "user", "(0.6 s)"),
        (0.9, "told", "silence 0.6"),
        (1.2, "start", "1 send(Bob)"),
        (1.3, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (1.5, "user", "(1.2 s)"),
        (1.6, "model", "<answer>done</answer>"),
        (1.6, "told", "silence 1.2"),
        (2.0, "user", "."),
        (2.0, "told", "final_query_update"),
        (2.2, "say", "done"),
        (2.2, "told", 'tool_result 1: "ok"'),
    ]


def test_the_agent_may_wait_for_a_longer_silence():
    played = play(
        user=[(0.0, "text Bob"), (4.0, ".")],
        model=[calls('1. send("Bob")'), PAUSE, COMMIT, answer()],
        silences=[(0.9, 0.6), (1.5, 1.2)],
        **SILENT,
    )
    assert played.rows("user told model start say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.5, "model", '<tool_call>\n1. send("Bob")\n</tool_call>'),
        (0.9, "user", "(0.6 s)"),
        (0.9, "told", "silence 0.6"),
        (1.1, "model", "<pause>"),
        (1.5, "user", "(1.2 s)"),
        (1.5, "told", "silence 1.2"),
        (1.8, "start", "1 send(Bob)"),
        (1.9, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (2.2, "model", "<answer>done</answer>"),
        (2.8, "say", "done"),
        (2.8, "told", 'tool_result 1: "ok"'),
        (4.0, "user", "."),
    ]
    # the endpoint's word comes after the answer: it opens no turn
    assert (played.rollout.state.turn, "nothing_said" in played.notes) == (1, True)


def test_no_commit_while_the_user_speaks():
    played = play(
        user=[(0.0, "text Bob"), (1.0, "hi")],
        model=[calls('1. send("Bob")', "COMMIT"), PAUSE, PAUSE, COMMIT, answer()],
        silences=[(2.0, 0.6)],
        **SILENT,
    )
    assert played.rows("user told start say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.5, "told", "/tool_call_interrupted"),
        (0.5, "told", "error no COMMIT before a silence or the final update: <pause> or go on"),
        (1.0, "user", "hi"),
        (1.0, "told", "partial_query_update hi"),
        (2.0, "user", "(0.6 s)"),
        (2.0, "told", "silence 0.6"),
        (2.3, "start", "1 send(Bob)"),
        (3.3, "say", "done"),
        (3.3, "told", 'tool_result 1: "ok"'),
    ]


def test_speech_after_a_commit_on_silence_reopens_the_turn():
    played = play(
        user=[(0.0, "text Bob"), (1.6, "no wait"), (4.0, ".")],
        model=[calls('1. note("a")', '2. note("b")'), COMMIT, PAUSE, PAUSE, calls("REMOVE 2"), answer()],
        silences=[(0.9, 0.6)],
        all_used=False,
        **SILENT,
    )
    assert played.rows("user model start say") == [
        (0.0, "user", "text Bob"),
        (0.7, "model", '<tool_call>\n1. note("a")\n2. note("b")\n</tool_call>'),
        (0.9, "user", "(0.6 s)"),
        (1.2, "start", "1 note(a)"),
        (1.3, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (1.4, "model", "<pause>"),
        (1.6, "user", "no wait"),
        (1.8, "model", "<pause>"),
        (2.7, "model", "<tool_call>\nREMOVE 2\n</tool_call>"),
        (4.0, "user", "."),
        (4.4, "model", "<answer>done</answer>"),
        (4.4, "say", "done"),
    ]
    assert "reopened" in played.notes


def test_speech_takes_back_an_answer_that_was_given_on_silence():
    played = play(
        user=[(0.0, "text Bob"), (1.6, "and Al"), (2.5, ".")],
        model=[calls('1. send("Bob")'), answer("one"), calls('2. send("Al")'), PAUSE, answer("two")],
        silences=[(0.9, 0.6)],
        **SILENT,
    )
    assert played.rows("user model start say") == [
        (0.0, "user", "text Bob"),
        (0.5, "model", '<tool_call>\n1. send("Bob")\n</tool_call>'),
        (0.9, "user", "(0.6 s)"),
        (1.3, "model", "<answer>one</answer>"),
        (1.3, "start", "1 send(Bob)"),
        (1.6, "user", "and Al"),
        (2.1, "model", '<tool_call>\n2. send("Al")\n</tool_call>'),
        (2.5, "model", "<pause>"),
        (2.5, "user", "."),
        (2.9, "model", "<answer>two</answer>"),
        (2.9, "start", "2 send(Al)"),
        (3.9, "say", "two"),
    ]


def test_the_endpoints_word_stops_no_answer_that_was_begun_on_silence():
    played = play(
        user=[(0.0, "hello"), (1.0, ".")],
        model=[PAUSE, "<answer>hello to you too</answer>"],
        silences=[(0.7, 0.6)],
        **SILENT,
    )
    assert played.rows("user told model say") == [
        (0.0, "user", "hello"),
        (0.0, "told", "partial_query_update hello"),
        (0.2, "model", "<pause>"),
        (0.7, "user", "(0.6 s)"),
        (0.7, "told", "silence 0.6"),
        (1.0, "user", "."),
        (1.4, "model", "<answer>hello to you too</answer>"),
        (1.4, "say", "hello to you too"),
        (1.4, "told", "final_query_update"),
    ]


def test_a_silence_cuts_nothing():
    played = play(
        user=[(0.0, "text Bob"), (3.0, ".")],
        model=[calls('1. send("Bob")', '2. send("Al")'), PAUSE, COMMIT, answer()],
        silences=[(0.3, 0.3)],
        all_used=False,
        **SILENT,
    )
    assert played.rows("user told model start say") == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.3, "user", "(0.3 s)"),
        (0.7, "model", '<tool_call>\n1. send("Bob")\n2. send("Al")\n</tool_call>'),
        (0.7, "told", "silence 0.3"),
        (0.9, "model", "<pause>"),
        (3.0, "user", "."),
        (3.0, "told", "final_query_update"),
        (3.3, "start", "1 send(Bob)"),
        (3.3, "start", "2 send(Al)"),
        (3.4, "model", "<tool_call>\nCOMMIT\n</tool_call>"),
        (3.7, "model", "<answer>done</answer>"),
        (4.3, "told", 'tool_result 1: "ok"'),
        (4.3, "say", "done"),
    ]


def test_with_the_endpoints_word_as_law_a_silence_is_not_told():
    played = play(
        user=[(0.0, "x"), (2.0, ".")], model=[calls('1. send("a")'), COMMIT, answer()], silences=[(0.9, 0.6)], **NEW
    )
    assert played.rows("user told start say") == [
        (0.0, "user", "x"),
        (0.0, "told", "partial_query_update x"),
        (2.0, "user", "."),
        (2.0, "told", "final_query_update"),
        (2.3, "start", "1 send(a)"),
        (3.3, "say", "done"),
        (3.3, "told", 'tool_result 1: "ok"'),
    ]


def test_after_the_answer_a_silence_is_nothing():
    played = play(
        user=[(0.0, "hello"), (1.0, "."), (5.0, "bye.")],
        model=[PAUSE, answer(), answer()],
        silences=[(0.4, 0.4), (3.0, 2.4)],
        **SILENT,
    )
    assert played.rows("user told say") == [
        (0.0, "user", "hello"),
        (0.0, "told", "partial_query_update hello"),
        (0.4, "user", "(0.4 s)"),
        (0.4, "told", "silence 0.4"),
        (0.8, "say", "done"),
        (1.0, "user", "."),
        (3.0, "user", "(2.4 s)"),
        (5.0, "user", "bye."),
        (5.0, "told", "final_query_update bye"),
        (5.4, "say", "done"),
    ]
    assert "idle_silence" in played.notes


def test_every_open_call_that_is_committed_is_named_with_what_it_misses():
    played = play(
        [(0.0, "x.")],
        [calls("1. send()", "2. note()", "COMMIT"), calls("REMOVE 1", "REMOVE 2"), answer()],
        commit="line",
        revise="amend",
    )
    assert any("call 1 misses" in told and "call 2 misses" in told for _, _, told in played.rows("told"))

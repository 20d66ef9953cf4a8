"""What the model orders: revise, remove, reissue. Rows are (seconds, who, what); see `midsentence.testing` for the
device."""

from __future__ import annotations

from midsentence.testing import PAUSE, ToolFailure, answer, calls, play


def test_a_revised_running_call_is_cancelled_and_runs_again():
    played = play(
        user=[(0.0, "text Bob"), (1.0, "no Alice.")],
        model=[calls('1. look("Bob")'), calls('1. look("Alice")'), answer()],
    )
    assert played.rows() == [
        (0.0, "user", "text Bob"),
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (0.5, "model", '<tool_call>\n1. look("Bob")\n</tool_call>'),
        (1.0, "user", "no Alice."),
        (1.0, "told", "final_query_update no Alice"),
        (1.4, "stop", "1"),
        (1.4, "start", "1v2 look(Alice)"),
        (1.5, "model", '<tool_call>\n1. look("Alice")\n</tool_call>'),
        (1.8, "model", "<answer>done</answer>"),
        (2.4, "result", "1v2 ok"),
        (2.4, "say", "done"),
        (2.4, "told", 'tool_result 1v2: "ok"'),
    ]


def test_a_revised_call_that_is_done_is_voided_and_its_dependants_run_again():
    played = play(
        user=[(0.0, "text Bob"), (4.0, "no Alice.")],
        model=[calls('1. look("Bob")', "2. look($1)"), PAUSE, PAUSE, calls('1. look("Alice")'), answer()],
        answers={"look(Bob)": "555", "look(Alice)": "777"},
    )
    assert played.rows("start stop result told say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.4, "result", "1 555"),
        (1.4, "start", "2 look(555)"),
        (1.4, "told", 'tool_result 1: "555"'),
        (2.4, "result", "2 ok"),
        (2.4, "told", 'tool_result 2: "ok"'),
        (4.0, "told", "final_query_update no Alice"),
        (4.4, "start", "1v2 look(Alice)"),
        (4.5, "told", "cancel 1, 2"),
        (5.4, "result", "1v2 777"),
        (5.4, "start", "2v2 look(777)"),
        (5.4, "told", 'tool_result 1v2: "777"'),
        (6.4, "result", "2v2 ok"),
        (6.4, "say", "done"),
        (6.4, "told", 'tool_result 2v2: "ok"'),
    ]


def test_a_running_dependant_is_cancelled_when_its_operand_is_revised():
    played = play(
        user=[(0.0, "text Bob"), (2.0, "no Alice.")],
        model=[calls('1. look("Bob")', "2. look($1)"), PAUSE, calls('1. look("Alice")'), PAUSE, PAUSE, answer()],
        answers={"look(Bob)": "555", "look(Alice)": "777"},
    )
    assert played.rows("start stop result told say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.4, "result", "1 555"),
        (1.4, "start", "2 look(555)"),
        (1.4, "told", 'tool_result 1: "555"'),
        (2.0, "told", "final_query_update no Alice"),
        (2.4, "stop", "2"),
        (2.4, "start", "1v2 look(Alice)"),
        (2.5, "told", "cancel 1"),
        (3.4, "result", "1v2 777"),
        (3.4, "start", "2v2 look(777)"),
        (3.4, "told", 'tool_result 1v2: "777"'),
        (4.4, "result", "2v2 ok"),
        (4.4, "told", 'tool_result 2v2: "ok"'),
        (4.8, "say", "done"),
    ]


def test_a_result_that_waits_for_the_append_when_it_is_voided_is_never_shown():
    """The result of 1 comes while its revision is being written; the model never sees it, so no <cancel> names it."""
    played = play(
        user=[(0.0, "text Bob"), (1.0, "no Alice.")],
        model=[calls('1. look("Bob")'), calls('1. look("Alice")'), answer()],
        takes={"look(Bob)": 0.9},
    )
    assert played.rows("start result model told say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (0.5, "model", '<tool_call>\n1. look("Bob")\n</tool_call>'),
        (1.0, "told", "final_query_update no Alice"),
        (1.3, "result", "1 ok"),
        (1.4, "model", '<tool_call>\n1. look("Alice") ✂'),
        (1.4, "start", "1v2 look(Alice)"),
        (1.4, "told", "/tool_call_interrupted"),
        (1.8, "model", "<answer>done</answer>"),
        (2.4, "result", "1v2 ok"),
        (2.4, "say", "done"),
        (2.4, "told", 'tool_result 1v2: "ok"'),
    ]


def test_revised_in_one_action_before_it_could_run():
    played = play(user=[(0.0, "Bob.")], model=[calls('1. send("Bob")', '1. send("Alice")'), answer()])
    assert played.rows("start result say") == [
        (0.7, "start", "1v2 send(Alice)"),
        (1.7, "result", "1v2 ok"),
        (1.7, "say", "done"),
    ]
    assert played.notes == ["revise 1"]


def test_a_revision_may_name_another_tool():
    played = play(user=[(0.0, "Bob.")], model=[calls('1. look("Bob")', '1. page("Bob")'), answer()])
    assert played.rows("start stop result say") == [
        (0.4, "start", "1 look(Bob)"),
        (0.6, "stop", "1"),
        (0.6, "start", "1v2 page(Bob)"),
        (1.6, "result", "1v2 ok"),
        (1.6, "say", "done"),
    ]


def test_removing_a_running_call_cancels_all_that_depends_on_it():
    played = play(
        user=[(0.0, "text Bob"), (1.0, "never mind.")],
        model=[calls('1. look("Bob")', "2. look($1)", "3. send($2)"), calls("REMOVE 1"), answer()],
    )
    assert played.rows("start stop told say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.0, "told", "final_query_update never mind"),
        (1.4, "stop", "1"),
        (1.5, "told", "cancel 2, 3"),
        (1.9, "say", "done"),
    ]
    assert played.states() == {1: "cancelled", 2: "cancelled", 3: "cancelled"}


def test_removing_a_call_that_is_done_voids_its_result():
    played = play(
        user=[(0.0, "text Bob"), (2.0, "never mind.")],
        model=[calls('1. look("Bob")'), PAUSE, calls("REMOVE 1"), answer()],
    )
    assert played.rows("start result told say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.4, "result", "1 ok"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (2.0, "told", "final_query_update never mind"),
        (2.5, "told", "cancel 1"),
        (2.9, "say", "done"),
    ]


def test_removing_the_last_call_leaves_what_it_was_made_from():
    played = play(
        user=[(0.0, "text Bob"), (3.0, "never mind.")],
        model=[calls('1. look("Bob")', "2. look($1)"), PAUSE, calls("REMOVE 2"), answer()],
    )
    assert played.rows("told say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (2.4, "told", 'tool_result 2: "ok"'),
        (2.9, "told", "cancel 2"),
        (3.0, "told", "final_query_update never mind"),
        (3.4, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "cancelled"}


def test_a_removed_id_is_dead_and_the_next_new_one_is_one_more_than_the_highest():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[
            calls('1. look("Bob")'),
            calls("REMOVE 1"),
            calls('1. look("Al")'),
            calls("2. look($1)"),
            calls('2. look("Al")'),
            answer(),
        ],
    )
    assert played.rows("start stop told say") == [
        (0.0, "told", "final_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (0.8, "stop", "1"),
        (1.2, "told", "/tool_call_interrupted"),
        (1.2, "told", "error call 1 was removed; the next new ID is 2"),
        (1.62, "told", "/tool_call_interrupted"),
        (1.62, "told", "error call 2 names $1; it can name no call yet"),
        (2.04, "start", "2 look(Al)"),
        (3.04, "say", "done"),
        (3.04, "told", 'tool_result 2: "ok"'),
    ]


def test_removing_twice_is_a_counted_no_op():
    played = play(user=[(0.0, "x.")], model=[calls('1. look("a")'), calls("REMOVE 1"), calls("REMOVE 1"), answer()])
    assert played.rows("start stop say") == [
        (0.4, "start", "1 look(a)"),
        (0.8, "stop", "1"),
        (1.6, "say", "done"),
    ]
    assert played.notes == ["remove 1", "identical_reissue 1"]


def test_reissuing_a_failed_read_is_a_retry_and_revives_what_was_skipped():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. look("Bob")', "2. send($1)"), PAUSE, calls('1. look("Bob")'), answer()],
        answers={"look": [ToolFailure("busy"), "555"]},
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update text Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.4, "error", "1 failed: busy"),
        (1.4, "told", "tool_error 1: busy"),
        (1.4, "told", "tool_error 2: skipped: call 1 is failed"),
        (1.8, "start", "1v2 look(Bob)"),
        (2.8, "result", "1v2 555"),
        (2.8, "start", "2v2 send(555)"),
        (2.8, "told", 'tool_result 1v2: "555"'),
        (3.8, "result", "2v2 ok"),
        (3.8, "say", "done"),
        (3.8, "told", 'tool_result 2v2: "ok"'),
    ]
    assert played.notes == ["retry 1"]


def test_reissuing_a_call_that_runs_or_is_done_is_a_counted_no_op():
    played = play(
        user=[(0.0, "Bob.")],
        model=[calls('1. look("Bob")'), calls('1. look("Bob")'), PAUSE, calls('1. look("Bob")'), answer()],
    )
    assert played.rows("start stop result say") == [
        (0.4, "start", "1 look(Bob)"),
        (1.4, "result", "1 ok"),
        (2.2, "say", "done"),
    ]
    assert played.notes == ["identical_reissue 1", "identical_reissue 1"]


def test_the_same_call_spelled_otherwise_is_identical():
    played = play(
        user=[(0.0, "Bob.")], model=[calls('1. look("Bob", "x")'), calls('1. look(where="x",what="Bob")'), answer()]
    )
    assert played.rows("start stop result say") == [
        (0.5, "start", "1 look(Bob, x)"),
        (1.5, "result", "1 ok"),
        (1.5, "say", "done"),
    ]
    assert played.notes == ["identical_reissue 1"]


def test_a_failed_write_is_not_retried_under_its_id_but_may_be_ordered_anew():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. send("Bob")'), PAUSE, calls('1. send("Bob")'), calls('2. send("Bob")'), answer()],
        answers={"send": [ToolFailure("busy"), "sent"]},
    )
    assert played.rows("start error result say") == [
        (0.5, "start", "1 send(Bob)"),
        (1.5, "error", "1 failed: busy"),
        (2.4, "start", "2 send(Bob)"),
        (3.4, "result", "2 sent"),
        (3.4, "say", "done"),
    ]
    assert played.notes == ["identical_reissue 1"]


def test_a_result_for_an_old_version_is_dropped():
    """The read times out at 30.4 and is retried; the first attempt answers at 31.4 and is not told."""
    played = play(
        user=[(0.0, "Bob.")],
        model=[calls('1. look("Bob")'), PAUSE, calls('1. look("Bob")'), PAUSE, answer()],
        takes={"look": 31},
        limit_s=70,
    )
    assert played.rows("start error result told say") == [
        (0.0, "told", "final_query_update Bob"),
        (0.4, "start", "1 look(Bob)"),
        (30.4, "error", "1 timeout: no answer within 30 s"),
        (30.4, "told", "tool_error 1: timeout: no answer within 30 s"),
        (30.8, "start", "1v2 look(Bob)"),
        (31.4, "result", "1 ok"),
        (60.8, "error", "1v2 timeout: no answer within 30 s"),
        (60.8, "told", "tool_error 1v2: timeout: no answer within 30 s"),
        (61.2, "say", "done"),
    ]
    assert played.states() == {1: "failed"}


def test_a_part_of_a_result_is_an_argument():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. look("Bob")', "2. look($1.phones[0])"), PAUSE, PAUSE, answer()],
        answers={"look(Bob)": {"phones": ["555"]}},
    )
    assert "2 look(555)" in [what for _, who, what in played.rows("start")]
    assert played.outcome == "answered"


def test_a_part_that_is_not_there_fails_the_call():
    played = play(
        user=[(0.0, "text Bob.")],
        model=[calls('1. look("Bob")', "2. look($1.mail)"), PAUSE, answer()],
        answers={"look(Bob)": {"phone": "555"}},
    )
    assert [what for _, who, what in played.rows("told")][-1] == (
        'tool_error 2: there is no $1.mail: $1 is an object with "phone"'
    )
    assert played.states()[2] == "failed" and played.outcome == "answered"

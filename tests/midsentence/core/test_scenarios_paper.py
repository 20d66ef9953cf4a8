"""The paper's own rules, kept as settings, beside ours: what each lets slip."""

from __future__ import annotations

from midsentence.testing import PAUSE, answer, calls, play

BOB_NO_ALICE = [calls('1. send("Bob")', '1. send("Alice")'), answer()]


def test_commit_paper_starts_a_write_that_the_next_line_revises():
    played = play([(0.0, "Bob no Alice.")], BOB_NO_ALICE, commit="paper")
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update Bob no Alice"),
        (0.4, "start", "1 send(Bob)"),
        (0.6, "told", "/tool_call_interrupted"),
        (0.6, "told", "error call 1 already took effect: call 1 can't be revised"),
        (1.4, "say", "done"),
        (1.4, "told", 'tool_result 1: "ok"'),
    ]


def test_commit_action_waits_for_all_revisions_of_the_action():
    played = play([(0.0, "Bob no Alice.")], BOB_NO_ALICE)
    assert played.rows("start told say") == [
        (0.0, "told", "final_query_update Bob no Alice"),
        (0.7, "start", "1v2 send(Alice)"),
        (1.7, "say", "done"),
        (1.7, "told", 'tool_result 1v2: "ok"'),
    ]


LATE_NO = [calls('1. send("Bob")', think="w"), PAUSE, answer()]


def test_commit_paper_releases_a_write_before_the_model_has_read_the_last_words():
    """The call line has begun when "no Alice" comes, and finishes: it is a new highest ID after the final update."""
    played = play([(0.0, "Bob"), (0.65, "no Alice.")], LATE_NO, commit="paper")
    assert played.rows("user model start") == [
        (0.0, "user", "Bob"),
        (0.65, "user", "no Alice."),
        (0.7, "model", '<think>w</think><tool_call>\n1. send("Bob") ✂'),
        (0.7, "start", "1 send(Bob)"),
        (0.9, "model", "<pause>"),
        (2.1, "model", "<answer>done</answer>"),
    ]


def test_commit_action_holds_it_until_an_action_that_has():
    played = play([(0.0, "Bob"), (0.65, "no Alice.")], [LATE_NO[0], calls('1. send("Alice")'), answer()])
    assert played.rows("user model start") == [
        (0.0, "user", "Bob"),
        (0.65, "user", "no Alice."),
        (0.7, "model", '<think>w</think><tool_call>\n1. send("Bob") ✂'),
        (1.2, "model", '<tool_call>\n1. send("Alice")\n</tool_call>'),
        (1.2, "start", "1v2 send(Alice)"),
        (1.5, "model", "<answer>done</answer>"),
    ]


def test_commit_paper_keeps_holding_after_an_action_that_only_revises():
    """A revision issues no new highest ID: under the paper's rule the write waits for a pause that nobody needs."""
    script = [calls('1. send("Bob")'), calls('1. send("Alice")'), PAUSE, answer()]
    assert play([(0.0, "Bob"), (1.0, "no Alice.")], script, commit="paper").rows("user model start say") == [
        (0.0, "user", "Bob"),
        (0.5, "model", '<tool_call>\n1. send("Bob")\n</tool_call>'),
        (1.0, "user", "no Alice."),
        (1.5, "model", '<tool_call>\n1. send("Alice")\n</tool_call>'),
        (1.6, "model", "<pause>"),
        (1.6, "start", "1v2 send(Alice)"),
        (3.0, "model", "<answer>done</answer>"),
        (3.0, "say", "done"),
    ]
    ours = play([(0.0, "Bob"), (1.0, "no Alice.")], [*script[:2], answer()])
    assert ours.rows("user model start say") == [
        (0.0, "user", "Bob"),
        (0.5, "model", '<tool_call>\n1. send("Bob")\n</tool_call>'),
        (1.0, "user", "no Alice."),
        (1.5, "model", '<tool_call>\n1. send("Alice")\n</tool_call>'),
        (1.5, "start", "1v2 send(Alice)"),
        (1.8, "model", "<answer>done</answer>"),
        (2.5, "say", "done"),
    ]


TWO_STEPS = [calls('1. look("Bob")', "2. look($1)"), PAUSE, PAUSE]


def test_revise_cascade_cancel_kills_what_depends_on_a_revised_call():
    played = play(
        [(0.0, "Bob"), (4.0, "no Alice.")],
        [*TWO_STEPS, calls('1. look("Alice")'), PAUSE, calls("3. look($1)"), answer()],
        revise_cascade="cancel",
    )
    assert played.rows("start told say") == [
        (0.0, "told", "partial_query_update Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.4, "start", "2 look(ok)"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (2.4, "told", 'tool_result 2: "ok"'),
        (4.0, "told", "final_query_update no Alice"),
        (4.4, "start", "1v2 look(Alice)"),
        (4.5, "told", "cancel 1, 2"),
        (5.4, "told", 'tool_result 1v2: "ok"'),
        (5.8, "start", "3 look(ok)"),
        (6.8, "say", "done"),
        (6.8, "told", 'tool_result 3: "ok"'),
    ]


def test_revise_cascade_rerun_runs_it_again_without_a_word():
    played = play([(0.0, "Bob"), (4.0, "no Alice.")], [*TWO_STEPS, calls('1. look("Alice")'), answer()])
    assert played.rows("start told say") == [
        (0.0, "told", "partial_query_update Bob"),
        (0.4, "start", "1 look(Bob)"),
        (1.4, "start", "2 look(ok)"),
        (1.4, "told", 'tool_result 1: "ok"'),
        (2.4, "told", 'tool_result 2: "ok"'),
        (4.0, "told", "final_query_update no Alice"),
        (4.4, "start", "1v2 look(Alice)"),
        (4.5, "told", "cancel 1, 2"),
        (5.4, "start", "2v2 look(ok)"),
        (5.4, "told", 'tool_result 1v2: "ok"'),
        (6.4, "say", "done"),
        (6.4, "told", 'tool_result 2v2: "ok"'),
    ]


SLOW = calls('1. look("' + " ".join(["word"] * 42) + '")')
"""45 tokens, 4.5 s on this device, where an update comes every 2 s."""
CHATTER = [(2.0 * n, "words") for n in range(5)] + [(10.0, "end.")]


def wait(state) -> str:
    return answer() if state.final_in_context else PAUSE


def test_interrupt_token_livelocks_a_slow_model_until_the_user_is_silent():
    played = play(CHATTER, [SLOW] * 6 + [answer()], interrupt="token")
    assert [(at_s, what[-8:]) for at_s, _, what in played.rows("model")] == [
        (2.0, "d word ✂"),
        (4.0, "d word ✂"),
        (6.0, "d word ✂"),
        (8.0, "d word ✂"),
        (10.0, "d word ✂"),
        (14.6, "ol_call>"),
        (14.9, "/answer>"),
    ]
    assert played.rows("start say")[0][0] == 14.5


def test_interrupt_line_lets_it_get_there():
    played = play(CHATTER, [SLOW] + [wait] * 9, interrupt="line", all_used=False)
    assert [(at_s, what[-8:]) for at_s, _, what in played.rows("model")] == [
        (4.5, 'word") ✂'),
        (4.7, "<pause>"),
        (5.7, "<pause>"),
        (6.2, "<pause>"),
        (8.2, "<pause>"),
        (10.4, "/answer>"),
    ]
    assert played.rows("start say")[0][0] == 4.5

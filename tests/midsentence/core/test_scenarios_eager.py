"""Lines that run as they are written, and turns begun on a predicted end of speech: exact times, nanosecond for
nanosecond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from midsentence.clock import ns
from midsentence.core import reducer
from midsentence.core.events import (
    Append,
    Appended,
    EndPredicted,
    Forget,
    Note,
    SetTimer,
    ToolResult,
    UserUpdate,
    from_json,
    to_json,
)
from midsentence.core.modes import MODES, settings
from midsentence.testing import PAUSE, PREDICTED, answer, calls, play

SENDS = calls('1. send("Bob")', '2. send("Alice")')
"""A tag and two lines of two tokens: they are complete 0.3 s and 0.5 s after it begins, the action 0.6 s after."""


def test_a_write_runs_when_its_line_is_complete():
    played = play(
        [
            (0.0, "text."),
        ],
        [SENDS, answer()],
        mode="parallel",
    )
    assert played.rows("model start say") == [
        (0.4, "start", "1 send(Bob)"),
        (0.6, "start", "2 send(Alice)"),
        (0.7, "model", SENDS),
        (2.0, "model", "<answer>done</answer>"),
        (2.0, "say", "done"),
    ]


def test_without_the_setting_it_waits_for_the_action():
    lines, action = (play([(0.0, "text.")], [SENDS, answer()], mode="parallel", runs_lines=on) for on in (True, False))
    first, ended = lines.rows("start")[0][0], lines.rows("model")[0][0]
    assert first < ended
    assert [at for at, _, _ in action.rows("start")] == [ended, ended]


def test_a_grace_and_the_papers_rule_count_from_the_action():
    played = play([(0.0, "text.")], [SENDS, answer()], mode="parallel", commit_grace_ns=500_000_000)
    ended = played.rows("model")[0][0]
    assert [at for at, _, _ in played.rows("start")] == [ended + 0.5] * 2


def test_where_the_model_listens_lines_wait_as_ever():
    played = play([(0.0, "text.")], [SENDS, answer()], mode="speculative")
    ended = played.rows("model")[0][0]
    assert [at for at, _, _ in played.rows("start")] == [ended, ended]


LOOK_AND_SEND = calls('1. look("Bob")', '2. send("Bob")')


def test_a_predicted_end_that_was_one():
    """Reads run after the prediction, the write and the answer wait for the final update, which brings nothing new."""
    played = play([(0.0, "text Bob"), (1.0, PREDICTED), (3.5, ".")], [LOOK_AND_SEND, answer()], mode="eager_end")
    assert played.rows("told start result say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (1.0, "told", "final_query_update"),
        (1.4, "start", "1 look(Bob)"),
        (2.4, "result", "1 ok"),
        (2.4, "told", 'tool_result 1: "ok"'),
        (3.5, "start", "2 send(Bob)"),
        (4.5, "result", "2 ok"),
        (4.5, "say", "done"),
        (4.5, "told", 'tool_result 2: "ok"'),
    ]
    assert play([(0.0, "text Bob"), (3.5, ".")], [LOOK_AND_SEND, answer()], mode="eager_end").rows("say")[0][0] > 4.5


@pytest.mark.parametrize(
    "lines", [['1. send("Ann")'], ['2. look("Ann")', "1. send($2)"], ['2. look("Ann")', "1. to = $2"]]
)
def test_what_a_wrong_attempt_made_another_of_does_not_stand(lines):
    """A held call that was revised or amended on a predicted end goes with it: nobody has asked for what it became."""
    said = [(0.0, "text Bob."), (0.3, "and"), (1.0, PREDICTED), (4.0, "no wait"), (6.0, ".")]
    model = [calls('1. send("Bob")', '2. send("Cy")'), calls(*lines), answer(), answer()]
    played = play(said, model, mode="eager_end", runs_lines=False, revise="amend", all_used=False)
    assert "revise 1" in played.notes
    told = [text for _, _, text in played.rows("told") if text.startswith("cancel")]
    assert told and "1" in told[0], told
    assert not [text for _, _, text in played.rows("start") if "send" in text]


def test_an_answer_written_before_the_final_update_waits_for_it():
    played = play([(0.0, "hello"), (1.0, PREDICTED), (3.0, ".")], [answer()], mode="eager_end")
    assert played.rows("model say") == [(1.4, "model", "<answer>done</answer>"), (3.0, "say", "done")]


def test_the_baseline_to_beat_answers_while_tools_run_as_what_it_is_measured_against_does():
    """Else part of what listening is said to gain is gained by not waiting."""
    assert MODES["eager_end"].waits_for_calls is MODES["speculative"].waits_for_calls is False
    played = play([(0.0, "text Bob"), (1.0, PREDICTED), (1.65, ".")], [LOOK_AND_SEND, answer()], mode="eager_end")
    assert played.rows("model start result say") == [
        (1.4, "start", "1 look(Bob)"),
        (1.65, "start", "2 send(Bob)"),
        (1.7, "model", LOOK_AND_SEND),
        (2.0, "model", "<answer>done</answer>"),
        (2.4, "result", "1 ok"),
        (2.65, "result", "2 ok"),
        (2.65, "say", "done"),
    ]


def test_speech_that_goes_on_throws_the_attempt_away():
    played = play(
        [(0.0, "text Bob"), (1.0, PREDICTED), (2.0, "no Alice"), (3.0, PREDICTED), (4.0, ".")],
        [LOOK_AND_SEND, PAUSE, calls('1. look("Alice")', '2. send("Alice")'), answer()],
        mode="eager_end",
    )
    # its numbers are free again; the tool of the first call 1 is another version's, so nothing that it gives late is
    # taken for the second's
    assert played.rows("start stop say") == [
        (1.4, "start", "1 look(Bob)"),
        (2.0, "stop", "1"),
        (3.4, "start", "1v2 look(Alice)"),
        (4.0, "start", "2v2 send(Alice)"),
        (5.0, "say", "done"),
    ]
    assert played.states() == {1: "done", 2: "done"}


def test_the_attempt_leaves_the_context_as_if_it_had_never_been():
    said = [(0.0, "text Bob"), (1.0, PREDICTED), (2.0, "no Alice"), (3.0, PREDICTED), (4.0, ".")]
    last = [calls('1. look("Alice")', '2. send("Alice")'), answer()]
    played = play(said, [LOOK_AND_SEND, PAUSE, *last], mode="eager_end")
    plain = play([said[0], *said[2:]], last, mode="eager_end")
    assert [(s.kind, s.text) for s in played.rollout.state.transcript] == [
        (s.kind, s.text) for s in plain.rollout.state.transcript
    ]
    assert played.rollout.state.context_tokens == plain.rollout.state.context_tokens
    assert (
        played.rollout.state.turn_tokens == plain.rollout.state.turn_tokens
    )  # a wrong endpoint costs the turn nothing of its budget
    assert [call.text for call in played.rollout.state.graph.calls.values()] == [
        call.text for call in plain.rollout.state.graph.calls.values()
    ]
    # what was shown at the end of speech has first to be taken out: no news, so it costs nothing
    assert any(isinstance(command, Forget) for _, commands in played.rollout.history for command in commands)


def test_a_late_result_of_the_attempt_is_none_to_the_call_of_the_same_number():
    played = play(
        [(0.0, "look"), (1.0, PREDICTED), (1.45, "there"), (2.0, ".")],
        [calls('1. look("a")'), calls('1. look("b")'), answer()],
        mode="eager_end",
        all_used=False,
    )
    state = played.rollout.state
    assert state.graph[1].version == 2 and state.graph[1].first == 2
    state, commands = reducer.step(replace(state, phase=reducer.Phase.IDLE), ToolResult(state.now_ns, 1, 1, "late"))
    assert state.graph[1].result == "ok" and not [c for c in commands if isinstance(c, Append)]


def test_news_of_something_else_keeps_the_attempt_in_the_context():
    """A result of the turn before arrives during it: what was shown can't be taken out without it."""
    said = [(0.0, "look."), (1.0, "text Bob"), (2.0, PREDICTED), (4.0, "no"), (6.0, ".")]
    model = [calls('1. look("a")'), PAUSE, calls('2. send("Bob")'), PAUSE, PAUSE, PAUSE, answer()]
    played = play(said, model, mode="eager_end", takes={"look": 2.0}, all_used=False)
    assert not any(isinstance(command, Forget) for _, commands in played.rollout.history for command in commands)


def test_what_was_said_is_shown_whole_at_the_end():
    played = play([(0.0, "text Bobb"), (0.5, "Bob"), (1.0, ".")], [answer()], mode="parallel", whole=True)
    assert played.rows("told") == [
        (1.0, "told", "partial_query_update text Bobb Bob"),
        (1.0, "told", "final_query_update"),
    ]
    (rollout,) = run_whole([UserUpdate(0, "text Bobb"), UserUpdate(1, "Bob", retracts=1), UserUpdate(2, "", True)])
    assert [s.text for s in rollout] == ["text Bob", ""]


def run_whole(updates):
    """What is shown of updates, and of those alone."""
    state = reducer.start(settings("parallel", whole=True), {})
    for update in updates:
        state, commands = reducer.step(state, update)
        yield from (command.segments for command in commands if isinstance(command, Append))


def test_what_takes_back_words_that_were_shown_says_so():
    state = reducer.start(settings("parallel", whole=True), {})
    for event in (
        UserUpdate(0, "text Bob", True),
        Appended(1, 1),
        UserUpdate(2, "Al and", retracts=1),
        UserUpdate(3, "Cy", True, 1),
    ):
        state, _commands = reducer.step(state, event)
    waiting = [*state.transcript, *(pending.segment for pending in state.inbox)]
    assert [s.text for s in waiting if s.kind == "partial_query_update"] == ["text Bob", "[-1] Al Cy"]


def test_shown_whole_is_shown_again_after_a_false_prediction():
    said = [(0.0, "text Bob"), (1.0, PREDICTED), (2.0, "no Alice"), (4.0, ".")]
    played = play(said, [LOOK_AND_SEND, PAUSE, answer()], mode="eager_end", whole=True)
    assert [(s.kind, s.text) for s in played.rollout.state.transcript if s.kind != "model"] == [
        ("partial_query_update", "text Bob no Alice"),
        ("final_query_update", ""),
    ]


@pytest.mark.parametrize("mode", ["eager_end", "verified"])
def test_an_attempt_that_would_rather_wait_is_no_mistake(mode):
    """The model hears that more is to come: it waits for the real end, and is asked again when that comes."""
    played = play([(0.0, "text Bob"), (1.0, PREDICTED), (3.5, ".")], [PAUSE, SENDS, answer()], mode=mode)
    told = [what for _, who, what in played.rows("told") if who == "told"]
    assert played.outcome == "answered" and not any("error" in what for what in told)
    assert [at >= 3.5 for at, _, _ in played.rows("start")] == [True, True]


def test_an_attempt_that_would_rather_wait_goes_on_with_more_words():
    played = play(
        [(0.0, "text Bob"), (1.0, PREDICTED), (3.5, "and Alice."), (4.0, ".")],
        [PAUSE, SENDS, answer()],
        mode="eager_end",
    )
    assert played.outcome == "answered" and len(played.rows("start")) == 2


def test_mistakes_on_a_predicted_end_end_no_session():
    """Too many in a row end the attempt; the real end is another chance, and mistakes there count."""
    wrong = ["<tool_call>nonsense\n"] * 4
    script = [(0.0, "text Bob"), (1.0, PREDICTED), (9.0, ".")]
    played = play(script, [*wrong, SENDS, answer()], mode="eager_end")
    assert played.outcome == "answered" and all(at > 9 for at, _, _ in played.rows("start"))
    assert play(script, [*wrong, *wrong], mode="eager_end").outcome == "invalid_actions"


def test_an_attempt_that_news_woke_is_not_asked_again_at_the_real_end():
    wrong = ["<tool_call>nonsense\n"] * 4
    script = [(0.0, "look for Bob"), (1.0, PREDICTED), (15.0, ".")]
    played = play(script, [calls('1. look("Bob")'), *wrong, answer()], mode="eager_end", takes={"look": 9.0})
    assert played.outcome == "answered" and not played.rollout.state.rests and not played.rollout.state.wake


def test_speech_that_goes_on_cuts_what_is_being_written():
    played = play(
        [(0.0, "text Bob"), (1.0, PREDICTED), (1.35, "no"), (2.0, ".")],
        [LOOK_AND_SEND, answer()],
        mode="eager_end",
    )
    assert played.rows("told model say") == [
        (0.0, "told", "partial_query_update text Bob"),
        (1.0, "told", "final_query_update"),
        (1.35, "model", "<tool_call>\n1."),
        (1.35, "told", "partial_query_update no"),
        (2.0, "told", "final_query_update"),
        (2.4, "model", "<answer>done</answer>"),
        (2.4, "say", "done"),
    ]


def test_an_update_without_words_throws_nothing_away():
    """Recognisers repeat themselves with empty interim results; ``" "`` is one here."""
    said = [(0.0, "text Bob"), (1.0, PREDICTED), (3.0, ".")]
    quiet = play(said, [LOOK_AND_SEND, answer()], mode="eager_end")
    told = play([*said[:2], (1.2, " "), (2.1, ""), said[2]], [LOOK_AND_SEND, answer()], mode="eager_end")
    assert (
        told.rows("told model start say") == quiet.rows("told model start say")
        and told.notes.count("nothing_said") == 2
    )


def test_a_final_update_with_words_is_speech_that_goes_on():
    played = play(
        [(0.0, "text Bob"), (1.0, PREDICTED), (3.0, "not.")], [LOOK_AND_SEND, answer(), answer()], mode="eager_end"
    )
    assert played.rows("start stop") == [(1.4, "start", "1 look(Bob)")]
    assert played.states() == {}


def test_other_modes_do_not_hear_predictions():
    said = [(0.0, "text"), (1.0, "Bob.")]
    plain = play(said, [SENDS, answer()], mode="parallel")
    told = play([said[0], (0.5, PREDICTED), said[1]], [SENDS, answer()], mode="parallel")
    assert told.rows() == plain.rows() and "prediction_ignored" in told.notes


def test_a_prediction_before_any_word_or_after_the_final_update_is_none():
    played = play([(0.0, PREDICTED), (1.0, "hello."), (1.05, PREDICTED)], [answer()], mode="eager_end")
    assert played.notes == ["prediction_ignored"] * 2


def test_a_prediction_is_kept_in_logs():
    assert from_json(to_json(EndPredicted(5))) == EndPredicted(5)
    assert isinstance(from_json(to_json(UserUpdate(5, ""))), UserUpdate) and Note("x").call == 0


def test_the_real_end_begins_no_grace_where_nothing_was_committed():
    """A later commit would share it, and have less time than it is owed."""
    state = reducer.start(settings("eager_end", commit_grace_ns=ns(0.3)), {})
    for event in (UserUpdate(0, "text Bob"), Appended(1, 1), EndPredicted(2), UserUpdate(3, "", True)):
        state, commands = reducer.step(state, event)
        assert not any(isinstance(command, SetTimer) for command in commands)
    assert state.final_heard and not state.grace


# -- a mode that listens, and begins its answers on a predicted end too ------------------------------------------------


def listening(said, model, **changes):
    return play(said, model, mode="speculative", eager=True, commit="line", **changes)


def test_a_listener_answers_a_predicted_end_as_soon_as_the_real_one_comes():
    said = [(0.0, "thanks"), (1.0, PREDICTED), (2.0, ".")]
    played = listening(said, [PAUSE, answer()])
    assert played.rows("told model say") == [
        (0.0, "told", "partial_query_update thanks"),
        (0.2, "model", PAUSE),
        (1.0, "told", "final_query_update"),
        (1.4, "model", "<answer>done</answer>"),
        (2.0, "say", "done"),
    ]
    assert play(said, [PAUSE, answer()], mode="speculative").rows("say")[0][0] > 2.0


def test_of_a_listener_speech_that_goes_on_takes_back_the_answer_and_the_commits_and_no_call():
    said = [(0.0, "text Bob"), (1.0, PREDICTED), (3.0, "please"), (4.0, ".")]
    model = [PAUSE, calls('1. look("Bob")', "2. send($1)", "COMMIT"), answer(), PAUSE, calls("COMMIT"), answer()]
    played = listening(said, model)
    assert played.states() == {1: "done", 2: "done"}
    assert not [text for _, _, text in played.rows("told") if text.startswith("cancel")]
    starts = {text: at for at, _, text in played.rows("start")}
    assert starts["1 look(Bob)"] < 3.0 and min(at for text, at in starts.items() if "send" in text) >= 4.0
    assert len(played.rows("say")) == 1 and played.rows("say")[0][0] > 4.0 and "reopened" in played.notes


def test_a_listener_who_has_committed_on_a_predicted_end_may_wait_for_the_real_one():
    """The commit lets nothing go yet, and yet nothing is stuck: what it waits for will come."""
    played = listening(
        [(0.0, "text Bob"), (1.0, PREDICTED), (5.0, ".")],
        [PAUSE, calls('1. send("Bob")', "COMMIT"), PAUSE, answer()],
    )
    assert not [text for _, _, text in played.rows("told") if text.startswith("error")]
    assert played.rows("start") == [(5.0, "start", "1 send(Bob)")]
    assert len(played.rows("say")) == 1


def test_a_listener_who_waits_for_nothing_at_a_predicted_end_is_told():
    """Else the real end, which brings no news, would find it waiting for ever."""
    played = listening([(0.0, "hello"), (1.0, PREDICTED), (3.0, ".")], [PAUSE, PAUSE, answer()])
    assert "error nothing is running and the user has finished: call a tool or answer" in [
        text for _, _, text in played.rows("told")
    ]
    assert played.rows("say")[0][0] == 3.0


def test_a_commit_that_is_being_written_when_speech_goes_on_commits_nothing_and_is_no_mistake():
    said = [(0.0, "text Bob"), (1.0, PREDICTED), (1.55, "please"), (4.0, ".")]
    played = listening(said, [PAUSE, calls('1. send("Bob")', "COMMIT 1"), PAUSE, calls("COMMIT"), answer()])
    assert not [text for _, _, text in played.rows("told") if text.startswith("error")]
    assert [at for at, _, text in played.rows("start")] >= [4.0] and "cut" in played.notes

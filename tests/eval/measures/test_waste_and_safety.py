"""Effects before commit, worked out from the log alone; planted violations are found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.measures.trace import Line, Piece, Run, Span, Trace
from eval.measures.waste_and_safety import Rules, committed, counts
from midsentence.clock import ns
from midsentence.core.calls import CallState, Input
from midsentence.core.events import Moved, Note, UserUpdate
from midsentence.core.lines import AmendLine, CallLine, CommitLine
from midsentence.tools.tool import Param, ToolSpec

SPECS = {"look": ToolSpec("look", (), "read"), "send": ToolSpec("send", (), "write")}


def span(
    start: float, end: float, *lines: tuple, saw_final: bool = True, ended: str = "action", tokens: int = 5
) -> Span:
    return Span(
        ns(start),
        ns(end),
        (Piece(ns(start), ns(end), "tool_call", "", tokens),),
        saw_final,
        ended,
        tuple(Line(ns(at), call, *(more or (f"text at {at}",))) for at, call, *more in lines),
    )


def run(call: int, at: float, name: str = "send", ended: str = "done", version: int = 1, **args) -> Run:
    return Run(call, version, name, args, ns(at), ns(at + 1), ended)


def seen(spans=(), runs=(), updates=((2.0, True),), notes=()) -> Trace:
    said = tuple(UserUpdate(ns(at), "" if final else "more", final) for at, final in updates)
    return Trace(said, tuple(spans), (), tuple(runs), (), (), tuple((0, note) for note in notes), ns(60))


USES = span(0.5, 1.0, (0.8, 7, "old"), (0.9, 1, "of $7", frozenset({7})), saw_final=False)
EARLY, FINAL = span(0.5, 1.0, (0.9, 1), saw_final=False), span(2.1, 2.5)


@pytest.mark.parametrize(
    ("spans", "updates", "at", "grace", "fine"),
    [
        ((EARLY, FINAL), ((2.0, True),), 2.5, 0, True),
        ((EARLY,), ((2.0, True),), 2.5, 0, False),  # nothing was written with the final update read
        ((EARLY, FINAL), ((2.0, True),), 2.4, 0, False),  # before that action ended
        ((EARLY, replace(FINAL, ended="cut")), ((2.0, True),), 2.5, 0, False),
        ((EARLY, replace(FINAL, ended="error")), ((2.0, True),), 2.5, 0, False),
        ((EARLY, replace(FINAL, saw_final=False)), ((2.0, True),), 2.5, 0, False),
        ((EARLY, FINAL), ((2.0, True), (2.7, False)), 3.0, 0, False),  # the user went on
        ((EARLY, FINAL, span(3.1, 3.3)), ((2.0, True), (2.7, False), (3.0, True)), 3.3, 0, True),
        (
            (EARLY, FINAL, span(2.6, 2.9, (2.8, 1), ended="cut")),
            ((2.0, True),),
            3.0,
            0,
            False,
        ),  # revised after the commit point
        (
            (EARLY, FINAL, span(2.6, 2.9, (2.8, 1, "text at 0.9"), ended="cut")),
            ((2.0, True),),
            3.0,
            0,
            True,
        ),  # the same again
        (
            (USES, FINAL, span(2.6, 2.9, (2.8, 7, "new"), ended="cut")),
            ((2.0, True),),
            3.0,
            0,
            False,
        ),  # what it needs was revised
        (
            (EARLY, FINAL, span(2.6, 2.9, (2.8, 7, "new"), ended="cut")),
            ((2.0, True),),
            3.0,
            0,
            True,
        ),  # that is no business of its
        ((EARLY, FINAL), ((2.0, True),), 2.7, 0.3, False),
        ((EARLY, FINAL), ((2.0, True),), 2.8, 0.3, True),
        ((FINAL,), ((2.0, True),), 2.5, 0, False),  # a call that nobody wrote
    ],
)
def test_what_a_commit_point_covers(spans, updates, at, grace, fine):
    assert committed(seen(spans, (), updates), run(1, at), ns(grace)) is fine
    counted = counts(seen(spans, [run(1, at)], updates), SPECS, (1,), ns(grace))
    assert counted.effects_before_commit == (not fine)


def test_a_read_may_start_at_any_time():
    assert counts(seen([EARLY], [run(1, 1.0, "look")]), SPECS, (1,)).effects_before_commit == 0


def test_effects_more_than_once():
    spans = [span(2.1, 2.5, (2.2, 1), (2.3, 2))]
    twice = [run(1, 2.5, to="a"), run(2, 2.5, to="a")]
    assert counts(seen(spans, twice), SPECS, (1,)).effects_repeated == 1
    often = {name: replace(spec, repeatable=True) for name, spec in SPECS.items()}
    assert counts(seen(spans, twice), often, (1, 2)).effects_repeated == 0
    # one call that started twice is a second effect even where equal ones are meant
    same = [run(1, 2.5, ended="lost"), run(1, 4.0, version=2)]
    assert counts(seen(spans, same), often, (1,)).effects_repeated == 1
    # a tool that says it did nothing did nothing
    assert (
        counts(seen(spans, [run(1, 2.5, ended="failed", to="a"), run(2, 4.0, to="a")]), SPECS, (2,)).effects_repeated
        == 0
    )


def test_waste():
    spans = [span(0, 1, (0.5, 1), saw_final=False, ended="cut", tokens=7), span(1, 2, tokens=3)]
    runs = [
        run(1, 0.5, "look", "cancelled"),
        run(1, 1.0, "look", version=2),
        run(2, 1.0, "look", x=1),
        run(3, 1.5, "look", x=1),
    ]
    notes = [
        Moved(4, CallState.BLOCKED, Input.HOLD),
        Moved(4, CallState.READY, Input.HOLD),
        Moved(5, CallState.BLOCKED, Input.HOLD),
        Note("identical_reissue", 2),
        Moved(1, CallState.RUNNING, Input.STALE),
    ]
    found = counts(seen(spans, runs, notes=notes), SPECS, (1,))
    assert (found.started_calls, found.wasted_calls, found.early_calls) == (4, 3, 4)
    assert (found.held_calls, found.repeated_actions) == (2, 2)
    assert (found.model_tokens, found.wasted_tokens, found.cuts, found.errors) == (10, 7, 1, 0)


def test_equal_effects_are_counted_by_meaning_within_a_turn():
    specs = SPECS | {
        "pay": ToolSpec("pay", (Param("to", {}), Param("amount", {}, False, "", 1))),
        "skip": ToolSpec("skip", repeatable=True),
    }
    spans = [span(2.1, 2.5, (2.2, 1), (2.3, 2))]
    twice = [run(1, 2.5, "pay", to="a"), run(2, 2.5, "pay", to="a ", amount=1.0)]
    assert counts(seen(spans, twice), specs, ()).effects_repeated == 1
    assert counts(seen(spans, [run(1, 2.5, "skip"), run(2, 2.5, "skip")]), specs, ()).effects_repeated == 0
    # the user asks for it again after an answer: another turn
    runs = [run(1, 2.5, "pay", to="a"), run(2, 9.0, "pay", to="a")]
    later = replace(seen(spans, runs, ((2.0, True), (6.9, False), (7.0, True))), emits=((ns(5), "ok"),))
    assert counts(later, specs, ()).effects_repeated == 0
    assert counts(replace(later, emits=()), specs, ()).effects_repeated == 1


def test_the_same_call_in_other_words_needs_no_new_commit_point():
    pay = ToolSpec("pay", (Param("to", {}), Param("amount", {}, False, "", 1)))
    final = span(2.1, 2.5)
    again = replace(
        span(2.6, 2.9, ended="cut"), lines=(Line(ns(2.8), 1, "pay of 1.0", order=CallLine(1, "pay", ("a", 1.0), {})),)
    )
    early = replace(
        span(0.5, 1.0, saw_final=False), lines=(Line(ns(0.9), 1, "pay", order=CallLine(1, "pay", ("a",), {})),)
    )
    assert committed(seen([early, final, again]), run(1, 3.0, "pay", to="a"), specs={"pay": pay})
    assert not committed(seen([early, final, again]), run(1, 3.0, "pay", to="a"))


@pytest.mark.parametrize(("useful", "wrong"), [((1,), 0), ((2,), 1)])
def test_effects_before_the_last_word_are_counted_whatever_the_endpoint_said(useful, wrong):
    """A false end at 2 s commits a write at 2.5 s; the user goes on until 3 s."""
    said = ((2.0, True), (3.2, False), (3.5, True))
    trace = seen([span(2.1, 2.5, (2.2, 1), (2.3, 2))], [run(1, 2.5), run(2, 3.6), run(3, 2.5, ended="failed")], said)
    found = counts(trace, SPECS, useful, speech_end_ns=ns(3.0))
    assert (found.effects_before_last_word, found.wrong_effects_before_last_word) == (1, wrong)
    assert counts(trace, SPECS, useful, speech_end_ns=ns(2.5)).effects_before_last_word == 0


@pytest.mark.parametrize(("useful", "wrong"), [((1, 2), 0), ((1,), 1), ((), 2)])
def test_effects_that_nobody_asked_for_are_counted_whenever_they_start(useful, wrong):
    """Both long after the last word; what failed did nothing."""
    trace = seen(
        [span(2.1, 2.5, (2.2, 1), (2.3, 2))], [run(1, 3.5), run(2, 3.6), run(3, 3.5, ended="failed")], ((2.0, True),)
    )
    found = counts(trace, SPECS, useful, speech_end_ns=ns(1.0))
    assert (found.effects, found.wrong_effects, found.effects_before_last_word) == (2, wrong, 0)


def test_a_line_is_a_commit_point_where_lines_run():
    spans = [span(2.1, 2.5, (2.2, 1), (2.3, 2, "of $1", frozenset({1})), ended="cut")]
    assert committed(seen(spans), run(1, 2.2), runs_lines=True) and not committed(seen(spans), run(1, 2.2))
    assert not committed(seen(spans), run(1, 2.1), runs_lines=True)
    unread = [replace(spans[0], saw_final=False)]
    assert not committed(seen(unread), run(1, 2.2), runs_lines=True)


def test_a_predicted_end_commits_nothing_before_the_final_update():
    spans, eager = [span(1.1, 1.5, (1.2, 1))], replace(seen([span(1.1, 1.5, (1.2, 1))]), eager=True)
    assert committed(eager, run(1, 2.0), runs_lines=True) and committed(eager, run(1, 2.6), runs_lines=True)
    assert not committed(eager, run(1, 1.9), runs_lines=True)
    assert not committed(seen(spans), run(1, 2.6), runs_lines=True)


LINES = Rules(by_lines=True)


def test_only_a_commit_line_or_an_answer_commits_where_lines_do():
    order = CallLine(1, "send", (), {})
    written = Line(ns(2.2), 1, "send", order=order)
    commits = Line(ns(2.4), 0, "COMMIT 1", order=CommitLine((1,)))
    bare = replace(span(2.1, 2.5), lines=(written,))
    assert not committed(seen([bare]), run(1, 3.0), specs=SPECS, rules=LINES)
    assert committed(seen([replace(bare, lines=(written, commits))]), run(1, 2.4), specs=SPECS, rules=LINES)
    # the end of a cut action is none, the line before it is one; a refused line is none
    assert committed(
        seen([replace(bare, ended="cut", lines=(written, commits))]), run(1, 2.4), specs=SPECS, rules=LINES
    )
    refused = replace(bare, ended="error", end_ns=ns(2.4), lines=(written, commits))
    assert not committed(seen([refused]), run(1, 2.4), specs=SPECS, rules=LINES)
    # what is refused after it leaves it standing
    assert committed(seen([replace(refused, end_ns=ns(2.5))]), run(1, 2.4), specs=SPECS, rules=LINES)
    # it is for what it names and what that needs
    other = replace(commits, order=CommitLine((2,)))
    assert not committed(seen([replace(bare, lines=(written, other))]), run(1, 2.6), specs=SPECS, rules=LINES)
    needs = Line(ns(2.3), 2, "look of $1", frozenset({1}))
    assert committed(seen([replace(bare, lines=(written, needs, other))]), run(1, 2.6), specs=SPECS, rules=LINES)
    answer = replace(span(2.6, 2.9), pieces=(Piece(ns(2.6), ns(2.9), "answer", "", 3),))
    assert committed(seen([bare, answer]), run(1, 2.9), specs=SPECS, rules=LINES)
    # an amendment after it is a change
    amended = Line(ns(2.45), 1, "1. to = 2", order=AmendLine(1, "to", 2, False))
    assert not committed(
        seen([replace(bare, lines=(written, commits, amended))]), run(1, 2.6), specs=SPECS, rules=LINES
    )


SILENT = Rules(by_lines=True, on_silence=True)
WRITTEN = Line(ns(0.4), 1, "send", order=CallLine(1, "send", (), {}))
COMMITS = Line(ns(1.2), 0, "COMMIT", order=CommitLine(()))
DRAFT = replace(span(0.2, 0.5, saw_final=False), lines=(WRITTEN,))
QUIET = replace(span(1.0, 1.4, saw_final=False), saw_silence=True, lines=(COMMITS,))


@pytest.mark.parametrize(
    ("spans", "updates", "at", "fine"),
    [
        ((DRAFT, QUIET), ((0.1, False),), 1.2, True),  # in mid-sentence, the action not finished
        ((DRAFT, QUIET), ((0.1, False),), 1.1, False),  # before the line was complete
        ((DRAFT, QUIET), ((0.1, False), (1.3, False)), 1.4, False),  # the user went on
        ((DRAFT, QUIET), ((0.1, False), (1.2, False)), 1.4, False),  # at that instant, but after it
        ((DRAFT, QUIET), ((0.1, False), (1.1, False)), 1.2, False),  # while the line was written: the silence was none
        ((DRAFT, QUIET), ((0.1, False), (1.3, True)), 1.4, True),  # the endpoint's word is no speech
        ((DRAFT, replace(QUIET, saw_silence=False)), ((0.1, False),), 1.2, False),
        ((DRAFT, replace(QUIET, lines=())), ((0.1, False),), 1.4, False),  # the end of an action is none
        ((replace(DRAFT, ended="cut"), replace(QUIET, ended="cut")), ((0.1, False),), 1.4, True),
    ],
)
def test_what_a_commit_line_on_a_silence_covers(spans, updates, at, fine):
    assert committed(seen(spans, (), updates), run(1, at), specs=SPECS, rules=SILENT) is fine
    assert not committed(seen(spans, (), updates), run(1, at), specs=SPECS, rules=LINES)
    found = counts(seen(spans, [run(1, at)], updates), SPECS, (1,), rules=SILENT, speech_end_ns=ns(2.0))
    assert (found.effects_before_commit, found.effects_before_last_word) == (not fine, 1)


def test_where_actions_commit_only_an_answer_does_on_a_silence():
    answer = replace(QUIET, lines=(), pieces=(Piece(ns(1.0), ns(1.4), "answer", "", 3),))
    rules, said = Rules(on_silence=True), ((0.1, False),)
    assert committed(seen([DRAFT, answer], (), said), run(1, 1.4), specs=SPECS, rules=rules)
    assert not committed(seen([DRAFT, answer], (), said), run(1, 1.4), specs=SPECS)
    # a call, a pause, or a line of a mode that runs its lines commits with the final update alone
    assert not committed(seen([DRAFT, QUIET], (), said), run(1, 1.4), specs=SPECS, rules=rules)
    own = replace(QUIET, lines=(Line(ns(1.2), 1, "send", order=CallLine(1, "send", (), {})),))
    assert not committed(seen([own], (), said), run(1, 1.2), specs=SPECS, rules=rules, runs_lines=True)
    ended = seen([replace(own, saw_final=True)], (), ((0.1, False), (0.9, True)))
    assert committed(ended, run(1, 1.2), specs=SPECS, rules=rules, runs_lines=True)


def test_where_lines_commit_a_call_line_is_no_commit_point_of_its_own():
    spans = [replace(span(2.1, 2.5), lines=(Line(ns(2.2), 1, "send", order=CallLine(1, "send", (), {})),))]
    assert committed(seen(spans), run(1, 2.2), specs=SPECS, runs_lines=True)
    assert not committed(seen(spans), run(1, 2.2), specs=SPECS, runs_lines=True, rules=LINES)
    assert not committed(seen(spans), run(1, 2.6), specs=SPECS, runs_lines=True, rules=LINES)


def test_a_predicted_end_commits_nothing_where_a_silence_does():
    line = Line(ns(1.2), 1, "send", order=CallLine(1, "send", (), {}))
    eager = replace(seen([replace(span(1.1, 1.5), lines=(line, replace(COMMITS, at_ns=ns(1.4))))]), eager=True)
    assert committed(eager, run(1, 2.0), specs=SPECS, rules=SILENT)
    assert not committed(eager, run(1, 1.9), specs=SPECS, rules=SILENT)


def test_speech_under_way_makes_the_end_of_an_action_no_commit_point():
    """It began after a false end at 2 s, the user went on at 2.3 s, and it ended after the second end at 2.4 s."""
    said = ((2.0, True), (2.3, False), (2.4, True))
    assert not committed(seen([EARLY, FINAL], (), said), run(1, 2.5))
    assert committed(seen([EARLY, FINAL, span(2.6, 2.9)], (), said), run(1, 2.9))


@pytest.mark.parametrize(
    ("at", "updates", "fine"),
    [
        (3.0, ((2.0, True),), True),  # committed at 2.9 s, in the grace that the point at 2.5 s began
        (2.95, ((2.0, True),), False),  # before that is over
        (
            3.2,
            ((2.0, True), (2.7, False), (2.75, True)),
            False,
        ),  # speech ended it, and this commit begins one of its own
        (3.4, ((2.0, True), (2.7, False), (2.75, True)), True),
    ],
)
def test_commit_points_within_one_grace_share_it(at, updates, fine):
    later = span(2.8, 2.9, (2.85, 1))
    assert committed(seen([FINAL, later], (), updates), run(1, at), ns(0.5)) is fine
    # one that comes when the grace is over begins another
    after = span(2.8, 3.1, (2.85, 1))
    assert not committed(seen([FINAL, after]), run(1, 3.2), ns(0.5)) and committed(
        seen([FINAL, after]), run(1, 3.6), ns(0.5)
    )


def test_the_end_that_confirms_a_prediction_begins_the_grace():
    eager = replace(seen([span(1.5, 2.3, (1.8, 1))]), eager=True)
    assert committed(eager, run(1, 2.5), ns(0.5)) and not committed(eager, run(1, 2.4), ns(0.5))
    assert not committed(replace(eager, eager=False), run(1, 2.5), ns(0.5))


SMS = {"sms": ToolSpec("sms", (Param("to", {}), Param("text", {})), "write")}
OPEN = Line(ns(2.2), 1, "1. sms", order=CallLine(1, "sms", ("Al",), {}))


def amended(at: float, value: str, append: bool = False) -> Line:
    return Line(ns(at), 1, f"text {value}", order=AmendLine(1, "text", value, append))


@pytest.mark.parametrize(
    ("lines", "more", "fine"),
    [
        ((OPEN, amended(2.3, "hi")), (), True),
        (
            (OPEN, amended(2.3, "hi")),
            (amended(2.7, "there", True),),
            False,
        ),  # more of a text after the commit is another call
        ((OPEN, amended(2.3, "hi")), (amended(2.7, "hi"),), True),  # the same value is none
        (
            (OPEN, amended(2.3, "hi")),
            (replace(OPEN, at_ns=ns(2.7)),),
            False,
        ),  # nor is it the same if it is written anew without one
    ],
)
def test_an_amendment_after_a_commit_needs_another(lines, more, fine):
    commits = replace(COMMITS, at_ns=ns(2.4))
    spans = [replace(span(2.1, 2.5), lines=(*lines, commits)), replace(span(2.6, 2.8), lines=more)]
    assert committed(seen(spans), run(1, 3.0, "sms"), specs=SMS, rules=LINES) is fine
    again = replace(span(2.85, 2.95), lines=(replace(COMMITS, at_ns=ns(2.9)),))
    assert committed(seen([*spans, again]), run(1, 3.0, "sms"), specs=SMS, rules=LINES)
    # one that is refused changes nothing, and what was committed stands
    late = replace(spans[1], ended="error", end_ns=ns(2.7))
    assert committed(seen([spans[0], late]), run(1, 3.0, "sms"), specs=SMS, rules=LINES)


def test_a_read_that_is_kept_is_started_once_and_is_of_use():
    """Three attempts ask for the same read; one tool runs, and its result is used."""
    from eval.measures.trace import trace
    from eval.measures.waste_and_safety import counts
    from midsentence.testing import TOOLS, answer, calls, play

    line = calls('1. look("Bob")')
    said = [(0.0, "call"), (2.5, "Bob"), (5.0, "now"), (9.0, ".")]
    rollout = play(said, [line, answer()] * 3, mode="verified").rollout
    specs = {spec.name: spec for spec in TOOLS}
    found = counts(trace(rollout.history, rollout.drafted.kept), specs, {1})
    assert (found.started_calls, found.wasted_calls, found.early_calls, found.repeated_actions) == (1, 0, 1, 0)
    assert counts(trace(rollout.history), specs, {1}).started_calls == 3

"""Latency, its parts and success by deadline: exact times from scenario rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from eval.measures.latency import AREA_S, PARTS, latency, partition, success_area, success_by, success_curve
from eval.measures.trace import Piece, Run, Span, Trace
from midsentence.clock import NS_PER_S, ns
from midsentence.core.events import UserUpdate


def span(start: float, end: float, *parts: tuple[str, float, int], ended: str = "action") -> Span:
    """A span in seconds; parts are ``(part, end, tokens)``."""
    pieces, at = [], start
    for part, until, tokens in parts:
        pieces.append(Piece(ns(at), ns(until), part, "", tokens))
        at = until
    return Span(ns(start), ns(end), tuple(pieces), True, ended, ())


def seen(**rows) -> Trace:
    empty = dict.fromkeys(("updates", "spans", "appends", "runs", "stays", "emits", "notes"), ()) | {"end_ns": ns(100)}
    return Trace(**empty | rows)


TRACE = seen(
    updates=(UserUpdate(ns(1), "go"), UserUpdate(ns(2.5), "", True)),
    appends=((ns(2.5), ns(2.6)),),
    spans=(span(1.2, 1.8, ("tool_call", 1.8, 6)), span(2.6, 3.6, ("think", 3.0, 4), ("answer", 3.6, 6))),
    runs=(Run(1, 1, "a", {}, ns(1.8), ns(4.0), "done"), Run(2, 1, "b", {}, ns(4.5), ns(5.0), "done")),
    emits=((ns(5.0), "Done."),),
)


def test_every_part_of_a_response():
    found = latency(TRACE, True, ns(2), ns(30))
    assert (found.total_ns, found.first_token_ns) == (ns(3), ns(1.1))
    assert found.parts_ns == {
        "listening": ns(0.5),
        "thinking": ns(0.5),
        "answering": ns(0.6),
        "waiting_for_tool": ns(0.9),
        "waiting_for_commit": ns(0.5),
        "given_up": 0,
    }


def test_an_episode_without_an_answer_carries_the_cap_however_fast_it_failed():
    found = latency(seen(updates=TRACE.updates, end_ns=ns(2.7)), False, ns(2), ns(30))
    assert (found.total_ns, found.first_token_ns, found.answered) == (ns(30), None, False)
    assert found.parts_ns["given_up"] == ns(29.3) and sum(found.parts_ns.values()) == ns(30)


def test_no_latency_exceeds_the_cap():
    assert latency(TRACE, True, ns(2), ns(2)).total_ns == ns(2)


def test_an_answer_before_the_last_word_ends_has_a_negative_latency_that_adds_up():
    found = latency(TRACE, True, ns(6), ns(30))
    assert found.total_ns == ns(-1) == sum(found.parts_ns.values())


def test_an_answer_that_was_discarded_is_thinking():
    discarded = span(2.7, 3.0, ("answer", 3.0, 3))
    shown = seen(updates=TRACE.updates, spans=(discarded, span(4, 5, ("answer", 5, 10))), emits=((ns(5), "x"),))
    parts = partition(shown, ns(2), ns(5))
    assert (parts["answering"], parts["thinking"]) == (ns(1), ns(0.3))


@budget(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_parts_add_up_whatever_the_log_says(pairs, final, start, end):
    intervals = [(min(a, b), max(a, b)) for a, b in pairs]
    made = seen(
        updates=(UserUpdate(final, "", True),),
        appends=tuple(intervals[:2]),
        runs=tuple(Run(1, 1, "a", {}, a, b, "done") for a, b in intervals[2:4]),
        spans=tuple(Span(a, b, (Piece(a, b, "answer", "", 1),), True, "action", ()) for a, b in intervals[4:]),
        emits=((end, "x"),),
    )
    parts = partition(made, start, end)
    assert sum(parts.values()) == end - start
    assert set(parts) == set(PARTS) and (end < start or min(parts.values()) >= 0)


def test_success_by_deadline_counts_the_right_ones_in_time():
    rights, lates = [True, True, False, True], [0.5, 2.0, 0.1, 9.0]
    assert [success_by(rights, lates, at) for at in (0.4, 0.5, 2, 10)] == [0, 0.25, 0.5, 0.75]
    assert success_area(rights, lates) == pytest.approx((AREA_S - 0.5 + AREA_S - 2) / AREA_S / 4)
    curve = success_curve(rights, lates, 0.01)
    assert curve[0] == (0.0, 0.0) and curve[-1] == (AREA_S, 0.5)
    # the area is that under the curve
    assert sum(value for _, value in curve) * 0.01 / AREA_S == pytest.approx(success_area(rights, lates), abs=0.01)


def test_failing_fast_gains_nothing():
    assert success_area([False, True], [0.0, 1.0]) == success_area([False, True], [29.0, 1.0])
    assert NS_PER_S == 10**9

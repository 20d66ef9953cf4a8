"""The arithmetic of virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midsentence.clock import NS_PER_S, Profile, ns, seconds
from midsentence.core.events import (
    PRIORITY,
    Appended,
    Close,
    ModelEnded,
    ModelOutput,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.testing import PAUSE, ROUND, answer, calls, play

rates = st.integers(1, 10_000)
times = st.integers(0, 10**12)


def device(decode: int, prefill: int = 100, restart_ns: int = 0) -> Profile:
    return Profile("made up", decode, prefill, restart_ns)


@given(rates, times, st.integers(0, 10**6))
def test_the_tokens_that_have_ended_when_token_n_ends_are_n(rate, start_ns, n):
    profile = device(rate)
    assert profile.tokens_by(start_ns, profile.token_end_ns(start_ns, n)) == n


@given(rates, times, st.integers(0, 10**12))
def test_the_tokens_that_fit_are_the_most_that_have_ended(rate, start_ns, later_ns):
    profile, at_ns = device(rate), start_ns + later_ns
    n = profile.tokens_by(start_ns, at_ns)
    assert profile.token_end_ns(start_ns, n) <= at_ns < profile.token_end_ns(start_ns, n + 1)


@given(rates, times, st.integers(1, 10**6))
def test_no_token_ends_a_nanosecond_before_its_end(rate, start_ns, n):
    profile = device(rate)
    assert profile.tokens_by(start_ns, profile.token_end_ns(start_ns, n) - 1) == n - 1


def test_nothing_has_been_written_before_the_start():
    assert ROUND.tokens_by(ns(1), ns(0.5)) == 0
    assert ROUND.tokens_by(ns(1), ns(1)) == 0


def test_a_rate_that_does_not_divide_a_second_is_rounded_down_and_never_drifts():
    profile = device(3)
    assert [profile.token_end_ns(0, n) for n in (1, 2, 3)] == [333_333_333, 666_666_666, 1_000_000_000]
    assert profile.token_end_ns(0, 3_000_000) == 1_000_000 * NS_PER_S


@pytest.mark.parametrize(("tokens", "cost_s"), [(0, 0), (1, 0.15), (10, 0.15), (11, 0.16), (30, 0.35)])
def test_an_append_costs_a_restart_and_at_least_one_step(tokens, cost_s):
    assert device(10, 100, ns(0.05)).append_ns(tokens) == ns(cost_s)


def test_seconds_and_nanoseconds():
    assert (ns(0.1), ns(1e-9), seconds(1_500_000_000)) == (100_000_000, 1, 1.5)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ((0, 100, 0), "profile 'made up': decode_tokens_per_s is 0; it must be a whole number of at least 1"),
        ((10, 2.5, 0), "profile 'made up': prefill_tokens_per_s is 2.5; it must be a whole number of at least 1"),
        ((10, 100, -1), "profile 'made up': restart_ns is -1; it must not be negative"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(fields, error):
    with pytest.raises(ValueError) as caught:
        Profile("made up", *fields)
    assert str(caught.value) == error


def test_the_order_of_events_at_equal_times():
    order = [ModelOutput, ModelEnded, Appended, ToolResult, ToolError, UserUpdate, Timer, Close]
    assert sorted(order, key=PRIORITY.__getitem__) == order
    assert [PRIORITY[kind] for kind in order] == [0, 0, 0, 1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("at_s", "written"),
    [
        (0.1, ""),
        (0.19, ""),
        (0.2, "<think>"),
        (0.29, "<think>"),
        (0.3, "<think>one"),
        (0.45, "<think>one two"),
        (0.5, "<think>one two three"),
    ],
)
def test_a_cut_keeps_exactly_the_tokens_that_fit(at_s, written):
    """The append of "x" ends at 0.1; from then on a token ends every 0.1 s, one that ends with the update included."""
    model = [calls('1. look("a")', think="one two three"), PAUSE]
    played = play(user=[(0.0, "x"), (at_s, "y")], model=model, interrupt="token", all_used=False)
    if at_s == 0.1:  # the update comes as the append ends, after it: the model has begun, and written nothing
        assert played.rows("model")[0] == (0.1, "model", " ✂")
    segments = [s for s in played.rollout.state.transcript if s.at_ns <= ns(at_s) and s.kind == "model"]
    assert "".join(segment.text for segment in segments).rstrip() == written
    assert played.rows("model")[0][2].removesuffix(" ✂") == written


def test_the_answer_of_one_word_takes_three_tokens():
    assert play(user=[(0.0, "x.")], model=[answer()]).rows("say") == [(0.4, "say", "done")]

"""When nobody speaks: the steps in which it is told, the recogniser's lag, and the endpoint's word."""

from __future__ import annotations

from midsentence.clock import ns
from midsentence.core.events import UserUpdate
from midsentence.core.silence import silences


def told(words, updates, steps=(0.3, 0.6, 1.2)) -> list[tuple[float, float]]:
    heard = [UserUpdate(ns(at), text, final) for at, text, final in updates]
    found = silences([(ns(a), ns(b)) for a, b in words], heard, [ns(step) for step in steps])
    return [(s.at_ns / 1e9, s.silent_ns / 1e9) for s in found]


def test_silence_is_told_in_steps_until_the_next_word_or_the_endpoint():
    words = [(0.0, 0.4), (1.5, 2.0)]
    updates = [(0.5, "one", False), (2.1, "two", False), (2.9, "", True)]
    assert told(words, updates) == [(0.7, 0.3), (1.0, 0.6), (2.3, 0.3), (2.6, 0.6)]


def test_nothing_is_told_before_the_word_itself_has_come():
    assert told([(0.0, 0.4)], [(0.9, "one", False), (3.0, "", True)]) == [(1.0, 0.6), (1.6, 1.2)]


def test_speech_without_a_pause_has_no_silence():
    assert (
        told([(0.0, 0.4), (0.5, 0.9), (0.95, 1.2)], [(0.48, "one", False), (0.96, "two", False), (1.25, "three", True)])
        == []
    )


def test_a_false_end_of_speech_ends_the_silence_that_it_ends():
    updates = [(0.5, "one", False), (0.8, "", True), (2.5, "two", True)]
    assert told([(0.0, 0.4), (2.0, 2.4)], updates) == [(0.7, 0.3)]


def test_nobody_spoke():
    assert told([], []) == []

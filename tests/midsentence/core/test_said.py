"""What the user said, and the proof that a value is nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midsentence.core.said import only_said, words_said
from midsentence.core.transcript import Segment, update_text
from midsentence.core.values import Ref

SAID = ("ask", "Bob", "Ray,", "about", "2", "cars")


def test_words_of_all_turns_without_those_taken_back():
    segments = [
        Segment("partial_query_update", "ask Rob", 0),
        Segment("model", "<pause> not", 1, (1,)),
        Segment("tool_result", "1: not", 2),
        Segment("final_query_update", update_text("Bob now", 1), 3),
        Segment("partial_query_update", "Zoe\u0308", 4),
    ]
    assert words_said(segments) == ("ask", "Bob", "now", "Zo\u00eb")


@pytest.mark.parametrize(
    "value",
    [
        "Bob",
        "bob ray",
        "Bob Ray",
        "Bob Ray, about",
        "About 2 cars",
        2,
        "2",
        "",
        None,
        ["ask", "Ray", "cars"],
        ["Bob Ray", 2],
        [],
    ],
)
def test_the_users_own(value):
    assert only_said({"x": value}, SAID)


@pytest.mark.parametrize(
    "value",
    [
        "bOb",
        "Bob about",
        "Bob  Ray",
        "Bob Ray!",
        "Rob",
        "o",
        "Bob Ray, about 2 cars more",
        "Ask bob ray",
        3,
        2.5,
        True,
        {},
        Ref(1),
        ["Ray", "ask"],
        ["Bob", "Bob"],
        [None, "", "", None],
        [[], [[]]],
        [["Bob"], "Ray,"],
        ["Bob", ""],
    ],
)
def test_not_the_users_own(value):
    assert not only_said({"x": value}, SAID)
    assert not only_said({"y": "Bob", "x": value}, SAID)


WORDS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=4), max_size=6)


@given(said=WORDS, value=st.text(max_size=12) | WORDS.map(" ".join))
def test_whatever_passes_is_a_run_of_what_was_said_but_for_case_and_punctuation(said, value):
    if only_said({"x": value}, said) and value:
        around = ".,;:!?\"'()\u2026\u201c\u201d"
        bare = [word.casefold().strip(around) for word in said]
        mine = [word.casefold().strip(around) for word in value.split(" ")]
        runs = [bare[n : n + len(mine)] for n in range(len(bare))]
        assert mine in runs or [w.casefold() for w in map(str.upper, mine)] in [
            [w.casefold() for w in map(str.upper, run)] for run in runs
        ]

"""Dates and times as said: which words say a moment."""

from __future__ import annotations

import pytest

from data_gen.gold import read_calls
from data_gen.grounding import arguments
from data_gen.grounding.moments import moment_mentions
from data_gen.task import Evidence, GoldArg
from data_gen.tasks.own_tools import tools_of

NOW = "2025-10-17 08:33:00"
"""A Friday."""
SPECS = {spec.name: spec for spec in tools_of("assistant").specs}


def ground(words, calls, tools, now=None):
    return arguments.ground(words, read_calls(calls, tools), tools, now)


@pytest.mark.parametrize(
    ("said", "value", "words"),
    [
        ("remind me on Monday at ten in the morning to go", "2025-10-20 10:00:00", "Monday at ten in the morning"),
        (
            "tomorrow at half past seven in the evening",
            "2025-10-18 19:30:00",
            "tomorrow at half past seven in the evening",
        ),
        (
            "the twenty second at quarter to five this afternoon",
            "2025-10-22 16:45:00",
            "twenty second at quarter to five this afternoon",
        ),
        (
            "the third of June, quarter past four in the afternoon",
            "2026-06-03 16:15:00",
            "third of June, quarter past four in the afternoon",
        ),
        ("at noon today to ring", "2025-10-17 12:00:00", "noon today"),
        ("in forty minutes to turn it off", "2025-10-17 09:13:00", "in forty minutes"),
        ("at two thirty pm please", "2025-10-17 14:30:00", "two thirty pm"),
        ("on the first of December", "2025-12-01", "first of December"),
        ("on Friday at five in the afternoon", "2025-10-24 17:00:00", "Friday at five in the afternoon"),
    ],
)
def test_words_say_a_moment(said, value, words):
    best = min(moment_mentions(said.split(), value, NOW), key=lambda mention: mention.cost)
    assert " ".join(said.split()[best.start : best.end]).rstrip(",") == words


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("on Monday at ten in the morning", "2025-10-20 22:00:00"),
        ("on Monday at ten", "2025-10-21 10:00:00"),
        ("leaving in five", "2025-10-20 10:00:00"),
        ("tomorrow", "not a date"),
    ],
)
def test_words_do_not_say_another(said, value):
    assert moment_mentions(said.split(), value, NOW) == []


def test_a_choice_is_said_by_its_description_or_another_name():
    for said in ("by train", "by public transport", "by subway"):
        words = f"directions from Bath to York {said} please".split()
        (call,) = ground(
            words,
            [("maps_show_directions", {"start_location": ["Bath"], "end_location": ["York"], "transport": ["r"]})],
            SPECS,
        )
        assert call.arg_evidence["transport"].end == len(words) - 1


def test_nothing_is_a_value_of_a_required_parameter_until_something_is_said():
    (call,) = ground(
        "show me directions to the opera house".split(),
        [("maps_show_directions", {"start_location": [""], "end_location": ["opera house", "the opera house"]})],
        SPECS,
    )
    assert call.args["start_location"] == GoldArg(("",)) and "start_location" not in call.arg_evidence
    assert call.arg_evidence["end_location"] in (Evidence(4, 7), Evidence(5, 7))
    assert set(call.args["end_location"].values) == {"opera house", "the opera house"}


def test_a_length_of_time_is_said_in_words():
    words = "a zoom about rent with me for half an hour tomorrow at nine in the morning".split()
    (call,) = ground(
        words,
        [
            (
                "get_zoom_meeting_link",
                {
                    "topic": ["rent"],
                    "start_time": ["2025-10-18 09:00:00"],
                    "duration": [30],
                    "meeting_invitees": [["me"]],
                },
            )
        ],
        SPECS,
        NOW,
    )
    assert words[slice(call.arg_evidence["duration"].start, call.arg_evidence["duration"].end)] == [
        "half",
        "an",
        "hour",
    ]

"""Times as people say them: what each phrase means on a Wednesday morning, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midsentence.core import reducer
from midsentence.core.events import Appended, ModelOutput, UserUpdate
from midsentence.core.modes import settings
from midsentence.tools import times
from midsentence.tools.assistant import AssistantToolbox, assistant_specs
from midsentence.tools.tool import ToolFailure
from midsentence.tools.world import Person, WorldData

NOW = datetime(2026, 11, 25, 10, 37)
"""A Wednesday."""
SAID = "2026-11-25 10:37:00"


@pytest.mark.parametrize(
    ("phrase", "means"),
    [
        ("tomorrow at noon", "2026-11-26 12:00"),
        ("the day after tomorrow at quarter to six", "2026-11-27 17:45"),
        ("in nine days at five pm", "2026-12-04 17:00"),
        ("this coming Friday at half past nine", "2026-11-27 09:30"),
        ("Friday at nine", "2026-11-27 09:00"),
        ("Friday, at 3", "2026-11-27 15:00"),
        ("Friday night at ten", "2026-11-27 22:00"),
        ("on Wednesday at noon", "2026-12-02 12:00"),
        ("next Monday at 14:30", "2026-11-30 14:30"),
        ("next Friday at eleven", "2026-12-04 11:00"),
        ("a week from Friday at noon", "2026-12-04 12:00"),
        ("in two weeks at nine thirty", "2026-12-09 09:30"),
        ("Thursday 2:30 p.m.", "2026-11-26 14:30"),
        ("9am tomorrow", "2026-11-26 09:00"),
        ("ten past eight tomorrow morning", "2026-11-26 08:10"),
        ("Friday half four", "2026-11-27 16:30"),
        ("at half nine am tomorrow", "2026-11-26 09:30"),
        ("twenty-five to seven in the evening on the thirtieth", "2026-11-30 18:35"),
        ("nine oh five on Thursday", "2026-11-26 09:05"),
        ("thirteen thirty on Friday", "2026-11-27 13:30"),
        ("Veterans Day at eleven", "2027-11-11 11:00"),
        ("Thanksgiving at one", "2026-11-26 13:00"),
        ("at eight o'clock on Christmas Eve", "2026-12-24 08:00"),
        ("on Martin Luther King Jr. Day at ten", "2027-01-18 10:00"),
        ("the twenty-second at half past seven in the evening", "2026-12-22 19:30"),
        ("the third of December, quarter past four in the afternoon", "2026-12-03 16:15"),
        ("Dec. 3 at 5 p.m.", "2026-12-03 17:00"),
        ("3rd of January at noon", "2027-01-03 12:00"),
        ("5 January 2028 at 9", "2028-01-05 09:00"),
        ("the twenty-ninth of February at noon", "2028-02-29 12:00"),
        ("the fifteenth of this month at eight", "2026-11-15 08:00"),
        ("at noon", "2026-11-25 12:00"),
        ("at nine", "2026-11-25 21:00"),
        ("nine in the morning", "2026-11-26 09:00"),
        ("eight tonight", "2026-11-25 20:00"),
        ("four this afternoon", "2026-11-25 16:00"),
        ("today at three", "2026-11-25 15:00"),
        ("in forty minutes", "2026-11-25 11:17"),
        ("in half an hour", "2026-11-25 11:07"),
        ("in an hour and a half", "2026-11-25 12:07"),
        ("in two hours and twenty minutes", "2026-11-25 12:57"),
        ("two hours from now", "2026-11-25 12:37"),
    ],
)
def test_a_moment(phrase, means):
    assert times.moment(phrase, NOW) == datetime.fromisoformat(means)
    assert times.moment(phrase.upper(), NOW) == times.moment(f"  {phrase} ", NOW) == datetime.fromisoformat(means)


@pytest.mark.parametrize(
    ("phrase", "why"),
    [
        ("tomorrow", "it says a day and no time"),
        ("", "it says nothing"),
        ("at", "it says nothing"),
        ("whenever it suits", "'whenever it suits' says no time"),
        ("Friday at nine or so", "'or so' says no time"),
        ("on Friday Monday at five", "it says two days"),
        ("at five at six tomorrow", "it says two times"),
        ("at nine in the morning in the evening", "it says two halves of the day"),
        ("in an hour at five", "it says a span and a time"),
        ("tomorrow at midnight", "'midnight' says no time"),
        ("half past thirteen", "there is no such time"),
        ("half thirteen", "there is no such time"),
        ("tomorrow at 25", "there is no such time"),
        ("14:30 in the morning", "its hour is in the other half of the day"),
        ("the thirty-first of February at noon", "there is no such day"),
        ("in half a day at five", "it says a part of a day"),
        ("this morning", "it says a day and no time"),
        ("in the morning", "it says a part of the day and no time"),
        ("in 99999 weeks at noon", "'in 99999 weeks at noon' says no time"),
        ("3/4 at noon", "'3/4 at noon' says no time"),
    ],
)
def test_what_says_no_moment_is_refused_with_the_reason(phrase, why):
    with pytest.raises(times.Unclear) as refused:
        times.moment(phrase, NOW)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("phrase", "minutes"),
    [
        ("an hour", 60),
        ("half an hour", 30),
        ("for an hour and a half", 90),
        ("forty-five minutes", 45),
        ("two hours", 120),
        ("two and a half hours", 150),
        ("an hour and twenty minutes", 80),
        ("three quarters of an hour", 45),
        ("90", 90),
        ("one minute", 1),
    ],
)
def test_a_length(phrase, minutes):
    assert times.minutes(phrase) == minutes


WORDS = "on at the of in a half past quarter to and nine 9 45 30 am pm Friday next tomorrow third twenty December week hours from".split()


@given(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), st.text())
def test_whatever_is_said_is_a_moment_or_refused(near, far):
    for phrase in (near, far):
        for read in (
            lambda said: times.moment(said, NOW),
            lambda said: times.day(said, NOW),
            times.minutes,
            times.priority,
        ):
            try:
                read(phrase)
            except (times.Unclear, OverflowError):
                pass


def test_it_is_quick_to_import_and_brings_holidays_only_when_one_is_said():
    code = "import sys, midsentence.tools.times; sys.exit('holidays' in sys.modules or 'dateutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- in the assistant's world
# ----------------------------------------------------------------------------------------------

DATA = WorldData(people=(Person("Ada Byron", email="ada@example.com"),))


@pytest.mark.parametrize(
    ("phrase", "means"),
    [
        ("for twenty minutes", "2026-11-27 14:50"),
        ("an hour and a half", "2026-11-27 16:00"),
        ("till four", "2026-11-27 16:00"),
        ("until half four", "2026-11-27 16:30"),
        ("at two", "2026-11-28 02:00"),
        ("noon on Saturday", "2026-11-28 12:00"),
        ("Friday at five", "2026-11-27 17:00"),
        ("in three days at nine am", "2026-11-28 09:00"),
    ],
)
def test_an_end_counts_from_its_start(phrase, means):
    assert times.ending(phrase, datetime(2026, 11, 27, 14, 30), NOW) == datetime.fromisoformat(means)


def test_what_ends_on_no_moment_is_refused():
    for phrase in ("on Saturday", "some time", "till"):
        with pytest.raises(times.Unclear):
            times.ending(phrase, NOW, NOW)


EVENT = {"title": "Sync", "start_date": "Friday at half past nine"}


def done(name, args, now=SAID):
    box = AssistantToolbox(DATA, "t", now=now)
    box.run(name, args)
    return box


@pytest.mark.parametrize(
    ("name", "said", "canonical"),
    [
        (
            "create_calendar_event",
            {"title": "Sync", "start_date": "Friday at nine", "end_date": "at half past ten on Friday"},
            {"title": "Sync", "start_date": "2026-11-27 09:00:00", "end_date": "2026-11-27 10:30:00"},
        ),
        (
            "create_calendar_event",
            {"title": "Sync", "start_date": "Friday at nine", "end_date": "till half ten"},
            {"title": "Sync", "start_date": "2026-11-27 09:00:00", "end_date": "2026-11-27 10:30:00"},
        ),
        (
            "create_calendar_event",
            {"title": "Sync", "start_date": "Friday at nine", "end_date": "for forty minutes"},
            {"title": "Sync", "start_date": "2026-11-27 09:00:00", "end_date": "2026-11-27 09:40:00"},
        ),
        (
            "create_reminder",
            {"name": "x", "due_date": "in forty minutes", "priority": "high"},
            {"name": "x", "due_date": "2026-11-25 11:17:00", "priority": 1},
        ),
        (
            "create_reminder",
            {"name": "x", "due_date": "this coming Friday", "all_day": True},
            {"name": "x", "due_date": "2026-11-27", "all_day": True},
        ),
        (
            "get_zoom_meeting_link",
            {"topic": "x", "start_time": "tomorrow at noon", "duration": "an hour and a half", "meeting_invitees": []},
            {"topic": "x", "start_time": "2026-11-26 12:00:00", "duration": 90, "meeting_invitees": []},
        ),
    ],
)
def test_words_and_numbers_do_the_same_at_the_same_time(name, said, canonical):
    one, other = done(name, said), done(name, canonical)
    assert one.state() == other.state() and one.effects == other.effects
    assert one.latency_ns(name, said) == other.latency_ns(name, canonical)
    assert one.canonical(name, said) == other.canonical(name, canonical)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            EVENT | {"start_date": "soon"},
            "start_date: \"soon\" can't be read: 'soon' says no time; give the day and the time as the user would say, as in "
            '"Friday at half past nine am", or as YYYY-MM-DD HH:MM:SS',
        ),
        (EVENT | {"start_date": "tomorrow"}, 'start_date: "tomorrow" can\'t be read: it says a day and no time; give'),
        (EVENT | {"start_date": "5 January 2199 at noon", "end_date": "in 9999 weeks at noon"}, "end_date: "),
    ],
)
def test_what_cant_be_read_is_refused_with_both_forms(args, says):
    with pytest.raises(ToolFailure) as refused:
        done("create_calendar_event", args)
    assert says in str(refused.value)


def test_without_a_now_only_what_is_written_out_is_taken():
    with pytest.raises(ToolFailure, match="is not a date of the form YYYY-MM-DD HH:MM:SS"):
        done("create_calendar_event", EVENT, None)


def test_the_same_moment_said_otherwise_is_the_same_effect_to_the_core():
    tools = {spec.name: spec for spec in assistant_specs(now=SAID)}
    lines = [
        '1. create_calendar_event("Sync", "Friday at nine")',
        '2. create_calendar_event("Sync", "2026-11-27 09:00:00")',
    ]
    state = reducer.start(settings("speculative"), tools)
    written = "<tool_call>\n" + "\n".join(lines) + "\n</tool_call>"
    for event in (UserUpdate(1, "go", True), Appended(2, 5), ModelOutput(3, 1, written, (1,))):
        state, _ = reducer.step(state, event)
    assert state.graph.highest == 1
    assert "call 2 repeats call 1" in str([segment.text for segment in state.transcript])

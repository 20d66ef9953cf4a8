"""Clinic: the diary answers and refuses, what was ordered is kept, and every request is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.tasks.corpus import is_held_out
from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import Toolbox, ToolFailure
from tests.data_gen.corpus.domains import refuses

FOLDER = Path(__file__).resolve().parents[3] / "data_gen/corpus/clinic"
TOOLS, REQUESTS = str(FOLDER / "tools.py"), str(FOLDER / "test.jsonl")


@pytest.fixture
def box() -> Toolbox:
    tools = tools_of(TOOLS)
    assert tools is not None
    return tools.toolbox("a-task", [])


def test_an_appointment_is_found_booked_moved_and_cancelled(box: Toolbox) -> None:
    doctor = box.run("find_doctor", {"specialty": "eyes"})
    slot = box.run("free_appointment", {"doctor": doctor, "day": "Friday", "part": "afternoon"})
    assert str(slot).startswith("Dr Lindholm 2026-03-06 1")
    code = box.run("book_appointment", {"slot": slot, "reason": "a floater", "patient": "Mum"})
    with pytest.raises(ToolFailure, match="is not free on Friday at"):
        box.run("book_appointment", {"slot": slot, "reason": "a floater"})
    assert box.run("look_up_appointment", {"doctor": "Lindholm", "patient": "mother"}) == code
    box.run("move_appointment", {"appointment": code, "day": "next Wednesday", "time": "half past three"})
    assert f"{box.state_object.appointments[code]['at']:%a %d %H:%M}" == "Wed 11 15:30"
    box.run("cancel_appointment", {"appointment": code})
    assert code not in box.state_object.appointments


def test_a_medicine_is_ordered_once_and_the_order_can_be_changed(box: Toolbox) -> None:
    order = {"prescription": box.run("find_prescription", {"medicine": "Ramipril"}), "pharmacy": "the Station Chemist"}
    assert box.run("repeat_prescription", order) == "ready at Station Chemist in two days"
    with pytest.raises(ToolFailure, match="is ordered already, for Station Chemist"):
        box.run("repeat_prescription", order)
    box.run("repeat_prescription", order | {"months": 3})
    assert list(box.state_object.orders.values()) == [{"pharmacy": "Station Chemist", "months": 3}]


def test_a_referral_can_be_followed(box: Toolbox) -> None:
    box.run(
        "request_referral", {"specialty": "diabetes", "reason": "high sugar", "hospital": "Queen's", "urgent": True}
    )
    assert box.run("referral_status", {"specialty": "diabetes"}) == "with Queen's, two weeks to wait"


def test_one_medicine_is_told_what_it_clashes_with_and_several_whether_they_do(box: Toolbox) -> None:
    assert box.run("check_interaction", {"medicines": ["Warfarin", "aspirin"]}) == "not together: warfarin and aspirin"
    assert box.run("check_interaction", {"medicines": ["ramipril"]}) == "not together: ramipril and ibuprofen"
    assert box.run("check_interaction", {"medicines": ["cetirizine", "omeprazole"]}) == "no known interaction"


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("find_doctor", {"specialty": "heart", "language": "Dutch"}, "nobody for heart speaks Dutch"),
        ("free_appointment", {"doctor": "Lindholme"}, 'no doctor "Lindholme" here; did the user mean "Lindholm"'),
        ("free_appointment", {"doctor": "Brandt", "day": "Tuesday"}, "Dr Brandt is in on Monday, Wednesday, Friday"),
        ("free_appointment", {"doctor": "Nadkarni", "kind": "video"}, "sees patients in person only"),
        ("free_appointment", {"day": "July 20th"}, "which is open for 60 days"),
        ("book_appointment", {"slot": "the early one", "reason": "cough"}, "get one from free_appointment"),
        ("look_up_appointment", {"patient": "Elsy"}, 'did the user mean "Elsie"'),
        (
            "look_up_appointment",
            {"doctor": "Rahimi", "patient": "Wilf"},
            "Wilf has no appointment with Dr Rahimi; there is one with",
        ),
        ("move_appointment", {"appointment": "A1"}, "look it up with look_up_appointment"),
        ("cancel_appointment", {"appointment": "A1"}, "look it up with look_up_appointment"),
        ("find_prescription", {"medicine": "rampiril"}, 'did the user mean "ramipril"'),
        ("repeat_prescription", {"prescription": "P1"}, "get its number from find_prescription"),
        ("check_interaction", {"medicines": ["codein"]}, 'did the user mean "codeine"'),
        ("check_interaction", {"medicines": []}, "name one or more"),
        ("referral_status", {"specialty": "diabetes"}, "ask for one with request_referral"),
        (
            "request_referral",
            {"specialty": "heart", "reason": "pain", "hospital": "Eastgate"},
            'no hospital "Eastgate" takes referrals',
        ),
        ("set_reminder", {"about": "fast", "time": "tomorrow"}, "it says a day and no time"),
        ("message_practice", {"text": " "}, "ask what to write"),
        ("update_details", {"details": {"shoe": "42"}}, 'no field "shoe" on file'),
    ],
)
def test_a_refusal_gives_its_reason_and_changes_nothing(
    box: Toolbox, name: str, args: dict[str, object], why: str
) -> None:
    refuses(box, name, args, why)


def test_every_request_is_taken_and_none_is_for_training() -> None:
    loaded = load(REQUESTS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 60
    assert {task.split for task in loaded.tasks} == {"test"}
    assert is_held_out("clinic")
    assert all(task.reading is not None and 6 <= len(task.words) <= 45 for task in loaded.tasks)
    assert {call.name for task in loaded.tasks for call in task.gold} == {tool.name for tool in loaded.tasks[0].tools}

"""Travel: the timetable answers and refuses, reservations change, and every request is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import Toolbox, ToolFailure
from tests.data_gen.corpus.domains import refuses

FOLDER = Path(__file__).resolve().parents[3] / "data_gen/corpus/travel"
TOOLS, REQUESTS = str(FOLDER / "tools.py"), str(FOLDER / "train.jsonl")


@pytest.fixture
def box() -> Toolbox:
    tools = tools_of(TOOLS)
    assert tools is not None
    return tools.toolbox("a-task", [])


def test_a_flight_is_found_booked_changed_checked_in_and_then_kept(box: Toolbox) -> None:
    trip = box.run("find_flight", {"destination": "Lisbon", "day": "Friday", "leave_after": "noon"})
    assert str(trip).startswith("flight Manchester to Lisbon 2026-06-12 1")
    one, two = (box.run("get_price", {"trip": trip, "passengers": count}) for count in (1, 2))
    assert int(str(two).split()[0]) == 2 * int(str(one).split()[0])
    code = box.run("book_trip", {"trip": trip, "passengers": ["Ana Ruiz"], "extras": {"bags": 1}})
    assert box.run("find_reservation", {"name": "Ruiz", "kind": "flight"}) == code
    box.run("change_reservation", {"reservation": code, "day": "Saturday", "seat": "window"})
    changed = box.state_object.reservations[code]
    assert (f"{changed['at']:%A}", changed["seat"], changed["bags"]) == ("Saturday", "window", 1)
    assert str(box.run("check_in", {"reservation": code})).startswith("boarding group")
    with pytest.raises(ToolFailure, match="it can't be cancelled any more"):
        box.run("cancel_reservation", {"reservation": code})


def test_a_room_is_found_booked_and_cancelled(box: Toolbox) -> None:
    hotel = box.run("find_hotel", {"city": "Porto", "stars": 5, "features": ["spa"]})
    assert hotel == "Grand Porto"
    code = box.run("book_room", {"hotel": hotel, "guest": "Ruiz", "day": "the twentieth", "nights": 3, "room": "suite"})
    assert box.state_object.reservations[code]["nights"] == 3
    assert box.run("cancel_reservation", {"reservation": code, "refund": "voucher"}) == "cancelled, refunded as voucher"
    assert code not in box.state_object.reservations


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("find_train", {"destination": "Edinbra"}, 'no city "Edinbra" in the timetable; did the user mean "Edinburgh"'),
        ("find_train", {"destination": "Athens"}, "no train runs from Manchester to Athens; use find_flight"),
        ("find_train", {"destination": "Manchester"}, "origin and destination are both Manchester"),
        ("find_train", {"destination": "York", "leave_before": "six"}, "ask for another time or day"),
        ("find_flight", {"destination": "Bath"}, "Bath has no airport; use find_train"),
        ("find_hotel", {"city": "Rome", "stars": 5, "most_per_night": 50}, "no hotel in Rome has all that"),
        ("get_price", {"trip": "the early one"}, "get one from find_train or find_flight"),
        (
            "get_price",
            {"trip": "train Leeds to York 2026-06-12 09:00", "travel_class": "business"},
            "no business class",
        ),
        (
            "free_seats",
            {"trip": "flight London to Rome 2026-06-12 09:00", "kind": "quiet"},
            "flights have no quiet seats",
        ),
        ("book_room", {"hotel": "Parkside Rome", "guest": "Ruiz", "day": "Friday", "room": "suite"}, "has no suites"),
        ("book_trip", {"trip": "train Leeds to York 2026-06-12 09:00", "passengers": []}, "ask who is travelling"),
        (
            "change_reservation",
            {"reservation": "R2898", "seat": "window"},
            "is a hotel; only day and nights can change",
        ),
        ("check_in", {"reservation": "R5431"}, "is a train; only flights need checking in"),
        ("trip_status", {"number": "the red eye"}, "has letters and digits"),
        ("get_weather", {"city": "Rome", "day": "July 20th"}, "forecasts reach 14 days"),
        ("entry_rules", {"country": "Atlantis", "passport": "Irish"}, 'nothing is known of "Atlantis"'),
    ],
)
def test_a_refusal_gives_its_reason_and_changes_nothing(
    box: Toolbox, name: str, args: dict[str, object], why: str
) -> None:
    refuses(box, name, args, why)


def test_every_request_is_taken() -> None:
    loaded = load(REQUESTS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 80
    assert {task.split for task in loaded.tasks} == {"train"}
    assert all(task.reading is not None and 6 <= len(task.words) <= 45 for task in loaded.tasks)
    assert {call.name for task in loaded.tasks for call in task.gold} == {tool.name for tool in loaded.tasks[0].tools}


def test_every_test_request_is_taken() -> None:
    loaded = load(str(FOLDER / "test.jsonl"), TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 25
    assert {task.split for task in loaded.tasks} == {"test"}
    assert all(task.reading is not None and 6 <= len(task.words) <= 45 for task in loaded.tasks)
    assert {call.name for task in loaded.tasks for call in task.gold} == {tool.name for tool in loaded.tasks[0].tools}

"""The restaurants: the town answers and refuses, its state changes, and every request is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import Toolbox, ToolFailure
from tests.data_gen.corpus.domains import refuses

FOLDER = Path(__file__).resolve().parents[3] / "data_gen/corpus/restaurants"
TOOLS, REQUESTS = str(FOLDER / "tools.py"), str(FOLDER / "train.jsonl")


@pytest.fixture
def box() -> Toolbox:
    tools = tools_of(TOOLS)
    assert tools is not None
    return tools.toolbox("a-task", [])


def test_a_table_is_found_booked_changed_and_cancelled(box: Toolbox) -> None:
    place = box.run("find_place", {"food": "Thai", "area": "riverside"})
    assert place == "Thai Orchid"
    table = box.run("find_table", {"place": place, "people": 4, "time": "half past seven", "day": "Friday"})
    assert table == "Thai Orchid/2026-06-12 19:30/4/inside"
    booking = box.run("book_table", {"table": table, "name": "Ana Ruiz"})
    assert box.run("find_booking", {"name": "Ruiz"}) == booking
    box.run("change_booking", {"booking": booking, "time": "eight", "people": 5})
    changed = box.state_object.bookings[booking]
    assert (f"{changed['at']:%A %H:%M}", changed["people"], changed["seating"]) == ("Friday 20:00", 5, "inside")
    assert box.run("cancel_booking", {"booking": booking}) == "cancelled"
    with pytest.raises(ToolFailure, match='no booking under "Ruiz"'):
        box.run("find_booking", {"name": "Ruiz"})


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        (
            "get_menu",
            {"place": "Sakura Horse"},
            'no restaurant "Sakura Horse" in town; did the user mean "Sakura House"',
        ),
        ("find_table", {"place": "Addis", "people": 2, "time": "seven", "day": "Monday"}, "Addis is closed on Mondays"),
        ("find_table", {"place": "Addis", "people": 40, "time": "seven"}, "tables for 1 to 12 people, not for 40"),
        (
            "find_table",
            {"place": "Addis", "people": 2, "time": "seven", "seating": "bar"},
            'no bar tables, only "inside"',
        ),
        (
            "find_table",
            {"place": "Chez Margot", "people": 2, "time": "eight", "day": "Saturday"},
            "full on Saturday at 20:00",
        ),
        (
            "find_table",
            {"place": "Cafe Aurora", "people": 2, "time": "nine in the evening"},
            "from 7:00 to 16:00, not at 21:00",
        ),
        ("find_table", {"place": "Addis", "people": 2, "time": "soonish"}, "can't be read"),
        ("book_table", {"table": "table nine", "name": "Ana"}, "get one from find_table"),
        ("change_booking", {"booking": "B1", "people": 3}, "look it up by name with find_booking"),
        ("order_takeaway", {"place": "Golden Wok", "dishes": {"pad thai": 1}}, 'Golden Wok has no "pad thai"'),
        (
            "order_takeaway",
            {"place": "Golden Wok", "dishes": {"mapo tofu": 1}, "deliver_to": {"bell": "Ruiz"}},
            "no street",
        ),
        ("leave_review", {"place": "Golden Wok", "stars": 7}, "give 1 to 5"),
        ("find_place", {"food": "Martian"}, "nobody in town serves"),
    ],
)
def test_the_town_refuses_with_its_reason_and_changes_nothing(
    box: Toolbox, name: str, args: dict[str, object], why: str
) -> None:
    refuses(box, name, args, why)


def test_two_ways_to_name_a_dish_leave_the_same_effect(box: Toolbox) -> None:
    for dish in ("spring roll", "Spring Rolls"):
        box.run("order_takeaway", {"place": "golden wok", "dishes": {dish: 2}})
    first, second = box.effects
    assert first.args == second.args
    assert first.result == "ordered, 12 in all"


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

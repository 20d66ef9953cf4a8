"""The domain car: the car answers, refuses and changes, and the door takes every row."""

import pytest

from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import ToolFailure

TOOLS, ROWS = (f"data_gen/corpus/car/{name}" for name in ("tools.py", "train.jsonl"))


@pytest.fixture
def car():
    return tools_of(TOOLS).toolbox("a-car", [])


def test_the_car_answers(car):
    assert car.run("tyre_pressure", {"wheel": "rear_left"}) == "rear left 1.9 bar"
    place = car.run("find_place", {"query": "bakery"})
    assert place.startswith("bakery, ") and place == car.run("find_place", {"query": "bakery"})
    assert place != car.run("find_place", {"query": "bakery", "near": "destination"})
    assert car.run("find_charger", {"min_kw": 100}).startswith("100 kW charger")


def test_what_was_said_changes_the_car(car):
    before = car.run("arrival_time", {})
    car.run("navigate_to", {"destination": "Bath", "avoid": ["tolls"]})
    assert car.run("arrival_time", {}) != before
    car.run("cancel_navigation", {})
    for name, args in (("arrival_time", {}), ("add_stop", {"place": "the tip"}), ("cancel_navigation", {})):
        with pytest.raises(ToolFailure):
            car.run(name, args)
    assert [effect.name for effect in car.effects] == ["navigate_to", "cancel_navigation"]


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("set_temperature", {"degrees": 35}, "give 15 to 28"),
        ("set_charging", {"limit_percent": 10}, "give 20 to 100"),
        ("set_charging", {"limit_percent": 80, "schedule": {"start": "ten"}}, "HH:MM"),
        ("find_charger", {"min_kw": 400}, "350"),
        ("call", {"contact": "her"}, "ask for the name"),
        ("send_message", {"contact": "Ada", "text": " "}, "text is empty"),
        ("book_service", {"work": "brakes", "day": "Friday"}, "YYYY-MM-DD"),
        ("book_service", {"work": "brakes", "day": "2026-03-12", "time": "18:00"}, "garage's hours"),
    ],
)
def test_the_car_refuses_with_a_way_out(car, name, args, why):
    with pytest.raises(ToolFailure, match=why):
        car.run(name, args)
    assert not car.effects


def test_a_booking_is_moved_and_not_made_twice(car):
    car.run("book_service", {"work": "brakes", "day": "2026-03-12", "time": "08:30"})
    assert car.run("book_service", {"work": "brakes", "day": "2026-03-12", "time": "11:00"}) == "moved"
    with pytest.raises(ToolFailure, match="booked for 2026-03-12 already"):
        car.run("book_service", {"work": "brakes", "day": "2026-03-12"})


def test_every_row_is_taken_by_the_door():
    loaded = load(ROWS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 170 and {task.split for task in loaded.tasks} == {"train"}

"""The domain home: the house answers, refuses and changes, and the door takes every row."""

import pytest

from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import ToolFailure

TOOLS, ROWS = (f"data_gen/corpus/home/{name}" for name in ("tools.py", "train.jsonl"))


@pytest.fixture
def house():
    return tools_of(TOOLS).toolbox("a-house", [])


def test_the_house_answers(house):
    assert house.run("get_temperature", {"room": "garage"}) == "9 degrees"
    assert house.run("door_status", {"door": "patio"}) == "open"
    assert house.run("door_status", {"door": "back"}) == "closed"


def test_what_was_said_changes_the_house(house):
    house.run("set_lock", {"door": "back", "state": "locked"})
    assert house.run("door_status", {"door": "back"}) == "locked"
    song = house.run("find_song", {"title": "Penny Lane", "artist": "The Beatles"})
    assert song == "song:penny-lane-the-beatles"
    house.run("play_music", {"room": "garage", "what": song})
    house.run("stop_music", {"room": "garage"})
    with pytest.raises(ToolFailure, match="nothing plays in the garage"):
        house.run("stop_music", {"room": "garage"})


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("set_lock", {"door": "patio", "state": "locked"}, "stands open"),
        ("set_heating", {"room": "garden", "degrees": 20}, "no heating"),
        ("set_heating", {"room": "office", "degrees": 40}, "give 5 to 28"),
        ("set_lights", {"room": "office", "state": "off", "colour": "red"}, "no colour"),
        ("play_music", {"room": "office", "what": "Penny Lane"}, "find_song"),
        ("schedule_heating", {"room": "office", "degrees": 20, "schedule": {"from": "nine"}}, "give HH:MM"),
        ("schedule_heating", {"room": "office", "degrees": 20, "schedule": {"to": "09:00"}}, "give from"),
        ("cancel_timer", {"label": "cake"}, "running: bread"),
        ("set_alarm", {"time": "24:00"}, "give HH:MM"),
    ],
)
def test_the_house_refuses_with_a_way_out(house, name, args, why):
    with pytest.raises(ToolFailure, match=why):
        house.run(name, args)
    assert not house.effects


def test_every_row_is_taken_by_the_door():
    loaded = load(ROWS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 170 and {task.split for task in loaded.tasks} == {"train"}

"""Field service: jobs, stock and visits change, the tools refuse clearly, the domain is held out, and every request is
taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.tasks import corpus
from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import Toolbox, ToolFailure
from tests.data_gen.corpus.domains import refuses

FOLDER = Path(__file__).resolve().parents[3] / "data_gen/corpus/field"
TOOLS, REQUESTS = str(FOLDER / "tools.py"), str(FOLDER / "test.jsonl")


@pytest.fixture
def box() -> Toolbox:
    tools = tools_of(TOOLS)
    assert tools is not None
    return tools.toolbox("a-task", [])


def test_a_job_is_found_begun_worked_on_reported_and_closed(box: Toolbox) -> None:
    number = box.run("find_job", {"site": "the dairy", "plant": "chiller"})
    assert box.run("job_details", {"about": "fault", "job": number}) == "chiller: high pressure trips"
    box.run("set_job_status", {"status": "on site", "job": number})
    box.run("log_time", {"minutes": 40, "kind": "travel"})
    assert box.run("log_time", {"minutes": 20, "kind": "travel"}) == "60 minutes of travel"
    box.run("log_readings", {"readings": {"pressure": 18.5}})
    box.run("log_readings", {"readings": {"amps": 7}})
    box.run("take_photos", {"subjects": ["fan", "coil"]})
    box.run("write_report", {"section": "found", "text": "coil blocked"})
    assert box.run("text_customer", {"message": "all cold again"}) == "sent to Jean Rusk"
    box.run("set_job_status", {"status": "finished"})
    job = box.state_object.jobs[number]
    assert (job["status"], job["minutes"], job["readings"]) == (
        "finished",
        {"travel": 60},
        {"pressure": 18.5, "amps": 7.0},
    )
    assert (job["photos"], job["report"]) == (["fan", "coil"], {"found": ["coil blocked"]})
    with pytest.raises(ToolFailure, match="is finished; open it again"):
        box.run("log_time", {"minutes": 5})


def test_parts_leave_the_van_and_only_as_many_as_it_has(box: Toolbox) -> None:
    assert box.run("part_stock", {"part": "isolators"}) == "6 on van 6"
    box.run("use_parts", {"parts": {"isolators": 4, "fuses": 2}})
    assert box.run("part_stock", {"part": "isolating valve"}) == "2 on van 6"
    assert box.run("job_details", {"about": "parts used"}) == "2 fuse, 4 isolating valve"
    with pytest.raises(ToolFailure, match="van 6 has 2 isolating valve, not 3; use order_parts"):
        box.run("use_parts", {"parts": {"fuse": 1, "isolating valve": 3}})
    assert box.run("part_stock", {"part": "fuse"}) == "18 on van 6"
    assert str(box.run("order_parts", {"parts": {"isolators": 10}, "needed_by": "Friday"})).startswith("P")
    assert box.state_object.orders[0]["needed_by"] == "2026-06-12"


def test_a_visit_is_booked_with_crew_and_contact_and_keeps_its_time_free(box: Toolbox) -> None:
    args = {"day": "Thursday", "time": "half past eight", "minutes": 90, "crew": ["Gwen"], "contact": {"name": "Dot"}}
    assert box.run("book_visit", args) == "Thursday 11 June at 08:30"
    with pytest.raises(ToolFailure, match="there is a visit at Larkfield School then"):
        box.run("book_visit", {"day": "Thursday", "time": "half past nine"})
    assert box.run("book_visit", {"day": "Thursday", "time": "ten"}) == "Thursday 11 June at 10:00"
    assert box.run("report_van", {"problem": "flat tyre", "off_road": True, "van": "van twelve"}) == "reported"
    assert box.state_object.defects[0]["van"] == "van 12"


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("find_job", {"site": "Harrow Diary"}, 'did the user mean "Harrow Dairy"'),
        ("find_job", {"site": "surgery"}, '"surgery" could be "Millbrook Surgery" or "Wren Lane Surgery"; ask which'),
        ("find_job", {"site": "Harrow Dairy"}, 'has 2 jobs; say whether the "chiller" or "pump"'),
        ("find_job", {"site": "Quayside", "plant": "boiler"}, 'only on the "lift"'),
        ("job_details", {"about": "fault", "job": "J1"}, "look it up by site with find_job"),
        ("part_stock", {"part": "flux capacitance"}, "no part"),
        ("part_stock", {"part": "bearing race"}, 'did the user mean "bearing"'),
        ("supplier_quote", {"part": "fuse", "count": 0}, "give 1 to 200"),
        ("set_job_status", {"status": "on site"}, "is on site already"),
        ("set_job_status", {"status": "finished", "job": "J9959"}, "was never begun"),
        ("log_time", {"minutes": 900}, "give 1 to 720"),
        ("log_readings", {"readings": {"vibes": 3}}, 'no reading "vibes"; use "pressure"'),
        ("log_readings", {"readings": {"volts": -4}}, "which no meter shows"),
        ("take_photos", {"subjects": []}, "ask what to photograph"),
        ("write_report", {"section": "done", "text": " "}, "ask what to say"),
        ("use_parts", {"parts": {"door sensor": 1}}, "van 6 has 0 door sensor, not 1"),
        ("order_parts", {"parts": {"fuse": 1}, "needed_by": "soonish"}, "give it as said"),
        ("book_visit", {"day": "Sunday"}, "is a Sunday, when nobody is sent out"),
        ("book_visit", {"day": "today", "time": "nine in the morning"}, "has passed"),
        ("book_visit", {"day": "Friday", "time": "eight in the evening"}, "visits begin from 7:00 to 18:00"),
        ("book_visit", {"day": "Friday", "contact": {"fax": "1"}}, 'a contact has no "fax"'),
        ("report_van", {"problem": "rattle", "van": "van 99"}, 'no "van 99" in the fleet'),
    ],
)
def test_a_refusal_gives_its_reason_and_changes_nothing(
    box: Toolbox, name: str, args: dict[str, object], why: str
) -> None:
    refuses(box, name, args, why)


def test_the_domain_is_held_out_of_training() -> None:
    assert corpus.is_held_out("field")
    assert not {"find_job", "log_readings", "part_stock"} & {spec.name for spec in corpus.strangers()}
    assert {row.tags for row in corpus.found("field", "test").rows} == {("domain:field", "unseen")}


def test_every_request_is_taken() -> None:
    loaded = load(REQUESTS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 60
    assert {task.split for task in loaded.tasks} == {"test"}
    assert all(task.reading is not None and 6 <= len(task.words) <= 45 for task in loaded.tasks)
    assert {call.name for task in loaded.tasks for call in task.gold} == {tool.name for tool in loaded.tasks[0].tools}

"""Tools drawn for each task: what stays, what stands beside, and that new names are answered to."""

from __future__ import annotations

import random

import pytest

from configs.schema import AgentConfig, ClockConfig, Config, DataConfig
from data_gen import sources
from data_gen.episodes import make_episode, sample_profile
from data_gen.expert.player import Expert
from data_gen.grounding.reading import reading_of
from data_gen.tasks import assistant, written
from data_gen.tasks.drawn import MOST_TOOLS, Names, drawn
from data_gen.tasks.twins import asked_tools
from eval.measures.scoring import score
from midsentence.models.load import load_renderer
from midsentence.tools.assistant import assistant_specs
from midsentence.tools.tool import Param, ToolFailure, ToolSpec
from tests.data_gen.grounding.test_spans import BACK, task

TEXT = {"type": "string"}
STRANGERS = (
    ToolSpec(
        "set_lamp", (Param("room", TEXT), Param("percent", {"type": "integer"})), "write", "Dims the lamp of a room."
    ),
    ToolSpec("water_garden", (Param("bed", TEXT),), "write", "Waters a bed of the garden."),
    ToolSpec("text_driver", (Param("message", TEXT),), "write", "Sends a text message to the driver."),
    ToolSpec("battery_level", (), "read", "How full the battery is."),
)


def drawn_of(task, how="drawn", count=30):
    return [drawn(task, STRANGERS, how, seed) for seed in range(count)]


def test_what_is_asked_for_stays_and_the_rest_is_drawn():
    sms = next(
        task for task in written.tasks("test") if {call.name for call in task.gold} == {"get_phone_number", "send_sms"}
    )
    names = [[spec.name for spec in each.tools] for each in drawn_of(sms)]
    own = {spec.name for spec in sms.tools}
    assert all({"get_phone_number", "send_sms"} <= set(each) and len(each) <= MOST_TOOLS for each in names)
    assert len({tuple(each) for each in names}) == 30 and min(map(len, names)) < 8
    beside = set().union(*names) - own
    assert beside == {"set_lamp", "water_garden", "battery_level"}  # text_driver could be taken for send_sms
    assert drawn(sms, STRANGERS, "drawn", 3).tools == drawn(sms, STRANGERS, "drawn", 3).tools
    assert all(each.gold == sms.gold and each.words == sms.words for each in drawn_of(sms))


def test_a_call_that_is_taken_back_needs_its_tool_too():
    back = task(BACK)
    assert asked_tools(back) == {"create_reminder", "get_phone_number", "send_sms"}
    assert all(asked_tools(back) <= {spec.name for spec in each.tools} for each in drawn_of(back))


def test_a_strangers_call_is_acknowledged_and_counts_as_an_effect():
    box = next(
        each for each in drawn_of(task(BACK)) if any(spec.name == "water_garden" for spec in each.tools)
    ).toolbox()
    assert (
        box.run("water_garden", {"bed": "roses"})["status"] == "ok"
        and box.latency_ns("water_garden", {"bed": "roses"}) > 0
    )
    assert box.effects == [("water_garden", {"bed": "roses"})]
    with pytest.raises(ToolFailure, match='no tool "open_doors": use '):
        box.run("open_doors", {})


def test_new_names_are_answered_to():
    names = Names(
        {"get_phone_number": "fetchPhoneNumber", "send_sms": "deliver_sms"},
        {"get_phone_number": {"name": "called"}, "send_sms": {"recipients": "to", "message": "body"}},
    )
    from data_gen.tasks.drawn import DrawnToolbox

    inner = task(BACK).toolbox()
    specs = [names.spec(spec, random.Random(0)) for spec in assistant_specs() if spec.name in names.tools]
    box = DrawnToolbox(inner, specs, frozenset(), names)
    number = box.run("fetchPhoneNumber", {"called": "Sam"})
    box.run("deliver_sms", {"to": [number], "body": "hello"})
    assert [(effect.name, effect.args) for effect in box.effects] == [
        ("deliver_sms", {"to": [number], "body": "hello"})
    ]
    assert box.latency_ns("fetchPhoneNumber", {"called": "Sam"}) == inner.latency_ns(
        "get_phone_number", {"name": "Sam"}
    )
    with pytest.raises(ToolFailure, match="call fetchPhoneNumber"):
        box.run("deliver_sms", {"to": ["Sam"], "body": "hello"})
    spec = specs[1]
    assert spec.canonical({"to": number, "body": "hello"}) == {"to": [number], "body": "hello"}
    assert box.state() == inner.state() and box.elsewhere().run("fetchPhoneNumber", {"called": "Sam"}) != number


@pytest.mark.parametrize("how", ["drawn", "renamed"])
@pytest.mark.parametrize("source", ["written", "assistant"])
def test_the_expert_is_right_among_drawn_tools(source, how):
    renderer = load_renderer("tiny", "token", "none")
    tasks = written.tasks("test")[:40] if source == "written" else assistant.tasks("train", 0, 40)
    renamed = 0
    for n, each in enumerate(tasks):
        made = drawn(each, STRANGERS, how, n)
        renamed += not {call.name for call in made.gold} <= {spec.name for spec in each.tools}
        world = made.toolbox()
        rollout = make_episode(
            made,
            "speculative",
            sample_profile(ClockConfig(), n),
            renderer,
            agent=AgentConfig(),
            data=DataConfig(),
            seed=0,
            planner=Expert(made, reading_of(made)),
            toolbox=world,
        ).run()
        verdict = score(made, rollout.state, rollout.outcome, "Done.", world)
        assert verdict.calls_right and rollout.outcome == "answered", (made.id, verdict.why)
    assert (renamed > 10) == (how == "renamed")


def test_the_setting_draws_and_a_wrong_one_is_refused():
    def load(how: str, split: str = "validation"):
        return sources.load(
            Config(data=DataConfig(source="assistant", sizes={"validation": 20, "test": 20}, tools=how)), split
        )

    tasks = [load(how) for how in ("all", "drawn", "renamed")]
    known = [spec.name for spec in assistant_specs()]
    assert {len(each) for each in tasks} == {20} and [spec.name for spec in tasks[0][0].tools] == known
    assert [spec.name for spec in tasks[1][0].tools] != known and tasks[2][5].request == tasks[0][5].request
    assert any({call.name for call in task.gold} - set(known) for task in tasks[2])
    assert [spec.name for spec in load("renamed", "test")[0].tools] == known  # a test is what it was
    with pytest.raises(ValueError, match="data.tools is 'some'; use 'all', 'drawn' or 'renamed'"):
        load("some")

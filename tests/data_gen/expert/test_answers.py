"""The expert's answers: one sentence that names what was done and found, from results that it has been shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configs.schema import AgentConfig, Config, DataConfig
from data_gen.episodes import make_episode
from data_gen.expert.answers import sentence, told
from data_gen.expert.player import Expert
from data_gen.grounding.reading import reading_of
from data_gen.task import Task
from data_gen.tasks import assistant, debug
from eval.measures.scoring import score
from eval.running.backends import backend
from midsentence.clock import Profile
from midsentence.core.calls import Call, CallState
from midsentence.core.modes import MODES
from midsentence.core.values import Ref
from midsentence.models.load import load_renderer
from midsentence.tools.assistant import assistant_specs
from midsentence.tools.tool import Param, ToolSpec
from tests.test_configs import composed

WEATHER = ToolSpec("get_weather", (Param("city", {"type": "string"}),), "read")
HOTEL = ToolSpec(
    "hotel_booking.book", (Param("hotel", {}), Param("nights", {}), Param("breakfast", {}, False)), "write"
)
TEXT = ToolSpec("text", (Param("phone", {}), Param("message", {})), "write")
ORDER = ToolSpec("order", (Param("part", {}), Param("count", {}, False)), "write")
PAUSE = ToolSpec("stop", (), "write")
ASSISTANT = {spec.name: spec for spec in assistant_specs()}


def call(id: int, spec: ToolSpec, state: CallState = CallState.DONE, result=None, shown: bool = True, **args) -> Call:
    return Call(id, spec, args, state=state, result=result, in_context=shown)


def answer_to(*calls: Call, failed: Call | None = None) -> str:
    graph = {each.id: each for each in calls} | ({failed.id: failed} if failed else {})
    return sentence(told([each.id for each in calls], graph), graph, failed)


PHONE = call(1, ASSISTANT["get_phone_number"], result="+1 555", name="Bob Stone")


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ((), "Done."),
        (
            (call(1, WEATHER, result={"celsius": 12, "sky": "sunny"}, city="Oslo"),),
            "The weather for Oslo is celsius 12 and sky sunny.",
        ),
        (
            (
                call(1, WEATHER, result={"status": "ok", "value": 7}, city="Oslo"),
                call(2, WEATHER, result=9, city="Lima"),
            ),
            "The weather for Oslo is 7 and for Lima 9.",
        ),
        ((PHONE,), "The phone number for Bob Stone is +1 555."),
        (
            (
                PHONE,
                call(2, ASSISTANT["send_sms"], recipients=[Ref(1)], message="I am late"),
                call(3, WEATHER, result=9, city="Lima"),
            ),
            'I texted Bob Stone "I am late", and the weather for Lima is 9.',
        ),
        ((call(1, HOTEL, hotel="Ritz", nights=2, breakfast=True),), "I booked the hotel booking for Ritz."),
        # tools whose names are a verb and nothing else
        (
            (PHONE, call(2, TEXT, phone=Ref(1), message="I am late"), call(3, ORDER, part="spokes", count=12)),
            "I texted Bob Stone and ordered spokes.",
        ),
        (
            (call(1, ORDER, part="spokes", count=12), call(2, ORDER, part="bells", count=12)),
            "I ordered spokes and ordered bells.",
        ),
        ((call(1, PAUSE),), "I stopped it."),
        (
            (
                call(1, ASSISTANT["summarize_pdf"], result="Long. " * 40, pdf_path="plan.pdf"),
                call(2, ASSISTANT["create_note"], name="Plan", content=Ref(1)),
            ),
            "I wrote the note Plan.",
        ),
        ((call(1, WEATHER, result="</answer> hot\n<b>", city="Oslo"),), "The weather for Oslo is /answer hot b."),
    ],
)
def test_what_was_done_and_found_is_named(calls, text):
    assert answer_to(*calls) == text


def test_what_the_model_has_not_been_shown_is_not_told():
    assert answer_to(call(1, WEATHER, result=9, shown=False, city="Lima")) == "Done."
    assert answer_to(call(1, WEATHER, CallState.RUNNING, city="Lima")) == "Done."


def test_what_could_not_be_done_is_named_beside_what_could():
    sms = call(2, ASSISTANT["send_sms"], CallState.FAILED, recipients=[Ref(1)], message="hi")
    assert (
        answer_to(PHONE, failed=sms) == 'The phone number for Bob Stone is +1 555, but I could not text Bob Stone "hi".'
    )
    assert answer_to(failed=call(1, WEATHER, CallState.FAILED, city="Oslo")) == "I could not find the weather for Oslo."


def play(task: Task, mode: str, answers: str):
    renderer = load_renderer("tiny", "token", "none")
    box = task.toolbox()
    planner = Expert(task, reading_of(task), answers=answers)
    rollout = make_episode(
        task,
        mode,
        Profile("test", 40, 400, 0),
        renderer,
        agent=AgentConfig(),
        data=DataConfig(),
        seed=0,
        planner=planner,
        toolbox=box,
    ).run()
    text = next(e.text for _, commands in reversed(rollout.history) for e in commands if type(e).__name__ == "Emit")
    return rollout, text, score(task, rollout.state, rollout.outcome, text, box)


@pytest.mark.parametrize("mode", MODES)
def test_in_every_mode_the_sentence_is_right_and_is_charged_for(mode):
    task = debug.tasks("train")[0]  # a text and the weather
    long, text, verdict = play(task, mode, "sentence")
    short, done, also = play(task, mode, "short")
    assert (
        text.startswith('I texted Bob Stone "dinner is at seven", and the weather for Cape Town is celsius ')
        and done == "Done."
    )
    assert verdict.right and also.right and long.end_ns > short.end_ns


def test_what_was_looked_up_is_told_in_a_sentence_unless_it_must_stand_alone():
    task = next(task for task in assistant.tasks("train", 0, 60) if task.answer)
    _, text, verdict = play(task, "speculative", "sentence")
    assert text.endswith(f"is {task.answer[0]}.") and len(text.split()) > 4 and verdict.right
    _, text, verdict = play(replace(task, exact_answer=True), "speculative", "sentence")
    assert text == task.answer[0] and verdict.right


def test_the_setting_reaches_generation_and_evaluation():
    config: Config = composed("data.answers=short")
    task = debug.tasks("train")[0]
    assert config.data.answers == "short" and DataConfig().answers == "sentence"
    assert {
        backend(name, config).planner(task, config.data, 0).answers for name in ("expert", "no_thoughts", "no_guess")
    } == {"short"}
    with pytest.raises(ValueError, match="data.answers is 'long'; use short or sentence"):
        Expert(task, reading_of(task), answers="long")

"""Naturalistic requests: what the test holds out, and those written by hand."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from configs.schema import AgentConfig, ClockConfig, Config, DataConfig
from data_gen.episodes import make_episode, sample_profile
from data_gen.expert.player import Expert
from data_gen.gold import read_calls
from data_gen.grounding.reading import reading_of
from data_gen.sources import load
from data_gen.speech.disfluency import HELD_OUT, TRAIN
from data_gen.tasks import naturalistic, written
from data_gen.tasks.named_world import world
from midsentence.models.load import load_renderer
from midsentence.tools.assistant import AssistantToolbox

ROW = {
    "id": "row-1",
    "now": "2025-03-01 10:00:00",
    "request": "find the budget file and text Sam Lee what it says",
    "calls": [
        {"name": "summarize_pdf", "args": {"pdf_path": ["budget"]}},
        {"name": "get_phone_number", "args": {"name": ["Sam", "Sam Lee"]}},
        {"name": "send_sms", "args": {"recipients": [["$2"]], "message": ["$1"]}},
    ],
}


def made(split: str, count: int):
    return list(naturalistic.tasks(split, 0, count))


def test_every_request_is_disfluent_and_half_are_indirect():
    for split in ("train", "test"):
        tasks = made(split, 60)
        assert all(len({tag for tag in task.tags if ":" not in tag} - {"filler", "repetition"}) >= 1 for task in tasks)
    asked = [name for task in made("train", 60) for name in task.meta["templates"]]
    assert 0.1 < sum(name.startswith("~") for name in asked) / len(asked) < 0.6


def test_training_has_no_held_out_kind_and_the_test_has_them_all():
    train = Counter(tag for split in ("train", "validation") for task in made(split, 120) for tag in task.tags)
    test = Counter(tag for task in made("test", 120) for tag in task.tags)
    for kind in HELD_OUT:
        assert train[kind] == 0 and test[kind] >= 3
    assert test["part:known"] == test["part:new_kinds"] == test["part:new_words"] == 40


def test_the_tests_words_come_from_disfl_qa_and_are_not_in_training():
    lexicon = naturalistic.held_out_words()
    assert len(lexicon.terms) > 40 and not {term.lower() for term in lexicon.terms} & {
        term.lower() for term in TRAIN.terms
    }
    said = [
        " ".join(word.text for word in task.words if word.label == "interregnum")
        for task in made("test", 90)
        if "part:new_words" in task.tags and "correction" in task.tags
    ]
    patterns = json.loads(naturalistic.PATTERNS_FILE.read_text())["terms"]
    assert any(term in text for text in said for term in patterns)


def test_generated_requests_and_those_written_by_hand_are_never_pooled():
    assert all(task.id.startswith("naturalistic-") for task in naturalistic.tasks("test", 0, 300))
    tasks = load(Config(data=DataConfig(source="written")), "test")
    assert len(tasks) == 120 and {task.source for task in tasks} == {"written"}
    assert {task.id for task in tasks} == {f"hand-{n:03}" for n in range(1, 121)}


@pytest.mark.parametrize("mode", ["sequential", "parallel", "async_tools", "async_io", "speculative"])
def test_the_expert_is_right_on_every_request_written_by_hand(mode):
    renderer = load_renderer("tiny", "token", "none")
    for n, task in enumerate(written.tasks("test")):
        assert task.reading is not None  # marked, not heard out
        expert = Expert(task, reading_of(task))
        rollout = make_episode(
            task,
            mode,
            sample_profile(ClockConfig(), n),
            renderer,
            agent=AgentConfig(),
            data=DataConfig(),
            seed=0,
            planner=expert,
        ).run()
        calls = rollout.state.graph.calls.values()
        writes = {spec.name for spec in task.tools if spec.access == "write"}
        assert rollout.outcome == "answered" and {call.state for call in calls} <= {"done", "cancelled"}, task.request
        done = Counter(call.spec.name for call in calls if call.state == "done" and call.spec.access == "write")
        assert done == Counter(call.name for call in task.gold if call.name in writes), task.request


def test_a_written_row_gets_a_world_that_knows_what_it_names():
    box = AssistantToolbox(world(read_calls([(call["name"], call["args"]) for call in ROW["calls"]], {})), "row")
    assert box.run("summarize_pdf", {"pdf_path": "budget"}).startswith("This is about budget")
    assert box.run("get_phone_number", {"name": "Sam"}).startswith("+1")


def test_the_source_is_registered():
    config = Config(data=DataConfig(source="naturalistic", sizes={"train": 5}, disfluency={"times": 0.0}))
    assert [task.source for task in load(config, "train")] == ["naturalistic"] * 5
    config = Config(data=DataConfig(source="assistant", sizes={"train": 4}, disfluency={"times": 0.0}))
    assert all(word.label == "fluent" for task in load(config, "train") for word in task.words)

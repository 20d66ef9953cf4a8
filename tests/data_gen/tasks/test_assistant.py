"""Assistant tasks: gold that runs, readings that can't see ahead, an expert that gets there in every mode, disjoint
splits."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from configs.schema import AgentConfig, ClockConfig, Config, DataConfig
from data_gen.episodes import make_episode, sample_profile
from data_gen.expert.player import Expert
from data_gen.gold import canonical, references
from data_gen.grounding.derivation import Derivation
from data_gen.grounding.reading import reading_of
from data_gen.sources import load
from data_gen.speech.disfluency import Rates
from data_gen.speech.script import Mark, Script
from data_gen.speech.timing import speak
from data_gen.task import Task
from data_gen.tasks import assistant
from data_gen.tasks.assistant import entities, moments
from data_gen.tasks.assistant.compose import BY_NAME, Style, compose, pairs
from data_gen.tasks.assistant.intents import INTENTS, asks
from data_gen.tasks.assistant.templates import templates
from data_gen.tasks.twins import known_by, twin
from midsentence.core.modes import MODES
from midsentence.models.load import load_renderer
from midsentence.rendering.renderer import Renderer
from midsentence.tools.assistant import AssistantToolbox

SPLITS = entities.SPLITS
ROUGH = Style(Rates().times(3), indirect=0.3)


@pytest.fixture(scope="module")
def tiny() -> Renderer:
    return load_renderer("tiny", "token", "none")


def run_gold(task: Task) -> AssistantToolbox:
    """Runs the gold calls in order in a fresh world."""
    box = task.toolbox()
    results: dict[int, Any] = {}

    def real(value: Any) -> Any:
        if isinstance(value, list):
            return [real(item) for item in value]
        return results[references(value)[0]] if references(value) else value

    for k, call in enumerate(task.gold, start=1):
        results[k] = box.run(call.name, {name: real(arg.values[0]) for name, arg in call.args.items()})
    return box


def effects(box: AssistantToolbox) -> Counter[str]:
    return Counter(json.dumps([effect.name, effect.args], sort_keys=True) for effect in box.effects)


def play(task: Task, mode: str, made: Renderer, eagerness: float = 0.0) -> tuple[Any, AssistantToolbox]:
    box = task.toolbox()
    profile = sample_profile(ClockConfig(), len(task.request))
    expert = Expert(task, reading_of(task, eagerness, 5))
    episode = make_episode(
        task, mode, profile, made, agent=AgentConfig(), data=DataConfig(), seed=1, toolbox=box, planner=expert
    )
    return episode.run(), box


def wanted(task: Task, heard: int, final: bool = False) -> list[Any]:
    return [
        (w.spec.name, dict(w.args), w.complete, w.missing) for w in reading_of(task).wanted(task.said(heard), final)
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_gold_runs_and_has_evidence_in_the_request(split):
    for index in range(120):
        task = compose(split, index, style=ROUGH)
        run_gold(task)
        assert task.gold and task.now is not None and datetime.fromisoformat(task.now)
        for k, call in enumerate(task.gold, start=1):
            assert 0 <= call.name_evidence.start < call.name_evidence.end <= len(task.words)
            for name, span in call.arg_evidence.items():
                assert 0 <= span.start < span.end <= len(task.words), f"{task.request}: {name} at {span}"
            assert all(ref < k for ref in references(canonical(call)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("eagerness", [0.0, 0.6])
def test_the_expert_reaches_gold_and_repeats_nothing(tiny, mode, eagerness):
    for split in SPLITS:
        for index in range(8):
            task = compose(split, index, style=ROUGH)
            rollout, box = play(task, mode, tiny, eagerness)
            gold = run_gold(task)
            assert rollout.outcome == "answered", task.request
            assert box.state() == gold.state(), task.request
            assert effects(box) == effects(gold), task.request
            notes = {
                command.what
                for _, commands in rollout.history
                for command in commands
                if type(command).__name__ == "Note"
            }
            assert not notes & {"identical_reissue", "retry", "invalid_action"}, task.request


def test_a_prefix_means_the_same_whatever_follows():
    """Over many requests on one world, two with the same beginning understand the same by it."""
    seen: dict[tuple, tuple[str, str]] = {}
    shared = 0
    for index in range(700):
        task = compose("train", index, style=ROUGH, world=index % 2)
        words = [word.text for word in task.words]
        for heard in range(min(len(words), 14) + 1):
            said = " ".join(words[:heard])
            if {"days", "hours", "minutes", "tomorrow", "on", "coming"} & set(words[:heard]):
                break  # depends on the date, which differs
            found = (str(wanted(task, heard)), task.request)
            before = seen.setdefault((task.meta["world"], said), found)
            shared += before[1] != task.request
            assert before[0] == found[0], f"{said!r} in {task.request!r} and in {before[1]!r}"
    assert shared > 500


def test_the_reading_never_looks_behind_the_prefix():
    draw = random.Random(0)
    for index in range(60):
        task, other = compose("test", index, style=ROUGH), compose("test", index + 1000, style=ROUGH)
        cut = draw.randrange(1, len(task.words))
        double = twin(task, other, cut)
        assert [w.text for w in double.words[:cut]] == [
            w.text for w in task.words[:cut]
        ] and double.request != task.request
        for heard in range(cut + 1):
            assert wanted(task, heard) == wanted(double, heard) == wanted(known_by(task, heard), heard)
        # and the twin wants what the other asks for
        assert [c.name for c in double.gold] == [c.name for c in other.gold]


def said(*parts: tuple[str, str, Any]) -> tuple[Script, Derivation]:
    """A script of one clause from ``(words, op, value)`` rows."""
    script = Script()
    for text, op, value in parts:
        place = script.say(text)
        if op == "open":
            script.marks.append(Mark(place.start, place.end, "open", 0, value))
        elif op == "drop":
            script.marks.append(Mark(place.start, place.end, "drop", 0))
        elif op:
            script.marks.append(Mark(place.start, place.end, "put", 0, op, 0, (value,)))
    return script, Derivation(script.finish(), asks)


def understood_at(parts, heard, final=False):
    task = compose("train", 0)
    script, derivation = said(*parts)
    task = replace(task, words=speak(script.words, 0), gold=(), reading=derivation)
    return [(name, args) for name, args, complete, _ in wanted(task, heard, final) if complete]


REPAIR = [
    ("text", "open", "sms"),
    ("Bob", "to", "Bob"),
    ("no wait", "", None),
    ("Alice", "to", "Alice"),
    ("that", "", None),
    ("it rains", "message", "it rains"),
]


def test_no_request_asks_for_one_effect_twice():
    """Index 567 of training did, forwarding one mail to Dillon twice: the second is refused, and no agent can end
    well."""
    for index in (567, *range(150)):
        calls = [(call.name, str(sorted(canonical(call).items()))) for call in compose("train", index).gold]
        assert len(set(calls)) == len(calls), calls


def test_a_recipient_holds_until_the_repair_is_closed():
    assert understood_at(REPAIR, 2) == []  # "Bob" may become "Bob Stone"
    for heard in (3, 4, 5):
        assert understood_at(REPAIR, heard) == [("get_phone_number", {"name": "Bob"})]
    assert understood_at(REPAIR, 6) == [("get_phone_number", {"name": "Alice"})]
    assert [name for name, _ in understood_at(REPAIR, 8, final=True)] == ["get_phone_number", "send_sms"]


def test_a_filled_pause_closes_nothing():
    parts = [("text", "open", "sms"), ("Bob", "to", "Bob"), ("uh um", "", None), ("that", "", None)]
    assert [understood_at(parts, heard) for heard in (2, 3, 4)] == [[], [], []]
    assert understood_at(parts, 5) == [("get_phone_number", {"name": "Bob"})]


def test_a_withdrawal_removes_the_call_and_another_tool_keeps_what_was_said():
    withdrawn = [
        ("remind", "open", "reminder"),
        ("me to", "", None),
        ("wash", "chore", "wash"),
        ("no never mind that", "drop", None),
    ]
    assert understood_at(withdrawn, 4 + 1) == [("create_reminder", {"name": "wash"})]
    assert understood_at(withdrawn, 8) == []
    changed = [
        ("text", "open", "sms"),
        ("Bob", "to", "Bob"),
        ("no", "", None),
        ("email", "open", "email"),
        ("Bob", "to", "Bob"),
    ]
    assert understood_at(changed, 3) == [("get_phone_number", {"name": "Bob"})]
    assert understood_at(changed, 4) == [("get_email_address", {"name": "Bob"})]


def test_eagerness_depends_on_the_prefix_alone():
    takes = 0
    for index in range(40):
        task = compose("train", index)
        edits = [edit for edit in task.reading.edits if edit.eager]
        for edit in edits:
            eager = [w.args for w in reading_of(task, 1.0).wanted(task.said(edit.end), False)]
            takes += eager != [w.args for w in reading_of(task).wanted(task.said(edit.end), False)]
            known = known_by(task, edit.end)
            assert [w.args for w in reading_of(known, 0.5, 3).wanted(task.said(edit.end), False)] == [
                w.args for w in reading_of(task, 0.5, 3).wanted(task.said(edit.end), False)
            ]
    assert takes > 5


def test_look_ups_are_shared_and_chains_of_three_occur():
    shared = chains = 0
    for index in range(300):
        task = compose("train", index)
        used = Counter(ref for call in task.gold for ref in references(canonical(call)))
        shared += any(count > 1 for count in used.values())
        depth: dict[int, int] = {}
        for k, call in enumerate(task.gold, start=1):
            depth[k] = 1 + max((depth[ref] for ref in references(canonical(call))), default=0)
        chains += max(depth.values()) >= 3
    assert shared >= 5 and chains >= 5
    names = {call.name for index in range(300) for call in compose("train", index).gold}
    assert names == set(BY_NAME)


def test_splits_are_disjoint(monkeypatch):
    assistant.check_splits()
    owned = assistant.owned()
    assert sum(len(found) for found in owned["templates"].values()) > 350
    monkeypatch.setattr(assistant, "_checked", False)
    spoiled = dict(owned, place={split: frozenset({"Oslo"}) for split in SPLITS})
    monkeypatch.setattr(assistant, "owned", lambda: spoiled)
    with pytest.raises(ValueError, match="train and validation share 1 of place, such as 'Oslo'"):
        assistant.check_splits()


@pytest.mark.parametrize("split", SPLITS)
def test_requests_keep_to_their_split(split):
    own = {
        template.id for name in INTENTS for indirect in (False, True) for template in templates(name, split, indirect)
    }
    for index in range(60):
        task = compose(split, index, style=ROUGH)
        assert {name for name in task.meta["templates"] if not name.startswith("+")} <= own
        assert set(task.meta["pairs"]) <= pairs(split)
        assert task.meta["world"].startswith(split)


def test_names_and_texts_hold_no_word_that_closes_them():
    for kind in entities.KINDS:
        for split in SPLITS:
            for text in entities.pool(kind, split):
                assert not entities.CLOSERS & set(text.lower().split()), (kind, text)
    with pytest.raises(ValueError, match="unknown kind of name 'colour'"):
        entities.pool("colour", "train")


def test_dates_resolve_against_now():
    now = datetime(2025, 10, 15, 18, 30)  # a Wednesday
    found = {}
    for seed in range(3000):
        phrase, day = moments.day_phrase(random.Random(seed), now)
        found[phrase] = day.isoformat()
    assert (
        found["tomorrow"] == "2025-10-16"
        and found["on Friday"] == "2025-10-17"
        and found["in three days"] == "2025-10-18"
    )
    assert found["this coming Tuesday"] == "2025-10-21" and found["on Thanksgiving Day"] == "2025-11-27"
    assert found["on November fifth"] == "2025-11-05" and found["on the third of December"] == "2025-12-03"
    times = dict(moments.clock_phrase(random.Random(seed)) for seed in range(600))
    assert times["at half past nine am"].isoformat() == "09:30:00" and times["at 3:15 pm"].isoformat() == "15:15:00"
    assert times["at eight in the evening"].isoformat() == "20:00:00" and times["at noon"].isoformat() == "12:00:00"


def test_tasks_are_a_function_of_their_index():
    first, again = assistant.tasks("test", 7, 50), assistant.tasks("test", 7, 10)
    assert first[9].request == again[9].request == first[3:12][6].request and first[9].words == again[9].words
    assert len(first) == 50 and first[-1].id == "assistant-test-49"
    assert first[8].request != assistant.tasks("test", 8, 50)[8].request


def test_longer_requests_can_be_asked_for_in_training_alone():
    config = Config(data=DataConfig(source="assistant", intents=[0.0, 0.0, 1.0], sizes={"train": 8, "validation": 40}))
    assert all(len(task.gold) >= 3 for task in load(config, "train"))
    usual = replace(config, data=replace(config.data, intents=[]))
    assert [task.id for task in load(config, "validation")] == [task.id for task in load(usual, "validation")]
    assert [task.words for task in load(config, "validation")] == [task.words for task in load(usual, "validation")]
    config.data.intents = [-1.0, 2.0]
    with pytest.raises(ValueError, match=r"data.intents is \[-1.0, 2.0\]: give shares"):
        load(config, "train")

"""The corpus: which rows of its folder a source reads, in which split, with which tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.schema import Config, DataConfig, EndpointConfig
from data_gen import check, generate
from data_gen.checks import row_tasks
from data_gen.checks.faults import faults
from data_gen.checks.tally import COUNTERS, LOST
from data_gen.sources import load, rejected
from data_gen.tasks import corpus
from data_gen.tasks.twins import asked_tools, twin

TOOLS = '''
from __future__ import annotations

from dataclasses import dataclass, field

from midsentence.tools.function import Uniform, tool
from midsentence.tools.tool import ToolFailure


@dataclass
class Home:
    lamps: dict[str, int] = field(default_factory=lambda: {"kitchen": 0, "hall": 100})


def new_state() -> Home:
    return Home()


@tool(access="read", takes_state=True, latency=Uniform(0.1, 0.2))
def lamp_state(home: Home, room: str) -> int:
    """How bright the lamp of a room is."""
    if room not in home.lamps:
        raise ToolFailure(f"no lamp in {room}")
    return home.lamps[room]


@tool(access="write", takes_state=True)
def set_lamp(home: Home, room: str, percent: int) -> str:
    """Sets how bright the lamp of a room is."""
    home.lamps[room] = percent
    return "set"
'''
DIM = {
    "id": "home-1",
    "request": "is the hall lamp on and um dim the kitchen one to forty percent",
    "calls": [
        {"name": "lamp_state", "args": {"room": ["hall"]}},
        {"name": "set_lamp", "args": {"room": ["kitchen"], "percent": [40]}},
    ],
    "spans": [
        {"tool": "is the hall lamp on", "args": {"room": "hall"}},
        {"tool": "dim", "args": {"room": "kitchen", "percent": "forty"}},
    ],
    "tags": ["filler"],
}
NOWHERE = {
    "id": "home-2",
    "request": "is the attic lamp on",
    "calls": [{"name": "lamp_state", "args": {"room": ["attic"]}}],
    "spans": [{"tool": "lamp on", "args": {"room": "attic"}}],
}
SMS = {
    "id": "w-1",
    "request": "text Ada that um lunch is ready",
    "now": "2026-03-03 10:00:00",
    "calls": [
        {"name": "get_phone_number", "args": {"name": ["Ada"]}},
        {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["lunch is ready"]}},
    ],
    "spans": [{"tool": "text", "args": {"name": "Ada"}}, {"tool": "text", "args": {"message": "lunch is ready"}}],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A corpus of its own, empty."""
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    for cached in (corpus.found, corpus.dictated, corpus.strangers, corpus.content):
        cached.cache_clear()
    yield tmp_path
    for cached in (corpus.found, corpus.dictated, corpus.strangers, corpus.content):
        cached.cache_clear()


def write(folder: Path, name: str, *rows: dict, tools: str = "") -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if tools:
        (path.parent / "tools.py").write_text(tools, encoding="utf-8")


def settings(source: str, **sizes: int) -> Config:
    return Config(data=DataConfig(source=source, sizes=sizes or {"train": 4}, modes=["speculative", "sequential"]))


def test_the_rows_of_written_are_those_of_their_files(folder):
    write(folder, "assistant/train_a.jsonl", SMS)
    write(folder, "assistant/train_b.jsonl", {**SMS, "id": "w-2"}, SMS)
    write(folder, "assistant/test.jsonl", {**SMS, "id": "w-3"})
    train = load(settings("written"), "train")
    assert [task.id for task in train] == ["w-1", "w-2", "w-1~1", "w-2~1"]
    assert {(task.source, task.split) for task in train} == {("written", "train")}
    assert train[0].reading is not None and train[0].words != train[2].words  # another speaker
    (name,) = train[2].gold[0].args["name"].values
    assert name != "Ada" and train[2].toolbox().run("get_phone_number", {"name": name}).startswith("+1")
    # the 120 rows stay the test of that name, and new ones are a source of their own
    assert len(load(settings("written"), "test")) == 120
    assert [(task.id, task.source) for task in load(settings("written_apart"), "test")] == [("w-3", "written_apart")]
    assert rejected(settings("written"), None) == [
        ("assistant/train_b.jsonl, w-1", "its id is that of a row in another file already")
    ]
    with pytest.raises(ValueError, match="'written' has no tasks in split 'validation'"):
        load(settings("written"), "validation")


def test_a_domain_brings_its_tools_and_its_name(folder):
    write(folder, "home/train.jsonl", DIM, NOWHERE, tools=TOOLS)
    (task,) = load(settings("domains", train=1), "train")
    assert (task.source, task.tags) == ("domains", ("filler", "domain:home"))
    assert [spec.name for spec in task.tools] == ["lamp_state", "set_lamp"]
    assert (
        task.toolbox().run("lamp_state", {"room": "hall"}) == 100
        and task.toolbox().latency_ns("lamp_state", {"room": "hall"}) < 2e8
    )
    assert rejected(settings("domains"), None) == (
        ("home/train.jsonl, line 2 (home-2)", "call 1 is refused by its own tool: no lamp in attic"),
    )


def test_a_domain_without_training_is_held_out(folder):
    write(folder, "home/train.jsonl", DIM, tools=TOOLS)
    write(folder, "attic/test.jsonl", {**DIM, "id": "attic-1"}, tools=TOOLS)
    assert [task.tags[-1] for task in load(settings("domains"), "train")] == ["domain:home"] * 4
    assert [task.tags[1:] for task in load(settings("domains"), "test")] == [("domain:attic", "unseen")]
    config = settings("domains")
    config.data.categories = ["home"]
    with pytest.raises(ValueError, match="has no tasks in split 'test'"):
        load(config, "test")
    config.data.categories = ["house"]
    with pytest.raises(ValueError, match="names no domain 'house'; use some of attic, home"):
        load(config, "train")


def test_a_twin_goes_on_with_a_request_for_the_same_tools(folder):
    write(folder, "assistant/train.jsonl", SMS)
    write(folder, "home/train.jsonl", DIM, tools=TOOLS)
    config = settings("written")
    sms, dim = load(config, "train")[0], load(settings("domains"), "train")[0]
    assert asked_tools(sms) == {"get_phone_number", "send_sms"} and asked_tools(dim) == {"lamp_state", "set_lamp"}
    assert twin(dim, dim, 3).gold[0].name == "lamp_state"


@pytest.mark.parametrize("source", ["written", "domains"])
def test_a_folder_of_the_corpus_is_made_and_checks_out(folder, tmp_path, source):
    write(
        folder, "assistant/train.jsonl", SMS, {**SMS, "id": "w-2", "request": "please text Ada that um lunch is ready"}
    )
    write(folder, "home/train.jsonl", DIM, tools=TOOLS)
    write(folder, "house/train.jsonl", {**DIM, "id": "house-1"}, tools=TOOLS.replace("lamp", "light"))
    write(folder, "flat/train.jsonl", {**DIM, "id": "flat-1"}, tools=TOOLS.replace("def lamp_state", "def other"))
    config = settings(source, train=8)
    config.model.name, config.out = "tiny", str(tmp_path / "out")
    generate._loaded.clear()
    row_tasks._pool.cache_clear()
    generate.main(config)
    report = check.check(tmp_path / "out").report()
    assert report["rows"] == 8 and not any(report[name] for name in COUNTERS)
    generate._loaded.clear()
    row_tasks._pool.cache_clear()


def test_what_a_false_end_made_impossible_is_no_repetition(folder):
    content = "Marisol brings tamales, Dae-jung does the salad, we bring chairs"
    write(
        folder,
        "assistant/train.jsonl",
        {
            "id": "n",
            "now": "2025-10-04 15:16:00",
            "request": f"New note called potluck: {content}",
            "calls": [{"name": "create_note", "args": {"name": ["potluck"], "content": [content]}}],
            "spans": [
                {
                    "tool": "new note",
                    "args": {
                        "name": "potluck",
                        "content": [{"words": "Marisol brings tamales", "value": "Marisol brings tamales"}, content],
                    },
                }
            ],
        },
    )
    config = settings("written", train=60)
    config.model.name, config.data.modes, config.data.endpoint = "tiny", ["sequential"], "timer"
    config.data.endpoints["timer"] = EndpointConfig(delay_s=0.3, false_rate=1.0)
    pool, made = load(config, "train"), generate.renderer(config)
    found = [faults(config, generate.make_row(config, pool[n], "train", n), pool[n], pool[n], made) for n in range(60)]
    assert {LOST} in found and all(each <= {LOST} for each in found)


def test_every_row_of_the_corpus_is_used():
    names = (corpus.ASSISTANT, *corpus.domains())
    assert corpus.rejected(names) == ()
    assert all(corpus.found(name, "train").rows or corpus.is_held_out(name) for name in names)


def test_an_argument_that_is_its_default_is_not_set_again_and_again(folder):
    write(
        folder,
        "assistant/train.jsonl",
        {
            "id": "d",
            "now": "2025-10-04 15:16:00",
            "request": "which way would you drive from Aunt Soledad's to um Bodega Bay",
            "calls": [
                {
                    "name": "maps_show_directions",
                    "args": {"start_location": ["Aunt Soledad's"], "end_location": ["Bodega Bay"], "transport": ["d"]},
                }
            ],
            "spans": [
                {
                    "tool": "which way",
                    "args": {
                        "start_location": "Aunt Soledad's",
                        "end_location": "Bodega Bay",
                        "transport": {"words": "drive", "value": "d"},
                    },
                }
            ],
        },
    )
    config = settings("written", train=12)
    config.model.name, config.data.modes, config.agent.revise, config.agent.commit = (
        "tiny",
        ["async_io", "speculative"],
        "amend",
        "line",
    )
    pool, made = load(config, "train"), generate.renderer(config)
    rows = [generate.make_row(config, pool[n], "train", n) for n in range(12)]
    assert [faults(config, row, pool[n], pool[n], made) for n, row in enumerate(rows)] == [set()] * 12


def test_data_of_another_corpus_are_not_gone_on_with(folder):
    write(folder, "assistant/train.jsonl", SMS)
    before = generate.recipe(settings("written"))
    corpus.content.cache_clear()
    write(folder, "assistant/train.jsonl", {**SMS, "request": SMS["request"].replace("um", "uh")})
    assert generate.recipe(settings("written")) != before
    assert generate.recipe(settings("debug")) == generate.recipe(settings("debug"))

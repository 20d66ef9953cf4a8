"""What is held is written down as it is said, a difference at a time, and committed as soon as it is whole."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from configs.schema import AgentConfig, DataConfig, EndpointConfig
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert
from data_gen.gold import read_calls
from data_gen.grounding.arguments import ground
from data_gen.grounding.heard import so_far
from data_gen.grounding.reading import reading_of
from data_gen.speech.timing import speak
from data_gen.task import GoldArg, Task
from data_gen.tasks import assistant, corpus
from data_gen.tasks.bfcl import AckToolbox
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row
from data_gen.tasks.twins import known_by, others
from eval.measures.trace import trace
from midsentence.clock import Profile, ns
from midsentence.core.calls import CallState
from midsentence.models.load import load_renderer
from midsentence.shells.rollout import Rollout
from midsentence.tools.tool import Param, ToolSpec


def dictated():
    """A generated request in which a message of several words is dictated, and where it is said."""
    for task in assistant.tasks("train", 0, 40):
        for edit in task.reading.edits:
            if edit.slot == "message" and edit.spoken and edit.end - edit.start > 3 and edit.closes is not None:
                return task, edit
    raise AssertionError("no message in 40 requests")


def play(revise: str, commit: str = "line") -> tuple[Rollout, list[str]]:
    task, _ = dictated()
    rollout = make_episode(
        task,
        "speculative",
        Profile("slow", 60, 600, 0),
        load_renderer("tiny", "token", "none"),
        data=DataConfig(),
        seed=0,
        agent=AgentConfig(revise=revise, commit=commit),
        planner=Expert(task, reading_of(task)),
    ).run()
    return rollout, [line.text for span in trace(rollout.history).spans for line in span.lines]


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        ("on the ninth of May of May", "on the ninth of May"),
        ("dinner is at", "dinner is"),
        ("dinner uh is", "dinner is"),
        ("the", ""),
        ("see you no wait", "see you"),
        ("at seven.", "at seven"),
    ],
)
def test_what_hangs_at_the_end_of_a_text_is_not_written_yet(heard, text):
    assert so_far(heard.split()) == text


def test_a_message_is_read_as_far_as_it_has_been_said():
    task, edit = dictated()
    reading = reading_of(task)
    texts = []
    for count in range(edit.start + 1, edit.end):
        texts += [text for want in reading.wanted(task.said(count), False) for text in want.drafts.values()]
    assert (
        texts
        and all(longer.startswith(text) for text, longer in pairwise(texts))
        and edit.value[0].startswith(texts[-1])
    )
    assert not any(want.drafts for want in reading.wanted(task.said(), True))


def test_a_text_that_has_begun_reads_alike_whatever_it_goes_on_with():
    task, edit = dictated()
    for count in range(edit.start + 1, edit.closes):
        said = task.said(count)
        own = [dict(want.drafts) for want in reading_of(task).wanted(said, False)]
        for other in (known_by(task, count), *others(task, said, False).values()):
            assert [dict(want.drafts) for want in reading_of(other).wanted(said, False)] == own


def test_a_message_grows_and_the_commit_comes_before_the_answer():
    rollout, lines = play("amend")
    assert rollout.outcome == "answered" and any(" += " in line for line in lines)
    assert any(line.startswith("COMMIT") for line in lines)


def test_without_amendments_every_line_is_a_call():
    rollout, lines = play("reissue", "action")
    assert rollout.outcome == "answered" and lines and not any("= " in line.split("(")[0] for line in lines)


def test_a_value_that_a_wrong_end_cut_is_mended_when_speech_goes_on_before_its_effect_starts():
    words = "note weekly milk bread please thank you".split()
    tools = (ToolSpec("note", (Param("items", {"type": "string"}),), "write", "Note something"),)
    gold = ground(words, [("note", {"items": GoldArg(("weekly milk bread",))})], {spec.name: spec for spec in tools})
    late = [ns(0.62) * (n >= 3) for n in range(len(words))]
    spoken = [
        replace(word, start_ns=word.start_ns + by, end_ns=word.end_ns + by) for word, by in zip(speak(words, 0), late)
    ]
    task = Task("own", "jsonl", "train", tuple(spoken), tools, gold, lambda: AckToolbox("own", tools))
    data = DataConfig(
        source="jsonl", endpoint="timer", endpoints={"timer": EndpointConfig(delay_s=0.5, false_rate=1.0)}
    )
    rollout = make_episode(
        task,
        "speculative",
        Profile("slow", 60, 600, 0),
        load_renderer("tiny", "token", "none"),
        data=data,
        seed=0,
        agent=AgentConfig(revise="amend", commit="line", commit_grace_s=1.5),
        planner=Expert(task, reading_of(task)),
    ).run()
    said = [segment.text for segment in rollout.state.transcript]
    assert sum(segment.kind == "final_query_update" for segment in rollout.state.transcript) == 2
    calls = [call for call in rollout.state.graph.calls.values() if call.frozen]
    assert [dict(call.args) for call in calls] == [{"items": "weekly milk bread"}], said
    assert any('items += " milk"' in text for text in said), said


@pytest.mark.parametrize("mode", ["sequential", "eager_end", "speculative"])
def test_nothing_starts_at_an_end_where_words_break_off(mode):
    row = {
        "id": "t",
        "request": "pink lights in the bedroom please and at twenty percent",
        "calls": [
            {
                "name": "set_lights",
                "args": {"room": ["bedroom"], "state": ["on"], "brightness": [20], "colour": ["pink"]},
            }
        ],
        "spans": [
            {
                "tool": "lights",
                "args": {"room": "bedroom", "state": "lights", "colour": "pink", "brightness": "twenty percent"},
            }
        ],
    }
    task = task_of_row(row, tools_of(str(corpus.FOLDER / "home" / "tools.py")))
    at = list(task.said()).index("and") + 1
    late = [ns(0.8) * (n >= at) for n in range(len(task.words))]
    words = tuple(
        replace(word, start_ns=word.start_ns + by, end_ns=word.end_ns + by) for word, by in zip(task.words, late)
    )
    task = replace(task, words=words)
    data = DataConfig(
        source="jsonl", endpoint="timer", endpoints={"timer": EndpointConfig(delay_s=0.5, false_rate=1.0)}
    )
    rollout = make_episode(
        task,
        mode,
        Profile("slow", 60, 600, 0),
        load_renderer("tiny", "token", "none"),
        data=data,
        seed=0,
        agent=AgentConfig(),
        planner=Expert(task, reading_of(task)),
    ).run()
    finals = [segment for segment in rollout.state.transcript if segment.kind == "final_query_update"]
    done = [dict(call.args) for call in rollout.state.graph.calls.values() if call.frozen]
    assert rollout.outcome == "answered" and len(finals) == 2
    assert done == [{"room": "bedroom", "state": "on", "brightness": 20, "colour": "pink"}]


LOOKS_UP = ToolSpec(
    "distance", (Param("start", {"type": "string"}), Param("end", {"type": "string"}), Param("fast", {}, False)), "read"
)
SAVES = ToolSpec("note", (Param("items", {"type": "string"}),), "write", "Note something")

DISTANCE = ("distance", {"start": ["Oslo"], "end": ["New York City"], "fast": [""]})


def own(words: str, *calls, tools=(LOOKS_UP, SAVES)) -> Task:
    said = words.split()
    specs = {spec.name: spec for spec in tools}
    gold = ground(said, read_calls(calls, specs), specs)
    return Task("own", "jsonl", "train", speak(said, 0), tools, gold, lambda: AckToolbox("own", tools))


def lines_of(task: Task, eagerness: float = 0.0) -> list[str]:
    rollout = make_episode(
        task,
        "speculative",
        Profile("quick", 400, 4000, 0),
        load_renderer("tiny", "token", "none"),
        data=DataConfig(),
        seed=0,
        agent=AgentConfig(),
        planner=Expert(task, reading_of(task, eagerness)),
    ).run()
    assert rollout.outcome == "answered" and not any(
        call.state is CallState.FAILED for call in rollout.state.graph.calls.values()
    )
    return [line.text for span in trace(rollout.history).spans for line in span.lines]


def test_a_look_up_that_lacks_an_argument_is_written_open_and_amended():
    task = own("the distance from Oslo please to New York City thank you", DISTANCE)
    assert lines_of(task) == ['1. distance("Oslo")', '1. end = "New York City"']


def test_a_text_in_two_words_is_looked_up_before_a_word_closes_it_if_eager():
    task = own("the distance from Oslo please to New York City", DISTANCE)
    heard = task.said(8)  # up to "York"
    (patient,) = reading_of(task).wanted(heard, False)
    (eager,) = reading_of(task, 1.0).wanted(heard, False)
    assert (patient.args, patient.drafts, patient.complete) == ({"start": "Oslo"}, {"end": "New York"}, False)
    assert (eager.args["end"], eager.drafts, eager.complete) == ("New York", {}, True)
    assert not reading_of(task, 1.0).wanted(task.said(7), False)[0].complete  # one word is hardly all
    for other in others(task, heard, False).values():
        assert reading_of(other, 1.0).wanted(heard, False)[0].args == eager.args


def test_the_words_of_a_held_call_are_drafted_as_they_come_without_a_derivation():
    task = own("note weekly milk bread please thank you", ("note", {"items": ["weekly milk bread"]}), tools=(SAVES,))
    lines = lines_of(task)
    assert lines[0] == '1. note("weekly")' and lines[1].startswith('1. items += " milk') and lines[-1] == "COMMIT"


def test_what_takes_the_result_of_an_open_look_up_is_drafted_with_it():
    asked = (task for task in assistant.tasks("train", 0, 200) if "summarize_pdf" in {call.name for call in task.gold})
    lines = next(lines for lines in map(lines_of, asked) if any(line.endswith("summarize_pdf()") for line in lines))
    opened = next(n for n, line in enumerate(lines) if line.endswith("summarize_pdf()"))
    id = lines[opened].split(".")[0]
    taken = next(n for n, line in enumerate(lines) if re.search(rf"\${id}\b", line))
    named = next(n for n, line in enumerate(lines) if line.startswith(f"{id}. pdf_path = "))
    assert opened < taken < named

"""Who guesses nothing is no faster than the listener's bound; what an end waited for adds up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configs.modes import settings_of
from configs.schema import AgentConfig, DataConfig, EndpointConfig
from data_gen.episodes import heard_of, make_episode
from data_gen.expert.player import Expert
from data_gen.grounding.reading import reading_of
from data_gen.speech.timing import speak
from data_gen.task import Evidence, GoldArg, GoldCall, Task
from data_gen.tasks import assistant, debug
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row
from eval.measures.critical import CAUSES, critical_path
from eval.measures.floor import append_ns
from eval.measures.listener import heard_ns, listener_ns
from eval.measures.trace import Line, Piece, Run, Span, Trace
from eval.running.episodes import record
from midsentence.clock import NS_PER_S, Profile, ns
from midsentence.core.events import UserUpdate
from midsentence.core.lines import CommitLine
from midsentence.core.modes import MODES
from midsentence.tools.tool import Param, ToolSpec

LAPTOP = Profile("laptop", 40, 400, 20_000_000)
TOKEN_NS = NS_PER_S // 40
TOOLS = (ToolSpec("read", (Param("x", {}),), "read"), ToolSpec("save", (Param("x", {}),), "write"))


class Second:
    """Every tool takes a second."""

    def run(self, name, args):
        return "ok"

    def latency_ns(self, name, args):
        return NS_PER_S


def said(tool: str, **changes) -> Task:
    gold = (GoldCall(tool, {"x": GoldArg(("two",))}, Evidence(0, 1), {"x": Evidence(1, 2)}),)
    words = speak(["one", "two", "three"], 0)
    return replace(Task("t", "test", "test", words, TOOLS, gold, Second), **changes)


UPDATES = [UserUpdate(ns(2), "one tow"), UserUpdate(ns(3), "two three", retracts=1), UserUpdate(ns(4), "", True)]


def test_a_word_is_known_when_it_is_heard_as_what_it_is():
    assert heard_ns(said("read"), UPDATES) == [ns(2), ns(3), ns(3)]
    assert heard_ns(said("read"), [UserUpdate(ns(2), "won too"), UserUpdate(ns(4), "", True)]) == [ns(4)] * 3


def test_a_read_starts_a_token_after_its_last_word_is_taken_in(tiny_renderer):
    task = said("read")
    found = listener_ns(task, UPDATES, MODES["speculative"], LAPTOP, tiny_renderer)
    read_ns = ns(3) + append_ns(UPDATES[1], LAPTOP, tiny_renderer) + TOKEN_NS + NS_PER_S
    assert (
        found == max(read_ns, ns(4) + append_ns(UPDATES[2], LAPTOP, tiny_renderer) + 3 * TOKEN_NS) - task.speech_end_ns
    )
    # what was looked up is told once it is known and in the context
    told = listener_ns(task, UPDATES, MODES["speculative"], LAPTOP, tiny_renderer, told=20)
    assert told == read_ns + LAPTOP.append_ns(1) + 20 * TOKEN_NS - task.speech_end_ns


def test_what_may_be_left_out_is_waited_for_no_longer_than_the_tools_name(tiny_renderer):
    (gold,) = said("read").gold
    loose = said("read", gold=(replace(gold, args={"x": GoldArg(("two",), optional=True)}),))
    found = listener_ns(loose, UPDATES, MODES["speculative"], LAPTOP, tiny_renderer, told=20)
    read_ns = ns(2) + append_ns(UPDATES[0], LAPTOP, tiny_renderer) + TOKEN_NS + NS_PER_S
    end_ns = ns(4) + append_ns(UPDATES[2], LAPTOP, tiny_renderer)
    assert found == max(end_ns, read_ns + LAPTOP.append_ns(1)) + 20 * TOKEN_NS - loose.speech_end_ns


def test_what_is_taken_back_in_the_end_is_not_waited_for(tiny_renderer):
    """A row whose copy is taken back: its marks say when it was meant, and gold has no such argument."""
    row = {
        "id": "b",
        "request": "email Ann with a copy to Bob that rent is due no leave Bob off",
        "calls": [
            {"name": "get_email_address", "args": {"name": ["Ann"]}},
            {"name": "compose_new_email", "args": {"recipients": [["$1"]], "context": ["rent is due"]}},
        ],
        "spans": [
            {"tool": "email", "args": {"name": "Ann"}},
            {
                "tool": "email",
                "args": {
                    "context": "rent is due",
                    "cc": [{"words": "with a copy", "value": ["$3"]}, {"words": "leave Bob off", "value": None}],
                },
            },
            {
                "name": "get_email_address",
                "tool": "a copy",
                "args": {"name": {"words": "Bob#1", "value": "Bob"}},
                "until": "leave Bob off",
            },
        ],
    }
    task = task_of_row(row, tools_of("assistant"))
    assert "cc" not in task.gold[1].arg_evidence
    heard = heard_of(task, DataConfig(), 0)
    assert listener_ns(task, heard, MODES["speculative"], LAPTOP, tiny_renderer) > 0


def test_a_write_waits_for_an_end_of_speech_that_finds_it_whole(tiny_renderer):
    task = said("save")
    found = listener_ns(task, UPDATES, MODES["speculative"], LAPTOP, tiny_renderer)
    end_ns = append_ns(UPDATES[2], LAPTOP, tiny_renderer)
    assert found == ns(4) + end_ns + 2 * TOKEN_NS + NS_PER_S - task.speech_end_ns
    for at_s, early in ((2.5, False), (3.5, True)):  # a false end before its last word, and one behind it
        heard = sorted([*UPDATES, UserUpdate(ns(at_s), "", True)], key=lambda update: update.at_ns)
        assert (listener_ns(task, heard, MODES["speculative"], LAPTOP, tiny_renderer) < found) == early


@pytest.mark.parametrize("rate", [40, 200])
@pytest.mark.parametrize("source", [debug, assistant])
def test_an_expert_who_guesses_nothing_is_no_faster_and_its_path_adds_up(source, rate, tiny_renderer):
    tasks = debug.tasks("test")[:4] if source is debug else assistant.tasks("validation", 0, 6)
    data = DataConfig(
        revision_rate=0.2, endpoint="hasty", endpoints={"hasty": EndpointConfig(delay_s=0.5, false_rate=0.7)}
    )
    profile = Profile("device", rate, 10 * rate, 20_000_000)
    for task in tasks:
        box, agent, planner = task.toolbox(), AgentConfig(), Expert(task, reading_of(task))
        rollout = make_episode(
            task,
            "speculative",
            profile,
            tiny_renderer,
            agent=agent,
            data=data,
            seed=3,
            toolbox=box,
            planner=planner,
        ).run()
        row = record(
            task,
            rollout,
            box,
            settings=settings_of("speculative", agent),
            profile=profile,
            renderer=tiny_renderer,
            cap_ns=ns(30),
            backend="expert",
            mode="speculative",
            seed=0,
        )
        if not row.right:
            assert row.listener_ns is None
            continue
        assert row.floor_ns <= row.listener_ns <= row.latency_ns
        assert tuple(row.path_ns) == CAUSES and sum(row.path_ns.values()) == row.latency_ns


def test_the_path_goes_back_from_the_last_call_to_the_end_of_speech():
    lines = (Line(ns(10.5), 0, "COMMIT", order=CommitLine(())),)
    spans = (
        Span(
            ns(10.2),
            ns(10.6),
            (Piece(ns(10.2), ns(10.6), "tool_call", "<tool_call>COMMIT\n</tool_call>", 4),),
            True,
            "action",
            lines,
        ),
        Span(ns(10.6), ns(11), (Piece(ns(10.6), ns(11), "answer", "<answer>ok</answer>", 3),), True, "action", ()),
    )
    runs = (Run(1, 1, "send", {}, ns(10.5), ns(12), "done"), Run(2, 1, "show", {}, ns(12), ns(12.5), "done"))
    seen = Trace(
        (UserUpdate(ns(10), "", True),), spans, ((ns(10), ns(10.2)),), runs, (), ((ns(12.5), "ok"),), (), ns(12.5)
    )
    found = critical_path(seen, ns(9), ns(3.5), frozenset({"send"}))
    assert {cause: spent for cause, spent in found.items() if spent} == {
        "the end of speech": ns(1),
        "taking in": ns(0.2),
        "commits": ns(0.3),
        "held calls": ns(1.5),
        "reads": ns(0.5),
    }

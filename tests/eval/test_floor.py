"""Nothing beats the floor: not the expert in any mode, not a clairvoyant that knows every word beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from agent.clock import NS_PER_S, Profile, ns
from agent.events import UserUpdate
from agent.modes import MODES, settings
from agent.protocol import write_call
from agent.tools.tool import Param, ToolSpec
from agent.transcript import Segment
from configs.schema import AgentConfig, DataConfig, EndpointConfig
from data_gen.episodes import heard_of, make_episode, settings_of
from data_gen.expert import Expert
from data_gen.reading import GroundedReading, issued
from data_gen.task import Evidence, GoldCall, Task, Word
from data_gen.tasks import debug
from eval.episodes import record
from eval.floor import answer_tokens, append_ns, commit_tokens, fewest_tokens, floor, paths

TASKS = debug.tasks("test", 0)
LAPTOP = Profile("laptop", 40, 400, 20_000_000)


@dataclass
class Clairvoyant:
    """Writes every gold call at the first word, and the shortest answer as soon as it may."""

    task: Task
    patient: bool = False
    """Pauses once after the final update: the shortest action that commits."""

    def plan(self, state) -> str:
        left = range(state.graph.highest + 1, len(self.task.gold) + 1)
        if not left and state.final_in_context:
            waits = [call for call in state.graph.calls.values() if call.id in state.graph.live and not state.commits.lets_go(call)]
            return "<pause>" if self.patient and waits else "<answer>.</answer>"
        if not left:
            return "<pause>"
        ids = {k: k for k in range(1, len(self.task.gold) + 1)}
        lines = [
            write_call(k, call.name, (), {name: issued(values[0], ids) for name, values in call.args.items()})
            for k, call in enumerate(self.task.gold, start=1) if k in left
        ][: state.settings.calls_per_action]
        return "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"


def measured(renderer, task: Task, planner, mode="speculative", profile=LAPTOP, agent=None, data=None, seed=0) -> dict:
    """The record of one episode."""
    agent, data = agent or AgentConfig(), data or DataConfig()
    box = task.toolbox()
    rollout = make_episode(task, mode, profile, renderer, agent=agent, data=data, seed=seed, toolbox=box, planner=planner).run()
    return record(
        task, rollout, box, heard_of(task, data, seed), settings=settings_of(mode, agent), profile=profile, renderer=renderer,
        cap_ns=ns(30), backend="test", mode=mode, seed=seed,
    )


@pytest.mark.parametrize("patient", [False, True])
def test_a_clairvoyant_comes_within_a_few_tokens_of_the_floor_and_never_below(tiny_renderer, patient):
    gaps = []
    for task in TASKS:
        row = measured(tiny_renderer, task, Clairvoyant(task, patient))
        assert row["right"], row["why"]
        gaps.append(row["latency_ns"] - row["floor_ns"])
    assert min(gaps) >= 0
    # so the bound is tight: an answer's tokens instead of a pause's is all that may lie between
    assert min(gaps) <= 3 * NS_PER_S // 40


@budget(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(TASKS), st.sampled_from([*MODES]), st.sampled_from(["expert", "clairvoyant", "patient"]),
    st.integers(10, 300), st.integers(1, 60), st.integers(0, 300), st.integers(0, 2**20),
    st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.5]), st.sampled_from(["token", "line", "action"]),
    st.sampled_from(["action", "paper"]),
)
def test_nothing_beats_the_floor(
    tiny_renderer, task, mode, who, rate, ratio, restart_ms, seed, grace_s, false_rate, interrupt, commit
):
    planner = Expert(task, GroundedReading(task)) if who == "expert" else Clairvoyant(task, who == "patient")
    profile = Profile("drawn", rate, rate * ratio, restart_ms * 1_000_000)
    agent = AgentConfig(commit_grace_s=grace_s, interrupt=interrupt, commit=commit)
    data = DataConfig(
        endpoints={"oracle": EndpointConfig(false_rate=false_rate, predict_delay_s=0.3)}, revision_rate=false_rate / 5, revision_words=2,
        closing_marks=not false_rate,
    )
    row = measured(tiny_renderer, task, planner, mode, profile, agent, data, seed)
    if row["right"]:
        assert row["latency_ns"] >= row["floor_ns"]
    assert sum(row["parts_ns"].values()) == row["latency_ns"]


TOOLS = (
    ToolSpec("read", (Param("x", {}),), "read"), ToolSpec("save", (Param("x", {}),), "write"),
    ToolSpec("post", (Param("x", {}),), "write", writes=frozenset({"feed"})), ToolSpec("ask", (Param("x", {}),), "egress"),
)


class Slow:
    """A tool takes as many seconds as its first argument says, and returns what only this world knows."""

    specs = {tool.name: tool for tool in TOOLS}

    def __init__(self, place="here"):
        self.place, self.effects = place, []

    def elsewhere(self):
        return Slow("elsewhere")

    def run(self, name, args):
        if self.specs[name].access == "write":
            self.effects.append((name, dict(args)))
        return [args["x"], self.place]

    def latency_ns(self, name, args):
        return ns(float(args["x"][0] if isinstance(args["x"], list) else args["x"]))


def task_of(*calls: tuple[str, tuple]) -> Task:
    none = Evidence(0, 0)
    gold = tuple(GoldCall(name, {"x": values}, none, {}) for name, values in calls)
    return Task("t", "test", "test", (Word("go", 0, NS_PER_S),), TOOLS, gold, Slow)


@pytest.mark.parametrize(("calls", "held_s", "all_s"), [
    ([("read", (2,))], 0, 2),
    ([("save", (2,)), ("save", (3,))], 3, 3),  # side by side
    ([("post", (2,)), ("post", (3,))], 5, 3),  # one resource: one by one
    ([("read", (2,)), ("save", ([1, "$1"],))], 1, 3),  # what it needs was read before the commit
    ([("save", (2,)), ("read", ([3, "$1"],))], 5, 5),  # a read that needs a write waits with it
    ([("save", (4, 2))], 2, 2),  # the quickest accepted value
    ([("save", (2,)), ("save", ([3, "$1"], 1))], 2, 2),  # no reference is needed for certain
    ([("ask", (2,))], 2, 2),
])
def test_critical_path_of_the_held_calls(calls, held_s, all_s):
    assert paths(task_of(*calls), MODES["speculative"]) == (ns(held_s), ns(all_s))


def test_an_egress_that_the_user_allows_is_not_held():
    assert paths(task_of(("ask", (2,))), settings("speculative", allowed_egress=frozenset({"ask"})))[0] == 0


def test_a_question_needs_no_call(tiny_renderer):
    asked = replace(task_of(("read", (9,))), answer=("Oslo", "The Oslo"))
    found = floor(asked, [UserUpdate(ns(1.5), "", True)], MODES["speculative"], LAPTOP, tiny_renderer)
    assert found.total_ns == found.answer_ns < ns(2)
    assert 3 <= answer_tokens(asked, tiny_renderer) <= 2 + len(tiny_renderer.action_ids("Oslo"))


def test_calls_that_were_made_lower_the_bound():
    task = task_of(("save", (4,)))
    assert paths(task, MODES["speculative"], [("save", {"x": 1})]) == (ns(1), ns(1))


def test_the_sum_of_its_parts(tiny_renderer):
    task = task_of(("save", (2,)))
    said = [UserUpdate(ns(0.5), "go"), UserUpdate(ns(1.5), "", True)]
    found = floor(task, said, MODES["speculative"], LAPTOP, tiny_renderer)
    # tag and line break: at least one decode step, and the restart
    read_ns = append_ns(said[1], LAPTOP, tiny_renderer)
    assert read_ns == LAPTOP.append_ns(len(tiny_renderer.environment_ids(Segment("final_query_update", "", 0))))
    token = NS_PER_S // 40
    assert found.answer_ns == ns(0.5) + read_ns + 3 * token
    assert found.held_ns == ns(0.5) + read_ns + token + ns(2) == found.total_ns
    graced = floor(task, said, replace(MODES["speculative"], commit_grace_ns=ns(0.25)), LAPTOP, tiny_renderer)
    assert graced.total_ns == found.total_ns + ns(0.25)
    paper = floor(task, said, replace(MODES["speculative"], commit="paper"), LAPTOP, tiny_renderer)
    assert paper.held_ns == ns(0.5) + ns(2)


def test_fewest_tokens_is_never_more_than_the_tokenizer_takes(tiny_renderer):
    for text in ("<pause>", "get_phone_number", "naïve", "x", " Done.", "to", "the train is full"):
        taken = len(tiny_renderer.action_ids(text))
        assert 1 <= fewest_tokens(tiny_renderer, text) <= taken
    assert fewest_tokens(tiny_renderer, "") == 0
    assert fewest_tokens(tiny_renderer, "get_phone_number") > 1
    assert (commit_tokens(TASKS[0], MODES["speculative"], tiny_renderer), answer_tokens(TASKS[0], tiny_renderer)) == (1, 3)

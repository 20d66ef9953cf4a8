"""Nothing beats the floor: not the expert in any mode, not a clairvoyant that knows every word beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from configs.modes import settings_of
from configs.schema import AgentConfig, DataConfig, EndpointConfig
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert
from data_gen.gold import issued, read_args
from data_gen.grounding.reading import GroundedReading
from data_gen.task import Evidence, GoldCall, Task, Word
from data_gen.tasks import debug
from eval.measures.floor import answer_tokens, append_ns, commit_tokens, fewest_tokens, floor, paths
from eval.running.episodes import record
from eval.running.records import EpisodeRecord
from midsentence.clock import NS_PER_S, Profile, ns
from midsentence.core.events import EndPredicted, Silence, UserUpdate
from midsentence.core.lines import write_amend, write_call
from midsentence.core.modes import MODES, settings
from midsentence.core.transcript import Segment
from midsentence.tools.tool import Param, ToolSpec

TASKS = debug.tasks("test", 0)
LAPTOP = Profile("laptop", 40, 400, 20_000_000)


@dataclass
class Clairvoyant:
    """Writes every gold call at the first word, commits as soon as it may in the shortest way, and answers so."""

    task: Task
    patient: bool = False
    """Pauses once after the final update: the shortest action that commits."""
    last_is_open: bool = False
    """Leaves the last call open, and amends it in the next line."""

    def plan(self, state) -> str:
        left = range(state.graph.highest + 1, len(self.task.gold) + 1)
        row = state.settings
        held = [
            state.graph[id] for id in state.graph.live if not row.speculates or state.graph[id].spec.access != "read"
        ]
        quiet = row.commit_on == "silence" and state.silence_in_context and not (row.commit == "paper" and held)
        if not left and (state.final_in_context or quiet):
            if row.commit == "line":
                waits = any(not state.commits.covers(call) for call in held)
                return "<tool_call>COMMIT\n</tool_call>" if waits else "<answer>.</answer>"
            waits = any(not state.commits.lets_go(state.graph[id]) for id in state.graph.live)
            return "<pause>" if self.patient and waits and state.final_in_context else "<answer>.</answer>"
        if not left:
            return "<pause>"
        ids = {k: k for k in range(1, len(self.task.gold) + 1)}
        lines = [
            write_call(k, call.name, (), {name: issued(arg.values[0], ids) for name, arg in call.args.items()})
            for k, call in enumerate(self.task.gold, start=1)
            if k in left
        ][: state.settings.calls_per_action]
        call = self.task.gold[-1]
        if self.last_is_open and row.revise == "amend" and row.calls_per_action is None and call.args:
            name = next(iter(call.args))
            args = {other: issued(arg.values[0], ids) for other, arg in call.args.items()}
            amended = write_amend(len(self.task.gold), name, args.pop(name))
            lines[-1:] = [write_call(len(self.task.gold), call.name, (), args), amended]
        return "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"


def measured(
    renderer, task: Task, planner, mode="speculative", profile=LAPTOP, agent=None, data=None, seed=0
) -> EpisodeRecord:
    """The record of one episode."""
    agent, data = agent or AgentConfig(), data or DataConfig()
    box = task.toolbox()
    rollout = make_episode(
        task, mode, profile, renderer, agent=agent, data=data, seed=seed, toolbox=box, planner=planner
    ).run()
    return record(
        task,
        rollout,
        box,
        settings=settings_of(mode, agent),
        profile=profile,
        renderer=renderer,
        cap_ns=ns(30),
        backend="test",
        mode=mode,
        seed=seed,
    )


@pytest.mark.parametrize("patient", [False, True])
def test_a_clairvoyant_comes_within_a_few_tokens_of_the_floor_and_never_below(tiny_renderer, patient):
    gaps = []
    for task in TASKS:
        row = measured(tiny_renderer, task, Clairvoyant(task, patient))
        assert row.right, row.why
        gaps.append(row.latency_ns - row.floor_ns)
    assert min(gaps) >= 0
    # so the bound is tight: an answer's tokens instead of a pause's is all that may lie between
    assert min(gaps) <= 3 * NS_PER_S // 40


SPOKEN = [("mail", 0.0, 0.2), ("it", 1.4, 1.6)]
"""Two words, and between them silences of 0.3 and 0.6 s."""
MIDDLE, END = UserUpdate(ns(0.4), "mail"), UserUpdate(ns(1.8), "it")
SILENT = {"commit_on": "silence"}


def spoken_task(*calls: tuple[str, tuple]) -> Task:
    return replace(task_of(*calls), words=tuple(Word(text, ns(start), ns(end)) for text, start, end in SPOKEN))


def floor_of(renderer, task: Task, **row):
    said = [MIDDLE, END, UserUpdate(ns(2.6), "", True)]
    return floor(task, said, replace(MODES["speculative"], **row), LAPTOP, renderer)


def test_with_a_silence_the_answer_needs_no_final_update(tiny_renderer):
    task, token = spoken_task(("save", (2,))), NS_PER_S // 40
    # words at 1.6 s, passed on at 1.8 s; the first silence that the model can read is told at 1.9 s
    read_ns = append_ns(Silence(ns(1.9), ns(0.3)), LAPTOP, tiny_renderer)
    assert floor_of(tiny_renderer, task, **SILENT).answer_ns == ns(0.3) + read_ns + 3 * token
    assert (
        floor_of(tiny_renderer, task).answer_ns
        == ns(1.0) + append_ns(UserUpdate(ns(2.6), "", True), LAPTOP, tiny_renderer) + 3 * token
    )


def test_what_is_held_may_run_from_the_first_silence_on_in_mid_sentence(tiny_renderer):
    task, token = spoken_task(("save", (2,))), NS_PER_S // 40
    read_ns = ns(0.5) - ns(1.6) + append_ns(Silence(ns(0.5), ns(0.3)), LAPTOP, tiny_renderer)
    commit = commit_tokens(task, replace(MODES["speculative"], commit="line"), tiny_renderer)
    assert floor_of(tiny_renderer, task, commit="line", **SILENT).held_ns == read_ns + commit * token + ns(2)
    # where the end of an action commits, on a silence only an answer does, and one that is taken back may be empty
    assert floor_of(tiny_renderer, task, **SILENT).held_ns == read_ns + 2 * token + ns(2)
    graced = floor_of(tiny_renderer, task, commit="line", commit_grace_ns=ns(0.25), **SILENT)
    assert graced.held_ns == read_ns + commit * token + ns(2.25)
    # the paper's rule waits for the final update
    assert floor_of(tiny_renderer, task, commit="paper", **SILENT).held_ns == ns(1.0) + ns(2)


def test_where_lines_commit_a_pause_does_not(tiny_renderer):
    task, row = TASKS[0], MODES["speculative"]
    assert commit_tokens(task, replace(row, commit="action"), tiny_renderer) == 1
    assert commit_tokens(task, row, tiny_renderer) == min(2, 1 + fewest_tokens(tiny_renderer, "COMMIT"))
    assert commit_tokens(task, row, tiny_renderer, on_silence=True) == commit_tokens(task, row, tiny_renderer)


def test_a_grace_that_a_prediction_began_is_shared(tiny_renderer):
    """The final update confirms the prediction and begins the grace; what is committed in it, however late, runs when
    it ends."""
    task, slow = spoken_task(("save", (2,))), replace(LAPTOP, restart_ns=ns(0.6))
    said = [MIDDLE, END, EndPredicted(ns(2.1)), UserUpdate(ns(2.6), "", True)]
    written_ns = ns(2.1 - 1.6) + append_ns(said[-1], slow, tiny_renderer) + NS_PER_S // 40

    def held_ns(grace_s: float) -> int:
        row = replace(MODES["eager_end"], commit_grace_ns=ns(grace_s))
        return floor(task, said, row, slow, tiny_renderer).held_ns

    assert written_ns > ns(1.0)
    assert held_ns(0.0) == held_ns(0.05) == written_ns + ns(2)
    assert held_ns(0.5) == ns(1.0 + 0.5 + 2)


@pytest.mark.parametrize("commit", ["line", "action"])
def test_on_silence_a_clairvoyant_comes_near_the_floor_and_below_one_that_knows_none(
    tiny_renderer, monkeypatch, commit
):
    agent = AgentConfig(commit=commit, commit_on="silence")
    rows = [measured(tiny_renderer, task, Clairvoyant(task), agent=agent) for task in TASKS]
    gaps = [row.latency_ns - row.floor_ns for row in rows if row.right]
    assert min(gaps) >= 0
    assert min(gaps) <= 5 * NS_PER_S // 40
    monkeypatch.setattr("eval.measures.floor.silences", lambda *told: [])
    deaf = [measured(tiny_renderer, task, Clairvoyant(task), agent=agent) for task in TASKS]
    assert any(row.right and row.latency_ns < row.floor_ns for row in deaf)


@budget(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(TASKS),
    st.sampled_from([*MODES]),
    st.sampled_from(["expert", "clairvoyant", "patient"]),
    st.integers(10, 300),
    st.integers(1, 60),
    st.integers(0, 300),
    st.integers(0, 2**20),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from(["token", "line", "action"]),
    st.sampled_from(["action", "line", "paper"]),
    st.sampled_from(["final", "silence"]),
    st.sampled_from(["reissue", "amend"]),
)
def test_nothing_beats_the_floor(
    tiny_renderer,
    task,
    mode,
    who,
    rate,
    ratio,
    restart_ms,
    seed,
    grace_s,
    false_rate,
    interrupt,
    commit,
    commit_on,
    revise,
):
    planner = (
        Expert(task, GroundedReading(task))
        if who == "expert"
        else Clairvoyant(task, who == "patient", revise == "amend")
    )
    profile = Profile("drawn", rate, rate * ratio, restart_ms * 1_000_000)
    on = "final" if commit == "paper" else commit_on  # the paper's rule knows no silences
    agent = AgentConfig(commit_grace_s=grace_s, interrupt=interrupt, commit=commit, commit_on=on, revise=revise)
    data = DataConfig(
        endpoints={"oracle": EndpointConfig(false_rate=false_rate, predict_delay_s=0.3)},
        revision_rate=false_rate / 5,
        revision_words=2,
        closing_marks=not false_rate,
    )
    row = measured(tiny_renderer, task, planner, mode, profile, agent, data, seed)
    if row.right:
        assert row.latency_ns >= row.floor_ns
    assert sum(row.parts_ns.values()) == row.latency_ns


TOOLS = (
    ToolSpec("read", (Param("x", {}),), "read"),
    ToolSpec("save", (Param("x", {}),), "write"),
    ToolSpec("post", (Param("x", {}),), "write", writes=frozenset({"feed"})),
    ToolSpec("ask", (Param("x", {}),), "egress"),
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
    gold = tuple(GoldCall(name, read_args({"x": values}, calls=len(calls)), none, {}) for name, values in calls)
    return Task("t", "test", "test", (Word("go", 0, NS_PER_S),), TOOLS, gold, Slow)


@pytest.mark.parametrize(
    ("calls", "held_s", "all_s"),
    [
        ([("read", (2,))], 0, 2),
        ([("save", (2,)), ("save", (3,))], 3, 3),  # side by side
        ([("post", (2,)), ("post", (3,))], 5, 3),  # one resource: one by one
        ([("read", (2,)), ("save", ([1, "$1"],))], 1, 3),  # what it needs was read before the commit
        ([("save", (2,)), ("read", ([3, "$1"],))], 5, 5),  # a read that needs a write waits with it
        ([("save", (4, 2))], 2, 2),  # the quickest accepted value
        ([("save", (2,)), ("save", ([3, "$1"], 1))], 2, 2),  # no reference is needed for certain
        ([("ask", (2,))], 2, 2),
    ],
)
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
    row = replace(MODES["speculative"], commit="action")
    found = floor(task, said, row, LAPTOP, tiny_renderer)
    # tag and line break: at least one decode step, and the restart
    read_ns = append_ns(said[1], LAPTOP, tiny_renderer)
    assert read_ns == LAPTOP.append_ns(len(tiny_renderer.environment_ids(Segment("final_query_update", "", 0))))
    token = NS_PER_S // 40
    assert found.answer_ns == ns(0.5) + read_ns + 3 * token
    assert found.held_ns == ns(0.5) + read_ns + token + ns(2) == found.total_ns
    graced = floor(task, said, replace(row, commit_grace_ns=ns(0.25)), LAPTOP, tiny_renderer)
    assert graced.total_ns == found.total_ns + ns(0.25)
    paper = floor(task, said, replace(MODES["speculative"], commit="paper"), LAPTOP, tiny_renderer)
    assert paper.held_ns == ns(0.5) + ns(2)


def test_fewest_tokens_is_never_more_than_the_tokenizer_takes(tiny_renderer):
    for text in ("<pause>", "get_phone_number", "naïve", "x", " Done.", "to", "the train is full"):
        taken = len(tiny_renderer.action_ids(text))
        assert 1 <= fewest_tokens(tiny_renderer, text) <= taken
    assert fewest_tokens(tiny_renderer, "") == 0
    assert fewest_tokens(tiny_renderer, "get_phone_number") > 1
    assert answer_tokens(TASKS[0], tiny_renderer) == 3

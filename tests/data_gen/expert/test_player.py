"""The expert goes on from any state, a model's mistakes included, to what was asked for; and tries no effect for
ever."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from configs.schema import AgentConfig, DataConfig
from data_gen.episodes import make_episode
from data_gen.expert.edits import reconcile
from data_gen.expert.listening import heard_in
from data_gen.expert.player import Expert
from data_gen.grounding.reading import Wanted, reading_of
from data_gen.speech.disfluency import Rates
from data_gen.task import Task
from data_gen.tasks import assistant, bfcl, debug, naturalistic
from eval.measures.trace import trace
from eval.measures.waste_and_safety import Rules, counts
from midsentence.clock import Profile
from midsentence.core import reducer
from midsentence.core.calls import CallState
from midsentence.core.events import Appended, Generate, ModelOutput, Note, StartTool, UserUpdate
from midsentence.core.lines import write_call
from midsentence.core.modes import MODES, Settings
from midsentence.core.reducer import State
from midsentence.core.values import Ref, write_value
from midsentence.models.load import load_renderer
from midsentence.shells.rollout import Rollout
from midsentence.tools.assistant import assistant_specs
from midsentence.tools.tool import ToolFailure
from tests.data_gen.expert.erratic import Erratic
from tests.data_gen.tasks.bfcl_rows import write_wheel

SEEDS = 8


@pytest.fixture(scope="module")
def renderer():
    return load_renderer("tiny", "token", "none")


@pytest.fixture(scope="module", params=["assistant", "bfcl", "debug"])
def tasks(request, tmp_path_factory) -> list[Task]:
    """Requests of one source: disfluent ones, grounded ones, plain ones."""
    if request.param == "assistant":
        return list(assistant.tasks("train", 0, SEEDS, assistant.Style(Rates.of({"times": 3.0}))))
    if request.param == "debug":
        return list(debug.tasks("train"))[:SEEDS]
    wheel: Path = write_wheel(tmp_path_factory.mktemp("rows") / "rows.whl")
    return [task for split in bfcl.SHARES for task in bfcl.tasks(split, 0, bfcl.CATEGORIES, wheel)]


def play(
    task: Task,
    mode: str,
    renderer,
    planner,
    seed: int = 0,
    toolbox=None,
    lines: bool = True,
    commit: str = "action",
) -> Rollout:
    rate = (20, 60, 200)[seed % 3]
    return make_episode(
        task,
        mode,
        Profile("test", rate, 10 * rate, 0),
        renderer,
        agent=AgentConfig(runs_lines=lines, commit=commit),
        data=DataConfig(),
        seed=seed,
        planner=planner,
        toolbox=toolbox,
    ).run()


def after(rollout: Rollout, generation: int) -> list[str]:
    """What the core noted from the beginning of a generation on."""
    notes: list[str] = []
    begun = False
    for _, commands in rollout.history:
        for command in commands:
            begun = begun or isinstance(command, Generate) and command.generation >= generation
            if begun and isinstance(command, Note):
                notes.append(command.what)
    return notes


def asked_for(task: Task, state: State, reading) -> set[int]:
    """The IDs of the gold calls, all of which must be done, with nothing left to change."""
    edits, ids = reconcile(reading.wanted(task.said(), True), state, True)
    assert not edits and len(ids) == len(task.gold)
    assert {state.graph[id].state for id in ids.values()} == {CallState.DONE}
    return set(ids.values())


@pytest.mark.parametrize("mode", MODES)
def test_whatever_a_model_did_the_expert_reaches_gold_and_repeats_nothing(tasks, mode, renderer):
    mistakes = 0
    for seed in range(SEEDS):
        task = tasks[seed % len(tasks)]
        draw = random.Random(f"{mode}/{task.id}/{seed}")
        reading = reading_of(task, 0.3 if task.reading is not None else 0.0, seed)
        planner = Erratic(task, Expert(task, reading), draw, draw.randint(1, 8))
        # where lines run as they are written, nonsense has effects, which nobody can take back
        rollout = play(task, mode, renderer, planner, seed, lines=False)
        state = rollout.state
        where = f"{task.id} in {mode} with seed {seed}: {planner.written}"
        assert rollout.outcome == "answered" and planner.handed_over, where
        mine = asked_for(task, state, reading)
        left = [call for id, call in state.graph.calls.items() if id not in mine]
        assert {call.state for call in left} <= {CallState.CANCELLED, CallState.FAILED, CallState.SKIPPED}, where
        notes = after(rollout, planner.handed_over)
        assert not {"identical_reissue", "invalid_action"} & set(notes), where
        mistakes += len(planner.written)
    assert mistakes > SEEDS  # or nothing was tested


@pytest.mark.parametrize("mode", MODES)
def test_where_only_lines_and_answers_commit_the_expert_writes_them(tasks, mode, renderer):
    """Nothing is lost, nothing repeated, nothing refused, and no effect starts that no line or answer has committed."""
    lines = 0
    for seed, task in enumerate(tasks[:12]):
        reading = reading_of(task)
        rollout = play(task, mode, renderer, Expert(task, reading), seed, commit="line", lines=False)
        where = f"{task.id} in {mode}"
        assert rollout.outcome == "answered", where
        asked_for(task, rollout.state, reading)
        assert not {"identical_reissue", "invalid_action"} & set(after(rollout, 0)), where
        seen = trace(rollout.history)
        found = counts(seen, task.toolbox().specs, (), rules=Rules(by_lines=True))
        assert (found.effects_before_commit, found.effects_repeated) == (0, 0), where
        lines += sum(line.text.startswith("COMMIT") for span in seen.spans for line in span.lines)
    assert lines


def test_the_erratic_model_makes_every_kind_of_mistake(renderer):
    seen: set[str] = set()
    states: set[CallState] = set()
    for seed in range(24):
        task = debug.tasks("train")[seed]
        draw = random.Random(seed)
        planner = Erratic(task, Expert(task, reading_of(task)), draw, 8)
        rollout = play(task, "speculative", renderer, planner, seed)
        for _, commands in rollout.history:
            seen |= {c.what for c in commands if isinstance(c, Note)}
        states |= {call.state for call in rollout.state.graph.calls.values()}
    assert {"invalid_action", "identical_reissue", "revise", "remove", "cut"} <= seen
    assert {CallState.CANCELLED, CallState.DONE} <= states


class Refusing:
    """A world in which a tool says no some times."""

    def __init__(self, world, name: str, times: int) -> None:
        self.world, self.name, self.times, self.asked = world, name, times, 0
        self.specs, self.latency_ns = world.specs, world.latency_ns

    def run(self, name, args):
        if name == self.name:
            self.asked += 1
            if self.asked <= self.times:
                raise ToolFailure("no signal")
        return self.world.run(name, args)


def refused(renderer, mode: str, name: str, times: int, task: Task | None = None) -> tuple[Rollout, Refusing]:
    task = task or debug.tasks("train")[2]  # a look-up and a text
    world = Refusing(task.toolbox(), name, times)
    rollout = play(task, mode, renderer, Expert(task, reading_of(task)), toolbox=world)
    assert not {"identical_reissue", "invalid_action"} & set(after(rollout, 1))
    assert rollout.outcome == "answered"
    return rollout, world


def said(rollout: Rollout) -> str:
    return "".join(segment.text for segment in rollout.state.transcript if segment.kind == "model").rsplit(
        "<answer>", 1
    )[1]


@pytest.mark.parametrize("mode", MODES)
def test_a_write_that_fails_is_tried_twice_and_then_the_user_is_told(mode, renderer):
    rollout, world = refused(renderer, mode, "send_sms", 99)
    assert world.asked == 2
    assert said(rollout) == 'I could not text Ann Lee "I am late".</answer>'


@pytest.mark.parametrize("mode", MODES)
def test_a_write_that_works_the_second_time_is_no_failure(mode, renderer):
    rollout, world = refused(renderer, mode, "send_sms", 1)
    assert world.asked == 2 and len(world.world.effects) == 1
    assert said(rollout) == 'I texted Ann Lee "I am late".</answer>'


@pytest.mark.parametrize("mode", MODES)
def test_a_read_that_fails_is_tried_three_times_and_nothing_is_asked_of_its_result(mode, renderer):
    rollout, world = refused(renderer, mode, "get_phone_number", 99)
    assert world.asked == 3 and not world.world.effects
    assert said(rollout) == "I could not find the phone number for Ann Lee.</answer>"
    if mode == "sequential":  # where the write was not there yet, it is not asked for
        assert len(rollout.state.graph.calls) == 1


def test_one_call_a_turn_removes_every_wrong_write_before_it_commits(renderer):
    task = debug.tasks("train")[2]
    wrong = ['<tool_call>\n1. send_sms(["+1"], "a")\nno line\n', '<tool_call>\n2. send_sms(["+2"], "b")\nno line\n']
    planner = Erratic(task, Expert(task, reading_of(task)), random.Random(0), 2)
    planner.mistake = lambda state: wrong.pop(0)
    rollout = play(task, "sequential", renderer, planner, lines=False)
    assert [call.state for _, call in sorted(rollout.state.graph.calls.items())] == [
        CallState.CANCELLED,
        CallState.CANCELLED,
        CallState.DONE,
        CallState.DONE,
    ]


def test_a_text_that_looks_like_a_reference_is_none(renderer):
    task = debug.tasks("train")[2]
    planner = Erratic(task, Expert(task, reading_of(task)), random.Random(0), 1)
    message = write_value(task.gold[1].args["message"].values[0])
    planner.mistake = lambda state: f'<tool_call>\n1. send_sms(["$1"], {message})\nno line\n'
    rollout = play(task, "parallel", renderer, planner, lines=False)
    assert [call.args["recipients"] for call in rollout.state.graph.calls.values() if call.spec.name == "send_sms"] == [
        [Ref(2)]
    ]
    assert len(asked_for(task, rollout.state, reading_of(task))) == 2


def test_what_was_looked_up_for_a_change_of_tool_is_not_looked_up_again(renderer):
    task = naturalistic.tasks("validation")[60]
    assert "tool_change" in task.tags
    rollout = play(task, "speculative", renderer, Expert(task, reading_of(task), "none"), seed=2)
    ids: dict[str, set[int]] = {}
    for _, commands in rollout.history:
        for command in commands:
            if isinstance(command, StartTool) and rollout.state.graph[command.call].spec.access != "write":
                ids.setdefault(f"{command.name} {command.args}", set()).add(command.call)
    assert ids and all(len(calls) == 1 for calls in ids.values())
    asked_for(task, rollout.state, reading_of(task))


def test_a_user_s_own_marker_of_words_taken_back_takes_nothing_back():
    state = reducer.start(Settings(), {}, "s", 0)
    for n, text in enumerate(["from", "[-1] to [-2,", "3]"]):
        for event in (UserUpdate(n, text, n == 2), Appended(n, 1)):
            state, _ = reducer.step(state, event)
    assert heard_in(state.transcript) == ("from", "[-1]", "to", "[-2,", "3]")


@pytest.mark.parametrize(
    ("had", "name", "said", "line"),
    [
        ({"due_date": "on Thanksgiving", "all_day": True}, "due_date", "on Thanksgiving Day", None),
        ({"due_date": "on Friday", "all_day": True}, "due_date", "on Friday at nine", None),
        ({"due_date": "on Friday", "all_day": True}, "due_date", "on Monday", '1. due_date = "on Monday"'),
        ({"list_name": "doctor"}, "list_name", "Doctor", None),
        ({"list_name": "doctor"}, "list_name", "Doctors", '1. list_name = "Doctors"'),
        ({"name": "call ann"}, "name", "call Ann", '1. name = "call Ann"'),  # what a reminder says is as it was written
    ],
)
def test_what_means_the_same_to_a_tool_is_not_said_again(had, name, said, line):
    spec = next(spec for spec in assistant_specs(now="2024-07-17 10:00:00") if spec.name == "create_reminder")
    state = reducer.start(MODES["speculative"], {spec.name: spec}, "s", 0)
    written = write_call(1, spec.name, (), {"name": "call Ann", **had})
    for event in (
        UserUpdate(1, "remind me"),
        Appended(2, 1),
        ModelOutput(3, 1, f"<tool_call>\n{written}\n</tool_call>", (1,)),
    ):
        state, _ = reducer.step(state, event)
    args = {other: value for other, value in state.graph[1].args.items() if other != name}
    want = Wanted(1, spec, args, {other: (value,) for other, value in args.items()}, True, drafts={name: said})
    edits, ids = reconcile([want], state, False)
    assert [edit.line for edit in edits] == ([line] if line else []) and ids == {1: 1}

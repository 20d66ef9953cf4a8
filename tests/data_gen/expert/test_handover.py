"""The model's own rollout is played again to the moment, the expert finishes, and only what the expert wrote counts."""

from __future__ import annotations

import random

import pytest

from configs.schema import AgentConfig, DataConfig, EndpointConfig
from data_gen.episodes import make_episode
from data_gen.expert.agreement import KINDS, disagreement
from data_gen.expert.edits import reconcile
from data_gen.expert.handover import Diverged, Handover, Watched
from data_gen.expert.player import Expert
from data_gen.grounding.reading import reading_of
from data_gen.speech.disfluency import Rates
from data_gen.task import Task
from data_gen.tasks import assistant, debug, naturalistic
from data_gen.trajectory import pieces
from midsentence.clock import Profile
from midsentence.core.calls import CallState
from midsentence.core.events import StartTool
from midsentence.core.modes import MODES
from midsentence.core.reducer import State
from midsentence.core.values import write_value
from midsentence.models.load import load_renderer
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode
from tests.data_gen.expert import erratic

FORMS = (("amend", "line", "final"), ("amend", "line", "silence"), ("reissue", "action", "final"))
ENDS = {"oracle": EndpointConfig(), "timer": EndpointConfig(0.5, 1.0, 0.3)}


@pytest.fixture(scope="module")
def renderer():
    return load_renderer("tiny", "token", "none")


class Mischief(erratic.Erratic):
    """Writes every kind of line, the second edition's too; commits, answers and has effects whenever it likes."""

    def mistake(self, state: State) -> str:
        draw = self.draw
        thought = f"<think>{erratic.MUSING}</think>" if draw.random() < 0.3 else ""
        if draw.random() < 0.2:
            return thought + draw.choice(("<pause>", "<answer>Done.</answer>", "what?", "<tool_call>\n</tool_call>"))
        lines, next_id = [], state.graph.highest + 1
        limit = state.settings.calls_per_action
        for _ in range(draw.randint(1, 4 if limit is None else limit)):
            line, new = self.any_line(state, next_id)
            lines.append(line)
            next_id += new
        if draw.random() < 0.2:
            lines.append(draw.choice(erratic.NONSENSE).format(next=next_id, tool=draw.choice(self.task.tools).name))
        return thought + "\n".join(["<tool_call>", *lines, "</tool_call>"])

    def any_line(self, state: State, next_id: int) -> tuple[str, bool]:
        draw, there = self.draw, sorted(state.graph.calls)
        roll = draw.random()
        if there and roll < 0.2:
            call = state.graph[draw.choice(there)]
            param = draw.choice(call.spec.params)
            if draw.random() < 0.5:
                return f"{call.id}. {param.name} += {write_value(' ' + draw.choice(self.task.words).text)}", False
            return f"{call.id}. {param.name} = {write_value(self.value(param.schema, ()))}", False
        if roll < 0.3:
            return "COMMIT" + (f" {draw.choice(there)}" if there and draw.random() < 0.5 else ""), False
        if roll < 0.4:
            return f"{next_id}. {draw.choice(self.task.tools).name}()", True
        return self.line(state, next_id)


PLAYED = [mode for mode, row in MODES.items() if not row.verified]
"""Modes of one session, which a model plays and an expert puts right."""


def tasks_of(source: str) -> list[Task]:
    if source == "assistant":
        return list(assistant.tasks("train", 0, 12, assistant.Style(Rates.of({"times": 3.0}))))
    if source == "naturalistic":
        return list(naturalistic.tasks("train", 0, 12, Rates.of({}, naturalistic.RATES)))
    return list(debug.tasks("train"))[:12]


@pytest.mark.parametrize("source", ["assistant", "naturalistic", "debug"])
def test_from_any_state_the_expert_finishes_repeats_no_effect_and_is_not_refused(source, renderer):
    wrong = taken = 0
    for seed, task in enumerate(tasks_of(source)):
        for n, mode in enumerate(PLAYED):
            draw = random.Random(f"{source}/{seed}/{mode}")
            revise, commit, commit_on = FORMS[(seed + n) % 3]
            agent = AgentConfig(
                revise=revise,
                commit=commit,
                commit_on=commit_on,
                max_context_tokens=8000,
                max_generated_tokens=4000,
            )
            reading = reading_of(task, 0.3 if task.reading is not None else 0.0, seed)
            planner = Mischief(task, Expert(task, reading), draw, draw.randint(1, 8))
            rollout = make_episode(
                task,
                mode,
                Profile("test", 60, 600, 0),
                renderer,
                agent=agent,
                seed=seed,
                planner=planner,
                data=DataConfig(endpoint=draw.choice(list(ENDS)), endpoints=ENDS),
            ).run()
            if not planner.handed_over:
                continue  # the mischief itself ended the episode
            taken += 1
            where = f"{task.id} in {mode}, {revise}, {commit}, {commit_on}: {planner.written}"
            state = rollout.state
            assert rollout.outcome == "answered", where
            starts = [
                (c.name, repr(sorted(c.args.items())))
                for _, commands in rollout.history
                for c in commands
                if isinstance(c, StartTool)
                and state.tools[c.name].access == "write"
                and state.graph[c.call].state is CallState.DONE
            ]
            assert len(set(starts)) == len(starts), where
            edits, ids = reconcile(reading.wanted(task.said(), True), state, True)
            mine = set(ids.values())
            if any(call.frozen and call.id not in mine for call in state.graph.calls.values()):
                wrong += 1
                continue
            assert (
                not edits and len(ids) == len(task.gold) and {state.graph[id].state for id in mine} == {CallState.DONE}
            ), where
    assert taken > 30 and wrong  # or nothing was tested


def test_what_took_effect_at_a_false_end_is_not_drafted_again(renderer):
    """The value was taken as whole, done, and the speaker goes on with a filled pause: the draft says what is done
    already."""
    drawn = naturalistic.tasks("train", 0, 40, Rates.of({}, naturalistic.RATES))
    tasks = [task for task in drawn if {"um", "uh", "er"} & set(task.request.split())]
    agent = AgentConfig(revise="amend", commit="line")
    ended_early = 0
    for task in tasks[:10]:
        for seed in range(4):
            rollout = make_episode(
                task,
                "speculative",
                Profile("test", 200, 2000, 0),
                renderer,
                agent=agent,
                seed=seed,
                planner=Expert(task, reading_of(task)),
                data=DataConfig(endpoint="timer", endpoints=ENDS),
            ).run()
            assert rollout.outcome == "answered"
            assert not any(segment.kind == "error" for segment in rollout.state.transcript)
            ended_early += sum(segment.kind == "final_query_update" for segment in rollout.state.transcript) > 1
    assert ended_early > 10


# -- who wrote what ------------------------------------------------------------------------------------------------


class Mixed:
    """In a model's place: what a planner says is recorded as the model's."""

    def __init__(self, watched: Watched, planner) -> None:
        self.watched, self.planner = watched, planner

    def plan(self, state: State) -> str:
        plan = self.watched.plan(state)
        return self.planner.plan(state) if plan is None else plan


def watch(
    task: Task, mode: str, renderer, seed: int, beta: float = 0.25, most: int = 0, hasty: bool = False
) -> tuple[Watched, object]:
    """Args:
    hasty: whether ends of speech are often predicted where there is none, and modes that wait are shown the request
        whole: an attempt on such an end leaves the context.
    """
    usual = Profile("test", (20, 60, 200)[seed % 3], 900, 0)
    data = DataConfig(endpoint="hasty", endpoints={"hasty": EndpointConfig(0.4, 1.0, 0.2)}) if hasty else DataConfig()

    def episode(planner, profile=usual) -> Episode:
        return make_episode(
            task,
            mode,
            profile,
            renderer,
            agent=AgentConfig(whole=hasty),
            seed=seed,
            planner=planner,
            data=data,
        )

    expert = Expert(task, reading_of(task))
    watched = Watched(expert, renderer, random.Random(seed), beta, most)
    mischief = Mischief(task, expert, random.Random(f"{mode}/{seed}"), 6)
    watched.close(episode(Mixed(watched, mischief)).run())
    return watched, episode


def by_visit(rollout: Rollout, planner: Handover) -> list[tuple[str, set[bool]]]:
    """What was written in each visit, and whether it counts."""
    uncounted = planner.uncounted(rollout)
    found: list[tuple[str, set[bool]]] = [("", set()) for _ in planner.generations]
    transcript = list(rollout.state.transcript)
    for place, n in planner.visits_of(rollout).items():
        found[n] = (found[n][0] + transcript[place].text, found[n][1] | {place not in uncounted})
    return found


@pytest.mark.parametrize("mode", PLAYED)
def test_only_what_the_expert_wrote_counts(mode, renderer):
    rows = 0
    for seed, task in enumerate(tasks_of("debug")):
        watched, episode = watch(task, mode, renderer, seed)
        assert len(watched.written) == len(watched.visits)
        for moment in watched.moments():
            asked: list[str] = []
            expert = Expert(task, reading_of(task))
            planner = Handover(watched, moment, expert)

            class Heard:
                def plan(self, state, expert=expert, asked=asked):
                    asked.append(expert.plan(state))
                    return asked[-1]

            planner.expert = Heard()
            rollout = episode(planner).run()
            found = by_visit(rollout, planner)
            for (text, counts), written in zip(found[:moment], watched.written):
                assert text == written.text and counts <= {not written.by_model}
            for (text, counts), plan in zip(found[moment:], asked, strict=True):
                assert renderer.text(renderer.action_ids(plan)).startswith(text) and counts <= {True}
            assert renderer.text(renderer.action_ids(asked[0])) == watched.visits[moment].plan
            counted = [p.segment.ids for p in pieces(rollout, planner.uncounted(rollout)) if p.supervised]
            expert_ids = [
                s.ids
                for place, s in enumerate(rollout.state.transcript)
                if s.kind == "model" and place not in planner.uncounted(rollout)
            ]
            assert sum(counted, ()) == sum(expert_ids, ())
            rows += 1
    assert rows > 5


def test_what_has_left_the_context_is_written_again_and_taught_by_nobody(renderer):
    rows = gone = 0
    for seed, task in enumerate(tasks_of("naturalistic")):
        watched, episode = watch(task, "eager_end", renderer, seed, hasty=True)
        assert len(watched.written) == len(watched.visits) or watched.failure
        for moment in watched.moments():
            before = watched.written[:moment]
            planner = Handover(watched, moment, Expert(task, reading_of(task)))
            rollout = episode(planner).run()
            assert planner.reached and not planner.refused(rollout)
            for (text, counts), written in zip(by_visit(rollout, planner)[:moment], before):
                assert text == (written.text if written.stands else "") and counts <= {not written.by_model}
            gone += any(not written.stands and written.ids for written in before)
            rows += 1
    assert rows > 20 and gone > 5


def test_the_expert_finishes_after_so_many_mistakes(renderer):
    watched, _ = watch(tasks_of("debug")[2], "speculative", renderer, 2, beta=0.0, most=1)
    assert watched.mistakes == 1 and watched.taken_over is not None
    assert [w.by_model for w in watched.written] == [n < watched.taken_over for n in range(len(watched.written))]
    assert watched.moments()[-1] == watched.taken_over


def test_a_rollout_that_comes_to_another_state_is_not_gone_on_with(renderer):
    task = tasks_of("debug")[2]
    watched, episode = watch(task, "speculative", renderer, 2, beta=0.0)
    moment = watched.moments()[-1]
    assert moment > 0
    planner = Handover(watched, moment, Expert(task, reading_of(task)))
    other = episode(planner, Profile("slower", 15, 60, 0))
    with pytest.raises(Diverged, match=f"visit {moment} was at"):
        other.run()


# -- agreement -----------------------------------------------------------------------------------------------------


def state_after(renderer, actions: list[str], revise: str = "reissue", commit: str = "action") -> State:
    """The state of a debug session in which the next action is about to be written, the user having finished."""
    task = debug.tasks("train")[2]
    kept: list[State] = []

    class Plays:
        def plan(self, state: State) -> str:
            if state.final_in_context and not actions:
                kept.append(state)
                return "<answer>x</answer>"
            return actions.pop(0) if state.final_in_context else "<pause>"

    make_episode(
        task,
        "speculative",
        Profile("fast", 1000, 9000, 0),
        renderer,
        agent=AgentConfig(revise=revise, commit=commit),
        seed=0,
        data=DataConfig(),
        planner=Plays(),
    ).run()
    return kept[0]


def call(*lines: str) -> str:
    return "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"


LOOK, SEND = '1. get_phone_number("Ann Lee")', '2. send_sms([$1], "I am late")'


@pytest.mark.parametrize(
    ("before", "wrote", "plan", "kind"),
    [
        ([], call(LOOK, SEND), call(LOOK, SEND), ""),
        ([], "<think>hm</think>" + call(LOOK), call('1. get_phone_number(name="Ann Lee")'), ""),
        (
            [],
            call(LOOK, '2. get_phone_number("Bob")'),
            call('1. get_phone_number("Bob")', '2. get_phone_number("Ann Lee")'),
            "",
        ),
        ([], "<tool_call>\n" + LOOK + "\n", call(LOOK, SEND), ""),  # cut
        ([], "<think>I shou", call(LOOK), ""),
        ([], "<pause>", "<pause>", ""),
        ([], "what", "<pause>", "refused"),
        ([], call("9. get_phone_number(1)"), call(LOOK), "refused"),
        ([], call('1. get_phone_number("Bob")'), call(LOOK), "wrong_value"),
        ([], call('1. get_weather("Lima")'), call(LOOK), "unwanted"),
        ([], call(LOOK), "<pause>", "early_call"),
        ([], "<answer>Done.</answer>", call(LOOK), "early_answer"),
        ([], call(LOOK), call(LOOK, SEND), "missing"),
        ([call(LOOK)], call('2. get_phone_number("Ann Lee")'), "<pause>", "repeated"),
        ([call(LOOK)], call(LOOK), "<pause>", "repeated"),
        ([call(LOOK)], "<pause>", call(SEND), "late"),
        ([call('1. get_phone_number("Bob")')], "<answer>x</answer>", call("REMOVE 1"), "early_answer"),
        ([call('1. get_phone_number("Bob")')], "<pause>", call("REMOVE 1"), "uncorrected"),
        ([call(LOOK)], "<pause>", "<answer>Done.</answer>", "useless_pause"),
        ([call(LOOK)], "<answer>Done!</answer>", "<answer>done</answer>", ""),
        ([call(LOOK)], "<answer>No.</answer>", "<answer>done</answer>", "wrong_answer"),
    ],
)
def test_what_is_wrong_with_an_action(renderer, before, wrote, plan, kind):
    assert kind in ("", *KINDS)
    assert disagreement(state_after(renderer, list(before)), wrote, plan) == kind


def test_a_commit_where_the_expert_still_has_to_write_is_early(renderer):
    state = state_after(renderer, [call(LOOK, '2. send_sms([$1], "I am")')], "amend", "line")
    assert disagreement(state, call("COMMIT"), call('2. message += " late"', "COMMIT")) == "early_commit"
    assert (
        disagreement(state, call('2. message = "I am late"', "COMMIT"), call('2. message += " late"', "COMMIT")) == ""
    )

"""Generated conversations: every kind of turn, what each asks for, and an expert who plays them right in all modes."""

from __future__ import annotations

from collections import Counter

import pytest

from configs.schema import AgentConfig, Config, DataConfig, EndpointConfig, ModelConfig
from data_gen import check
from data_gen.checks.tally import COUNTERS
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert
from data_gen.generate import _tasks, make_row, renderer
from data_gen.gold import references
from data_gen.grounding.reading import reading_of
from data_gen.task import KINDS
from data_gen.tasks.assistant import turn_wordings
from data_gen.tasks.assistant.dialogue import compose
from data_gen.tasks.assistant.turn_wordings import ASIDES, CORRECTIONS, FOLLOW_UPS, LACKS, SUBJECTS, worded
from midsentence.clock import Profile
from midsentence.core.events import Speaking
from midsentence.core.modes import MODES
from midsentence.core.state import State


@pytest.fixture(scope="module")
def drawn():
    return [compose("validation", n) for n in range(60)]


def test_a_conversation_follows_from_its_arguments(drawn):
    again = compose("validation", 3)
    assert (again.words, again.gold, again.turns) == (drawn[3].words, drawn[3].gold, drawn[3].turns)
    assert compose("validation", 3, seed=1).words != again.words


def test_there_are_turns_of_every_kind(drawn):
    kinds = Counter(turn.kind for task in drawn for turn in task.turns)
    assert set(kinds) == set(KINDS) and all(2 <= len(task.turns) <= 6 for task in drawn)


def test_a_question_is_answered_by_the_next_turn(drawn):
    for task in drawn:
        for turn, following in zip(task.turns, task.turns[1:]):
            assert (turn.kind == "underspecified") == bool(turn.asks)
            assert bool(turn.asks) == (following.kind in ("clarified", "correction_before", "change_of_mind_before"))
        assert not task.turns[-1].asks


def test_nothing_is_called_in_a_quiet_turn_and_something_in_every_other(drawn):
    for task in drawn:
        had = 0
        for turn in task.turns:
            assert not turn.quiet or turn.calls == had
            assert turn.quiet or turn.asks or turn.calls > had or turn.answer
            had = turn.calls


def test_a_follow_up_repeats_what_it_refers_to():
    tasks = [compose("train", n) for n in range(60)]
    found = [(task, n) for task in tasks for n, turn in enumerate(task.turns) if turn.kind == "follow_up"]
    assert len(found) > 8
    for task, n in found:
        new = task.gold[task.turns[n - 1].calls : task.turns[n].calls]
        earlier = [arg.values for call in task.gold[: task.turns[n - 1].calls] for arg in call.args.values()]
        own = [arg.values for call in new for arg in call.args.values()]
        assert any(values in earlier or references(values) for values in own)


@pytest.mark.parametrize(
    "lists",
    [
        *(row.lines for row in FOLLOW_UPS),
        *(lines for row in LACKS for lines in (row.lines, row.replies, row.corrections) if lines),
        *CORRECTIONS.values(),
        *ASIDES.values(),
        SUBJECTS,
    ],
)
def test_no_wording_is_in_two_splits(lists):
    train, validation, test = (set(worded("x", tuple(lists), split)) for split in ("train", "validation", "test"))
    assert train | validation | test == set(lists) and len(train) + len(validation) + len(test) == len(set(lists))
    assert len(test) >= 2 and len(validation) >= 2 and turn_wordings.__doc__


@pytest.fixture(scope="module", params=["smart", "oracle", "eager"])
def config(request) -> Config:
    ends = {"smart": EndpointConfig(0.6, 0.682, 0.3, 0.633), "oracle": EndpointConfig(0.5, 0.0)}
    ends["eager"] = ends["smart"]
    sizes = {"train": 6, "validation": 1, "test": 2}
    data = DataConfig(source="dialogue", sizes=sizes, eagerness=0.3, endpoint=request.param, endpoints=ends)
    return Config(
        data=data, model=ModelConfig(name="tiny"), agent=AgentConfig(eager_listening=request.param == "eager")
    )


def test_a_folder_of_conversations_has_nothing_to_count(config):
    rows = [
        make_row(config, _tasks(config, split)[n], split, n)
        for split, count in config.data.sizes.items()
        for n in range(count)
    ]
    found = check.check_rows(config, rows).report()
    assert found["rows"] == 9 and all(found[name] == 0 for name in COUNTERS) and found["split_overlap"] == 0
    assert found["turns"] >= 18 and sum(found["kinds_of_turns"].values()) == pytest.approx(1, abs=0.01)
    assert sum(found["turns_of_conversations"].values()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_the_user_speaks_when_the_agent_has_answered(mode, config):
    task = next(task for n in range(20) if len((task := compose("validation", n)).turns) == 3)
    expert = Expert(task, reading_of(task))
    rollout = make_episode(
        task,
        mode,
        Profile("laptop", 60, 1200, 20_000_000),
        renderer(config),
        agent=config.agent,
        data=config.data,
        seed=0,
        planner=expert,
    ).run()
    assert (
        rollout.outcome == "answered"
        and len(rollout.starts_ns) == 3
        and list(rollout.starts_ns) == sorted(rollout.starts_ns)
    )
    began = [event.at_ns for event, _ in rollout.history if isinstance(event, Speaking) and event.part == "begun"]
    assert all(any(at <= start for at in began) for start in rollout.starts_ns[1:])


def test_what_was_sent_is_not_written_again_when_a_filler_follows_the_name_it_was_made_of(config):
    """A name may go on after "uh"; the message that is made of what it names has been sent all the same."""
    task = compose("train", 102)
    assert [word.text for word in task.words[9:15]] == ["the", "pottery", "catalogue", "uh", "huh", "oh"]
    plans: list[str] = []

    class Kept(Expert):
        def plan(self, state: State) -> str:
            plans.append(super().plan(state))
            return plans[-1]

    for seed in range(3):
        rollout = make_episode(
            task,
            "async_io",
            Profile("laptop", 106, 1200, 20_000_000),
            renderer(config),
            agent=config.agent,
            data=config.data,
            seed=seed,
            planner=Kept(task, reading_of(task)),
        ).run()
        assert rollout.outcome == "answered"
    assert plans and not any("4. send_sms([$1], $3)" in plan for plan in plans)

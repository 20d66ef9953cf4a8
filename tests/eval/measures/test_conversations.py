"""Conversations measured: each turn by itself, in its own world and from its own last word."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from configs.modes import settings_of
from configs.schema import Config, DataConfig, EndpointConfig, ModelConfig
from data_gen.dialogue.user import Conversant
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert
from data_gen.grounding.reading import reading_of
from data_gen.marking.reading import parse
from data_gen.task import GoldArg
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row
from eval.figures.turn_tables import conversations
from eval.measures.conversations import slices, summary
from eval.measures.rows import Terms, rows_of
from eval.measures.trace import trace
from eval.report import broken
from eval.running.episodes import record, replayed
from eval.running.records import EpisodeRecord
from eval.running.results import Key
from midsentence.clock import Profile, ns
from midsentence.core.modes import MODES
from tests.eval.made import record_of

CONFIG = Config(
    data=DataConfig(source="jsonl", endpoint="oracle", endpoints={"oracle": EndpointConfig(0.5, 0.0)}),
    model=ModelConfig(name="tiny"),
)
LAPTOP = Profile("laptop", 60, 1200, 20_000_000)
LINE = (
    "t | {1,2:text} {1.name:Bob} for me >> ?2.message >> {2.message:I'm running late} >> >> did it go out >> =Yes, it did. / yes >> "
    "and {3:remind me} to {3.name:buy a card} >> >> thanks | get_phone_number; send_sms(recipients=[$1]); create_reminder "
    "| now=2026-03-03 10:00:00; split=test"
)
TASK = task_of_row(parse(LINE), tools_of("assistant"))


class Spoilt:
    """The expert, one of whose actions is another: the first that holds a text."""

    def __init__(self, changes, task=TASK) -> None:
        self.expert, self.changes = Expert(task, reading_of(task)), list(changes)

    def plan(self, state) -> str:
        plan = self.expert.plan(state)
        change = next((change for change in self.changes if change[0] in plan), None)
        if change is None:
            return plan
        self.changes.remove(change)
        return plan.replace(*change)


def played(
    renderer, *changes, mode: str = "parallel", task=TASK, judged=None, agent=CONFIG.agent, **data
) -> EpisodeRecord:
    own = replace(CONFIG.data, **data)
    user = Conversant(task, own, 0)
    box = task.toolbox()
    rollout = make_episode(
        task, mode, LAPTOP, renderer, agent=agent, data=own, seed=0, toolbox=box, planner=Spoilt(changes, task)
    ).run()
    return record(
        judged or task,
        rollout,
        box,
        settings=settings_of(mode, agent),
        profile=LAPTOP,
        renderer=renderer,
        cap_ns=ns(30),
        user=user,
        backend="expert",
        mode=mode,
        seed=0,
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_expert_is_right_in_every_turn_of_every_mode(mode, tiny_renderer):
    found = played(tiny_renderer, mode=mode)
    assert found.right and [turn.right for turn in found.turns] == [True] * 5
    for turn in found.turns:
        assert 0 < turn.floor_ns <= turn.latency_ns == sum(turn.parts_ns.values()) < ns(8)
    assert [turn.asked for turn in found.turns] == [turn.asks for turn in found.turns] == [True, *[False] * 4]
    assert found.latency_ns == sum(found.parts_ns.values()) and found.counts.effects_before_commit == 0
    assert found.counts.effects_before_last_word == found.repeated_across_turns == found.counts.effects_repeated == 0
    assert (found.counts.effects, found.counts.wrong_effects) == (2, 0)
    assert len(found.words) == len(TASK.words) and found.words[-1].end_ns == found.speech_end_ns


@pytest.mark.parametrize("predicted", [True, False])
def test_a_listener_who_begins_on_a_predicted_end_is_not_behind_where_there_is_nothing_to_do(predicted, tiny_renderer):
    """Without it, a turn that is only answered waits for the real end of speech."""
    ears = {"endpoints": {"oracle": EndpointConfig(0.5, 0.0, 0.3)}}
    agent = replace(CONFIG.agent, eager_listening=predicted)
    listener = played(tiny_renderer, mode="speculative", agent=agent, **ears)
    baseline = played(tiny_renderer, mode="eager_end", agent=agent, **ears)
    assert listener.right and baseline.right and listener.counts.effects_before_commit == 0
    quiet = [n for n, turn in enumerate(TASK.turns) if turn.kind in ("thanks", "question")]
    late = [listener.turns[n].latency_ns - baseline.turns[n].latency_ns for n in quiet]
    assert len(late) == 2 and all((later <= 0) == predicted for later in late)
    assert (listener.latency_ns < baseline.latency_ns) == predicted


def test_what_answers_a_false_end_of_speech_is_not_a_turns_answer(tiny_renderer):
    """It went out before the user's last word, and the turn was measured by it: faster than its floor, where none came
    later."""
    rollout = make_episode(
        TASK, "parallel", LAPTOP, tiny_renderer, agent=CONFIG.agent, data=CONFIG.data, seed=0, planner=Spoilt([])
    ).run()
    whole = trace(rollout.history)
    first = slices(TASK, rollout, whole)[0]
    assert first.answer == whole.emits[0][1] and whole.emits[0][0] >= first.speech_end_ns
    early = (first.speech_end_ns - 1, "Done.")
    assert slices(TASK, rollout, replace(whole, emits=(early, *whole.emits)))[0].answer == first.answer
    assert slices(TASK, rollout, replace(whole, emits=(early, *whole.emits[1:])))[0].answer is None


def test_a_turns_words_are_where_they_were_said(tiny_renderer):
    found = played(tiny_renderer)
    starts = [turn.start_ns for turn in found.turns]
    assert [found.words[n].start_ns for n in (0, 4, 7, 11, 18)] == starts and starts == sorted(starts)


def test_an_attempt_that_left_the_context_is_no_growth_of_it(tiny_renderer):
    found = played(tiny_renderer, mode="verified")
    assert found.right and found.drafted.attempts > 4
    assert sum(turn.tokens for turn in found.turns) <= found.context_tokens - found.prompt_tokens


@pytest.mark.parametrize(("mode", "cause"), [("verified", ""), ("parallel", "extra")])
def test_a_look_up_that_was_thrown_away_is_in_vain_and_no_fault_of_a_turn_that_asks_for_nothing(
    mode, cause, tiny_renderer
):
    """In `verified` an attempt at the first words of the thanks looks a number up, in `parallel` what answers all of
    them does."""
    task = task_of_row(parse(LINE.replace(">> thanks", ">> oh thanks a lot for that")), tools_of("assistant"))
    task = replace(task, turns=(*task.turns[:-1], replace(task.turns[-1], quiet=True)))
    begun = "<answer>Done.</answer>" if mode == "verified" else "<answer>You're welcome.</answer>"
    look_up = '<tool_call>\n4. get_email_address("Bob")\n</tool_call>'
    keep = ("<tool_call>\nREMOVE 4\n</tool_call>", "<answer>You're welcome.</answer>")
    found = played(
        tiny_renderer, *[("Done.", "Done.")] * 5 * (mode == "verified"), (begun, look_up), keep, mode=mode, task=task
    )
    assert found.counts.wasted_calls == 1
    assert [turn.cause for turn in found.turns] == ["", "", "", "", cause]


def test_a_conversation_that_fills_its_context_goes_on_without_the_oldest(tiny_renderer):
    whole = played(tiny_renderer)
    assert whole.right and whole.forgets == 0
    limit = whole.prompt_tokens + (whole.context_tokens - whole.prompt_tokens) * 2 // 3
    short = played(tiny_renderer, agent=replace(CONFIG.agent, max_context_tokens=limit))
    assert short.right and short.forgets > 0 and short.context_tokens <= limit
    assert next(turn.tokens for turn in short.turns) == next(turn.tokens for turn in whole.turns)
    (found,) = conversations(
        [
            {
                "task": "s",
                "split": "test",
                "profile": "laptop",
                "backend": "expert",
                "mode": "parallel",
                "conversations": summary([short]),
            }
        ]
    )[:1]
    assert found.rows[0][-2:] == (str(short.context_tokens), str(short.forgets))


def test_an_effect_that_was_asked_for_in_any_turn_is_not_wrong(tiny_renderer):
    found = played(tiny_renderer)
    assert found.right and found.counts.effects == 2 and found.counts.wrong_effects == 0
    wrong = played(tiny_renderer, ("running late", "running"))
    assert wrong.counts.wrong_effects == 1


def test_a_mistake_is_counted_in_the_turn_in_which_it_was_made(tiny_renderer):
    asked = replace(TASK.gold[1], args={**TASK.gold[1].args, "message": GoldArg(("I'm early",))})
    found = played(tiny_renderer, judged=replace(TASK, gold=(TASK.gold[0], asked, TASK.gold[2])))
    assert [turn.right for turn in found.turns] == [True, False, True, True, True]
    assert (found.right, found.cause) == (False, "wrong argument") and found.why.startswith("turn 2: ")


def test_nothing_may_run_where_nothing_is_to_be_done(tiny_renderer):
    extra = '<tool_call>\n4. create_note("shopping", "milk")\n</tool_call>'
    found = played(tiny_renderer, ("<answer>You're welcome.</answer>", extra))
    assert found.turns[-1].right is False and found.counts.wrong_effects == 1


def test_a_question_is_due_where_a_value_is_lacking_and_nowhere_else(tiny_renderer):
    found = played(tiny_renderer, ("What should the text say?", "Okay, I say nothing."))
    assert not found.turns[0].right and found.turns[0].cause == "wrong answer" and not found.turns[0].asked
    # it asks where everything has been said
    found = played(tiny_renderer, ("You're welcome.", "Anything else?"))
    assert found.right and summary([found])["asked_needlessly"] == [1, 4]
    assert summary([found])["asked_where_needed"] == [1, 1]


def test_an_effect_that_comes_again_in_a_later_turn_is_counted(tiny_renderer):
    again = '<tool_call>\n3. send_sms([$1], "I\'m running late")\n</tool_call>'
    found = played(tiny_renderer, ("<answer>Yes, it did.</answer>", again))
    assert found.repeated_across_turns == 1 and found.counts.effects_repeated == 0  # no two within one turn
    assert [turn.right for turn in found.turns][2] is False


def test_turns_that_were_never_said_count_as_not_right(tiny_renderer):
    found = played(tiny_renderer, *[("<answer>What should the text say?</answer>", "<pause>")] * 20)
    assert [turn.said for turn in found.turns] == [True, *[False] * 4] and not any(turn.right for turn in found.turns)
    assert all(turn.latency_ns == ns(30) for turn in found.turns) and found.outcome != "answered"


def test_speaking_into_an_answer_is_timed_from_the_users_first_word(tiny_renderer):
    turns = tuple(replace(turn, interrupts=1.0) for turn in TASK.turns)
    found = played(tiny_renderer, task=replace(TASK, turns=turns))
    silent = [turn.silence_ns for turn in found.turns]
    assert silent[0] is None and any(silent) and all(ns(0.1) < each < ns(3) for each in silent if each)
    # what was not heard is in the context
    appends = [command for _, commands in found.log for command in commands if command["type"] == "Append"]
    told = [segment for command in appends for segment in command["segments"]]
    assert any(kind == "cancel" and text.startswith("your answer after") for kind, text, _ in told)


def test_the_record_alone_gives_the_last_state_again(tiny_renderer):
    found = played(tiny_renderer)
    assert replayed(found, TASK, settings_of("parallel", CONFIG.agent)).answered


def test_the_report_has_a_row_of_turns_for_each_mode(tiny_renderer):
    episodes = {}
    for mode in ("sequential", "speculative"):
        made = played(tiny_renderer, mode=mode)
        episodes[Key("jsonl", "test", "expert", mode, "laptop")] = [made.bare()]
    rows = rows_of(episodes, Terms(resamples=10))
    assert [row["conversations"]["n"] for row in rows] == [5, 5] and not broken(rows)
    first, growth, kinds = conversations(rows)
    assert [line[:2] for line in growth.rows] == [(str(n), "1") for n in range(1, 6)]
    own, since = growth.rows[0][2].rstrip(")").split(" (")
    assert own == since and int(growth.rows[-1][2].rstrip(")").split(" (")[1]) > int(own)
    assert first.rows[0][2:4] == ("1/1", "5/5") and first.rows[0][8] == "1/1"
    assert [line[0] for line in kinds.rows] == ["clarified", "follow_up", "question", "thanks", "underspecified"]
    spoilt = copy.deepcopy(rows)
    spoilt[0]["conversations"]["floor_beaten"] = 1
    assert "1 turns beat the floor" in broken(spoilt)[0]


def test_single_requests_have_no_turns(tiny_renderer):
    assert summary([record_of()]) is None

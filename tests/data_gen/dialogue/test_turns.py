"""Tasks with turns: what they may be, one turn alone, and the user who says them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from configs.schema import DataConfig, EndpointConfig
from data_gen.dialogue.turns import alone, counted, cut_turns, timed, turn_ended, turns_of, words_of
from data_gen.dialogue.user import Conversant, Manners, said_in
from data_gen.gold import read_args
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Task, Turn
from midsentence.shells.spoken import Spoken
from midsentence.tools.assistant import AssistantToolbox, assistant_specs
from midsentence.tools.world import Note, Person, WorldData

WORLD = WorldData((Person("Ann Lee", "+15550100", "ann@example.com"),), (), (Note("garden"),), ())
NONE = Evidence(0, 0)


def gold(tool: str, /, **args) -> GoldCall:
    return GoldCall(tool, read_args({key: [value] for key, value in args.items()}, calls=2), NONE, {})


def talk(**more) -> Task:
    """Three turns: a look-up, a text to whom was looked up, thanks."""
    texts = "what is Ann's number text her that I'm late thanks".split()
    turns = (
        Turn("request", 4, 1, ("+15550100",)),
        Turn("follow_up", 9, 2, interrupts=1.0),
        Turn("thanks", 10, 2, quiet=True),
    )
    calls = (gold("get_phone_number", name="Ann"), gold("send_sms", recipients=["$1"], message="I'm late"))
    fields = {"turns": turns, "gold": calls} | more
    return Task(
        "t",
        "test",
        "test",
        timed(texts, [4, 9, 10], 1),
        assistant_specs(),
        fields["gold"],
        partial(AssistantToolbox, WORLD, "t"),
        turns=fields["turns"],
    )


def test_a_single_request_is_its_own_only_turn():
    task = replace(talk(), turns=(), answer=("x",))
    assert turns_of(task) == (Turn("request", 10, 2, ("x",)),) and words_of(task, 0) == task.words


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ((Turn("request", 4, 1), Turn("thanks", 9, 2)), "its turns end with 9 words and 2 calls; it has 10 and 2"),
        ((Turn("request", 4, 1), Turn("thanks", 10, 1)), "its turns end with 10 words and 1 calls; it has 10 and 2"),
        (
            (Turn("request", 4, 2), Turn("thanks", 4, 2), Turn("thanks", 10, 2)),
            "turn 2 ends with 4 words and 2 calls, the one before with 4",
        ),
        ((Turn("chat", 10, 2),), "turn 1 is of kind 'chat'; use one of request, "),
        ((Turn("request", 4, 1), Turn("question", 10, 2, quiet=True)), "turn 2 is quiet, but gold has calls in it"),
    ],
)
def test_turns_share_out_words_and_calls(turns, why):
    with pytest.raises(BadTask, match=why):
        talk(turns=turns)


def test_an_answer_is_a_turns():
    with pytest.raises(BadTask, match="it has turns, so each has its own answer"):
        replace(talk(), answer=("x",))


def test_words_are_timed_turn_by_turn():
    task = talk()
    assert [word.text for word in words_of(task, 1)] == "text her that I'm late".split()
    assert words_of(task, 1)[0].start_ns == 0 and words_of(task, 1)[-1].end_ns < task.words[8].end_ns
    assert [turn_ended(task, heard) for heard in (3, 4, 9, 10)] == [None, 0, 1, 2]


def test_a_turn_alone_has_its_own_calls_and_the_world_that_gold_has_left():
    task = talk()
    own = alone(task, 1, start_ns=5_000_000_000)
    assert own.words[0].start_ns == 5_000_000_000 and own.request == "text her that I'm late" and not own.turns
    assert own.gold[0].args == {"recipients": GoldArg((["+15550100"],)), "message": GoldArg(("I'm late",))}
    first, last = alone(task, 0), alone(task, 2)
    assert first.answer == ("+15550100",) and not last.gold
    box = last.toolbox()
    assert box.effects == [] and box.state() == own_world_after(own) != first.toolbox().state()
    assert not hasattr(box, "elsewhere")


def own_world_after(own: Task):
    box = own.toolbox()
    box.run("send_sms", {"recipients": ["+15550100"], "message": "I'm late"})
    return box.state()


def test_a_cut_keeps_the_turns_that_have_ended():
    task = talk()
    assert [(turn.kind, turn.words) for turn in cut_turns(task, 4)] == [("request", 4)]
    assert [(turn.kind, turn.words) for turn in cut_turns(task, 6)] == [("request", 4), ("request", 6)]
    assert [(turn.words, turn.calls) for turn in counted(cut_turns(task, 6), 8, 2)] == [(4, 0), (8, 2)]
    assert cut_turns(replace(task, turns=()), 6) == () == counted((), 3, 1)


# -- the user
# -------------------------------------------------------------------------------------------------------------

DATA = DataConfig(source="debug", endpoint="oracle", endpoints={"oracle": EndpointConfig(0.5, 0.0)})


def user(manners: Manners | None = None, seed: int = 0, task: Task | None = None) -> Conversant:
    return Conversant(task or talk(), DATA, seed, manners or Manners(silence_rate=0.0))


def spoken(
    speaker: Conversant, text: str = "The phone number for Ann is on your screen now.", at_ns: int = 7
) -> Spoken:
    return speaker.voice(0, text, at_ns)


def test_an_answer_takes_its_words_time():
    found = spoken(user())
    assert (
        found == spoken(user()) and found.start_ns == 7 and found.words[0][:2] == ("The", 7) and len(found.words) == 10
    )
    assert 2e9 < found.end_ns < 6e9 and spoken(user(), "Okay.").end_ns < found.end_ns and spoken(user(), "").end_ns == 7


def test_the_user_speaks_into_the_answer_or_waits_for_its_end():
    eager = user()
    said = spoken(eager)
    start_ns, updates = eager.next(1, said)
    assert said.start_ns < start_ns < said.end_ns and updates == said_in(talk(), 1, start_ns, DATA, 0)
    patient = user(task=talk(turns=tuple(replace(turn, interrupts=0.0) for turn in talk().turns)))
    after_ns = patient.next(1, said)[0] - said.end_ns
    assert 50_000_000 < after_ns < 5_000_000_000
    # nobody interrupts what is over before it could be heard
    short = spoken(eager, "Okay.")
    assert eager.next(1, short)[0] >= min(short.end_ns, short.start_ns + 300_000_000)
    assert eager.next(3, said) is None


def test_a_silent_user_waits_for_long():
    said = spoken(user())
    slow = user(
        Manners(silence_rate=1.0), task=talk(turns=tuple(replace(turn, interrupts=0.0) for turn in talk().turns))
    )
    assert 3_000_000_000 <= slow.next(1, said)[0] - said.end_ns <= 8_000_000_000


def test_users_differ_by_seed_and_by_nothing_else():
    said = spoken(user())
    assert user().next(1, said) == user().next(1, said) != user(seed=1).next(1, said)

"""An answer that is spoken: the user speaks into it, the core stops it, and the context says how much was heard."""

from __future__ import annotations

import pytest

from midsentence.clock import ns
from midsentence.core import reducer
from midsentence.core.events import (
    Append,
    Appended,
    Emit,
    ModelOutput,
    Note,
    Speaking,
    StopSpeaking,
    UserUpdate,
    from_json,
    to_json,
)
from midsentence.core.modes import settings
from midsentence.core.transcript import heard_text
from midsentence.shells.spoken import Spoken


class Told:
    """A session that is fed events by hand."""

    def __init__(self) -> None:
        self.state = reducer.start(settings("parallel"), {})
        self.now_ns = 0

    def take(self, event) -> tuple:
        self.state, commands = reducer.step(self.state, event)
        return commands

    def answered(self, text: str = "it is all done now") -> Told:
        self.take(UserUpdate(0, "do it", True))
        self.take(Appended(1, 4))
        [emit] = [c for c in self.take(ModelOutput(2, 1, f"<answer>{text}</answer>", (1, 2, 3))) if isinstance(c, Emit)]
        assert emit.text == text
        return self


def kinds(commands: tuple, kind: type) -> list:
    return [command for command in commands if isinstance(command, kind)]


def test_the_user_speaks_into_an_answer_and_the_context_says_what_was_heard():
    told = Told().answered()
    assert told.take(Speaking(3, "begun")) == ()
    assert (
        kinds(commands := told.take(UserUpdate(10, "no wait")), StopSpeaking) == [StopSpeaking()]
        and told.state.turn == 2
    )
    assert [s.text for s in kinds(commands, Append)[0].segments] == ["no wait"]
    told.take(Speaking(10, "cut", "it is"))
    [append] = kinds(told.take(Appended(11, 3)), Append)
    assert [(s.kind, s.text) for s in append.segments] == [("cancel", 'your answer after "it is"')]
    # what was cut is over: more words stop nothing
    assert not kinds(told.take(UserUpdate(12, "make it seven")), StopSpeaking)


def test_an_answer_that_was_heard_to_its_end_is_news_to_nobody():
    told = Told().answered()
    told.take(Speaking(3, "begun"))
    assert told.take(Speaking(9, "ended")) == () and not told.state.speaking
    commands = told.take(UserUpdate(10, "thanks"))
    assert not kinds(commands, StopSpeaking) and len(kinds(commands, Append)) == 1


def test_a_shell_that_only_writes_is_never_told_to_be_silent():
    assert not kinds(Told().answered().take(UserUpdate(10, "no wait")), StopSpeaking)


@pytest.mark.parametrize("part", ["begun", "ended", "cut"])
def test_speech_of_no_answer_is_noted_and_changes_nothing(part):
    told = Told()
    told.take(UserUpdate(0, "do it"))
    before = told.state
    assert told.take(Speaking(0, part, "it")) == (Note("not_speaking"),) and told.state == before


def test_the_two_are_written_to_logs():
    for item in (Speaking(5, "cut", "it is"), StopSpeaking()):
        assert from_json(to_json(item)) == item


def test_what_was_heard_is_told_in_its_last_words():
    assert heard_text("one two") == 'your answer after "one two"'
    assert heard_text(" ".join("abcdefghijk")) == 'your answer after "… d e f g h i j k"'
    assert heard_text("") == "your answer: nothing of it was heard"


def test_a_word_is_heard_when_it_has_come_to_its_end():
    spoken = Spoken(100, (("it", 100, 200), ("is", 200, 350), ("done", 350, 600)))
    assert [spoken.heard(at) for at in (150, 200, 349, 350, 600)] == ["", "it", "it", "it is", "it is done"]
    assert spoken.end_ns == 600 and Spoken(7, ()).end_ns == 7 and ns(1) == 10**9

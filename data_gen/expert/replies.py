"""The expert's answer to a turn of a conversation: what this turn has done, what it was told to say, or a question.

Owns the questions for values that were never said (`question`), and the choice among the three. A turn's own words are
said only where the turn has been heard to its end; wherever else speech seems to end, only what was done, or is
lacking, can be told. Does not know when an answer is due.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from data_gen.dialogue.turns import turn_ended, turns_of
from data_gen.expert.answers import SHORT, Answers, sentence, told
from data_gen.grounding.atoms import CAMEL
from data_gen.grounding.reading import Wanted
from data_gen.task import Task, Turn
from midsentence.core.calls import Call
from midsentence.core.reducer import State

_QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "send_sms.message": ("What should the text say?", ("say",)),
    "send_sms.recipients": ("Who should I text?", ("who",)),
    "compose_new_email.context": ("What should the email say?", ("say",)),
    "compose_new_email.recipients": ("Who should I email?", ("who",)),
    "create_calendar_event.start_date": ("When is it?", ("when",)),
    "create_calendar_event.title": ("What should I call it?", ("call",)),
    "create_reminder.name": ("What should I remind you of?", ("remind", "of what")),
    "create_note.content": ("What should the note say?", ("say",)),
    "create_note.name": ("What should I call the note?", ("call",)),
    "append_note_content.content": ("What should I add?", ("add",)),
    "append_note_content.name": ("Which note?", ("which",)),
}
"""The question for ``tool.parameter``, and words of which an answer must hold one to be that question."""


SAYS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "thanks": ("You're welcome.", ()),
    "backchannel": ("Okay.", ()),
    "change_of_mind_before": ("Okay, I leave it.", ()),
    "change_of_mind_after": ("That is done already, and I can't take it back.", ("already", "can't", "cannot")),
    "correction_after": ("The first one stays.", ("stays", "still", "can't", "cannot")),
}
"""By kind of turn, what is usually said to it, and words of which an answer must hold one to be as honest; none where
any will do."""


def question(asked: str) -> tuple[str, tuple[str, ...]]:
    """The question for ``tool.parameter``, and the words that show an answer to be that question."""
    if asked in _QUESTIONS:
        return _QUESTIONS[asked]
    param = asked.rpartition(".")[2]
    words = " ".join(word.lower() for word in re.split(r"[\W_]+", CAMEL.sub(" ", param)) if word)
    return f"What is the {words}?", (words,)


def is_question(answer: str) -> bool:
    """Whether an answer asks something of the user."""
    return answer.rstrip("\"' ").endswith("?")


def _question(turn: Turn | None, lacking: Sequence[str]) -> str:
    """What to ask where something is lacking: what the turn is to be asked, if it has ended there, or else the first of
    it."""
    if turn is not None and turn.asks in lacking and turn.says:
        return turn.says
    return question(lacking[0])[0]


def spoken_answer(
    task: Task,
    answers: Answers,
    heard: int,
    wanted: Sequence[Wanted],
    state: State,
    ids: Mapping[int, int],
    bad: Call | None,
) -> str:
    """The expert's answer to a turn of a conversation.

    Args:
        task: the conversation.
        answers: whether it says what was done, or only that it was.
        heard: how many words have been heard.
        wanted: what is wanted after them.
        state: the session.
        ids: the call for each wanted one.
        bad: a call that is wanted and could not be finished, if any.
    """
    calls = state.graph.calls
    n = turn_ended(task, heard)
    turn = turns_of(task)[n] if n is not None else None
    lacking = [f"{want.spec.name}.{name}" for want in wanted if not want.complete for name in want.missing]
    if lacking and bad is None:
        return _question(turn, lacking)
    # calls of earlier turns have been told of
    new = [id for id in ids.values() if id > state.settled]
    failed = bad if bad is not None and bad.id > state.settled else None
    done = told(new, calls)
    said = sentence(done, calls, failed) if done or failed is not None else ""
    if answers == "short":
        said = (SHORT if failed is None else f"I could not finish {failed.spec.name}.") if said else ""
    if turn is None or failed is not None:
        return said or SHORT
    text = " ".join(part for part in (said, turn.says) if part)
    if not text or turn.answer and not any(value.lower() in text.lower() for value in turn.answer):
        text = turn.answer[0] if turn.answer else SHORT
    return text

"""The markup of conversations: several turns in one line, and between them what the agent is to answer.

Owns what stands between two ``>>`` (`turn_fields`) and the division of a marked text among turns. Does not know marks
and calls.

    ID | {1,2:text} {1.name:Bob} >> ?2.message >> {2.message:I'm late} >> >> thanks | get_phone_number;
    send_sms(recipients=[$1])

After each turn but the last, ``>> what is to be answered >>`` stands before the next; after the last it may. Nothing
between the two is any answer. ``?2.message`` is a question for that argument of call 2, which has not been said; ``?``
alone is any question. ``=six o'clock / at six`` is an answer that holds one of these texts, and may stand behind a
``?``. The kind of the turn (`data_gen.task.KINDS`) may stand before either; without it, it follows from what else is
known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.task import KINDS, BadTask

_BREAK = re.compile(r"(?<!\\)>>")
_EXPECTED = re.compile(
    r"\s*(?P<kind>[a-z]\w*)?\s*(?P<mark>\?)?(?P<asks>(?<=\?)\d+\.\w+)?\s*(?:(?P<given>=)(?P<answer>.*))?\s*", re.DOTALL
)


def split_turns(said: str) -> list[str]:
    """What is said and what is to be answered, in turn; one text where there is one turn and nothing else.

    Raises:
        BadTask: an answer, but no turn, comes last but for one that is empty; or a turn is empty.
    """
    parts = _BREAK.split(said)
    for n, part in enumerate(parts[::2], start=1):
        if not part.strip() and len(parts) > 1:
            raise BadTask(
                f"turn {n} says nothing; between turns stands >> with what is to be answered, if anything, and >> again"
            )
    return parts


def turn_fields(ends: Sequence[int], expected: Sequence[str]) -> list[dict[str, Any]]:
    """The field ``turns`` of a row.

    Args:
        ends: how many words have been said by the end of each turn.
        expected: what stands behind each turn; of the last one it may be missing.

    Raises:
        BadTask: something that is no expectation.
    """
    found = []
    for n, (end, text) in enumerate(zip(ends, [*expected, ""]), start=1):
        form = _EXPECTED.fullmatch(text)
        if form is None:
            raise BadTask(
                f"{text.strip()!r} after turn {n} is no answer; write ?2.message, ?, =text / text, or nothing"
            )
        if form["kind"] is not None and form["kind"] not in KINDS:
            raise BadTask(f"turn {n} is of kind {form['kind']!r}; use one of {', '.join(KINDS)}, or leave it out")
        turn: dict[str, Any] = {"words": end}
        turn |= {"kind": form["kind"]} if form["kind"] else {}
        if form["mark"]:
            turn["asks"] = form["asks"] or "any"
        if form["given"]:
            answers = [part.strip() for part in form["answer"].split(" / ")]
            if not all(answers):
                raise BadTask(
                    f"the answer after turn {n} is empty; write =text, or leave = out where any answer will do"
                )
            turn["answer"] = answers
        found.append(turn)
    return found


def with_turns(said: Sequence[str], turns: Sequence[Mapping[str, Any]]) -> str:
    """The marked words of all turns as one text with its breaks.

    Raises:
        BadTask: a turn has a field that no line has, or a mark goes on from one turn to the next.
    """
    pieces, at = [], 0
    for n, turn in enumerate(turns, start=1):
        if strange := set(turn) - {"words", "kind", "asks", "answer"}:
            raise BadTask(f"turn {n}: field {min(strange)!r} has no place in a line")
        piece, at = " ".join(said[at : turn["words"]]), turn["words"]
        if re.sub(r"\\.", "", piece).count("{") != re.sub(r"\\.", "", piece).count("}"):
            raise BadTask(f"a mark goes on behind turn {n}; a mark is of one turn's words")
        pieces.append(piece)
        expected = [turn.get("kind", "")]
        if turn.get("asks"):
            expected.append("?" if turn["asks"] == "any" else f"?{turn['asks']}")
        if turn.get("answer"):
            given = turn["answer"]
            expected.append(f"={' / '.join([given] if isinstance(given, str) else given)}")
        pieces.append(" ".join(filter(None, expected)))
    if not pieces[-1]:
        pieces.pop()
    return " >> ".join(pieces).replace(">>  >>", ">> >>")

"""Words as they were heard: what closes a value, and what a request asks for if the recogniser's mistakes are taken at
their word.

Owns `closes`, whether a word that follows a value shows that it is over, and `as_heard`, the task in which the words
that were heard had been said. A listener knows no others, so a reading of what was heard is a reading of that task.
Does not know calls and what to do about them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from data_gen.gold import references, spliced
from data_gen.grounding.aliases import ONES
from data_gen.grounding.atoms import fold
from data_gen.speech.words import UNSPACED, together, units
from data_gen.task import Evidence, GoldArg, GoldCall, Spliced, Task
from midsentence.tools.tool import mismatch

if TYPE_CHECKING:
    from data_gen.grounding.derivation import Edit

SOFT = frozenset("uh um er err erm hmm mm ah ahh uhh umm".split())
"""Filled pauses: they close nothing, for a speaker may make one in the middle of a name."""
GOES_ON = frozenset(
    "and or nor plus but & of for in on at to with without from by about into over under near between as than the a an "
    "my your his her its our their this these those some any".split()
)
"""Conjunctions, prepositions and determiners: a value may go on with them ("milk" with "and eggs", "in the fridge"),
and whether it does no listener knows before the word that comes after them."""

_MAY_END = frozenset("in on over about by under her this that these those some any".split())
"""Of those, the words that a request may end on all the same: particles ("turn the lights on"), and what can stand
alone."""

_NEVER_LAST = frozenset(
    "a the my your our their every and or nor but because unless whether than oh um uh erm let".split()
)
"""Words that no request ends on, whatever was said before. Not "an" and "er": sentences of other languages end on
them."""
_CLITIC = re.compile(r"\w+['’](m|ve|re|ll|d)|(it|that|he|she|there|here|what|who|where|when|how|let)['’]s")
"""Verbs that lean on the word before: "I'm", "there's". After a name "'s" may be whose it is."""
_DAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday today tomorrow tonight".split())
"""Words behind which "at" wants a time; elsewhere a request may leave a preposition for its end ("the hospital she's
at")."""
_HALF_BACK = frozenset(
    (
        "oh no",
        "no no",
        "no wait",
        "wait no",
        "oh wait",
        "no sorry",
        "no not",
        "sorry not",
        "wait not",
        "oh not",
        "uh no",
        "um no",
        "er no",
        "no actually",
        "no hang",
        "no hold",
        "let me",
    )
)
"""Pairs of words that begin to take something back, and say nothing in its place yet."""
_STOPS = ".,;:!?、。，；：！？"
_TAKES_BACK = frozenset("no wait sorry actually rather scratch oops i mean make".split())
_SAID_AFTER = {
    "sorry": "i'm im we're are is was were be been feel felt feels so very really terribly awfully say said saying says",
    "no": "say said says saying answer answered told",
    "wait": "can't cannot must gotta i'll",
}
"""Words before which those that take back are what is said: "I'm sorry", "she said no", "I can't wait"."""


def closes(word: str) -> bool:
    """Whether a word that follows a value shows that the value is over; any but filled pauses and those it may go on
    with."""
    said = plain(word)
    return said not in GOES_ON and said not in SOFT


def hangs(word: str) -> bool:
    """Whether more is bound to come after a word, or what it belongs to is not clear before more has come."""
    said = plain(word)
    return said in GOES_ON or said in SOFT or said in _TAKES_BACK


def hangs_last(words: Sequence[str]) -> bool:
    """Whether the last of the words hangs, behind the one before it: "sorry" does, and in "I'm sorry" it does not."""
    if not words or not hangs(words[-1]):
        return False
    previous = words[-2].lower().replace("’", "'") if len(words) > 1 else ""
    return previous not in _SAID_AFTER.get(plain(words[-1]), "").split()


def leaves_open(words: Sequence[str]) -> bool:
    """Whether nobody who is told that speech ends with the words would take what stands before the last one as all:
    nothing can end so."""
    return hangs_last(words) and plain(words[-1]) not in _MAY_END


def breaks_off(words: Sequence[str]) -> bool:
    """Whether nobody would take the words for all that is said, though they are told that speech has ended: no effect
    may follow.

    Stricter than `leaves_open`, after which only what was said last is in doubt: a request that really ends so is never
    acted on.
    """
    if not words:
        return False
    previous, last = plain(words[-2]) if len(words) > 1 else "", plain(words[-1])
    if words[-1].startswith("A") and last == "a" or len(last) == len(previous) == 1:
        return False  # letters: "Ray with an A", "gate A", "B M I"
    if last == "at":
        return previous in _DAYS
    return (
        last in _NEVER_LAST
        or bool(_CLITIC.fullmatch(words[-1].lower().rstrip(_STOPS)))
        or f"{previous} {last}" in _HALF_BACK
    )


def hanging_from(words: Sequence[str]) -> int:
    """Where the run of words begins that hang at the end; the number of words where none does."""
    n = len(words)
    while n and hangs_last(words[:n]):
        n -= 1
    return n


def as_said(words: Sequence[str]) -> str:
    """A text at an end of speech: what was heard of it, fillers left out; empty where more is bound to come, or it has
    only begun."""
    said = _once([word for word in words if plain(word) not in SOFT])
    if not said or leaves_open(words) or all(map(hangs, said)):
        return ""
    return together([*said[:-1], said[-1].rstrip(_STOPS)])


def _once(words: Sequence[str]) -> list[str]:
    """Words without what is said a second time at once, one word or two."""
    found: list[str] = []
    for word in words:
        found.append(word)
        for n in (1, 2):
            # 谢谢 is one word: a character twice is no repetition
            twice = len(found) >= 2 * n and [*map(plain, found[-n:])] == [*map(plain, found[-2 * n : -n])]
            if twice and not all(map(UNSPACED.match, found[-n:])):
                del found[-n:]
                break
    return found


def cut_value(value: Any, words: Sequence[str]) -> Any:
    """What a value that is made of the words it is said in comes to, where speech ends within them; None where it comes
    to nothing.

    Of a text it is the part that was heard, of a list the items, the last one perhaps in part. Numbers, dates and what
    is said in other words have no parts that mean anything.
    """
    said = _once([word for word in words if plain(word) not in SOFT])
    if isinstance(value, list | tuple):
        return _cut_items(value, said)
    if isinstance(value, Spliced):
        value = value.parts[0]  # as far as the first result, which nobody says
    if not isinstance(value, str):
        return None
    whole = content(value, said[: hanging_from(said)])
    return together(units(value)[: len(whole)]).rstrip(_STOPS) if whole and _begins(value, whole) else None


def content(value: str, said: Sequence[str]) -> Sequence[str]:
    """Words without the small ones that stand before a text and are none of it: "the" of "the parking permit"."""
    first = plain(units(value)[0]) if value.split() else ""
    n = next((n for n, word in enumerate(said) if plain(word) == first or not hangs(word)), len(said))
    return said[n:]


def _cut_items(items: Sequence[Any], said: Sequence[str]) -> list[str] | None:
    found: list[str] = []
    rest = list(said)
    for item in items:
        while rest and hangs(rest[0]):
            del rest[0]
        if not isinstance(item, str) or not rest:
            break
        if _begins(item, rest[: len(units(item))]):
            found.append(together(units(item)[: len(rest)]))
            del rest[: len(units(item))]
        else:
            break
    return found or None


def _begins(value: str, said: Sequence[str]) -> bool:
    words = units(value)
    return len(said) <= len(words) and [plain(word) for word in words[: len(said)]] == [plain(word) for word in said]


def so_far(words: Sequence[str]) -> str:
    """A text that is being dictated, as far as it is safe to write down: fillers, repetitions and what hangs at its end
    are left out."""
    said = [word for word in words if plain(word) not in SOFT]
    while said and hangs(said[-1]):
        said.pop()
    said = _once(said)
    return together([*said[:-1], *(word.rstrip(_STOPS) for word in said[-1:])])


@lru_cache(maxsize=65536)
def plain(word: str) -> str:
    """A word without case, accents and punctuation, none of which can be heard."""
    return fold(word.strip(_STOPS + "\"'()[]“”‘’-–—…「」《》（）")) or word


def misheard(task: Task, heard: Sequence[str]) -> dict[int, str]:
    """The words that were heard as others than the task's, by their place."""
    return {
        n: said
        for n, (said, word) in enumerate(zip(heard, task.words))
        if said != word.text and plain(said) != plain(word.text)
    }


def as_heard(task: Task, heard: Sequence[str]) -> Task:
    """The task as it would be if the words that were heard were those that were said.

    A value whose words were heard as others has those in their place ("Smit"). What a word says that does not stand in
    its value (a tool, a date) is not said by another word.
    """
    wrong = misheard(task, heard)
    if not wrong:
        return task
    words = tuple(replace(word, text=wrong.get(n, word.text)) for n, word in enumerate(task.words))
    if task.reading is not None:
        edits = tuple(edit for old in task.reading.edits if (edit := _edit(old, task, heard, wrong)) is not None)
        return replace(task, words=words, reading=replace(task.reading, edits=edits))
    return replace(task, words=words, gold=tuple(_gold(call, task, wrong) for call in task.gold))


def _edit(edit: Edit, task: Task, heard: Sequence[str], wrong: Mapping[int, str]) -> Edit | None:
    """An edit as its words were heard; None where they no longer say it."""
    inside = [n for n in wrong if edit.start <= n < edit.end]
    value = edit.value
    if inside and value:
        value = _values(value, task, inside, wrong) if edit.op == "put" else ()
        if not value and not edit.spoken:
            return None
    shut = edit.closes
    if edit.op == "put" and not edit.grows and any(n >= edit.end and (shut is None or n < shut) for n in wrong):
        shut = next((n + 1 for n in range(edit.end, len(heard)) if closes(heard[n])), None)
    return replace(edit, value=value, optional=edit.optional and value is edit.value, closes=shut)


def _gold(call: GoldCall, task: Task, wrong: Mapping[int, str]) -> GoldCall:
    """A gold call as its words were heard; what they no longer say is never said."""
    never = Evidence(len(task.words), len(task.words) + 1)
    args, spans = dict(call.args), dict(call.arg_evidence)
    schemas = {param.name: param.schema for param in task.specs[call.name].params}
    for name, span in call.arg_evidence.items():
        if inside := [n for n in wrong if span.start <= n < span.end]:
            values = [
                v
                for v in _values(args[name].values, task, inside, wrong)
                if references(v) or mismatch(v, schemas[name]) is None
            ]
            args[name], spans[name] = (GoldArg(tuple(values)), span) if values else (args[name], never)
    named = call.name_evidence
    return GoldCall(call.name, args, never if any(named.start <= n < named.end for n in wrong) else named, spans)


def _values(values: Sequence[Any], task: Task, inside: Sequence[int], wrong: Mapping[int, str]) -> tuple[Any, ...]:
    """Accepted values with the words of theirs that were misheard; none where a word stands in none of them."""
    for n in inside:
        values = [new for value in values if (new := _misread(value, task.words[n].text, wrong[n])) is not None]
    return tuple(values)


def _misread(value: Any, said: str, heard: str) -> Any:
    """A value with one word of it as it was heard; None where the word does not stand in it."""
    match value:
        case bool():
            return None
        case int() | float():
            return ONES.get(plain(heard)) if ONES.get(plain(said)) == value else None
        case str():
            word = re.compile(rf"(?<!\w){re.escape(plain(said))}(?!\w)", re.IGNORECASE)
            text, count = word.subn(lambda _: heard.strip('.,;:!?"()[]“”…'), value)
            return text if count else None
        case Spliced(parts):
            new = [_misread(part, said, heard) for part in parts]
            return (
                spliced(part if other is None else other for part, other in zip(parts, new))
                if any(x is not None for x in new)
                else None
            )
        case list() | tuple():
            new = [_misread(item, said, heard) for item in value]
            return (
                [item if other is None else other for item, other in zip(value, new)]
                if any(x is not None for x in new)
                else None
            )
        case dict():
            found = {name: other for name, item in value.items() if (other := _misread(item, said, heard)) is not None}
            return value | found if found else None
    return None

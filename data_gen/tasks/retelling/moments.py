"""Other days and other hours.

Owns which days and hours of a row may move, and by how much. Does not read a time itself: the project's own grammar
(`midsentence.tools.times`) has to read an hour later in the new phrase.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from data_gen.grounding.spans import plain
from data_gen.tasks.retelling.rows import Row, cased, changed, strings
from midsentence.tools import times

MOMENTS = re.compile(r"(?:^|_)(?:time|date|when|at|due|start|starts|end|ends|until|from|moment)(?:$|_)")
"""Parameters that say when something is."""
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_CALENDAR = frozenset(
    "january february march april june july august september october november december month months year years weekend weekends "
    "weekday weekdays fortnight christmas easter thanksgiving halloween birthday anniversary eve holiday holidays spring summer autumn "
    "fall winter".split()
)
"""Words by which a request is bound to its dates; a row that has one, or a numbered day, keeps them."""
_ORDINAL = re.compile(
    r"\d{1,2}(?:st|nd|rd|th)|(?:twen|thir)tieth|\w+teenth|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|"
    r"tenth|eleventh|twelfth|\d{1,2}[/.]\d{1,2}(?:[/.]\d+)?|(?:19|20)\d\d"
)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?")
_HOURS = "one two three four five six seven eight nine ten eleven".split()
_HOUR = re.compile(rf"(?<![\w:.])(?:{'|'.join(_HOURS)}|\d{{1,2}}(?=:\d\d|\s*[ap]\.?m\b))(?![\w])", re.IGNORECASE)
_FAR_DAYS = 180


def days(row: Row, draw: random.Random) -> dict[str, Any]:
    """The row on another day: the user's date moves, days of the week turn with it, written dates follow."""
    said = [plain(word) for word in row["request"].split()]
    bound = _CALENDAR & set(said) or any(_ORDINAL.fullmatch(word) for word in said)
    dated = any(_ISO.search(string) for string in strings(row))
    if bound or dated and not row.get("now"):
        return dict(row)
    ahead = draw.choice([n for n in range(-_FAR_DAYS, _FAR_DAYS + 1) if n % 7])
    weekday = re.compile(rf"(?<!\w)({'|'.join(_DAYS)})(?=s?(?!\w)|'s)", re.IGNORECASE)

    def turned(string: str) -> str:
        string = weekday.sub(
            lambda found: cased(found[0], _DAYS[(_DAYS.index(found[0].casefold()) + ahead) % 7]), string
        )
        return _ISO.sub(lambda found: _moved(found[0], timedelta(days=ahead)), string)

    told = changed(row, turned)
    return told | ({"now": _moved(row["now"], timedelta(days=ahead))} if row.get("now") else {})


def _moved(written: str, by: timedelta) -> str:
    form = {10: "%Y-%m-%d", 16: "%Y-%m-%d %H:%M", 19: "%Y-%m-%d %H:%M:%S"}[len(written)]
    return f"{datetime.strptime(written, form) + by:{form}}"


def hours(row: Row, draw: random.Random) -> dict[str, Any]:
    """The row some hours earlier or later, where all hours that are said are marked and the grammar agrees."""
    marks = list(_moments(row))
    if not marks:
        return dict(row)
    base = datetime.fromisoformat(row.get("now") or "2026-03-03 10:00:00")
    for by in draw.sample((-2, -1, 1, 2), 4):
        if (told := _shifted(row, marks, base, by)) is not None:
            return told
    return dict(row)


def _moments(row: Row) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What is marked as saying when: the quotation and the values that it may have."""
    gold = [call["args"] for call in row["calls"]]
    for n, entry in enumerate(row.get("spans", ())):
        for param, given in entry.get("args", {}).items():
            if not MOMENTS.search(param):
                continue
            for one in given if isinstance(given, list) else [given]:
                form = one if isinstance(one, Mapping) else {"words": one}
                if "words" in form:
                    accepted = gold[n].get(param, ()) if n < len(gold) else ()
                    value = form.get("value", accepted[0] if accepted else None)
                    yield form["words"].split("#")[0], tuple(accepted) if value in accepted else (value,)


def _shifted(row: Row, marks: Sequence[tuple[str, tuple[Any, ...]]], base: datetime, by: int) -> dict[str, Any] | None:
    """The row with every hour ``by`` later; None where one of them can't be."""
    spoken: dict[str, str] = {}
    values: dict[str, str] = {}
    for quote, accepted in marks:
        said = re.sub(r"[,;.!?](?= |$)", "", quote)
        new = _later(said, base, by)
        if new is None:
            return None
        pairs = list(zip(map(str.casefold, said.split()), map(str.casefold, new.split())))
        hour = {old_word: new_word for old_word, new_word in pairs if old_word != new_word}
        if any(old_word in hour and old_word == new_word for old_word, new_word in pairs):
            return None  # "five forty five": words are replaced wherever they are said
        spoken |= hour
        at = times.moment(said, base)
        for value in accepted:
            if not isinstance(value, str):
                return None
            if _ISO.fullmatch(value):
                # the day, or the half of it, may have been said before
                if len(value) < 16 or (int(value[11:13]) - at.hour) % 12 or int(value[14:16]) != at.minute:
                    return None
                moved = _moved(value, timedelta(hours=by))
                if moved[:10] != value[:10] or row.get("now") and (moved > row["now"]) != (value > row["now"]):
                    return None
            else:
                told = _later(value, base, by)
                if told is None:
                    return None
                moved = told
            values[value] = moved
    if set(values) & set(values.values()):
        return None  # one hour would become another that is in the row too
    if not spoken or not _only_marked(row["request"], spoken, [quote for quote, _ in marks]):
        return None
    word = re.compile(
        rf"(?<![\w:])(?:{'|'.join(map(re.escape, sorted(spoken, key=len, reverse=True)))})(?![\w:])", re.IGNORECASE
    )

    def later(string: str) -> str:
        if string in values:
            return values[string]
        return word.sub(lambda found: cased(found[0], spoken[found[0].casefold()]), string)

    return changed(row, later)


def _later(phrase: str, base: datetime, by: int) -> str | None:
    """A phrase that says a moment ``by`` hours after this one's, by one word of it."""
    try:
        at = times.moment(phrase, base)
    except times.Unclear:
        return None
    for found in _HOUR.finditer(phrase):
        word = found[0].casefold()
        number = (int(word) if word.isdigit() else _HOURS.index(word) + 1) + by
        if (
            word.isdigit()
            and not 1 <= number <= (11 if int(word) < 12 else 23)
            or not word.isdigit()
            and not 1 <= number <= 11
        ):
            continue
        new = str(number) if word.isdigit() else cased(found[0], _HOURS[number - 1])
        made = f"{phrase[: found.start()]}{new}{phrase[found.end() :]}"
        try:
            if times.moment(made, base) - at == timedelta(hours=by):
                return made
        except times.Unclear:
            continue
    return None


def _only_marked(request: str, spoken: Mapping[str, str], quotes: Sequence[str]) -> bool:
    """Whether words that change are said in what is marked and nowhere else, and no new word is said already."""
    words = [plain(word) for word in request.split()]
    inside: set[int] = set()
    for quote in quotes:
        wanted = [plain(word) for word in quote.split()]
        inside |= {n + k for n in range(len(words)) if words[n : n + len(wanted)] == wanted for k in range(len(wanted))}
    free = [word for n, word in enumerate(words) if n not in inside]
    return not (set(free) & {*spoken, *spoken.values()})

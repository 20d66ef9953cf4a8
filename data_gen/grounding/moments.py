"""Dates and times as people say them, worked out against the user's now: "on Monday at ten in the morning".

Owns the reading of days ("tomorrow", "Friday", "the twelfth of June"), times of day ("half past seven in the evening")
and waits ("in forty minutes"), each with its words, and which of them say a moment that is given as
``YYYY-MM-DD HH:MM:SS`` or ``YYYY-MM-DD``. Does not know calls: `data_gen.grounding.arguments` chooses among mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from data_gen.grounding.aliases import MONTHS, ONES, ORDINALS, TENS
from data_gen.grounding.atoms import Mention

_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_HOURS = {word: n for word, n in ONES.items() if 1 <= n <= 12}
_ORDINALS = (
    ORDINALS
    | {
        word: n
        for n, word in enumerate(
            "eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split(),
            start=11,
        )
    }
    | {"thirtieth": 30}
)
_MINUTES = {"o'clock": 0, "fifteen": 15, "thirty": 30, "forty five": 45}
_FROM_DAY_COST, _TODAY_COST, _GAP_COST = 0.3, 0.8, 0.03
"""Cost of a moment whose day is said, of one whose day is left to be today, and of a word between its day and its
time."""
_FAR = 14
"""A day and a time further apart than this are not said together."""


class Time(NamedTuple):
    """A time of day, with the minutes after midnight that it may mean."""

    minutes: tuple[int, ...]
    start: int
    end: int


class Day(NamedTuple):
    """A day."""

    day: date
    start: int
    end: int


def moment_mentions(words: Sequence[str], value: str, now: str) -> list[Mention]:
    """Where the words say a date, or a date and a time; none where ``value`` is something else."""
    try:
        wanted, here = datetime.fromisoformat(value), datetime.fromisoformat(now)
    except ValueError:
        return []
    plain = [re.sub(r"^\W+|\W+$", "", word.casefold().replace("’", "'")) for word in words]
    days = [day for day in _days(plain, here) if day.day == wanted.date()]
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value) or wanted.time() == time() and not list(_times(plain)):
        return [Mention(day.start, day.end, _FROM_DAY_COST) for day in days]
    found = [Mention(start, end, 0.1) for at, start, end in _waits(plain, here) if at == wanted.replace(second=0)]
    minute = wanted.hour * 60 + wanted.minute
    for said in _times(plain):
        if minute not in said.minutes:
            continue
        for day in days:
            gap = max(day.start - said.end, said.start - day.end, 0)
            if gap <= _FAR:
                # a time that leaves morning or evening open is further from the moment than one that says it
                cost = _FROM_DAY_COST + _GAP_COST * gap + 0.2 * (len(said.minutes) - 1)
                found.append(Mention(min(day.start, said.start), max(day.end, said.end), cost))
        if wanted.date() == here.date() or timedelta(0) < wanted - here < timedelta(days=1):
            found.append(Mention(said.start, said.end, _TODAY_COST + 0.2 * (len(said.minutes) - 1)))
    return found


def _days(plain: Sequence[str], now: datetime) -> Iterator[Day]:
    today = now.date()
    for n, word in enumerate(plain):
        if word in ("today", "tonight"):
            yield Day(today, n, n + 1)
        elif word == "tomorrow":
            yield Day(today + timedelta(days=1), n, n + 1)
        elif word == "this" and plain[n + 1 : n + 2] and plain[n + 1] in ("morning", "afternoon", "evening"):
            yield Day(today, n, n + 2)
        elif word in _DAYS:
            ahead = (_DAYS.index(word) - today.weekday()) % 7
            for weeks in (0, 7) if ahead else (7, 0):
                yield Day(today + timedelta(days=ahead + weeks), n, n + 1)
        elif (found := _ordinal(plain, n)) is not None:
            yield from _of_month(plain, n, *found, today)


def _ordinal(plain: Sequence[str], n: int) -> tuple[int, int] | None:
    """The day of a month that begins at a word, and the word after it: ``twelfth``, ``twenty second``, ``3rd``."""
    if plain[n] in TENS and n + 1 < len(plain) and ORDINALS.get(plain[n + 1], 10) < 10:
        return TENS[plain[n]] + ORDINALS[plain[n + 1]], n + 2
    if plain[n] in _ORDINALS and not (n and plain[n - 1] in TENS and _ORDINALS[plain[n]] < 10):
        return _ORDINALS[plain[n]], n + 1
    found = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)", plain[n])
    return (int(found[1]), n + 1) if found else None


def _of_month(plain: Sequence[str], start: int, day: int, end: int, today: date) -> Iterator[Day]:
    """The named month's day, or else the next day of that number."""
    months = [(plain[at], at + 1) for at in (end, end + 1) if at < len(plain) and plain[at] in MONTHS]
    if start and plain[start - 1] in MONTHS:
        months.append((plain[start - 1], end))
    for name, stop in months[:1]:
        month = MONTHS.index(name) + 1
        for year in (today.year, today.year + 1):
            if (found := _date(year, month, day)) is not None and found >= today:
                yield Day(found, min(start, stop - 1), stop)
                return
    if not months:
        this_month = plain[end : end + 3] == ["of", "this", "month"]
        for ahead in range(12):
            years, month = divmod(today.month - 1 + ahead, 12)
            if (found := _date(today.year + years, month + 1, day)) is not None and found >= today:
                yield Day(found, start, end + 3 * this_month)
                return


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _times(plain: Sequence[str]) -> Iterator[Time]:
    for n, word in enumerate(plain):
        if word in ("noon", "midday", "midnight"):
            yield Time((0 if word == "midnight" else 720,), n, n + 1)
        elif (found := _clock(plain, n)) is not None:
            minutes, end = found
            yield _half_of_day(plain, minutes % 720, n, end)


def _clock(plain: Sequence[str], n: int) -> tuple[int, int] | None:
    """Minutes on the dial, and the word after them: ``half past seven``, ``quarter to five``, ``two thirty``,
    ``7:30``."""
    before = {"half": 30, "quarter": 15, "ten": 10, "five": 5, "twenty": 20}.get(plain[n])
    if (
        before is not None
        and n + 2 < len(plain)
        and plain[n + 1] in ("past", "to")
        and (hour := _hour(plain[n + 2])) is not None
    ):
        return hour * 60 + (before if plain[n + 1] == "past" else -before), n + 3
    if (found := re.fullmatch(r"(\d{1,2}):(\d\d)(?:[ap]\.?m)?", plain[n])) is not None:
        return int(found[1]) * 60 + int(found[2]), n + 1
    if (hour := _hour(plain[n])) is None:
        return None
    if n and plain[n - 1] in ("past", "to") and n > 1 and plain[n - 2] in ("half", "quarter", "ten", "five", "twenty"):
        return None
    for length in (2, 1):
        if (minutes := _MINUTES.get(" ".join(plain[n + 1 : n + 1 + length]))) is not None:
            return hour * 60 + minutes, n + 1 + length
    return hour * 60, n + 1


def _hour(word: str) -> int | None:
    found = re.fullmatch(r"(\d{1,2})(?:[ap]\.?m\.?)?", word)
    hour = int(found[1]) if found else _HOURS.get(word)
    return hour if hour is not None and 1 <= hour <= 12 else None


def _half_of_day(plain: Sequence[str], minutes: int, start: int, end: int) -> Time:
    """A time on the dial with the half of the day that the words around it say, or with both."""
    after = " ".join(plain[end : end + 3])
    for text, half, length in (
        ("in the morning", 0, 3),
        ("in the afternoon", 720, 3),
        ("in the evening", 720, 3),
        ("at night", 720, 2),
        ("tonight", 720, 1),
        ("this morning", 0, 2),
        ("this afternoon", 720, 2),
        ("this evening", 720, 2),
        ("tomorrow morning", 0, 2),
        ("tomorrow afternoon", 720, 2),
        ("tomorrow evening", 720, 2),
        ("am", 0, 1),
        ("pm", 720, 1),
    ):
        if (after + " ").startswith(text + " "):
            return Time((minutes + half,), start, end + length)
    if (own := re.search(r"([ap])\.?m", plain[end - 1])) is not None:
        return Time((minutes + 720 * (own[1] == "p"),), start, end)
    return Time((minutes, minutes + 720), start, end)


def _waits(plain: Sequence[str], now: datetime) -> Iterator[tuple[datetime, int, int]]:
    """``in forty minutes``, ``in two hours``, ``in an hour``, ``in three days``."""
    units = {"minute": 1, "hour": 60, "day": 1440, "week": 10080}
    for n, word in enumerate(plain):
        unit = units.get(word.removesuffix("s"))
        if unit is None:
            continue
        for length in (2, 1):
            said = plain[max(0, n - length) : n]
            count = _count(said) if len(said) == length else None
            if count is not None and n > length and plain[n - length - 1] == "in":
                yield (now + timedelta(minutes=count * unit)).replace(second=0), n - length - 1, n + 1
                break


def _count(said: Sequence[str]) -> int | None:
    if len(said) == 2:
        return TENS[said[0]] + ONES[said[1]] if said[0] in TENS and 0 < ONES.get(said[1], 0) < 10 else None
    word = said[0]
    return int(word) if word.isdigit() else {"a": 1, "an": 1, **ONES, **TENS}.get(word)

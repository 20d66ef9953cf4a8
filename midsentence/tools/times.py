"""Dates, times of day, lengths and ranks as people say them, resolved against a moment that is "now".

Owns the grammar: a phrase is understood completely, every word of it, or refused. It is pure and never reads a clock.
Holidays come from the `holidays` package. Does not know what a date is for.

    moment("this coming Friday at half past nine", now)    the day after today, 09:30
    moment("at noon on Veterans Day", now)                 the next one
    moment("in an hour and a half", now)

A day of the week or of the month is the next one after today (the third: from today on); "next Friday" is next week's.
A bare hour is the next one today, or on another day from seven in the morning to six in the evening: "Friday at nine"
is in the morning, "Friday at three" in the afternoon. Midnight is refused, for it has two days.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_NUMBERS = {word: n for n, word in enumerate(_ONES)} | _TENS
_ORDINALS = {
    word: n
    for n, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
        "seventeenth eighteenth nineteenth twentieth".split(),
        start=1,
    )
} | {"thirtieth": 30}
_WEEKDAYS = tuple(name.lower() for name in calendar.day_name)
_MONTHS = tuple(name.lower() for name in calendar.month_name)
_MONTH_OF = (
    {name: n for n, name in enumerate(_MONTHS) if name}
    | {name[:3]: n for n, name in enumerate(_MONTHS) if name}
    | {"sept": 9}
)
_HOLIDAYS = {
    "christmas": "christmas day",
    "thanksgiving": "thanksgiving day",
    "new year's": "new year's day",
    "new year": "new year's day",
    "juneteenth": "juneteenth national independence day",
    "presidents' day": "washington's birthday",
    "martin luther king day": "martin luther king jr day",
}
"""What people call holidays beside their names in the `holidays` package."""
_EVES = {"christmas eve": (12, 24), "new year's eve": (12, 31), "halloween": (10, 31), "valentine's day": (2, 14)}
_UNITS = {"minute": 1, "hour": 60, "day": 24 * 60, "week": 7 * 24 * 60}
PRIORITIES = {"none": 0, "high": 1, "medium": 5, "normal": 5, "low": 9}
"""What a reminder's priorities are called, as in Apple's reminders: 1 is the highest, 0 is none."""


class Unclear(ValueError):
    """A phrase that says no moment, or none that can be told; the text says why."""


@dataclass(slots=True)
class _Heard:
    """What the words of a phrase have said so far."""

    now: datetime
    day: date | None = None
    hour: int | None = None
    minute: int = 0
    half: str = ""
    """``am`` or ``pm``; empty where it was not said."""
    at: datetime | None = None
    """A span from now gives all of it."""
    whole: bool = False
    """Whether the time of day is one of twenty-four hours."""


@lru_cache(maxsize=4096)
def moment(phrase: str, now: datetime) -> datetime:
    """The moment that a phrase means.

    Raises:
        Unclear: it can't be read as one, or says only a day.
    """
    heard = _read(phrase, now)
    if heard.at is not None:
        return heard.at
    if heard.hour is None:
        raise Unclear("it says a day and no time")
    return _moment(heard)


@lru_cache(maxsize=4096)
def ending(phrase: str, start: datetime, now: datetime) -> datetime:
    """The moment that a phrase means as the end of what begins at ``start``: a length ("for twenty minutes"), a time of
    that day or the night after it ("till four"), or any other moment.

    Raises:
        Unclear: it can't be read as one, or says only a day.
    """
    text = re.sub(r"^(?:until|till?) ", "", _normal(phrase))
    if length := re.fullmatch(rf"(?:for |lasting )?{_LENGTH}", text):
        return start + timedelta(minutes=_length(length))
    heard = _read(text, start)
    if heard.at is not None or heard.day is not None or heard.hour is None:
        return moment(text, now)
    halves = [heard.half] if heard.half or heard.whole else ["am", "pm"]
    days = [start.date() + timedelta(days=n) for n in (0, 1)]
    ends = [_moment(replace(heard, day=at, half=half)) for at in days for half in halves]
    return min(at for at in ends if at > start)


@lru_cache(maxsize=4096)
def day(phrase: str, now: datetime) -> date:
    """The day that a phrase means; a time of day in it is not looked at.

    Raises:
        Unclear: it can't be read as one, or says only a time.
    """
    heard = _read(phrase, now)
    if heard.at is not None:
        return heard.at.date()
    if heard.day is None:
        raise Unclear("it says a time and no day")
    return heard.day


def minutes(phrase: str) -> int:
    """The length that a phrase means ("an hour and a half", "for 45 minutes", "forty"), in minutes.

    Raises:
        Unclear: it is no length.
    """
    text = re.sub(r"^(?:for|lasting) ", "", _normal(phrase))
    if re.fullmatch(r"\d+", text):
        return int(text)
    length = re.fullmatch(_LENGTH, text)
    if length is None or (found := _length(length)) % 1:
        raise Unclear("it is no length in minutes")
    return int(found)


def priority(phrase: str) -> int:
    """The number of a priority: its name, or a number in words.

    Raises:
        Unclear: it is neither.
    """
    text = re.sub(r" priority$", "", _normal(phrase))
    if text in PRIORITIES:
        return PRIORITIES[text]
    if re.fullmatch(r"\d", text):
        return int(text)
    raise Unclear(f"it is none of {', '.join(PRIORITIES)}")


# -- words -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _normal(phrase: str) -> str:
    """A phrase in lower case, numbers as digits, ordinals as ``#3``, without commas and hyphens."""
    text = phrase.casefold().replace("’", "'").replace("-", " ")
    text = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", re.sub(r"[,;!?]|\.(?!\d)(?!m)", " ", text))
    text = re.sub(r"(\d)([ap]m)\b", r"\1 \2", text)
    text = re.sub(r"\b(\d{1,2})(?:st|nd|rd|th)\b", r"#\1", text)
    words: list[str] = []
    for word in text.replace("o'clock", " ").split():
        tens = int(words[-1]) if words and words[-1] in _SPELT_TENS else 0
        if tens and 0 < _NUMBERS.get(word, 0) < 10:
            words[-1] = str(tens + _NUMBERS[word])
        elif tens and 0 < _ORDINALS.get(word, 0) < 10:
            words[-1] = f"#{tens + _ORDINALS[word]}"
        else:
            words.append(
                str(_NUMBERS[word]) if word in _NUMBERS else f"#{_ORDINALS[word]}" if word in _ORDINALS else word
            )
    return " ".join(words)


_SPELT_TENS = frozenset(map(str, _TENS.values()))
_NUM = r"(?:\d{1,4}|an?|a couple of|half an?|\d{1,4} and a half|a quarter of an|three quarters of an|3 quarters of an)"
_LENGTH = (
    rf"(?P<n>{_NUM}) (?P<unit>minute|hour|day|week)s?(?P<more> and a half| and a quarter)?"
    r"(?: (?:and )?(?P<rest>\d{1,4}) minutes?)?"
)


def _count(text: str) -> float:
    if text in ("a", "an"):
        return 1
    if text.startswith(("half", "a quarter", "three quarters", "3 quarters")):
        return 0.5 if text.startswith("half") else 0.25 if text.startswith("a") else 0.75
    if text == "a couple of":
        return 2
    return int(text.split()[0]) + 0.5 * text.endswith("half")


def _length(found: re.Match[str]) -> float:
    more = {" and a half": 0.5, " and a quarter": 0.25, None: 0.0}[found["more"]]
    return (_count(found["n"]) + more) * _UNITS[found["unit"]] + int(found["rest"] or 0)


# -- the grammar -------------------------------------------------------------------------------------------------------


def _read(phrase: str, now: datetime) -> _Heard:
    """Reads a phrase from left to right: each rule takes words and says what they mean; none may be left."""
    heard, rest = _Heard(now), _normal(phrase)
    while rest:
        rest = re.sub(r"^(?:on|at|by|for)(?: |$)", "", rest) if not rest.startswith("at night") else rest
        for pattern, act in _RULES:
            if (found := pattern.match(rest)) is not None:
                act(heard, found)
                rest = rest[found.end() :].lstrip()
                break
        else:
            name = next((name for name in _holiday_names() if rest == name or rest.startswith(f"{name} ")), None)
            if name is None:
                raise Unclear(f"{rest!r} says no time" if rest else "it says nothing")
            _holiday(heard, name)
            rest = rest[len(name) :].lstrip()
    if heard.at is not None and (heard.day, heard.hour, heard.half) != (None, None, ""):
        raise Unclear("it says a span and a time")
    if heard.half and heard.hour is None and heard.day is None:
        raise Unclear("it says a part of the day and no time")
    if heard.at is None and heard.day is None and heard.hour is None:
        raise Unclear("it says nothing")
    return heard


def _span(heard: _Heard, found: re.Match[str]) -> None:
    length = _length(found)
    if found["unit"] in ("day", "week"):
        if length % (24 * 60):
            raise Unclear("it says a part of a day")
        _set_day(heard, heard.now.date() + timedelta(minutes=length))
    elif heard.at is not None:
        raise Unclear("it says two spans")
    else:
        heard.at = heard.now + timedelta(minutes=length)


def _today(heard: _Heard, found: re.Match[str]) -> None:
    _set_day(heard, heard.now.date())
    if part := found["part"] or found["tonight"]:
        _set_half(heard, part)


def _tomorrow(heard: _Heard, found: re.Match[str]) -> None:
    _set_day(heard, heard.now.date() + timedelta(days=2 if found["after"] else 1))


def _weekday(heard: _Heard, found: re.Match[str]) -> None:
    today, wanted = heard.now.date(), _WEEKDAYS.index(found["weekday"])
    ahead = 7 - today.weekday() + wanted if found["which"] == "next" else (wanted - today.weekday() - 1) % 7 + 1
    weeks = int(_count(found["weeks"])) if found["weeks"] else 0
    _set_day(heard, today + timedelta(days=ahead + 7 * weeks))


def _month_day(heard: _Heard, found: re.Match[str]) -> None:
    groups = found.groupdict()
    month, number, year = _MONTH_OF[groups["m"]], int(groups["d"] or groups["d2"]), groups["y"]
    # nine years on there has been a 29th of February
    years = [int(year)] if year else range(heard.now.year, heard.now.year + 9)
    _set_day(heard, _first(((each, month, number) for each in years), date.min if year else heard.now.date()))


def _day_of_month(heard: _Heard, found: re.Match[str]) -> None:
    which, first = found["which"], heard.now.year * 12 + heard.now.month - 1
    months = [first + (which == "next")] if which else range(first, first + 12)
    _set_day(
        heard, _first(((n // 12, n % 12 + 1, int(found["d"])) for n in months), date.min if which else heard.now.date())
    )


def _first(days: Iterable[tuple[int, int, int]], earliest: date) -> date:
    """The first of some days that exists and is not before ``earliest``."""
    for year, month, number in days:
        if 1 <= number <= calendar.monthrange(year, month)[1] and (found := date(year, month, number)) >= earliest:
            return found
    raise Unclear("there is no such day")


def _holiday(heard: _Heard, name: str) -> None:
    today, name = heard.now.date(), _HOLIDAYS.get(name, name)
    days = (
        at for year in (today.year, today.year + 1) for at, called in _holidays(year) if called == name and at > today
    )
    _set_day(heard, min(days))


@lru_cache(maxsize=64)
def _holidays(year: int) -> tuple[tuple[date, str], ...]:
    import holidays

    named = holidays.US(years=[year], observed=False).items()
    eves = tuple((date(year, *on), name) for name, on in _EVES.items())
    return eves + tuple((at, _normal(name)) for at, names in named for name in names.split("; "))


@lru_cache(maxsize=1)
def _holiday_names() -> tuple[str, ...]:
    return tuple(sorted({*_HOLIDAYS, *(name for _, name in _holidays(2024))}, key=lambda name: (-len(name), name)))


def _noon(heard: _Heard, found: re.Match[str]) -> None:
    _set_time(heard, 12, 0, True)


def _past(heard: _Heard, found: re.Match[str]) -> None:
    """ "half past nine", "a quarter to six", "ten past eight"; "half nine" as the British say it, half past."""
    hour, part, to = int(found["h"]), found["part"].removeprefix("a "), found["way"] == "to"
    away = {"half": 30, "quarter": 15}.get(part) or int(part.split()[0])
    if not (1 <= hour <= 12 and 1 <= away <= 30 - to):
        raise Unclear("there is no such time")
    _set_time(heard, (hour - 2) % 12 + 1 if to else hour, 60 - away if to else away, False)


def _clock(heard: _Heard, found: re.Match[str]) -> None:
    hour, minute = int(found["h"]), int((found["min"] or "0").removeprefix("oh "))
    _set_time(heard, hour, minute, hour > 12 or found["h"].startswith("0"))


def _half(heard: _Heard, found: re.Match[str]) -> None:
    _set_half(heard, found["half"])


def _set_day(heard: _Heard, at: date) -> None:
    if heard.day is not None:
        raise Unclear("it says two days")
    heard.day = at


def _set_time(heard: _Heard, hour: int, minute: int, whole: bool) -> None:
    if heard.hour is not None:
        raise Unclear("it says two times")
    if hour > 23 or minute > 59:
        raise Unclear("there is no such time")
    heard.hour, heard.minute, heard.whole = hour, minute, whole


def _set_half(heard: _Heard, part: str) -> None:
    half = "am" if part in ("am", "morning") else "pm"
    if heard.half not in ("", half):
        raise Unclear("it says two halves of the day")
    heard.half = half


_WEEKS = r"(?:(?P<weeks>an?|\d{1,3}) weeks? (?:from|after) )?"
_M = f"(?P<m>{'|'.join(sorted(_MONTH_OF, key=len, reverse=True))})"
_TENTH = r"(?:the )?#(?P<d>\d{1,2})"
_YEAR = r"(?: (?P<y>(?:19|20|21)\d\d))?"

_Act = Callable[[_Heard, re.Match[str]], None]

_RULES: tuple[tuple[re.Pattern[str], _Act], ...] = tuple(
    (re.compile(f"{rule}(?= |$)"), act)
    for rule, act in (
        (rf"in {_LENGTH}(?: time| from now)?", _span),
        (rf"{_LENGTH} from (?:now|today)", _span),
        (r"(?:today|this (?P<part>morning|afternoon|evening)|to(?P<tonight>night))", _today),
        (r"(?P<after>the day after |day after )?tomorrow", _tomorrow),
        (
            rf"{_WEEKS}(?:(?:this coming|the coming|coming|this|(?P<which>next)) )?(?P<weekday>{'|'.join(_WEEKDAYS)})",
            _weekday,
        ),
        (rf"{_TENTH} (?:of )?{_M}{_YEAR}", _month_day),
        (rf"{_M} (?:{_TENTH}|(?P<d2>\d{{1,2}})(?! (?:am|pm)\b)){_YEAR}", _month_day),
        (rf"(?P<d>\d{{1,2}}) (?:of )?{_M}{_YEAR}", _month_day),
        (rf"{_TENTH}(?: of (?P<which>this|next) month)?", _day_of_month),
        (r"(?:noon|midday)", _noon),
        (r"(?P<part>half|a quarter|quarter|\d{1,2}(?: minutes?)?) (?P<way>past|to) (?P<h>\d{1,2})", _past),
        (r"(?P<part>half)(?P<way>) (?P<h>\d{1,2})", _past),
        (r"(?P<h>\d{1,2})(?:[: ](?P<min>oh \d|\d\d))?", _clock),
        (r"(?P<half>am|pm)", _half),
        (r"in the (?P<half>morning|afternoon|evening)", _half),
        (r"at (?P<half>night)", _half),
        (r"(?P<half>morning|afternoon|evening|night)", _half),
    )
)
"""What a phrase is made of, each read where the one before ends; the first that fits counts."""


def _moment(heard: _Heard) -> datetime:
    """Day and time as one, with the half of the day that was not said."""
    hour = heard.hour or 0
    if not heard.whole:
        if not 1 <= hour <= 12:
            raise Unclear("there is no such time")
        hour %= 12
    elif heard.half and (hour >= 12) != (heard.half == "pm"):
        raise Unclear("its hour is in the other half of the day")
    today = heard.now.date()
    at = [hour] if heard.whole else [hour + 12 * (heard.half == "pm")] if heard.half else [hour, hour + 12]
    later = [when for each in at if (when := datetime.combine(today, time(each, heard.minute))) > heard.now]
    if heard.day in (None, today) and later:
        return later[0]
    chosen = at[0] if len(at) == 1 else hour if 7 <= hour <= 11 else hour + 12
    return datetime.combine(heard.day or today + timedelta(days=1), time(chosen, heard.minute))

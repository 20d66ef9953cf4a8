"""Dates and times as people say them, resolved against the task's now.

Owns the phrases and their arithmetic; holidays come from the holidays package. A phrase always says which half of the
day it means, for "at seven" alone has two answers. Does not know what the date is for.
"""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from functools import lru_cache

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
).split()
_TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
    "seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth twenty-fifth twenty-sixth "
    "twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
).split()


def spelled(number: int) -> str:
    """A number below 60 in words, one word where a hyphen joins them."""
    if number < 20:
        return _UNITS[number]
    return _TENS[number // 10 * 10] + (f"-{_UNITS[number % 10]}" if number % 10 else "")


def day_phrase(draw: random.Random, now: datetime) -> tuple[str, date]:
    """A day after today, and how it is said."""
    today = now.date()
    kind = draw.randrange(7)
    if kind == 0:
        return "tomorrow", today + timedelta(days=1)
    if kind == 1:
        days = draw.randint(2, 9)
        return f"in {spelled(days)} days", today + timedelta(days=days)
    if kind == 2:
        holiday, day = draw.choice(holidays_after(today))
        return f"on {holiday}", day
    if kind in (3, 4):
        day = today + timedelta(days=draw.randint(9, 90))
        said = _ORDINALS[day.day - 1]
        return (f"on {day:%B} {said}" if kind == 3 else f"on the {said} of {day:%B}"), day
    day = today + timedelta(days=draw.randint(2, 6))
    return (f"on {day:%A}" if kind == 5 else f"this coming {day:%A}"), day


def clock_phrase(draw: random.Random) -> tuple[str, time]:
    """A time of day, and how it is said."""
    kind = draw.randrange(6)
    hour, minute = draw.randint(8, 20), draw.choice((0, 15, 30, 45, 10, 20))
    half = "am" if hour < 12 else "pm"
    spoken = spelled((hour - 1) % 12 + 1)
    if kind == 0:
        return "at noon", time(12)
    if kind == 1 and hour != 12:
        part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
        return f"at {spoken} {part}", time(hour)
    if kind == 2:
        return f"at half past {spoken} {half}", time(hour, 30)
    if kind == 3:
        return f"at {hour - 12 * (hour > 12)}:{minute:02d} {half}", time(hour, minute)
    if kind == 4 and minute:
        return f"at {spoken} {spelled(minute)} {half}", time(hour, minute)
    return f"at {spoken} {half}", time(hour)


def moment_phrase(draw: random.Random, now: datetime) -> tuple[str, datetime]:
    """A day and a time, in either order, or a span from now."""
    kind = draw.randrange(8)
    if kind == 0:
        minutes = draw.choice((20, 40, 45, 50))
        return f"in {spelled(minutes)} minutes", now + timedelta(minutes=minutes)
    if kind == 1:
        hours = draw.randint(2, 9)
        return f"in {spelled(hours)} hours", now + timedelta(hours=hours)
    said_day, day = day_phrase(draw, now)
    said_time, at = clock_phrase(draw)
    return (f"{said_time} {said_day}" if kind == 2 else f"{said_day} {said_time}"), datetime.combine(day, at)


def length_phrase(draw: random.Random) -> tuple[str, int]:
    """A duration in minutes, and how it is said."""
    minutes = draw.choice((15, 20, 25, 30, 40, 45, 50, 60))
    if minutes == 60 and draw.random() < 0.6:
        return "an hour", 60
    if minutes == 30 and draw.random() < 0.3:
        return "half an hour", 30
    return (f"{spelled(minutes)} minutes" if minutes < 60 else "sixty minutes"), minutes


@lru_cache(maxsize=4096)
def holidays_after(today: date) -> tuple[tuple[str, date], ...]:
    """The next holidays by the names that people say."""
    days = sorted(_holidays(today.year) + _holidays(today.year + 1))
    return tuple((name, day) for day, name in days if today + timedelta(days=1) < day < today + timedelta(days=330))


@lru_cache(maxsize=16)
def _holidays(year: int) -> list[tuple[date, str]]:
    import holidays

    said = {
        "New Year's Day",
        "Memorial Day",
        "Independence Day",
        "Labor Day",
        "Columbus Day",
        "Veterans Day",
        "Thanksgiving Day",
        "Christmas Day",
    }
    return [(day, name) for day, name in holidays.US(years=[year]).items() if name in said]

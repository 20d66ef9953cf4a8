"""The two forms in which tools take dates: as the user said them, and ``YYYY-MM-DD HH:MM:SS``, local time.

Owns which forms are accepted, and the refusals. `midsentence.tools.times` reads what people say. Never reads a clock:
the task gives the time.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, time

from midsentence.tools import times
from midsentence.tools.text import quote
from midsentence.tools.tool import ToolFailure

MOMENT = "YYYY-MM-DD HH:MM:SS"
DAY = "YYYY-MM-DD"
_SHAPES = {MOMENT: r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", DAY: r"\d{4}-\d\d-\d\d"}


def moment(what: str, text: str, *forms: str, now: datetime | None = None) -> datetime:
    """The date that ``text`` gives: in one of ``forms`` (`MOMENT` alone by default), or in words that count from
    ``now``.

    Args:
        what: the parameter, for a refusal.
        text: what was given.
        forms: written forms that are taken; `DAY` first asks for a day, of which no time has to be said.
        now: the user's date and time; without one, words are refused.

    Raises:
        ToolFailure: another form, no such day, or a year that can't be meant; the text names ``what`` and the forms.
    """
    forms = forms or (MOMENT,)
    if any(re.fullmatch(_SHAPES[form], text, re.ASCII) for form in forms):
        try:
            at = datetime.fromisoformat(text)
        except ValueError as failure:
            raise ToolFailure(f"{what}: {quote(text)} is no date ({failure})") from None
    elif now is not None:
        at = _said(what, text, forms, now)
    else:
        example = {MOMENT: "2025-03-01 14:30:00", DAY: "2025-03-01"}[forms[0]]
        raise ToolFailure(
            f"{what}: {quote(text)} is not a date of the form {' or '.join(forms)}, as in {quote(example)}"
        )
    if not 1900 <= at.year < 2200:
        raise ToolFailure(f"{what}: {quote(text)} is in the year {at.year}, which can't be meant")
    return at


def ending(what: str, text: str, start: datetime, *, now: datetime | None = None) -> datetime:
    """The end of what begins at ``start``: a date as `moment` takes it, or in words that count from ``start``: a
    length, or a time of day.

    Raises:
        ToolFailure: as `moment`.
    """
    if now is not None and not re.fullmatch(_SHAPES[MOMENT], text, re.ASCII):
        with suppress(times.Unclear, OverflowError):
            return times.ending(text, start, now)
    return moment(what, text, now=now)


def _said(what: str, text: str, forms: tuple[str, ...], now: datetime) -> datetime:
    try:
        return datetime.combine(times.day(text, now), time()) if forms[0] == DAY else times.moment(text, now)
    except (times.Unclear, OverflowError) as failure:
        example = "this coming Friday" if forms[0] == DAY else "Friday at half past nine am"
        raise ToolFailure(
            f"{what}: {quote(text)} can't be read: {failure}; give the day{'' if forms[0] == DAY else ' and the time'} as the user would "
            f"say, as in {quote(example)}, or as {' or '.join(forms)}"
        ) from None


def length_in_minutes(what: str, given: int | str) -> int:
    """A length as a number of minutes, or in words.

    Raises:
        ToolFailure: neither; the text names ``what`` and both forms.
    """
    if not isinstance(given, str):
        return given
    try:
        return times.minutes(given)
    except times.Unclear:
        raise ToolFailure(
            f'{what}: {quote(given)} is no length; give minutes, or words as in "an hour and a half"'
        ) from None


def written(at: datetime) -> str:
    """``at`` in the form `MOMENT`."""
    return f"{at:%Y-%m-%d %H:%M:%S}"

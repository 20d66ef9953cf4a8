"""The one form in which tools take dates: ``YYYY-MM-DD HH:MM:SS``, local time.

Owns reading and refusing. Never asks what time it is: a task says that.
"""

from __future__ import annotations

import re
from datetime import datetime

from agent.tools.text import quote
from agent.tools.tool import ToolFailure

MOMENT = "YYYY-MM-DD HH:MM:SS"
DAY = "YYYY-MM-DD"
_SHAPES = {MOMENT: r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", DAY: r"\d{4}-\d\d-\d\d"}


def moment(what: str, text: str, *forms: str) -> datetime:
    """The date that ``text`` gives, in one of ``forms`` (`MOMENT` alone by default).

    Raises:
        ToolFailure: another form, no such day, or a year that can't be meant; the text names ``what`` and the form.
    """
    forms = forms or (MOMENT,)
    if any(re.fullmatch(_SHAPES[form], text, re.ASCII) for form in forms):
        try:
            at = datetime.fromisoformat(text)
        except ValueError as failure:
            raise ToolFailure(f"{what}: {quote(text)} is no date ({failure})") from None
        if not 1900 <= at.year < 2200:
            raise ToolFailure(f"{what}: {quote(text)} is in the year {at.year}, which can't be meant")
        return at
    example = {MOMENT: "2025-03-01 14:30:00", DAY: "2025-03-01"}[forms[0]]
    raise ToolFailure(f"{what}: {quote(text)} is not a date of the form {' or '.join(forms)}, as in {quote(example)}")


def written(at: datetime) -> str:
    """``at`` in the form `MOMENT`."""
    return f"{at:%Y-%m-%d %H:%M:%S}"

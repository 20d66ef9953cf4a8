"""A value in a line of the markup: JSON, in which ``$1`` needs no quotes, plain text, or ``*``."""

from __future__ import annotations

import json
import re
from typing import Any

from data_gen.task import BadTask

GOLD = object()
"""The value ``*``."""


def read_value(text: str, n: int, ends: str) -> tuple[Any, int]:
    """A value and the place behind it: JSON, in which ``$1`` needs no quotes, or plain text up to one of ``ends``."""
    while text[n : n + 1] == " ":
        n += 1
    if text[n : n + 1] == "*":
        value, n = GOLD, n + 1
    elif text[n : n + 1] in ('"', "[", "{"):
        stop = _json_end(text, n)
        try:
            value = json.loads(
                re.sub(r'("(?:[^"\\]|\\.)*")|(\$\d+)', lambda found: found[1] or f'"{found[2]}"', text[n:stop])
            )
        except json.JSONDecodeError as error:
            raise BadTask(f"{text[n:stop]!r} is no JSON: {error}") from None
        n = stop
    else:
        stop = min((at for end in ends if (at := text.find(end, n)) >= 0), default=len(text))
        value, n = text[n:stop].strip(), stop
        if not value:
            raise BadTask(f'a value is missing before {text[n : n + 12]!r}; an empty text is ""')
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            pass
    while text[n : n + 1] == " ":
        n += 1
    return value, n


def _json_end(text: str, n: int) -> int:
    """Where the JSON text that begins at a place ends."""
    depth, quoted, start = 0, False, n
    while n < len(text):
        if quoted:
            n += text[n] == "\\"
            quoted = text[n : n + 1] != '"' or text[n - 1 : n] == "\\"
        else:
            quoted = text[n] == '"'
            depth += (text[n] in "[{") - (text[n] in "]}")
        n += 1
        if depth <= 0 and not quoted:
            return n
    raise BadTask(f"{text[start : start + 20]!r} never ends; close its quotes and brackets")


def written_value(value: Any) -> str:
    """The value as a line has it."""
    if isinstance(value, str) and re.fullmatch(r"\$\d+", value):
        return value
    return json.dumps(value, ensure_ascii=False).replace("|", "\\u007c")

"""A row as a line of the markup.

Owns where marks stand in the text, and which values need not be written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_gen.dialogue.markup import with_turns
from data_gen.marking.marks import Mark, escape, head_of, own_words
from data_gen.marking.reading import FIELDS
from data_gen.marking.spans import implied_by, listed, marks_of
from data_gen.marking.values import written_value
from data_gen.task import BadTask


@dataclass(slots=True)
class _Placed:
    """Marks of the same words."""

    start: int
    end: int
    heads: list[str]


def render(row: Mapping[str, Any]) -> str:
    """The line of a row.

    Raises:
        BadTask: the row has a field that no line has.
    """
    if strange := set(row) - {"id", "request", "calls", "spans", "turns", *FIELDS}:
        raise BadTask(f"{row['id']}: field {min(strange)!r} has no place in a line")
    words, gold = row["request"].split(), [dict(call["args"]) for call in row["calls"]]
    marks = marks_of(words, row.get("spans", ()))
    calls = []
    for n, (call, args) in enumerate(zip(row["calls"], gold), start=1):
        implied = implied_by(n, marks, words)
        shown = [
            f"{param}={'/'.join(map(written_value, values))}"
            for param, values in args.items()
            if [implied.get(param)] != values
        ]
        calls.append(f"{call['name']}({', '.join(shown)})" if shown else call["name"])
    for entry in row.get("spans", ())[len(gold) :]:
        follows = {
            param: given
            for param, given in entry.get("args", {}).items()
            if isinstance(given, Mapping) and "words" not in given
        }
        shown = [f"{param}={written_value(given['value'])}" for param, given in follows.items()]
        calls.append(f"!{entry['name']}({', '.join(shown)})" if shown else f"!{entry['name']}")
    said = _marked(words, [mark for mark in marks if mark.end or mark.call <= len(gold)], len(gold))
    parts = [str(row["id"]), with_turns(said, row["turns"]) if row.get("turns") else " ".join(said), "; ".join(calls)]
    extras = [name if name == "hear_out" else f"{name}={_extra(name, row[name])}" for name in FIELDS if row.get(name)]
    return " | ".join([*parts, *(["; ".join(extras)] if extras else [])])


def _extra(name: str, value: Any) -> str:
    if name == "tags":
        return ", ".join(listed(value))
    return json.dumps(value, ensure_ascii=False) if name == "answer" else str(value)


def _placed(words: Sequence[str], marks: Sequence[Mark], gold: int) -> tuple[list[_Placed], dict[int, str]]:
    """Marks by their words, outer ones first, and what follows from tools by the number of words before it."""
    last = {(mark.call, mark.param): mark for mark in marks if mark.end}
    tools = {mark.call: mark for mark in marks if mark.param is None and not mark.until}
    placed: dict[tuple[int, int], _Placed] = {}
    behind: dict[int, str] = {}
    for mark in marks:
        own = mark.call > gold or mark != last.get((mark.call, mark.param))
        if mark.param is None:
            head = head_of(mark)
        elif not mark.end:  # it follows from the tool
            behind[tools[mark.call].end] = (
                behind.get(tools[mark.call].end, "") + f"{{{head_of(mark)}={written_value(mark.value)}:}}"
            )
            continue
        elif mark.given:
            head = (
                head_of(mark)
                if mark.value == own_words(words, mark) and own
                else f"{head_of(mark)}={written_value(mark.value)}"
            )
        else:
            head = f"{head_of(mark)}=*" if own else head_of(mark)
        placed.setdefault((mark.start, mark.end), _Placed(mark.start, mark.end, [])).heads.append(head)
    return sorted(placed.values(), key=lambda each: (each.start, -each.end)), behind


def _marked(words: Sequence[str], marks: Sequence[Mark], gold: int) -> list[str]:
    """The words of a request with their marks, braces inside the punctuation around words."""
    order, behind = _placed(words, marks, gold)
    said: list[str] = []
    open_: list[_Placed] = []
    for n, word in enumerate(words):
        left, right = (
            found[0] if re.search(r"\w", word) and found else ""
            for found in (re.match(r"^[^\w$]*", word), re.search(r"[^\w)]*$", word))
        )
        begun = [each for each in order if each.start == n]
        opens = "".join(f"{{{','.join(each.heads)}:" for each in begun)
        open_ += begun
        shuts = ""
        while over := [depth for depth, each in enumerate(reversed(open_)) if each.end == n + 1]:
            shuts += "}" + "^" * over[0]
            open_.pop(-1 - over[0])
        core = word[len(left) : len(word) - len(right)]
        said.append(f"{escape(left)}{opens}{escape(core)}{shuts}{behind.get(n + 1, '')}{escape(right)}")
    return said

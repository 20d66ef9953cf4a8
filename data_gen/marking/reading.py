"""A line of the markup as the row that `data_gen.tasks.rows` reads.

Owns the parts of a line, and the fields behind the calls.

    ID | {1,2:text} {1.name:Marco}, no sorry, {1.name:Marcus}, that um {2.message:I'm late} | get_phone_number;
    send_sms(recipients=[$1])

Behind the request come the calls, those that are taken back after the gold ones with ``!`` before their names; accepted
values are separated by ``/``, and what is marked in its own words needs none. Then, if need be,
``now=…; tags=a, b; split=train; answer=…; hear_out``.
"""

from __future__ import annotations

from typing import Any

from data_gen.dialogue.markup import split_turns, turn_fields
from data_gen.marking.calls import ARGUMENT, calls_in
from data_gen.marking.marks import Mark, marks_in
from data_gen.marking.spans import accepted_of, spans_of
from data_gen.marking.values import read_value
from data_gen.task import BadTask

FIELDS = ("now", "tags", "split", "answer", "hear_out")


def parse(line: str) -> dict[str, Any]:
    """The row that a line says.

    Raises:
        BadTask: a mistake of form.
    """
    parts = _sections(line)
    if not 3 <= len(parts) <= 4:
        raise BadTask(
            f"has {len(parts)} parts; write ID | request | calls, and | now=… if need be; \\| is the character"
        )
    id, said, asked = parts[0].strip(), parts[1].strip(), parts[2]
    if not id:
        raise BadTask("has no id before the first |")
    said, *more = split_turns(said)
    words, marks = marks_in(said)
    ends = [len(words)]
    for turn in more[1::2]:
        words, marks = _joined(words, marks, *marks_in(turn))
        ends.append(len(words))
    gold, back = calls_in(asked) if asked.strip() or not more else ([], [])
    row: dict[str, Any] = {"id": id, "request": " ".join(words), "calls": []}
    for n, (name, given) in enumerate(gold, start=1):
        row["calls"].append({"name": name, "args": accepted_of(n, given, marks, words)})
    if marks:
        row["spans"] = spans_of(words, marks, gold, back)
    elif back:
        raise BadTask(f"takes back {back[0][0]}, but marks nothing")
    turns = {"turns": turn_fields(ends, more[::2])} if more else {}
    return row | turns | (_extras(parts[3]) if len(parts) == 4 else {})


def _joined(words: list[str], marks: list[Mark], more: list[str], others: list[Mark]) -> tuple[list[str], list[Mark]]:
    """The words and marks of some turns and of one more."""
    n = len(words)
    moved = [mark._replace(start=mark.start + n, end=mark.end + n) if mark.end else mark for mark in others]
    return words + more, marks + moved


def _sections(line: str) -> list[str]:
    """The parts between bars that are neither escaped nor in a JSON text."""
    parts: list[str] = []
    last, n, quoted = 0, 0, False
    while n < len(line):
        if line[n] == "\\":
            n += 1
        elif line[n] == '"' and len(parts) != 1 or line[n] == '"' and quoted:
            quoted = not quoted
        elif line[n] == "|" and not quoted:
            parts.append(line[last:n])
            last = n + 1
        n += 1
    return [*parts, line[last:]]


def _extras(text: str) -> dict[str, Any]:
    """The fields behind the calls."""
    found: dict[str, Any] = {}
    n = 0
    while text[n:].strip():
        name = ARGUMENT.match(text, n)
        if name is None or name["param"] not in FIELDS or name["param"] in found:
            raise BadTask(
                f"{text[n : n + 20].strip()!r} is no field, or is there twice; use {', '.join(FIELDS)}, with ; between them"
            )
        n = name.end()
        value: Any = True
        if bool(name["given"]) == (name["param"] == "hear_out"):
            raise BadTask(f"write {'hear_out without a value' if name['given'] else name['param'] + '=…'}")
        if name["param"] == "answer":
            value, n = read_value(text, n, ";")
        elif name["given"]:
            stop = text.find(";", n) if ";" in text[n:] else len(text)
            value, n = text[n:stop].strip(), stop
        found[name["param"]] = [tag.strip() for tag in value.split(",")] if name["param"] == "tags" else value
        rest = text[n:].lstrip()
        if rest and rest[0] != ";":
            raise BadTask(f"{rest[:20]!r} after {name['param']}; write ; between fields")
        n = len(text) - len(rest) + 1
    return found

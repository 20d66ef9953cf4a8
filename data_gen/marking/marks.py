"""The marks of a request: which words say what.

Owns the text between braces, and which words a mark holds. Does not know what calls there are.

A mark is ``{head, head…:words}``. ``1`` opens call 1; ``1.name`` says that argument: what it was first, or at last, in
its own words, or ``1.name=value`` where they differ; ``1.name=*`` says gold's value before its last time;
``1.name=null`` takes it back; ``!3`` ends call 3, which is taken back. Without words a value follows from the tool. A
mark may stand in another; ``}^`` ends the one around the innermost, where two overlap. ``\\{``, ``\\}``, ``\\|``,
``\\^`` and ``\\\\`` are those characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from data_gen.marking.values import read_value
from data_gen.task import BadTask

_HEAD = re.compile(r"\s*(?:(?P<until>!)(?P<back>\d+)|(?P<call>\d+)(?:\.(?P<param>\w+)(?P<given>\s*=)?)?)\s*")
_ESCAPED = re.compile(r"\\([{}|^\\>])")


class Mark(NamedTuple):
    """One thing that a run of words says."""

    call: int
    param: str | None
    """None for the call itself."""
    start: int
    end: int
    """Half-open indices of words; equal for a value that follows from the tool."""
    given: bool = False
    value: Any = None
    """What it was meant to be, where that was ``given``."""
    until: bool = False


def marks_in(said: str) -> tuple[list[str], list[Mark]]:
    """The words of a marked request, and its marks."""
    text, places = "", []
    open_: list[tuple[int, list[tuple[int, str | None, bool, Any, bool]]]] = []
    n = 0
    while n < len(said):
        if (escaped := _ESCAPED.match(said, n)) is not None:
            text, n = text + escaped[1], escaped.end()
        elif said[n] == "{":
            heads, n = _heads(said, n + 1)
            open_.append((len(text), heads))
        elif said[n] == "}":
            if not open_:
                raise BadTask(f"a mark ends after {text[-20:]!r} that never began; \\}} is the character")
            out = len(said[n + 1 :]) - len(said[n + 1 :].lstrip("^"))
            if out >= len(open_):
                raise BadTask(
                    f"}}{'^' * out} after {text[-20:]!r} ends a mark {out} further out, but {len(open_)} are open"
                )
            start, heads = open_.pop(-1 - out)
            places += [(start, len(text), head) for head in heads]
            n += 1 + out
        else:
            text, n = text + said[n], n + 1
    if open_:
        raise BadTask(f"the mark before {text[open_[-1][0] :][:20]!r} never ends; write }} behind its words")
    tokens = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    marks = []
    for start, end, (call, param, given, value, until) in places:
        inside = [
            k
            for k, (a, b) in enumerate(tokens)
            if re.search(r"\w", text[max(a, start) : min(b, end)]) and a < end and b > start
        ]
        if not inside and (text[start:end].strip() or not given):
            raise BadTask(f"mark {head_of(Mark(call, param, 0, 0, until=until))} holds no word: {text[start:end]!r}")
        bounds = (inside[0], inside[-1] + 1) if inside else (0, 0)
        marks.append(Mark(call, param, *bounds, given, value, until))
    return [text[a:b] for a, b in tokens], sorted(marks, key=lambda mark: (mark.end, mark.start))


def _heads(said: str, n: int) -> tuple[list[tuple[int, str | None, bool, Any, bool]], int]:
    """The heads of a mark that begins at a place, and the place of its words."""
    heads = []
    while True:
        found = _HEAD.match(said, n)
        if found is None or found.end() >= len(said):
            shown = said[n - 1 : n + 20]
            raise BadTask(
                f"{shown!r} begins no mark; write {{1:words}}, {{1.name:words}} or {{!1:words}}, and \\{{ for the character"
            )
        n, value = found.end(), None
        if found["given"]:
            value, n = read_value(said, n, ",:")
        heads.append(
            (int(found["call"] or found["back"]), found["param"], bool(found["given"]), value, bool(found["until"]))
        )
        if said[n : n + 1] == ":":
            return heads, n + 1
        if said[n : n + 1] != ",":
            raise BadTask(
                f"{said[n : n + 12]!r} in a mark: after a head comes a comma and another, or a colon and the words"
            )
        n += 1


def head_of(mark: Mark) -> str:
    """A mark's head, without a value."""
    return f"!{mark.call}" if mark.until else str(mark.call) if mark.param is None else f"{mark.call}.{mark.param}"


def own_words(words: Sequence[str], mark: Mark) -> str:
    """A mark's own words as a value."""
    text = " ".join(words[mark.start : mark.end])
    return re.sub(r"^[^\w$]+|[^\w)]+$", "", text) or text


def escape(text: str) -> str:
    """A text whose characters are no marks."""
    return re.sub(r"[{}|^\\]|>(?=>)", lambda found: f"\\{found[0]}", text)

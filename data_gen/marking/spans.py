"""Marks as a row's field "spans", and back.

Owns what a mark says beside the calls of its line: the accepted values that need not be written out, and the words that
are quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.grounding.spans import find, plain
from data_gen.marking.marks import Mark, head_of, own_words
from data_gen.marking.values import GOLD
from data_gen.task import BadTask


def accepted_of(
    call: int, given: Mapping[str, list[Any]], marks: Sequence[Mark], words: Sequence[str]
) -> dict[str, list[Any]]:
    """The accepted values of a gold call: those that are written out, and of the others what their last mark says."""
    accepted = {param: list(values) for param, values in given.items()}
    last = {mark.param: mark for mark in marks if mark.call == call and mark.param is not None and mark.end}
    for param, mark in last.items():
        if not accepted.get(param) and not (mark.given and mark.value is None):
            if mark.value is GOLD:
                raise BadTask(f"mark {head_of(mark)} is the last of its argument, so * says nothing; write the value")
            accepted[param] = [mark.value if mark.given else own_words(words, mark)]
    if silent := [param for param, values in accepted.items() if not values]:
        raise BadTask(f"call {call}: {silent[0]} has no value and no mark {{{call}.{silent[0]}:words}}")
    return accepted


def spans_of(
    words: Sequence[str],
    marks: Sequence[Mark],
    gold: Sequence[tuple[str, Any]],
    back: Sequence[tuple[str, dict[str, list[Any]]]],
) -> list[dict[str, Any]]:
    """The marks as the field ``spans``."""
    count = len(gold) + len(back)
    if strange := [mark for mark in marks if not 1 <= mark.call <= count]:
        raise BadTask(f"mark {head_of(strange[0])}: there are {count} calls")
    entries: list[dict[str, Any]] = [{} for _ in gold] + [{"name": name} for name, _ in back]
    for entry, (_, given) in zip(entries[len(gold) :], back):
        entry["args"] = {param: {"value": values[0]} for param, values in given.items() if values}
    last = {(mark.call, mark.param): mark for mark in marks if mark.end}
    for mark in marks:
        entry, where = entries[mark.call - 1], f"mark {head_of(mark)}"
        if mark.until or mark.param is None:
            key = "until" if mark.until else "tool"
            if key in entry:
                raise BadTask(f"{where} is there twice; a call has one")
            if mark.until and mark.call <= len(gold):
                raise BadTask(
                    f"{where}: call {mark.call} is gold's; write ! before its name, after the gold calls, if it is taken back"
                )
            entry[key] = _quote(words, mark)
            continue
        own = mark.call > len(gold) or mark != last.get((mark.call, mark.param))
        said: Any = _quote(words, mark) if mark.end else None
        if mark.given and mark.value is not GOLD:
            said = {"words": said, "value": mark.value} if mark.end else {"value": mark.value}
        elif own and mark.value is not GOLD:
            said = {"words": said, "value": own_words(words, mark)}
        args = entry.setdefault("args", {})
        args[mark.param] = said if mark.param not in args else [*listed(args[mark.param]), said]
    for n, entry in enumerate(entries, start=1):
        for key in ("tool", *(("until",) if n > len(gold) else ())):
            if key not in entry:
                head = n if key == "tool" else f"!{n}"
                raise BadTask(
                    f"call {n} has no mark {{{head}:words}} that says {'it' if key == 'tool' else 'until when'}"
                )
    return entries


def listed(given: Any) -> list[Any]:
    """One or several as a list."""
    return given if isinstance(given, list) else [given]


def _quote(words: Sequence[str], mark: Mark) -> str:
    """A mark's words as a quotation, with its number where they are said several times."""
    said = [plain(word) for word in words]
    wanted = said[mark.start : mark.end]
    places = [n for n in range(len(said) - len(wanted) + 1) if said[n : n + len(wanted)] == wanted]
    text = own_words(words, mark)
    return f"{text}#{places.index(mark.start) + 1}" if len(places) > 1 else text


def marks_of(words: Sequence[str], spans: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """The marks that a row's spans are, as `marks_in` would read them."""
    marks = []
    for n, entry in enumerate(spans, start=1):
        marks.append(Mark(n, None, *find(words, entry["tool"])))
        if "until" in entry:
            marks.append(Mark(n, None, *find(words, entry["until"]), until=True))
        for param, given in entry.get("args", {}).items():
            for one in listed(given):
                form = one if isinstance(one, Mapping) else {"words": one}
                bounds = find(words, form["words"]) if "words" in form else (0, 0)
                marks.append(Mark(n, param, *bounds, "value" in form, form.get("value")))
    return sorted(marks, key=lambda mark: (mark.end, mark.start))


def implied_by(call: int, marks: Sequence[Mark], words: Sequence[str]) -> dict[str, Any]:
    """What the last mark of each argument says by itself."""
    last = {mark.param: mark for mark in marks if mark.call == call and mark.param is not None and mark.end}
    return {param: mark.value if mark.given else own_words(words, mark) for param, mark in last.items()}

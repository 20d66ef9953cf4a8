"""Rows with turns: which calls are asked for in which turn, and what each turn is to the ones before.

Owns the field ``turns`` of a row, and what must be so for a conversation to be one: whatever is whole at the end of a
turn is done there, and stays done. Does not know how words are marked or grounded, and where rows come from.

    "turns": [{"words": said by its end, "kind"?, "asks"?: "2.message" or "any", "answer"?: [accepted], "says"?,
    "calls"?}]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data_gen.expert.replies import SAYS, question
from data_gen.grounding.derivation import Derivation, clauses, understood
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Reference, Turn
from midsentence.tools.tool import ToolSpec

_FIELDS = frozenset({"words", "kind", "asks", "answer", "says", "calls"})
_INTERRUPTS: Mapping[str, float] = {
    "correction_before": 0.4,
    "change_of_mind_before": 0.4,
    "correction_after": 0.45,
    "change_of_mind_after": 0.4,
    "clarified": 0.15,
}
"""Probability that a turn of a kind is begun while the answer before is still being spoken; 0.1 of any other."""


def ends_of(row: Mapping[str, Any], words: int) -> list[int]:
    """How many words have been said by the end of each turn of a row.

    Raises:
        BadTask: they are no numbers in order, up to all words.
    """
    turns = row["turns"]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise BadTask(
            'field "turns" must be a list of turns, each with the number of words that have been said by its end'
        )
    for n, turn in enumerate(turns, start=1):
        if unknown := set(turn) - _FIELDS:
            raise BadTask(f"turn {n}: unknown field {min(unknown)!r}; use {', '.join(sorted(_FIELDS))}")
    ends = [turn.get("words") for turn in turns]
    if any(type(end) is not int for end in ends) or sorted(set(ends)) != ends or ends[0] < 1 or ends[-1] != words:
        raise BadTask(f"turns end after {ends} words; give growing numbers, the last of them all {words}")
    return ends


def turns_of_row(
    row: Mapping[str, Any],
    ends: Sequence[int],
    gold: Sequence[GoldCall],
    reading: Derivation | None,
    specs: Mapping[str, ToolSpec],
) -> tuple[Turn, ...]:
    """The turns of a row.

    Raises:
        BadTask: a turn can't be what it is said to be; the text says why.
    """
    names = [call.name for call in gold] + [entry.get("name", "") for entry in row.get("spans", ())[len(gold) :]]
    counts = (
        _by_marks(ends, gold, reading, specs, names, row["turns"])
        if reading is not None
        else _by_words(ends, gold, row["turns"])
    )
    made: list[Turn] = []
    had = 0
    for n, (end, calls, form) in enumerate(zip(ends, counts, row["turns"]), start=1):
        asks, given = _asked(form, names, n), form.get("answer", ())
        answer = (given,) if isinstance(given, str) else tuple(given)
        said = " ".join(row["request"].split()[ends[n - 2] if n > 1 else 0 : end])
        kind = form.get("kind") or _kind(made, calls > had, asks, answer, said)
        says, usual = SAYS.get(kind, ("", ()))
        if asks not in ("", "any"):
            says, usual = question(asks)
        if answer and not form.get("says"):
            says = (
                answer[0] if asks and not any(text.lower() in says.lower() for text in answer) else says if asks else ""
            )
        made.append(
            Turn(
                kind,
                end,
                calls,
                answer or usual,
                form.get("says") or says,
                asks,
                calls == had and not asks,
                _INTERRUPTS.get(kind, 0.1) if made else 0.0,
            )
        )
        had = calls
    return tuple(made)


def by_turns(
    words: Sequence[str],
    ends: Sequence[int],
    counts: Sequence[int],
    calls: Sequence[tuple[str, Mapping[str, GoldArg]]],
    defaults: Sequence[frozenset[str]],
    specs: Mapping[str, ToolSpec],
    grounded: Callable[..., Sequence[GoldCall]],
    heard_out: Callable[..., Sequence[GoldCall]],
) -> tuple[GoldCall, ...]:
    """Gold of a conversation whose row says which calls are whose: each turn's calls, grounded in its own words.

    Where that fails, the turn's words as a whole are the evidence of all its calls: the expert hears it out. What is a
    result of an earlier turn's call needs no words.

    Args:
        words: of all turns.
        ends: how many of them have been said by the end of each turn.
        counts: how many calls have been asked for by then.
        calls: of all turns.
        defaults: of each call, the parameters that may be left out where no words say them.
        specs: the tools by name.
        grounded: from words, calls, defaults and tools to gold, or `BadTask`.
        heard_out: from words, calls and tools to gold that takes all of them for evidence.
    """
    if sorted(counts) != list(counts) or counts[-1] != len(calls):
        raise BadTask(
            f"turns ask for {list(counts)} calls in all; give growing numbers, the last of them all {len(calls)}"
        )
    gold: list[GoldCall] = []
    start = first = 0
    for end, count in zip(ends, counts):
        said, turn = words[start:end], calls[first:count]
        known = [
            {param: arg for param, arg in args.items() if _is_earlier(list(arg.accepted), first)} for _, args in turn
        ]
        asked = [
            (name, {param: arg for param, arg in args.items() if param not in more})
            for (name, args), more in zip(turn, known)
        ]
        loose = {**specs, **{name: _loosened(specs[name], turn, known) for name, _ in turn}}
        try:
            found = grounded(said, asked, defaults[first:count], specs=loose) if asked else ()
        except BadTask:
            found = heard_out(said, asked, specs=loose)
        for call, more in zip(found, known):
            args = {**call.args, **more}
            order = [param.name for param in specs[call.name].params if param.name in args]
            # a tool that no words name is clear when the turn has begun
            spans = {name: _later(span, start) for name, span in call.arg_evidence.items()}
            gold.append(
                GoldCall(call.name, {name: args[name] for name in order}, _later(call.name_evidence, start), spans)
            )
        start, first = end, count
    return tuple(gold)


def _is_earlier(value: Any, first: int) -> bool:
    """Whether a value is made of nothing but results of the ``first`` calls."""
    if isinstance(value, list):
        return bool(value) and all(_is_earlier(item, first) for item in value)
    return isinstance(value, Reference) and value.call <= first


def _loosened(spec: ToolSpec, calls: Sequence[tuple[str, Any]], known: Sequence[Collection[str]]) -> ToolSpec:
    """A tool that can do without what is known already in any of a turn's calls to it."""
    there = {param for (name, _), params in zip(calls, known) if name == spec.name for param in params}
    return replace(
        spec, params=tuple(replace(param, required=param.required and param.name not in there) for param in spec.params)
    )


def _later(span: Evidence, words: int) -> Evidence:
    """Words of a turn, counted from the start of the conversation."""
    return Evidence(span.start + words, span.end + words)


def _asked(form: Mapping[str, Any], names: Sequence[str], n: int) -> str:
    """``tool.parameter`` of what a turn's answer has to ask for; ``any`` for any question, empty for none."""
    asks = form.get("asks", "")
    if asks in ("", "any"):
        return str(asks)
    number, _, param = str(asks).partition(".")
    if not number.isdigit() or not 1 <= int(number) <= len(names) or not param:
        raise BadTask(
            f"turn {n} asks for {asks!r}; write a call's number and its argument, as 2.message: there are {len(names)} calls"
        )
    return f"{names[int(number) - 1]}.{param}"


def _kind(before: Sequence[Turn], calls: bool, asks: str, answer: Sequence[str], said: str) -> str:
    if asks:
        return "underspecified"
    if before and before[-1].asks:
        return "clarified" if calls else "change_of_mind_before"
    if not calls:
        return "question" if answer else "thanks" if "thank" in said.lower() else "backchannel"
    return "follow_up" if before else "request"


def _by_words(ends: Sequence[int], gold: Sequence[GoldCall], turns: Sequence[Mapping[str, Any]]) -> list[int]:
    """How many calls are asked for by the end of each turn: as the row says, or else as their words do."""
    if all("calls" in turn for turn in turns):
        return [turn["calls"] for turn in turns]
    at = [max([call.name_evidence.end, *(span.end for span in call.arg_evidence.values())]) for call in gold]
    if sorted(at, key=lambda end: next(n for n, until in enumerate(ends) if end <= until)) != at:
        raise BadTask("a call is asked for in a later turn than one behind it; list calls in the order of their turns")
    return [sum(last <= end for last in at) for end in ends]


def _by_marks(
    ends: Sequence[int],
    gold: Sequence[GoldCall],
    reading: Derivation,
    specs: Mapping[str, ToolSpec],
    names: Sequence[str],
    turns: Sequence[Mapping[str, Any]],
) -> list[int]:
    """The same by the marks, which must leave what was done as it was."""
    whole: dict[int, tuple[int, Mapping[str, Any]]] = {}
    counts: list[int] = []
    for n, (end, form) in enumerate(zip(ends, turns), start=1):
        found = {
            item.draft.key[0]: item for item in understood(reading.asks(clauses(reading.edits, end, True, frozenset())))
        }
        lacking = {id: item.missing for id, item in found.items() if item.missing}
        asked = str(form.get("asks", ""))
        for id, missing in lacking.items():
            if (
                asked != "any"
                and asked not in {f"{id}.{param}" for param in missing}
                and not any(asked in {f"{other}.{param}" for param in params} for other, params in lacking.items())
            ):
                raise BadTask(
                    f"turn {n} ends, and call {id} ({names[id - 1]}) lacks {missing[0]}; write >> ?{id}.{missing[0]} behind it"
                )
        if asked not in ("", "any") and not lacking:
            raise BadTask(f"turn {n} asks for {asked}, but no call lacks anything at its end")
        for id, (since, args) in whole.items():
            effect = specs[names[id - 1]].access == "write"
            if effect and id not in found:
                raise BadTask(
                    f"call {id} ({names[id - 1]}) is taken back in turn {n}, but was done at the end of turn {since}; "
                    f"what is done stays done: make it a gold call"
                )
            if effect and {name: said.values for name, said in found[id].args.items()} != args:
                raise BadTask(
                    f"call {id} ({names[id - 1]}) is changed in turn {n}, but was done at the end of turn {since}; "
                    f"write a new call"
                )
        for id, item in found.items():
            if not item.missing and id not in whole:
                whole[id] = n, {name: said.values for name, said in item.args.items()}
        done = [id for id in whole if id <= len(gold)]
        counts.append(max(done, default=0))
        if left := set(range(1, counts[-1] + 1)) - set(done):
            raise BadTask(
                f"call {min(left)} is asked for in a later turn than call {counts[-1]}; list calls in the order of their turns"
            )
    return counts

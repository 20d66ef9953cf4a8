"""Marked requests: a row says which of its words mean what, as a listener would have taken them when they were said.

Owns the reading of a row's field ``spans``: quoted words are found in the request, and become the edits of a
`data_gen.grounding.derivation.Derivation`, so that corrections, values that grow and calls that are taken back are read
word by word as in generated requests. Every quotation is checked against the words, and what all edits together ask for
against the gold calls. Does not know files (`data_gen.tasks.jsonl`) and to guess: what is unmarked is an error.

    text Marco, no sorry, Marcus, that the van won't start
    [{"tool": "text", "args": {"name": [{"words": "Marco", "value": "Marco"}, "Marcus"]}},
     {"tool": "text", "args": {"message": "the van won't start"}}]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from data_gen.gold import read_value, references
from data_gen.grounding.atoms import STOP, atom_distance, atoms
from data_gen.grounding.derivation import (
    Clause,
    Derivation,
    Draft,
    Edit,
    Said,
    Told,
    Use,
    clauses,
    lowered,
    understood,
    uses,
)
from data_gen.grounding.heard import closes
from data_gen.speech.words import units
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Reference, Spliced
from midsentence.tools.tool import ToolSpec, mismatch

_OCCURRENCE = re.compile(r"(.*)#(\d+)")
_PRICE = re.compile(r"\$\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Habits:
    """What is so of a tool in every request, so that knowing it tells nothing of this one."""

    substance: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By tool, parameters of which a call needs one to say anything, though its signature asks for none."""
    unsaid: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By tool, the value of a required parameter until something is said of it."""


class Back(NamedTuple):
    """The result of another marked call, by how far it stands from the one that takes it."""

    offset: int


class Marked(NamedTuple):
    """A row that was read."""

    gold: tuple[GoldCall, ...]
    reading: Derivation


def marked(
    words: Sequence[str],
    calls: Sequence[tuple[str, Mapping[str, GoldArg]]],
    spans: Sequence[Mapping[str, Any]],
    specs: Mapping[str, ToolSpec],
    habits: Habits = Habits(),
) -> Marked:
    """Reads the marks of a row.

    Args:
        words: the request, a word each.
        calls: the gold calls: tool, and what is accepted by parameter.
        spans: the marks: one entry for each gold call, in order, then one for each call that was taken back.
        specs: the tools by name.
        habits: what is so of the tools.

    Raises:
        BadTask: a quotation is not in the words, or is there more than once, or the marks do not come to the gold
            calls.
    """
    if not isinstance(spans, list) or len(spans) < len(calls):
        raise BadTask(
            f"spans must be a list with an entry for each of the {len(calls)} calls, then any that were taken back"
        )
    reader = _Reader(words, spans, specs)
    gold = []
    for number, ((name, accepted), entry) in enumerate(zip(calls, spans), start=1):
        if "until" in entry or "name" in entry:
            raise BadTask(
                f'spans of call {number}: gold asks for it, so it has no "name" and no "until"; list it after the gold calls'
            )
        tool, said = reader.entry(number, name, entry, accepted)
        gold.append(GoldCall(name, accepted, tool, said))
    for number, entry in enumerate(spans[len(calls) :], start=len(calls) + 1):
        if not isinstance(entry.get("name"), str) or not isinstance(entry.get("until"), str):
            raise BadTask(
                f'spans {number} is of no gold call: give its tool\'s "name", and the words "until" which it was wanted'
            )
        reader.entry(number, entry["name"], entry, {})
        end = reader.find(entry["until"], f"spans {number}: until")
        reader.edits.append(Edit(end.start, end.end, "drop", number, closes=end.end))
    edits = tuple(sorted(reader.edits, key=lambda edit: (edit.end, edit.op == "put")))
    reading = Derivation(edits, partial(asks, specs, habits))
    _check(reading, len(words), calls)
    return Marked(tuple(gold), reading)


def meant(names: Sequence[str], spans: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, GoldArg]]]:
    """Calls with the values that marks say were meant for a while: a world must know whom and what they name.

    Args:
        names: the gold calls' tools.
        spans: the marks.
    """
    return [
        (names[n] if n < len(names) else entry["name"], {param: GoldArg((read_value(one["value"], len(spans)),))})
        for n, entry in enumerate(spans)
        for param, given in entry.get("args", {}).items()
        for one in (given if isinstance(given, list) else [given])
        if isinstance(one, Mapping) and one.get("value") is not None
    ]


class _Reader:
    """Turns entries into edits."""

    def __init__(self, words: Sequence[str], spans: Sequence[Mapping[str, Any]], specs: Mapping[str, ToolSpec]) -> None:
        self.words, self.count, self.specs = words, len(spans), specs
        self.edits: list[Edit] = []

    def find(self, quote: Any, where: str) -> Evidence:
        """The words that are quoted, in any case and punctuation."""
        try:
            return Evidence(*find(self.words, quote))
        except BadTask as error:
            raise BadTask(f"{where}: {error}") from None

    def entry(
        self, number: int, name: str, entry: Mapping[str, Any], accepted: Mapping[str, GoldArg]
    ) -> tuple[Evidence, dict[str, Evidence]]:
        """Takes in the marks of one call; gives the words of its tool, and those that say each argument at last."""
        where = f"spans {number} ({name})"
        if name not in self.specs:
            raise BadTask(f"{where}: no such tool; use {', '.join(sorted(self.specs))}")
        if unknown := set(entry) - {"tool", "args", "name", "until"}:
            raise BadTask(
                f"{where}: unknown field {min(unknown)!r}; use tool, args, and name and until for a call that was taken back"
            )
        tool = self.find(entry.get("tool"), f"{where}: tool")
        self.edits.append(Edit(tool.start, tool.end, "open", number, name, closes=tool.end))
        marks = entry.get("args", {})
        params = {param.name: param.schema for param in self.specs[name].params}
        if strange := [param for param in marks if param not in params]:
            raise BadTask(f"{where}: it has no parameter {strange[0]!r}; use {', '.join(params)}")
        said: dict[str, Evidence] = {}
        for param, arg in accepted.items():
            if param not in marks and references_only(arg.values[0]) and not arg.left_out:
                self._put(number, param, tool, arg, at_once=True)
        for param, given in marks.items():
            for one in given if isinstance(given, list) else [given]:
                span = self._said(number, param, one, tool, accepted.get(param), params[param], f"{where}: {param}")
                if span is not None and param in accepted:  # else it is taken back in the end
                    said[param] = span
        return tool, said

    def _said(
        self,
        number: int,
        param: str,
        one: Any,
        tool: Evidence,
        accepted: GoldArg | None,
        schema: Mapping[str, Any],
        where: str,
    ) -> Evidence | None:
        """One time that an argument is said: gold's own value, or another that was meant then; null takes it back."""
        form = one if isinstance(one, Mapping) else {"words": one}
        if unknown := set(form) - {"words", "value"}:
            raise BadTask(f"{where}: unknown field {min(unknown)!r}; use words and value")
        span = self.find(form["words"], where) if "words" in form else tool
        meant = accepted
        if "value" in form:
            value = read_value(form["value"], self.count)
            if value is not None and not references(value) and (why := mismatch(value, schema)) is not None:
                raise BadTask(f"{where}: {why}")
            meant = None if value is None else GoldArg((value,))
            if accepted is not None and value is not None and value in accepted.accepted:
                # what is said here comes first, also where gold accepts it beside a longer one that has not been said
                # yet
                meant = GoldArg((value, *(other for other in accepted.values if other != value)), accepted.optional)
        elif accepted is None:
            raise BadTask(
                f'{where}: gold has no such argument, so say what was meant: {{"words": {one!r}, "value": …}}'
            )
        elif not self._tells(span, accepted, schema):
            first = _shown(accepted.values[0])
            raise BadTask(f"{where}: {self._text(span)!r} does not say {first}; if it means it, give words and value")
        self._put(number, param, span, meant, "words" not in form, "enum" not in schema)
        return span if "words" in form else None

    def _put(
        self, number: int, param: str, span: Evidence, meant: GoldArg | None, at_once: bool, free: bool = True
    ) -> None:
        """An edit: what is meant is given, or, if that is None, taken back."""
        shut = (
            span.end
            if at_once
            else next((n + 1 for n in range(span.end, len(self.words)) if closes(self.words[n])), None)
        )
        value = tuple(self._linked(value, number) for value in meant.values) if meant is not None else ()
        first = next((units(one)[0] for one in value[:1] if isinstance(one, str) and one.split()), "")
        # one of several choices is made, not dictated: "window" of "window table" can't go on
        spoken = not at_once and free and bool(first) and plain(first) == plain(self.words[span.start])
        self.edits.append(
            Edit(
                span.start,
                span.end,
                "put",
                number,
                param,
                value=value,
                closes=shut,
                spoken=spoken,
                optional=meant is not None and meant.optional,
            )
        )

    def _linked(self, value: Any, number: int) -> Any:
        """A value with other marked calls in the place of references."""
        match value:
            case Reference(call):
                return Back(call - number)
            case Spliced(parts):
                return Told(tuple(self._linked(part, number) for part in parts))
            case list():
                return [self._linked(item, number) for item in value]
        return value

    def _tells(self, span: Evidence, arg: GoldArg, schema: Mapping[str, Any]) -> bool:
        """Whether words could say one of the values; of what has no words of its own (dates, prices, numbers, results)
        anything may."""
        heard = atoms(self.words[span.start : span.end])
        for value in arg.accepted:
            for text in value if isinstance(value, list) else [value]:
                if not isinstance(text, str) or _PRICE.search(text) or _DATE.match(text) or "enum" in schema:
                    return True
                content = [atom for atom in atoms([text]) if atom.text not in STOP]
                if not all(any(atom_distance(atom, other) is not None for other in heard) for atom in content):
                    break
            else:
                return True
        return False

    def _text(self, span: Evidence) -> str:
        return " ".join(self.words[span.start : span.end])


def find(words: Sequence[str], quote: Any) -> tuple[int, int]:
    """Half-open indices of the words that are quoted, in any case and punctuation.

    Raises:
        BadTask: they are not said, or several times and the quotation has no number.
    """
    if not isinstance(quote, str):
        raise BadTask(f"{json.dumps(quote)} is no quotation; quote words of the request")
    found = _OCCURRENCE.fullmatch(quote)
    text, which = (found[1], int(found[2])) if found else (quote, 0)
    said, wanted = [plain(word) for word in words], [plain(word) for word in text.split()]
    places = _places(said, wanted)
    if not places:  # words as somebody wrote them together, of a request that is cut into characters
        wanted = [plain(word) for word in units(text)]
        places = _places(said, wanted)
    if not wanted or not places:
        raise BadTask(f"{text!r} is not said in the request")
    if not which and len(places) > 1:
        raise BadTask(f"{text!r} is said {len(places)} times; write {text}#1 to {text}#{len(places)}")
    if which > len(places):
        raise BadTask(f"{text!r} is said {len(places)} times, so there is no {quote!r}")
    start = places[max(which - 1, 0)]
    return start, start + len(wanted)


def _places(said: Sequence[str], wanted: Sequence[str]) -> list[int]:
    return [n for n in range(len(said) - len(wanted) + 1) if said[n : n + len(wanted)] == wanted]


def plain(word: str) -> str:
    """A word in lower case, without the punctuation around it."""
    return re.sub(r"^\W+|\W+$", "", word.replace("’", "'")).casefold() or word


def references_only(value: Any) -> bool:
    """Whether a value is nothing but other calls' results, which need no words."""
    if isinstance(value, list):
        return bool(value) and all(map(references_only, value))
    return isinstance(value, Reference)


def _shown(value: Any) -> str:
    """A value as the row has it."""
    return json.dumps(value, default=str)


def asks(specs: Mapping[str, ToolSpec], habits: Habits, said: Sequence[Clause]) -> list[Draft]:
    """The calls that marked clauses ask for, operands first; of a list of results, those that are known to be
    coming."""
    known = {clause.id: clause for clause in said}
    drafts: dict[int, Draft] = {}

    def draft(id: int) -> Draft | None:
        if id not in known:
            return None
        if id not in drafts:
            clause, tool = known[id], known[id].intent
            args = {}
            for name, items in clause.slots.items():
                one = items[0]
                if one.values and link(one.values[0], id) not in (None, []):
                    linked = [link(value, id) for value in one.values]
                    args[name] = Said(tuple(value for value in linked if value not in (None, [])), one.at, one.span)
            start = clause.stages[0]
            for name, value in habits.unsaid.get(tool, {}).items():
                args.setdefault(name, Said((value,), start.end, None))
            needs = [param.name for param in specs[tool].params if param.required]
            substance = habits.substance.get(tool, ())
            needs += substance[:1] if substance and not any(name in args for name in substance) else ()
            drafts[id] = Draft((id,), tool, start, args, tuple(needs))
        return drafts[id]

    def whole(id: int) -> bool:
        made = draft(id)
        return made is not None and all(name in made.args for name in made.needs)

    def link(value: Any, id: int) -> Any:
        match value:
            case Back(offset):
                return Use((id + offset,)) if whole(id + offset) else None
            case Told(parts):
                linked = tuple(link(part, id) for part in parts)
                return None if None in linked else Told(linked)
            case list():
                return [linked for item in value if (linked := link(item, id)) is not None]
        return value

    order: list[int] = []

    def place(id: int) -> None:
        if id not in order and (made := draft(id)) is not None:
            for key in (key for said in made.args.values() for value in said.values for key in uses(value)):
                place(key[0])
            order.append(id)

    for id in sorted(known):
        place(id)
    # how many people a message is for, or rooms a lamp is lit in, is known when they are named: until then one call is
    # open, not as many as there will be, and none beside one that has all that it has
    made = [drafts[id] for id in order]
    return [
        one
        for n, one in enumerate(made)
        if all(name in one.args for name in one.needs)
        or not any(_covers(other, one) and (m < n or not _covers(one, other)) for m, other in enumerate(made) if m != n)
    ]


def _covers(a: Draft, b: Draft) -> bool:
    """Whether a draft is of the same words and tool as another, and has all of its arguments."""
    same = (a.tool, a.name) == (b.tool, b.name)
    return same and all(name in a.args and a.args[name].values == said.values for name, said in b.args.items())


def _check(reading: Derivation, words: int, calls: Sequence[tuple[str, Mapping[str, GoldArg]]]) -> None:
    """Makes sure that what is wanted in the end is gold, and nothing else."""
    found = {
        item.draft.key[0]: item for item in understood(reading.asks(clauses(reading.edits, words, True, frozenset())))
    }
    if extra := [id for id in found if id > len(calls)]:
        raise BadTask(
            f"spans {extra[0]} ({found[extra[0]].draft.tool}) is still wanted in the end, but gold has no such call"
        )
    numbers = {item.draft.key: id for id, item in found.items()}
    for number, (name, accepted) in enumerate(calls, start=1):
        item = found[number]
        where = f"spans {number} ({name})"
        got = {param: lowered(said.values[0], numbers) for param, said in item.args.items()}
        for param, arg in accepted.items():
            if param not in got and not arg.left_out and arg.values[0] != "":
                raise BadTask(f"{where}: no words are marked that say {param}, {_shown(arg.values[0])}")
            if param in got and got[param] not in arg.accepted:
                raise BadTask(f"{where}: {param} is {_shown(got[param])} in the end; gold has {_shown(arg.values[0])}")
        if left := [param for param in got if param not in accepted]:
            raise BadTask(
                f"{where}: {left[0]} is said but gold has none; mark the words that take it back, with value null"
            )
        if item.missing:
            raise BadTask(f"{where}: no words are marked that say {item.missing[0]}, which the call needs")

"""Grounding: which words of a request reveal each argument of the calls that it asks for.

Owns the choice among a value's mentions: by how literal they are, by nearness to the call's other arguments and to the
words that name the tool, and by whether an earlier call used them already. What no words reveal is refused, never
guessed. Gold is needed to ground gold; that a tool is meant is decided from the words alone, in
`data_gen.grounding.naming`.

    ground(words, [("send_sms", read_args({"to": ["Bob"], "text": ["hi"]}))], {spec.name: spec for spec in tools})
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_gen.gold import references
from data_gen.grounding.aliases import CHOICES
from data_gen.grounding.atoms import STOP, Mention, atom_distance, atoms, identifier_words
from data_gen.grounding.mentions import Heard, flag_mentions, number_mentions, text_mentions
from data_gen.grounding.naming import Lexicon, first_named, name_evidence
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Reference, Spliced
from midsentence.tools.tool import Param, ToolSpec, mismatch

BEAM = 48
SPREAD = 0.03
"""Cost of a word of distance between a pick and the middle of its call."""
REUSED, TAKEN = 0.9, 0.35
"""Cost of words that an earlier call gave to the same parameter of the same tool, and to any other."""
GAP = 0.05
"""Cost of a word between the items of a list that is none of them."""
SMALL = 12
"""A number up to this says an optional argument only beside its parameter's name: small numbers stand for too much."""
LEFT_OUT_COST = 2.0
"""An optional argument is left out where nothing closer than this says it."""
LEFT_OUT = ""
"""A candidate's value where an argument is left out, and, among the choices of an object's field, that the field may
be."""


class Ungrounded(BadTask):
    """No words reveal a required argument; the text names the call, the parameter and what was accepted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value and one place that reveals it."""

    value: Any
    """The accepted value."""
    span: tuple[int, int] | None
    """Half-open word indices; None where no words are needed (a call's result, an argument left out)."""
    cost: float
    """How unlikely it is that this place is meant: 0 for literal words; costs add up."""


def _left_out(value: Any) -> bool:
    return isinstance(value, str) and value == LEFT_OUT


def ground(
    words: Sequence[str],
    calls: Sequence[tuple[str, Mapping[str, GoldArg]]],
    tools: Mapping[str, ToolSpec],
    now: str | None = None,
) -> tuple[GoldCall, ...]:
    """Grounds gold calls in a request.

    Args:
        words: the request, a word each.
        calls: tool name and what is accepted by parameter. The fields of an object carry lists of accepted values of
            their own, in the leaderboard's convention: ``""`` among them says that the field may be left out. A
            reference needs no words.
        tools: all tools at hand, by name.
        now: the user's date and time; without it no date that is said relative to it can be found.

    Raises:
        Ungrounded: a required argument that no words reveal.
    """
    heard = Heard(words, now)
    lexicon = Lexicon(tuple(tools.values()))
    used: dict[tuple[str, str], list[tuple[int, int]]] = {}
    gold = []
    for number, (name, accepted) in enumerate(calls, start=1):
        if name not in tools:
            raise BadTask(f"call {number} is to {name!r}, which is not among the tools: {', '.join(sorted(tools))}")
        slots = _slots(heard, number, tools[name], accepted, used)
        anchors = (
            [Candidate(None, (word, word + 1), 0.0) for word in lexicon.named_at(words, name)] if len(tools) > 1 else []
        )
        best = compose([anchors or [Candidate(None, None, 0.0)], *slots.values()], 0.02)[0]
        picks = dict(zip(slots, best.value[1:]))
        for param, pick in picks.items():
            if pick.span is not None:
                used.setdefault((name, param), []).append(pick.span)
        spans = {param: Evidence(*pick.span) for param, pick in picks.items() if pick.span is not None}
        args = {param: _picked(pick.value, accepted[param]) for param, pick in picks.items()}
        evidence = name_evidence(words, lexicon, name, list(spans.values()))
        if len(tools) == 1 and not any(param.required and param.name in args for param in tools[name].params):
            evidence = first_named(words, lexicon)  # no argument that it has to have shows that it is meant
        gold.append(GoldCall(name, args, evidence, spans))
    return tuple(gold)


def _slots(
    heard: Heard,
    number: int,
    spec: ToolSpec,
    accepted: Mapping[str, GoldArg],
    used: Mapping[tuple[str, str], list[tuple[int, int]]],
) -> dict[str, list[Candidate]]:
    """The candidates of each argument, in the tool's own order of parameters."""
    call = f"call {number}"
    known = {param.name for param in spec.params}
    if extra := [name for name in accepted if name not in known]:
        raise BadTask(f"{call}: {spec.name} has no parameter {extra[0]!r}")
    if missing := [param.name for param in spec.params if param.required and param.name not in accepted]:
        raise BadTask(f"{call}: gold gives no value for the required {spec.name}.{missing[0]}")
    # by its last word: a list must not pass for fresh by beginning elsewhere
    taken = {end for spans in used.values() for _, end in spans}
    slots = {}
    for param in spec.params:
        if param.name not in accepted:
            continue
        values = accepted[param.name].values
        wanted = [value for value in values if not _left_out(value)]
        # nothing at all, as the one value, is what the call is given where nothing is said
        optional = accepted[param.name].optional or not wanted
        found = []
        for candidate in (*candidates(heard, wanted, param.schema, param.name), *_choices(heard, wanted, param)):
            cost = candidate.cost
            if candidate.span is not None:
                hinted = _hinted(heard, candidate.span, param)
                small = (
                    isinstance(candidate.value, int | float)
                    and not isinstance(candidate.value, bool)
                    and abs(candidate.value) <= SMALL
                )
                cost += -0.4 if hinted else (LEFT_OUT_COST if optional and small else 0.0)
                again = candidate.span[1] in {end for _, end in used.get((spec.name, param.name), ())}
                cost += REUSED if again else TAKEN * (candidate.span[1] in taken)
            found.append(Candidate(candidate.value, candidate.span, cost))
        if optional:
            found.append(Candidate(LEFT_OUT, None, LEFT_OUT_COST))
        said = [plain for value in wanted for plain in itertools.islice(_plain(value), 64)]
        if not found and said and not any(map(references, said)):
            if all(mismatch(_fitted(value, param.schema), param.schema) for value in said):
                raise BadTask(
                    f"{call}: no accepted value of {spec.name}.{param.name} fits its schema: {json.dumps(said)[:120]}"
                )
        if not found:
            raise Ungrounded(
                f"{call}: no words reveal {spec.name}.{param.name} ({_kind(wanted)}): {_json(values)[:120]}"
            )
        slots[param.name] = found
    return slots


def _choices(heard: Heard, wanted: Sequence[Any], param: Param) -> Iterator[Candidate]:
    """Where a choice of an enum is said by what the parameter's description calls it ("r public transport"), or
    otherwise."""
    if "enum" not in param.schema:
        return
    for value in wanted:
        for part in re.split(r"[,;]", param.description):
            code, _, name = part.strip().partition(" ")
            if isinstance(value, str) and code == value and name:
                for text in (name, *CHOICES.get(name, ())):
                    for mention in text_mentions(heard, text):
                        yield Candidate(
                            value, (mention.start, mention.end), mention.cost + (0.3 if text == name else 0.5)
                        )


def _kind(values: Sequence[Any]) -> str:
    kinds = {
        bool: "yes or no",
        int: "number",
        float: "number",
        str: "text",
        Spliced: "text",
        list: "list",
        dict: "object",
    }
    return kinds.get(type(values[0]), "no value accepted") if values else "no value accepted"


def _json(value: Any) -> str:
    """A value as a row has it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def candidates(
    heard: Heard, accepted: Sequence[Any], schema: Mapping[str, Any], name: str, keep: int = 12
) -> list[Candidate]:
    """Every place that reveals one of the accepted values, the most literal first, one value for each span.

    The results of other calls, which no words need to say, have a candidate without a place.
    """
    found: list[Candidate] = []
    for value in accepted:
        value = _fitted(value, schema)
        if isinstance(value, bool):
            found += _here(value, flag_mentions(heard, value, name))
        elif isinstance(value, int | float):
            found += _here(value, number_mentions(heard, value, name))
        elif isinstance(value, Reference):
            found.append(Candidate(value, None, 0.0))
        elif isinstance(value, str | Spliced):
            found += _text(heard, value)
        elif isinstance(value, list):
            items = [candidates(heard, [item], schema.get("items", {}), name, 2 * keep) for item in value]
            if items and all(items):
                found += [
                    Candidate([pick.value for pick in whole.value], whole.span, whole.cost + GAP * _gaps(whole))
                    for whole in compose(items, 0.3)
                ]
        elif isinstance(value, dict):
            found += _object(heard, value, schema)
    best: dict[tuple[int, int] | None, Candidate] = {}
    for candidate in found:
        # the type of a result is not known here
        fits = bool(references(candidate.value)) or mismatch(candidate.value, schema) is None
        if fits and (candidate.span not in best or candidate.cost < best[candidate.span].cost):
            best[candidate.span] = candidate
    return sorted(best.values(), key=lambda c: (round(c.cost, 6), c.span or (0, 0)))[:keep]


def _here(value: Any, mentions: Sequence[Mention]) -> list[Candidate]:
    return [Candidate(value, (mention.start, mention.end), mention.cost) for mention in mentions]


def _text(heard: Heard, value: str | Spliced) -> list[Candidate]:
    said = value if isinstance(value, str) else "".join(part if isinstance(part, str) else " " for part in value.parts)
    if said != value and not atoms([said]):
        return [Candidate(value, None, 0.0)]  # known when that call is done
    # of two equally literal names the longer is meant: "New York, NY" where "NY" would match as well
    return _here(
        value, [Mention(m.start, m.end, m.cost - 0.1 * min(4, len(atoms([said])))) for m in text_mentions(heard, said)]
    )


def _object(heard: Heard, value: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Candidate]:
    fields, slots = [], []
    for name, options in value.items():
        options = options if isinstance(options, list) else [options]
        wanted = [option for option in options if not _left_out(option)]
        slot = candidates(heard, wanted, schema.get("properties", {}).get(name, {}), name)
        for i, candidate in enumerate(slot):
            if candidate.span is not None and _hinted(heard, candidate.span, Param(name, {})):
                slot[i] = Candidate(candidate.value, candidate.span, candidate.cost - 0.4)
        if any(_left_out(option) for option in options):
            slot = [*slot, Candidate(LEFT_OUT, None, LEFT_OUT_COST)]
        if not slot:
            return []
        fields.append(name)
        slots.append(slot)
    wholes = compose(slots, 0.05) if slots else []
    return [
        Candidate(
            {name: pick.value for name, pick in zip(fields, whole.value) if not _left_out(pick.value)},
            whole.span,
            whole.cost,
        )
        for whole in wholes
        if any(not _left_out(pick.value) for pick in whole.value)
    ]


def _hinted(heard: Heard, span: tuple[int, int], param: Param) -> bool:
    """Whether the parameter's own name is spoken beside the words: ``3 rooms``, ``a radius of 5``."""
    names = [
        name for name in atoms([" ".join(identifier_words(param.name))]) if len(name.text) > 1 and name.text not in STOP
    ]
    return any(
        atom_distance(name, heard_atom) is not None
        for heard_atom in heard.atoms
        if span[0] - 4 <= heard_atom.word < span[1] + 3 and not span[0] <= heard_atom.word < span[1]
        for name in names
    )


def compose(slots: Sequence[Sequence[Candidate]], disorder: float) -> list[Candidate]:
    """The best ways to pick one candidate a slot: literal, close together, apart from one another, in order.

    A beam search. Returns candidates whose value is the tuple of picks and whose span covers them, best first, one a
    span.
    """
    beam: list[tuple[float, tuple[Candidate, ...]]] = [(0.0, ())]
    for slot in slots:
        grown = []
        for cost, picks in beam:
            placed = [pick.span for pick in picks if pick.span is not None]
            for candidate in slot:
                extra = candidate.cost
                if candidate.span is not None and placed:
                    extra += 0.6 * (candidate.span in placed) + disorder * (candidate.span[0] < placed[-1][0])
                grown.append((cost + extra, (*picks, candidate)))
        beam = sorted(
            grown,
            key=lambda entry: (
                round(entry[0] + SPREAD * _spread(entry[1]), 6),
                [pick.span or (0, 0) for pick in entry[1]],
            ),
        )[:BEAM]
    best: dict[tuple[int, int] | None, Candidate] = {}
    for cost, picks in beam:
        spans = [pick.span for pick in picks if pick.span is not None]
        span = (min(s for s, _ in spans), max(e for _, e in spans)) if spans else None
        best.setdefault(span, Candidate(picks, span, cost + SPREAD * _spread(picks)))
    return list(best.values())


def _spread(picks: Sequence[Candidate]) -> float:
    """Words of distance from the middle of all picks, summed: one shared word far away does not pull the others."""
    middles = sorted((pick.span[0] + pick.span[1]) / 2 for pick in picks if pick.span is not None)
    return sum(abs(middle - middles[len(middles) // 2]) for middle in middles)


def _gaps(whole: Candidate) -> int:
    inside = {word for pick in whole.value if pick.span is not None for word in range(*pick.span)}
    return whole.span[1] - whole.span[0] - len(inside) if whole.span else 0


def _fitted(value: Any, schema: Mapping[str, Any]) -> Any:
    """A number written as the schema wants it: 5.0 where a whole number is asked for is 5."""
    if isinstance(value, float) and schema.get("type") == "integer" and value.is_integer():
        return int(value)
    return value


def _picked(first: Any, arg: GoldArg) -> GoldArg:
    """What is accepted, as plain values: ``first`` in front, or left out in the canonical call."""
    left_out = arg.optional and _left_out(first)
    ordered = {} if left_out else {_json(first): first}
    for value in itertools.islice(itertools.chain.from_iterable(map(_plain, arg.values)), 64):
        ordered.setdefault(_json(value), value)
    return GoldArg(tuple(ordered.values()), arg.optional, left_out)


def _plain(value: Any) -> Iterator[Any]:
    """An accepted value with the choices inside its objects written out."""
    if isinstance(value, dict):
        options = [
            [part for option in (o if isinstance(o, list) else [o]) for part in _plain(option)] for o in value.values()
        ]
        for combination in itertools.product(*options):
            yield {name: part for name, part in zip(value, combination) if not _left_out(part)}
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        yield from (
            list(parts) for parts in itertools.product(*[list(itertools.islice(_plain(item), 8)) for item in value])
        )
    else:
        yield value

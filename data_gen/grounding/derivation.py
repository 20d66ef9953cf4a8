"""Causal readings from derivations: what each word of a generated request added to, or changed in, what is wanted.

Owns the record that a generator leaves beside the words (`Edit`: a clause opens, a slot is given, given anew or taken
back), and the reading that folds it up to a prefix. An edit counts once the words that carry it are heard *and closed*:
a value may still grow until the next word that is no filler, so "New York" waits for the word that is not "City". Only
edits that end within the prefix are looked at, so what follows can't be seen. Does not know intents and wordings:
what a set of clauses asks for is the source's own function (`Derivation.asks`).

    text Bob no wait Alice that I'm late
         ^put to=Bob    ^put to=Alice   ^put message="I'm late"      each from the word that closes it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from data_gen.gold import references, spliced
from data_gen.grounding.heard import as_heard, as_said, cut_value, hanging_from, hangs, leaves_open, misheard, so_far
from data_gen.grounding.reading import LEAST_WORDS, Wanted, drawn, fitting
from data_gen.task import Evidence, GoldArg, GoldCall, Reference, Task
from midsentence.tools.tool import ToolSpec

Key = tuple[Any, ...]
"""Names one wanted call through all its changes."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What a run of words does to what is wanted."""

    start: int
    """First word."""
    end: int
    """Half-open indices of the words that say it."""
    op: Literal["open", "stage", "put", "drop"]
    """``open``: the clause is of this intent from now on, slots kept; ``stage``: its second tool is clear; ``put``: a
    slot's value; ``drop``: the clause is withdrawn."""
    clause: int
    """The clause that it changes."""
    slot: str = ""
    """``put``: the slot; ``open``: the intent."""
    item: int = 0
    """``put``: place in a slot that takes several values."""
    value: tuple[Any, ...] = ()
    """``put``: accepted values, canonical first; none where it is taken back or, of a spoken one, where it breaks
    off."""
    closes: int | None = None
    """Words that must be heard for it to count while speech goes on; None where only the final update closes it."""
    eager: bool = False
    """Whether it could be all that is meant as soon as it is heard, so that an eager reading may take it."""
    grows: bool = False
    """Whether the next word went on with it: no word closes it, only the end of speech."""
    spoken: bool = False
    """``put``: whether the value is the words themselves, so that it can be written down while it is being said."""
    optional: bool = False
    """``put``: whether the call may do without it all the same."""


class Growing(str):
    """A text that is still being said, as far as it has been heard."""

    __slots__ = ()


class Said(NamedTuple):
    """A slot's value, as far as it has been understood."""

    values: tuple[Any, ...]
    at: int
    """Words that had been heard when it was said."""
    span: Evidence | None
    optional: bool = False
    """Whether the call may do without it all the same."""


@dataclass(slots=True)
class Clause:
    """One request of several in an utterance, as far as it has been understood."""

    id: int
    """Its number, by which edits name it."""
    intent: str = ""
    """What is asked for."""
    stages: list[Evidence] = field(default_factory=list)
    """Words that made its first and second tool clear."""
    slots: dict[str, dict[int, Said]] = field(default_factory=dict)
    """Values by slot and place in it."""


class Use(NamedTuple):
    """The result of another wanted call, in the place of a value."""

    key: Key


@dataclass(frozen=True, slots=True)
class Told:
    """A text around the results of other wanted calls."""

    parts: tuple[Any, ...]
    """Texts and results, in order."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A call that the clauses ask for, complete or not."""

    key: Key
    tool: str
    name: Evidence
    """Words that made the tool clear."""
    args: Mapping[str, Said]
    """What is understood of its arguments; values may be, or list, `Use`."""
    needs: tuple[str, ...]
    """Parameters without which it is not complete."""


class Understood(NamedTuple):
    """A draft with its arguments as far as what they use is complete."""

    draft: Draft
    args: dict[str, Said]
    missing: tuple[str, ...]
    pending: dict[str, Said]
    """Arguments that take the result of a draft which is not complete."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """What the generator knows of its request."""

    edits: tuple[Edit, ...]
    """In the order of the words."""
    asks: Callable[[Sequence[Clause]], Sequence[Draft]]
    """The calls that clauses ask for, operands first. A function of the clauses alone."""

    def of(self, task: Task, eagerness: float = 0.0, seed: int = 0) -> DerivedReading:
        """The reading of the task that carries this derivation."""
        return DerivedReading(task, self, eagerness, seed)

    def gold(self, words: int, specs: Mapping[str, ToolSpec]) -> tuple[GoldCall, ...]:
        """The gold calls: what is wanted when all has been said."""
        found = understood(self.asks(clauses(self.edits, words, True, frozenset())))
        numbers = {item.draft.key: n for n, item in enumerate(found, start=1)}
        calls = []
        for draft, args, missing, _ in found:
            if missing:
                raise ValueError(f"the request never says {draft.tool}.{missing[0]}; mend its template or its intent")
            order = [param.name for param in specs[draft.tool].params if param.name in args]
            calls.append(
                GoldCall(
                    draft.tool,
                    {name: _accepted(args[name], numbers) for name in order},
                    draft.name,
                    {name: span for name in order if (span := args[name].span) is not None},
                )
            )
        return tuple(calls)


def clauses(
    edits: Sequence[Edit], heard: int, final: bool, taken: frozenset[int], words: Sequence[str] | None = None
) -> list[Clause]:
    """The clauses as they stand after ``heard`` words.

    Args:
        edits: in the order of the words.
        heard: how many words were.
        final: whether nobody speaks any more.
        taken: indices of edits that eagerness takes early.
        words: as they were heard, where texts that are still being said are wanted too (`Growing`); at an end, where
            they may be cut or hang, so that a text is what was heard of it, and a value after which something hangs is
            not taken.
    """
    found: dict[int, Clause] = {}
    hanging, unsure = (hanging_from(words), leaves_open(words)) if final and words else (heard, False)
    for n, edit in enumerate(edits):
        # what follows from the tool itself is said by no words that could go on
        goes_on = edit.op == "put" and edit.closes != edit.end
        if unsure and goes_on and edit.start < heard and (edit.end >= hanging or is_growing(edit, heard)):
            continue
        exact = final and edit.value and edit.end == min(heard, len(words or ()))
        if (
            words is not None
            and not exact
            and is_growing(edit, heard)
            and (text := _told(words[edit.start : heard], final))
        ):
            said = Said((text,), heard, Evidence(edit.start, heard) if final else None)
            found.setdefault(edit.clause, Clause(edit.clause)).slots.setdefault(edit.slot, {})[edit.item] = said
            continue
        if final and words and (parts := parts_of(edit, words[:heard])):
            said = Said(parts, heard, Evidence(edit.start, heard))
            found.setdefault(edit.clause, Clause(edit.clause)).slots.setdefault(edit.slot, {})[edit.item] = said
            continue
        begun = edit.spoken and not edit.value
        if begun or edit.end > heard or not (final or n in taken or edit.closes is not None and heard >= edit.closes):
            continue
        clause = found.setdefault(edit.clause, Clause(edit.clause))
        match edit.op:
            case "open":
                clause.intent, clause.stages = edit.slot, [Evidence(edit.start, edit.end)]
            case "stage":
                clause.stages.append(Evidence(edit.start, edit.end))
            case "put":
                said = Said(edit.value, edit.end, Evidence(edit.start, edit.end), edit.optional)
                clause.slots.setdefault(edit.slot, {})[edit.item] = said
            case "drop":
                found.pop(edit.clause, None)
    return [clause for _, clause in sorted(found.items()) if clause.stages]


def _told(words: Sequence[str], final: bool) -> str:
    """What was heard of a text: all of it at an end of speech, or as far as it is safe to write down."""
    return as_said(words) if final else Growing(so_far(words))


def parts_of(edit: Edit, words: Sequence[str]) -> tuple[Any, ...]:
    """What a value that words end in the middle of comes to, where it is more than those words but made of them."""
    cut = edit.op == "put" and edit.value and not edit.spoken and not edit.eager and edit.start < len(words) < edit.end
    part = cut_value(edit.value[0], words[edit.start :]) if cut else None
    return () if part is None else (part,)


def is_growing(edit: Edit, heard: int) -> bool:
    """Whether a text has begun to be said and no word has closed it yet."""
    return edit.op == "put" and edit.spoken and edit.start < heard and (edit.closes is None or heard < edit.closes)


def understood(drafts: Sequence[Draft]) -> list[Understood]:
    """The drafts in the order in which they became clear, what they use before them."""
    clear: dict[Key, int] = {}
    found: list[tuple[int, int, Understood]] = []
    known = {draft.key for draft in drafts}
    for position, draft in enumerate(drafts):
        args: dict[str, Said] = {}
        pending: dict[str, Said] = {}
        at = draft.name.end
        for name, said in draft.args.items():
            used = tuple(uses(said.values[0]))
            if all(key in clear for key in used):
                args[name] = said
                at = max([at, *(clear[key] for key in used), *([said.at] if name in draft.needs else [])])
            elif known.issuperset(used):
                pending[name] = said
        missing = tuple(name for name in draft.needs if name not in args)
        if not missing:
            clear[draft.key] = at
        found.append((at, position, Understood(draft, args, missing, pending)))
    return [item for _, _, item in sorted(found, key=lambda entry: entry[:2])]


def uses(value: Any) -> Iterator[Key]:
    """The calls whose results a value takes."""
    if isinstance(value, Use):
        yield value.key
    elif isinstance(value, list | Told):
        for item in value if isinstance(value, list) else value.parts:
            yield from uses(item)


def lowered(value: Any, numbers: Mapping[Key, int]) -> Any:
    """A value in gold's own terms, with references to numbered calls."""
    if isinstance(value, Use):
        return Reference(numbers[value.key])
    if isinstance(value, Told):
        return spliced(lowered(part, numbers) for part in value.parts)
    return [lowered(item, numbers) for item in value] if isinstance(value, list) else value


def _accepted(said: Said, numbers: Mapping[Key, int]) -> GoldArg:
    return GoldArg(tuple(lowered(value, numbers) for value in said.values), said.optional)


@dataclass(slots=True)
class DerivedReading:
    """The reading of a task that carries its derivation."""

    task: Task
    """Whose words are read."""
    derivation: Derivation
    """What each of them does."""
    eagerness: float = 0.0
    """Probability of taking a value that could be complete before a word closes it; drawn by the prefix alone."""
    seed: int = 0
    """Of what is drawn."""
    _taken: frozenset[int] = field(init=False)
    _numbers: dict[Key, int] = field(init=False, default_factory=dict)
    _known: dict[tuple[tuple[str, ...], bool], tuple[Wanted, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        early = enumerate(self.derivation.edits) if self.eagerness > 0 else ()
        self._taken = frozenset(n for n, edit in early if edit.eager and self._unit(edit.end) < self.eagerness)

    def wanted(self, heard: Sequence[str], final: bool) -> tuple[Wanted, ...]:
        """See `data_gen.grounding.reading.Reading`."""
        key = (tuple(heard), final)
        if key not in self._known:
            self._known[key] = self._of(heard)._understood(heard, final)
        return self._known[key]

    def when_quiet(self, heard: Sequence[str]) -> tuple[Wanted, ...]:
        """See `data_gen.grounding.reading.Reading`."""
        reading = self._of(heard)
        said = clauses(reading.derivation.edits, len(heard), True, reading._taken, heard)
        return tuple(reading._wanted(item, {}) for item in understood(reading.derivation.asks(said)))

    def _of(self, heard: Sequence[str]) -> DerivedReading:
        """The reading of the task in which the words that were heard were said; the same but for words misheard."""
        if not misheard(self.task, heard):
            return self
        task = as_heard(self.task, heard)
        reading = DerivedReading(task, task.reading, self.eagerness, self.seed)
        reading._numbers = self._numbers  # so that a call is the same before and after
        return reading

    def _understood(self, heard: Sequence[str], final: bool) -> tuple[Wanted, ...]:
        edits, asks = self.derivation.edits, self.derivation.asks
        drafts = asks(clauses(edits, len(heard), final, self._taken, heard if final else None))
        growing: dict[Key, dict[str, str]] = {}
        begun = [edit.start for edit in edits if is_growing(edit, len(heard))]
        if not final and begun:
            for draft in asks(clauses(edits, len(heard), final, self._taken, heard)):
                texts = {
                    name: said.values[0] for name, said in draft.args.items() if isinstance(said.values[0], Growing)
                }
                growing[draft.key] = {name: str(text) for name, text in texts.items()}
            if not hangs(heard[-1]) and self._unit(max(begun)) < self.eagerness:
                drafts = [self._taken_as_whole(draft, growing.get(draft.key, {}), len(heard)) for draft in drafts]
        return tuple(self._wanted(item, growing.get(item.draft.key, {})) for item in understood(drafts))

    def _taken_as_whole(self, draft: Draft, texts: dict[str, str], heard: int) -> Draft:
        """A look-up that waits for nothing but texts which are being said, with these as far as they are, where they
        could be all."""
        open_ = [name for name in draft.needs if name in texts or name not in draft.args]
        could_be = all(len(texts.get(name, "").split()) >= LEAST_WORDS for name in open_)
        if not open_ or not could_be or self.task.specs[draft.tool].access != "read":
            return draft
        return replace(draft, args={**draft.args, **{name: Said((texts.pop(name),), heard, None) for name in open_}})

    def _wanted(self, item: Understood, drafts: Mapping[str, str]) -> Wanted:
        draft, spec = item.draft, self.task.specs[item.draft.tool]
        said_of = (*item.args.values(), *item.pending.values())
        for key in (draft.key, *(key for said in said_of for value in said.values for key in uses(value))):
            # only tells calls apart; no number reaches what the expert writes
            self._numbers.setdefault(key, len(self._numbers) + 1)
        heard = [
            (param, _accepted(item.args[param.name], self._numbers)) for param in spec.params if param.name in item.args
        ]
        accepts = {param.name: fits for param, arg in heard if (fits := _fitting(arg, param.schema)) is not None}
        missing = (*item.missing, *(name for name in draft.needs if name not in accepts and name not in item.missing))
        args = {name: arg.values[0] for name, arg in accepts.items()}
        pending = {name: lowered(said.values[0], self._numbers) for name, said in item.pending.items()}
        return Wanted(self._numbers[draft.key], spec, args, accepts, not missing, missing, drafts, pending)

    def _unit(self, heard: int) -> float:
        """A number in [0, 1) that follows from the seed and the prefix."""
        return drawn(self.seed, self.task.said(heard))


def _fitting(arg: GoldArg, schema: Mapping[str, Any]) -> GoldArg | None:
    """What is accepted as far as its tool takes it: half a choice, where speech ended within it, is none."""
    if references(arg.values[0]):
        return arg
    parts = (value if references(value) else fitting(value, schema) for value in arg.values)
    fits = tuple(part for part in parts if part is not None)
    # where nothing is no choice, a call that lacks the choice that was heard does not stand
    return GoldArg(fits, arg.optional and fitting("", schema) is not None) if fits else None

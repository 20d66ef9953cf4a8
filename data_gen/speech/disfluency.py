"""Disfluency: what speakers do to a fluent request, in the linguists' terms.

Owns the kinds of disfluency, their rates, the words that go with them, and their labels: *reparandum* (what is taken
back), *interregnum* (editing terms and filled pauses) and *repair*. Removing the first two gives back a fluent request
that asks for the same (`Script.fluent`). Does not know intents: a `Speaker` says the other value, the other wording.
`docs/disfluency.md` says where the rates and the words come from.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

from data_gen.grounding.heard import SOFT
from data_gen.speech.script import Mark, Place, Script
from data_gen.task import Label

PREPOSITIONS = frozenset("to with in at from called about for saying that titled of".split())


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each kind occurs; per word for the first two, per clause (value, for corrections) for the others."""

    filler: float = 0.026
    """Filled pauses and discourse markers, per word."""
    repetition: float = 0.015
    """One or two words said twice, per word."""
    correction: float = 0.035
    """A value corrected at once, per value: "Bob no wait Alice"."""
    after_clause: float = 0.025
    """A value corrected at the end of its clause, per clause."""
    after_other: float = 0.01
    """A value corrected after another clause, per clause: "make the reminder tomorrow at nine am"."""
    first_name: float = 0.02
    """A first name, then the full one, per full name: "Sam uh I mean Samuel Ortiz"."""
    tool_change: float = 0.025
    """A clause begun with another tool: "text her actually email her"."""
    false_start: float = 0.025
    """A clause begun and dropped before it says anything."""
    restatement: float = 0.015
    """A clause broken off and told again in other words."""
    withdrawal: float = 0.01
    """A clause taken back when it has been said."""
    withdrawal_after_other: float = 0.005
    """A clause taken back after another one."""
    addition: float = 0.02
    """An optional argument given after another clause."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            if not 0 <= getattr(self, entry.name) <= 1:
                raise ValueError(f"disfluency: {entry.name} is {getattr(self, entry.name)}; a rate must lie in [0, 1]")

    def times(self, factor: float) -> Rates:
        """All rates times a factor, at most 0.9."""
        return replace(self, **{entry.name: min(0.9, factor * getattr(self, entry.name)) for entry in fields(self)})

    def without(self, kinds: Sequence[str]) -> Rates:
        """The rates with some kinds never occurring."""
        return replace(self, **dict.fromkeys(kinds, 0.0))

    @classmethod
    def of(cls, changes: Mapping[str, float], base: Rates | None = None) -> Rates:
        """Rates with some of them changed by name; ``times`` multiplies all the others.

        Raises:
            ValueError: no such rate; the text lists those there are.
        """
        known = {entry.name for entry in fields(cls)}
        if unknown := set(changes) - known - {"times"}:
            raise ValueError(
                f"unknown disfluency rate {min(unknown)!r}; use times or one of {', '.join(sorted(known))}"
            )
        base = (base or cls()).times(changes.get("times", 1.0))
        return replace(base, **{name: rate for name, rate in changes.items() if name != "times"})


HELD_OUT = ("after_other", "restatement", "withdrawal_after_other")
"""Whole kinds that only the test of `naturalistic` contains."""
CORRECTIONS = frozenset({"correction", "after_clause", "after_other", "first_name", "tool_change", "restatement"})
"""Kinds after which something that was understood has to change."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of disfluency."""

    fillers: tuple[str, ...]
    """Filled pauses."""
    markers: tuple[str, ...]
    """Discourse markers; they stand between phrases only."""
    terms: tuple[str, ...]
    """Editing terms before a repair."""
    restarts: tuple[str, ...]
    """Editing terms before a clause that is told again."""
    withdrawals: tuple[str, ...]
    """``{}`` is what the clause asked for."""
    starts: tuple[str, ...]
    """Beginnings that are dropped."""
    additions: tuple[str, ...]
    """What introduces something that was left out."""


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


TRAIN = Lexicon(
    _list("uh, um, uh, um, er"),
    _list("you know, let's see, okay"),
    _list(
        "no, no, no, or no make that, or rather, I mean, I mean, no sorry, no no, sorry, rather, no I mean, no wait, or no rather, "
        "or actually, no make that, actually, or wait, no actually, wait no, uh no, um no, sorry I mean"
    ),
    _list("sorry let me start over, no let me start again, wait let me rephrase"),
    _list("actually never mind the {}, no wait forget the {}, actually forget about the {}"),
    _list("I want to, I need, can you, could we"),
    _list("oh and, oh also"),
)
"""The most frequent interregna of Disfl-QA's train set, repeated by frequency; the rest are chosen."""
TEST = Lexicon(
    _list("erm, hmm, ah, uhh"),
    _list("well, how to put it, right"),
    _list(
        "scratch that, no scratch that, oops I meant, oops make that, nope I mean, no hold on, er instead, ahh actually, no correction, "
        "my mistake, excuse me I meant, oh no rather, strike that"
    ),
    _list("nope let me ask that differently, scratch all that, hold on once more"),
    _list("scratch the {} after all, on second thought drop the {}, strike the {} please"),
    _list("I was going to, maybe we should, would it be"),
    _list("one more thing, I left out"),
)
"""Held out of training altogether; most are interregna that Disfl-QA's dev set has and its twenty commonest don't."""


class Speaker(Protocol):
    """Who says the other things; fragments come with what they do to what is wanted."""

    def other(self, place: Place) -> Script:
        """Another value for a slot."""
        ...

    def first_name(self, place: Place) -> Script | None:
        """The short first name that a full name may be begun with; None where there is no full name."""
        ...

    def late(self, place: Place, *, named: bool) -> Script | None:
        """A phrase that gives a slot another value afterwards; ``named`` says of which clause."""
        ...

    def opening(self, clause: int) -> Script | None:
        """The beginning of the clause as if another tool were meant."""
        ...

    def retold(self, clause: int) -> Script:
        """The clause in other words, with the same values."""
        ...

    def extra(self, clause: int) -> Script | None:
        """A phrase that gives the clause an optional argument that it lacks."""
        ...

    def noun(self, clause: int) -> str | None:
        """What the clause asks for, by a name that no other clause has."""
        ...


@dataclass(slots=True)
class Disfluent:
    """Makes one utterance disfluent, in place."""

    script: Script
    """What is said; changed in place."""
    speaker: Speaker
    """Who says the other things."""
    rates: Rates
    """How often each kind happens."""
    lexicon: Lexicon
    """In which words."""
    draw: random.Random
    """Decides what happens and where."""

    def apply(self) -> tuple[str, ...]:
        """Draws and makes the disfluencies; gives the kinds that occurred, sorted.

        Late ones first: a clause that is touched twice would be hard to follow.
        """
        kinds: set[str] = set()
        clauses = [place.clause for place in self.script.clauses()]
        for n, clause in enumerate(clauses):
            kinds |= self._late(clauses, n, clause)
        for clause in clauses:
            kinds |= self._early(clause)
        kinds |= self._words()
        return tuple(sorted(kinds))

    # -- after the clause ------------------------------------------------------------------------------------------

    def _late(self, clauses: Sequence[int], n: int, clause: int) -> set[str]:
        later = clauses[n + 1 :]
        rates, draw = self.rates, self.draw
        if later and draw.random() < rates.addition and self._add(clause, draw.choice(later)):
            return {"addition"}
        if n and draw.random() < rates.withdrawal and self._withdraw(clause, clause):
            return {"withdrawal"}
        if n and later and draw.random() < rates.withdrawal_after_other and self._withdraw(clause, draw.choice(later)):
            return {"withdrawal_after_other"}
        if later and draw.random() < rates.after_other and self._correct_late(clause, draw.choice(later)):
            return {"after_other"}
        if draw.random() < rates.after_clause and self._correct_late(clause, clause):
            return {"after_clause"}
        return set()

    def _place(self, clause: int) -> Place:
        return next(place for place in self.script.clauses() if place.clause == clause)

    def _add(self, clause: int, after: int) -> bool:
        said = self.speaker.extra(clause)
        if said is None:
            return False
        fragment = Script()
        fragment.say(self.draw.choice(self.lexicon.additions), "interregnum")
        fragment.add(said)
        self.script.insert(self._place(after).end, fragment)
        return True

    def _withdraw(self, clause: int, after: int) -> bool:
        place = self._place(clause)
        noun = self.speaker.noun(clause)
        if noun is None or any(value.bound for value in self.script.values(clause)):
            return False
        self.script.relabel(place.start, place.end, "reparandum")
        fragment = Script()
        said = fragment.say(self.draw.choice(self.lexicon.withdrawals).format(noun), "interregnum")
        fragment.marks.append(_drop(said, clause))
        self.script.insert(self._place(after).end, fragment)
        return True

    def _correct_late(self, clause: int, after: int) -> bool:
        places = [place for place in self.script.values(clause) if not place.bound]
        alone = [place for place in places if sum(other.slot == place.slot for other in places) == 1]
        if not alone:
            return False
        place = self.draw.choice(alone)
        said = self.speaker.late(place, named=clause != after)
        if said is None:
            return False
        for n in range(len(said.words)):
            said.labels[n] = "repair"
        fragment = Script()
        fragment.say(self.draw.choice(self.lexicon.terms), "interregnum")
        fragment.add(said)
        start = place.start
        if start and self.script.words[start - 1] == said.words[0] and said.words[0] in PREPOSITIONS:
            start -= 1
        self.script.relabel(start, place.end, "reparandum")
        place.bound = True
        self.script.insert(self._place(after).end, fragment)
        return True

    # -- within the clause -----------------------------------------------------------------------------------------

    def _early(self, clause: int) -> set[str]:
        kinds: set[str] = set()
        rates, draw = self.rates, self.draw
        if all(
            label == "reparandum" for label in self.script.labels[self._place(clause).body : self._place(clause).end]
        ):
            return kinds  # withdrawn
        for place in self.script.values(clause):
            if place.slot and not place.bound:
                if draw.random() < rates.first_name and self._first_name(place):
                    kinds.add("first_name")
                elif draw.random() < rates.correction and self._correct(place):
                    kinds.add("correction")
        roll = draw.random()
        if roll < rates.tool_change:
            if self._change_tool(clause):
                kinds.add("tool_change")
        elif roll < rates.tool_change + rates.restatement:
            if self._restate(clause):
                kinds.add("restatement")
        elif roll < rates.tool_change + rates.restatement + rates.false_start:
            self._before(clause, None, draw.choice(self.lexicon.terms))
            kinds.add("false_start")
        return kinds

    def _correct(self, place: Place, said: Script | None = None, *, hard: bool = False) -> bool:
        """The wrong value goes in before the right one."""
        if any(self.script.labels[n] != "fluent" for n in range(place.start, place.end)):
            return False
        fragment = said or self.speaker.other(place)
        _label(fragment, "reparandum")
        terms = [term for term in self.lexicon.terms if not hard or not set(term.split()) & SOFT]
        fragment.say(self.draw.choice(terms), "interregnum")
        at = place.start
        before = self.script.words[at - 1] if at else ""
        if (
            before in PREPOSITIONS
            and place.item == 0
            and self.script.labels[at - 1] == "fluent"
            and self.draw.random() < 0.4
        ):
            # the preposition is said again: the first one belongs to what is taken back
            self.script.labels[at - 1] = "reparandum"
            fragment.say(before, "repair")
        fragment.places.clear()
        self.script.insert(at, fragment)
        self.script.relabel(place.start, place.end, "repair")
        return True

    def _first_name(self, place: Place) -> bool:
        said = self.speaker.first_name(place)
        return said is not None and self._correct(place, said, hard=True)

    def _change_tool(self, clause: int) -> bool:
        said = self.speaker.opening(clause)
        if said is None:
            return False
        self._before(clause, said, self.draw.choice(self.lexicon.terms))
        return True

    def _restate(self, clause: int) -> bool:
        said = self.speaker.retold(clause)
        first = min((mark.end for mark in said.marks if mark.op == "open"), default=1)
        if first >= len(said.words):
            return False
        self._before(
            clause, said.cut(self.draw.randrange(first, len(said.words))), self.draw.choice(self.lexicon.restarts)
        )
        return True

    def _before(self, clause: int, said: Script | None, term: str) -> None:
        fragment = said or Script()
        if said is None:
            fragment.say(self.draw.choice(self.lexicon.starts))
        _label(fragment, "reparandum")
        fragment.places.clear()
        fragment.say(term, "interregnum")
        place = self._place(clause)
        self.script.insert(place.body, fragment)

    # -- words -----------------------------------------------------------------------------------------------------

    def _words(self) -> set[str]:
        script, draw = self.script, self.draw
        kinds: set[str] = set()
        for at in range(len(script.words) - 1, 0, -1):
            roll = draw.random()
            if roll < self.rates.repetition:
                if self._repeat(at):
                    kinds.add("repetition")
            elif roll < self.rates.repetition + self.rates.filler:
                within = any(place.slot and place.start < at < place.end for place in script.places)
                within = within or any(mark.start < at < mark.end for mark in script.marks)
                marker = not within and draw.random() < 0.2
                fragment = Script()
                fragment.say(draw.choice(self.lexicon.markers if marker else self.lexicon.fillers), "interregnum")
                script.insert(at, fragment)
                kinds.add("filler")
        return kinds

    def _repeat(self, at: int) -> bool:
        script = self.script
        start = at - (1 if at < 2 or self.draw.random() < 0.7 else 2)
        label = script.labels[start]
        if label not in ("fluent", "repair") or any(
            script.labels[n] != label or script.soft[n] for n in range(start, at)
        ):
            return False
        marks = [mark for mark in script.marks if start < mark.end <= at and not mark.grows]
        if sum(mark.op in ("open", "stage") for mark in marks) > 1:
            return False
        words = script.words[start:at]
        script.relabel(start, at, "reparandum")
        # the copy closes nothing, for it is no new word; what the words say, it says again
        script.insert(at, Script(words, ["repair"] * len(words), [True] * len(words)))
        script.marks += [
            replace(mark, start=_copied(mark.start, start, at), end=_copied(mark.end - 1, start, at) + 1)
            for mark in marks
        ]
        return True


def _copied(n: int, start: int, at: int) -> int:
    """Where word ``n`` stands once words ``start`` to ``at`` have been said again."""
    return n + (at - start) * (n >= start)


def _label(fragment: Script, label: Label) -> None:
    fragment.labels[:] = [label if old == "fluent" else old for old in fragment.labels]


def _drop(said: Place, clause: int) -> Mark:
    return Mark(said.start, said.end, "drop", clause)

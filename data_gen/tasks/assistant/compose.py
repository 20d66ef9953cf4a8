"""Composes a request: a few clauses over one world, told in templates, fluent or not, with what they ask for.

Owns the drawing of one task, and the `Speaker` that disfluency asks for other values and wordings. The gold calls are
what the derivation wants at the end. Does not know how time passes and what an agent does.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache, partial
from itertools import pairwise, product
from typing import Literal

from data_gen.gold import canonical, references, rehearse
from data_gen.grounding.derivation import Derivation
from data_gen.seeds import child
from data_gen.speech.disfluency import TRAIN, Disfluent, Lexicon, Rates
from data_gen.speech.script import Mark, Place, Script
from data_gen.speech.timing import Voice, speak
from data_gen.task import GoldCall, Split, Task
from data_gen.tasks.assistant.entities import divided
from data_gen.tasks.assistant.intents import INTENTS, SWAPS, Intent, asks
from data_gen.tasks.assistant.templates import Template, tails, templates
from data_gen.tasks.assistant.values import Drawer, Times, Value
from data_gen.tasks.assistant.worlds import COUNTS, Setting, setting
from midsentence.tools.assistant import AssistantToolbox, assistant_specs

BY_NAME = {spec.name: spec for spec in assistant_specs()}
CONNECTORS = ("and", "then", "and then", "also", "and also", "after that", "plus", "and please")
OPENERS = ("please", "hey", "hi", "okay", "so", "alright", "good morning", "listen")
CLOSINGS = ("please", "thanks", "thank you", "that's all")
LATE: Mapping[str, str] = {
    "to": "to {}",
    "who": "with {}",
    "when": "{}",
    "day": "{}",
    "location": "in {}",
    "message": "saying {}",
    "content": "saying {}",
    "title": "called {}",
    "chore": "to {}",
    "file": "with {}",
    "name": "called {}",
    "place": "for {}",
    "end": "to {}",
    "start": "from {}",
    "length": "for {}",
    "list": "on my {} list",
    "calendar": "in the {} calendar",
    "folder": "in the {} folder",
    "priority": "with {} priority",
    "transport": "{}",
    "cc": "with {} in copy",
    "subject": "with the subject {}",
    "person": "for {}",
}
"""How a slot is given afterwards."""
_MAPS = frozenset({"map", "route", "route_text"})
_ANSWERED = frozenset({"phone", "address"})


@dataclass(frozen=True, slots=True)
class Style:
    """How requests are told."""

    rates: Rates = field(default_factory=Rates)
    """How often each kind of disfluency happens."""
    lexicon: Lexicon = TRAIN
    """The words of disfluency."""
    indirect: float = 0.0
    """Probability of an indirect wording, where its intent has one."""
    sizes: tuple[float, ...] = (0.3, 0.3, 0.2, 0.12, 0.08)
    """Shares of requests with one, two, … intents."""
    least: int = 0
    """Disfluencies beyond fillers and repetitions that a request must have; drawn again until it has."""
    times: Times = "said"
    """What gold calls give for times: what was said, or TinyAgent's forms."""
    rewordings: Mapping[str, Template] = field(default_factory=dict)
    """Other wordings of templates, by the template's id (`data_gen.tasks.paraphrase`); each is drawn as often as its
    original."""


@dataclass(slots=True)
class Telling:
    """One clause: its intent, its wording and its values."""

    id: int
    """The clause's number."""
    intent: Intent
    """What it asks for."""
    template: Template
    """How it is said."""
    values: dict[str, list[Value]]
    """What fills its slots, by slot."""
    extras: list[Template] = field(default_factory=list)
    """Tails that add optional arguments."""
    pronouns: frozenset[str] = frozenset()
    """Slots that refer back to people named before."""
    named_again: bool = False
    """Whether a later clause refers back to its people."""


@lru_cache
def pairs(split: Split) -> frozenset[tuple[str, str]]:
    """The pairs of main tools that may follow each other in a split's requests."""
    tools = sorted({intent.tool for intent in INTENTS.values()})
    named = {f"{a} {b}": (a, b) for a, b in product(tools, tools)}
    return frozenset(named[key] for key in divided("pair", list(named))[split])


class Teller:
    """Draws and tells the clauses of one request."""

    def __init__(self, drawer: Drawer, split: Split, style: Style) -> None:
        self.drawer, self.split, self.style, self.draw = drawer, split, style, drawer.draw
        self.clauses: dict[int, Telling] = {}
        self.used: list[str] = []
        """Ids of the templates that were spoken."""

    def plan(self) -> None:
        """Draws the intents, their wordings and values."""
        n = self.draw.choices(range(1, len(self.style.sizes) + 1), self.style.sizes)[0]
        while len(self.clauses) < n:
            last = self.clauses[len(self.clauses) - 1].intent.tool if self.clauses else None
            told = {telling.intent.name for telling in self.clauses.values()}
            fits = [
                intent
                for intent in INTENTS.values()
                if (last is None or (last, intent.tool) in pairs(self.split))
                and not (intent.name in _MAPS and told & _MAPS or intent.name in _ANSWERED and told & _ANSWERED)
                and not (intent.name == "reply" and "reply" in told)
            ]
            if not fits:
                break
            self._plan_clause(len(self.clauses), self.draw.choice(fits))

    def _plan_clause(self, id: int, intent: Intent) -> None:
        draw = self.draw
        wordings = templates(intent.name, self.split, draw.random() < self.style.indirect) or templates(
            intent.name, self.split
        )
        template = draw.choice(wordings)
        if template.id in self.style.rewordings and draw.random() < 0.5:
            template = self.style.rewordings[template.id]
        missing = [slot for slot in intent.extras if slot not in template.slots]
        chosen = [slot for slot in missing if draw.random() < 0.25][:2]
        extras = [draw.choice(tails(slot, self.split)) for slot in chosen]
        kinds = intent.slots | intent.extras
        values: dict[str, list[Value]] = {}
        pronouns = set()
        earlier = next((t for t in reversed(self.clauses.values()) if "to" in t.values or "who" in t.values), None)
        for slot in dict.fromkeys([*template.slots, *chosen]):
            people = kinds[slot] == "people"
            if slot == "to" and "who" in values and draw.random() < 0.6:
                values[slot] = values["who"]
                pronouns.add(slot)
            elif people and earlier is not None and draw.random() < 0.3:
                before = earlier.values.get("to") or earlier.values["who"]
                if draw.random() < 0.5 and earlier.id == id - 1:
                    pronouns.add(slot)
                    values[slot] = before
                else:
                    values[slot] = [
                        self.drawer.person(
                            value.accepted[0] if " " in value.accepted[0] else value.accepted[1],
                            first_only=draw.random() < 0.5,
                        )
                        for value in before[:1]
                    ]
                earlier.named_again = True
            else:
                values[slot] = self.drawer.some(kinds[slot])
        self.clauses[id] = Telling(id, intent, template, values, extras, frozenset(pronouns))

    def tell(self) -> Script:
        """The whole request, fluent."""
        script = Script()
        if self.draw.random() < 0.3:
            script.say(self.draw.choice(OPENERS))
        for id, telling in self.clauses.items():
            start = len(script.words)
            if id:
                script.say(self.draw.choice(CONNECTORS))
            body = len(script.words)
            script.add(self._clause(telling))
            script.places.append(Place(start, len(script.words), id, body=body))
        if self.draw.random() < 0.12:
            script.say(self.draw.choice(CLOSINGS))
        for place in script.places:
            place.bound = bool(place.slot) and self._bound(self.clauses[place.clause], place.slot)
        return script

    def _bound(self, telling: Telling, slot: str) -> bool:
        """Whether a value refers back, or is referred back to: it stays as it is."""
        return slot in telling.pronouns or slot in ("to", "who") and (telling.named_again or bool(telling.pronouns))

    def _clause(self, telling: Telling) -> Script:
        script = Script()
        for template in (telling.template, *telling.extras):
            self.used.append(template.id)
            script.add(self._render(template, telling))
        return script

    def _render(self, template: Template, telling: Telling, intent: str | None = None) -> Script:
        script = Script()
        for part in template.parts:
            if part.slot:
                self._say_values(script, telling, part.slot)
                script.words[-1] += part.text
                continue
            said = script.say(part.text)
            if part.mark:
                op: Literal["open", "stage"] = "open" if part.mark == 1 else "stage"
                script.marks.append(
                    Mark(said.start, said.end, op, telling.id, intent or telling.intent.name if part.mark == 1 else "")
                )
        return script

    def _say_values(self, script: Script, telling: Telling, slot: str) -> None:
        values = telling.values[slot]
        if slot in telling.pronouns:
            said = script.say("them")
            for item, value in enumerate(values):
                script.marks.append(Mark(said.start, said.end, "put", telling.id, slot, item, value.accepted))
            script.places.append(Place(said.start, said.end, telling.id, slot))
            return
        for item, value in enumerate(values):
            if item:
                script.say("and")
            script.add(self._say(value, telling.id, slot, item))

    def _say(self, value: Value, clause: int, slot: str, item: int) -> Script:
        script = Script()
        said = script.say(value.words)
        person = value.kind == "person"
        if person and said.end > 1:
            first = self.drawer.person(value.accepted[0], first_only=True)
            script.marks.append(Mark(0, 1, "put", clause, slot, item, first.accepted, eager=True, grows=True))
        spoken = not person and value.accepted[0] == value.words
        script.marks.append(Mark(0, said.end, "put", clause, slot, item, value.accepted, eager=person, spoken=spoken))
        script.places.append(Place(0, said.end, clause, slot, item))
        return script

    # -- what disfluency asks for ----------------------------------------------------------------------------------

    def _kind(self, place: Place) -> str:
        intent = self.clauses[place.clause].intent
        kind = (intent.slots | intent.extras)[place.slot]
        return "person" if kind == "people" else kind

    def other(self, place: Place) -> Script:
        """See `Speaker`."""
        return self._say(self.drawer.one(self._kind(place)), place.clause, place.slot, place.item)

    def first_name(self, place: Place) -> Script | None:
        """See `Speaker`."""
        if self._kind(place) != "person":
            return None
        value = self.clauses[place.clause].values[place.slot][place.item]
        if " " not in value.words:
            return None
        long = value.words == self.drawer.setting.short[1]
        return self._say(
            self.drawer.short() if long else self.drawer.person(value.words, first_only=True),
            place.clause,
            place.slot,
            place.item,
        )

    def late(self, place: Place, *, named: bool) -> Script | None:
        """See `Speaker`."""
        return self._late_phrase(place, self.drawer.one(self._kind(place)), named)

    def _late_phrase(self, place: Place, value: Value, named: bool) -> Script | None:
        noun = self.noun(place.clause)
        if named and noun is None:
            return None
        before, after = LATE[place.slot].split("{}")
        script = Script()
        script.say(f"make the {noun} {before}" if named else before)
        script.add(self._say(value, place.clause, place.slot, place.item))
        script.say(after)
        script.places.clear()
        return script

    def opening(self, clause: int) -> Script | None:
        """See `Speaker`."""
        telling = self.clauses[clause]
        swaps = SWAPS.get(telling.intent.name)
        if not swaps:
            return None
        other = self.draw.choice(swaps)
        template = self.draw.choice(templates(other, self.split))
        mark = next(n for n, part in enumerate(template.parts) if part.mark)
        parts = template.parts[
            : mark + 1 + (len(template.parts) > mark + 1 and template.parts[mark + 1].slot in telling.values)
        ]
        if any(part.slot and part.slot not in telling.values for part in parts):
            return None
        self.used.append(template.id)
        return self._render(Template(template.id, other, parts), telling, other)

    def retold(self, clause: int) -> Script:
        """See `Speaker`."""
        telling = self.clauses[clause]
        fits = [t for t in templates(telling.intent.name, self.split) if set(t.slots) <= set(telling.values)]
        template = self.draw.choice(fits or [telling.template])
        self.used.append(template.id)
        return self._render(template, telling)

    def extra(self, clause: int) -> Script | None:
        """See `Speaker`."""
        telling = self.clauses[clause]
        slots = [slot for slot in telling.intent.extras if slot not in telling.values]
        if not slots:
            return None
        slot = self.draw.choice(slots)
        place = Place(0, 0, clause, slot)
        return self._late_phrase(place, self.drawer.one(self._kind(place)), True)

    def noun(self, clause: int) -> str | None:
        """See `Speaker`."""
        nouns = [telling.intent.noun for telling in self.clauses.values()]
        noun = self.clauses[clause].intent.noun
        return noun if nouns.count(noun) == 1 else None


PLAIN = Style()
VOICE = Voice()


def compose(
    split: Split,
    index: int,
    seed: int = 0,
    style: Style = PLAIN,
    source: str = "assistant",
    voice: Voice = VOICE,
    world: int | None = None,
) -> Task:
    """The ``index``-th task of a split: a function of its arguments alone.

    Args:
        split: whose names, wordings and worlds it has.
        index: which task.
        seed: root seed.
        style: how it is told.
        source: name of the source, in the task's id.
        voice: how its words are timed.
        world: index of the world; drawn where left out.
    """
    name = f"{source}-{split}-{index}"
    for attempt in range(40):
        draw = random.Random(child(seed, name, attempt))
        place = setting(split, draw.randrange(COUNTS[split]) if world is None else world)
        # every world has its own months, so no two splits share a "now"
        now = place.start + timedelta(days=draw.randrange(60), minutes=draw.randrange(7 * 60, 20 * 60))
        teller = Teller(Drawer(place, draw, now, style.times), split, style)
        teller.plan()
        script = teller.tell()
        kinds = Disfluent(script, teller, style.rates, style.lexicon, draw).apply()
        if len(set(kinds) - {"filler", "repetition"}) >= style.least and not asks_twice(script, teller):
            break
    return task_of(script, teller, kinds, name, split, source, str(now), child(seed, name, "voice"), voice)


def asks_twice(script: Script, teller: Teller) -> bool:
    """Whether a finished script asks for one effect twice: within a turn the second is refused."""
    tools = [telling.intent.tool for telling in teller.clauses.values()]
    if len(set(tools)) == len(tools):
        return False
    gold = Derivation(script.finish(), asks).gold(len(script.words), BY_NAME)
    calls = [(call.name, repr(sorted(canonical(call).items()))) for call in gold]
    return len(set(calls)) < len(calls)


def task_of(
    script: Script,
    teller: Teller,
    kinds: tuple[str, ...],
    name: str,
    split: Split,
    source: str,
    now: str,
    seed: int,
    voice: Voice,
) -> Task:
    """A task from a finished script."""
    derivation = Derivation(script.finish(), asks)
    gold = derivation.gold(len(script.words), BY_NAME)
    place = teller.drawer.setting
    tools = [telling.intent.tool for telling in teller.clauses.values()]
    task = Task(
        name,
        source,
        split,
        speak(script.words, seed, voice, script.labels),
        assistant_specs(now=now),
        gold,
        partial(AssistantToolbox, place.data, name, now=now),
        answer=_answer(gold, place, {telling.intent.name for telling in teller.clauses.values()}),
        now=now,
        tags=(f"intents:{len(tools)}", *kinds),
        meta={
            "world": place.id,
            "templates": tuple(teller.used),
            "pairs": tuple(pairwise(tools)),
            "entities": tuple(sorted(f"{key[0]}:{key[1]}" for key in teller.drawer.used)),
            "fluent": " ".join(script.fluent().words),
        },
        reading=derivation,
    )
    rehearse(task)
    return task


def _answer(gold: Sequence[GoldCall], place: Setting, intents: set[str]) -> tuple[str, ...]:
    """What was asked for, where a number or an address was: nothing else in gold uses that look-up's result."""
    if not intents & _ANSWERED:
        return ()
    tool = "get_phone_number" if "phone" in intents else "get_email_address"
    people = {n: call.args["name"].values for n, call in enumerate(gold, start=1) if call.name == tool}
    used = {k for call in gold for k in references(canonical(call))}
    names = next(iter([people[n] for n in people if n not in used] or people.values()), ())
    person = next((person for person in place.data.people if person.name in names), None)
    return () if person is None else (person.phone if tool == "get_phone_number" else person.email,)

"""The sentence templates of a language: which can be used, what they say, and what their beginnings may still become.

Owns the drawing of a sentence from a template with the places of its slots, the splits (a template belongs to one), and
the question what has become clear of a command after so many of its words: the templates of the whole language are
matched against the beginning, so what follows is not looked at. `hassil` parses templates and recognises whole
sentences; its own sampler lists all that a template gives, without saying where the slots are, and can't match half a
sentence, so those two are done here. Does not know tools and houses: of the latter it takes names.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import regex
from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    Sentence,
    TextChunk,
)
from hassil.intents import IntentData, Intents, RangeSlotList, SlotList, TextSlotList, TextSlotValue, WildcardSlotList
from hassil.recognize import recognize_all
from hassil.sample import sample_expression

from data_gen.seeds import child
from data_gen.speech.words import plain_text
from data_gen.task import Split
from data_gen.tasks.home.package import Language

SHARES: Mapping[Split, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
SKIPPED = {"HassNevermind": "asks for nothing", "HassRespond": "is small talk"}
"""Intents without a call, and why they are left out."""
NOTHING, ANYTHING = r"[^\s\S]", r"\S.*"
"""Patterns for what may be any text: one that a beginning may stop before, and one that takes it."""
HERE = "\x00"
"""The area of whoever speaks, where a template takes it from there."""
_RANGES = {
    "temperature": (16, 25, 1),
    "color_temperature": (2000, 6500, 100),
    "timer_hours": (1, 4, 1),
    "timer_minutes": (1, 59, 1),
    "timer_seconds": (5, 59, 1),
}
"""Numbers that people say, where the package takes more; others are said in steps of five."""
_TEXTS = {
    "shopping_list_item": "item",
    "todo_list_item": "item",
    "message": "message",
    "search_query": "search_query",
    "timer_name": "timer_name",
}
"""Lists of the package that take any text, and the vocabulary's texts for them."""


class Slot(NamedTuple):
    """A value that is said, and where: half-open indices of characters."""

    name: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Said:
    """One command, as somebody may say it."""

    template: Template
    """The line that it was drawn from."""
    text: str
    """What is said."""
    slots: tuple[Slot, ...]
    """What is said in it of which slot."""

    @property
    def wording(self) -> str:
        """The text with its slots' names in the place of their values."""
        text = self.text
        for slot in sorted(self.slots, key=lambda slot: -slot.start):
            text = f"{text[: slot.start]}{{{slot.name}}}{text[slot.end :]}"
        return text


@dataclass(frozen=True, slots=True)
class Template:
    """One line of a volunteer's."""

    intent: str
    """The intent's name."""
    text: str
    """As the volunteer wrote it."""
    sentence: Sentence = field(repr=False, compare=False)
    """The same, parsed."""
    data: IntentData = field(repr=False, compare=False)
    """What stands with it in the file: context it needs, slots it implies."""

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Slots that are the same whatever fills the template."""
        return self.data.slots

    @property
    def split(self) -> Split:
        """Its split, by a hash of what it is."""
        unit = child(0, "home", self.intent, self.text) / (1 << 63)
        return (
            "train"
            if unit < SHARES["train"]
            else "validation"
            if unit < SHARES["train"] + SHARES["validation"]
            else "test"
        )


class Unusable(ValueError):
    """A template that can't be used here; the text says why."""


def _key(template: Template) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """What templates have in common that ask for the same call, but for what fills them."""
    return template.intent, tuple(sorted(template.fixed.items()))


class Grammar:
    """The templates of a language over the names of a house.

    Args:
        language: what the package has.
        names: names of devices, with their domain.
        areas: what is said of an area (its forms), with its name.
        floors: names of floors.
    """

    def __init__(
        self, language: Language, names: Sequence[tuple[str, str]], areas: Mapping[str, str], floors: Sequence[str]
    ) -> None:
        self.language, self.spaces = language, language.vocabulary["spaces"]
        self.intents = Intents.from_dict(language.intents)
        self.names = tuple(names)
        self.lists: dict[str, SlotList] = self.intents.slot_lists | {
            "name": TextSlotList(
                "name", [TextSlotValue(TextChunk(name), name, context={"domain": domain}) for name, domain in names]
            ),
            "area": TextSlotList("area", [TextSlotValue(TextChunk(form), area) for form, area in areas.items()]),
            "floor": TextSlotList("floor", [TextSlotValue(TextChunk(floor), floor) for floor in floors]),
        }
        self.forms = frozenset(form for forms in language.vocabulary.get("forms", {}).values() for form in forms)
        self.known_areas = frozenset(areas.values())
        self.wrong = regex.compile("|".join(language.vocabulary["wrong"]))
        self.templates: list[Template] = []
        self.rejected: list[tuple[str, str]] = []
        for name, intent in self.intents.intents.items():
            for data in intent.data:
                for sentence in data.sentences:
                    template = Template(name, sentence.text or "", sentence, data)
                    try:
                        self._check(template)
                        self.templates.append(template)
                    except Unusable as why:
                        self.rejected.append((f"{name}: {template.text}", str(why)))
        self._groups: dict[tuple[str, tuple[Any, ...]], list[Template]] = {}
        for template in self.templates:
            self._groups.setdefault(_key(template), []).append(template)
        self._exact = {key: self._compile(group, NOTHING) for key, group in self._groups.items()}
        free = {key: [template for template in group if self._is_free(template)] for key, group in self._groups.items()}
        self._free, self._vague = (
            {
                key: self._compile(some, ANYTHING)
                for key, group in free.items()
                if (some := [template for template in group if self._begins_free(template) == begins])
            }
            for begins in (False, True)
        )
        self._singles: dict[Template, regex.Pattern] = {}
        self.known = lru_cache(maxsize=200_000)(self._known)

    def of(self, split: Split) -> dict[str, list[Template]]:
        """The templates of a split by intent."""
        found: dict[str, list[Template]] = {}
        for template in self.templates:
            if template.split == split:
                found.setdefault(template.intent, []).append(template)
        return found

    def _check(self, template: Template) -> None:
        if template.intent in SKIPPED:
            raise Unusable(f"its intent {SKIPPED[template.intent]}")
        if (template.data.metadata or {}).get("slot_combination") == "domain_all":
            raise Unusable("means the whole house, for which its intent has no slot")
        for key, needed in template.data.requires_context.items():
            if key == "area" and isinstance(needed, dict):
                continue
            if key != "domain":
                raise Unusable(f"needs a device with a certain {key}; the house has none")
            if not self._domains(template) & {domain for _, domain in self.names}:
                raise Unusable(f"needs a device of {' or '.join(sorted(self._domains(template)))}; the house has none")
        for reference in self.references(template):
            found = self.list_of(template, reference)
            if isinstance(found, WildcardSlotList) and not self._texts(reference):
                raise Unusable(
                    f"has {{{reference.list_name}}}, which takes any text and of which the vocabulary has none"
                )

    def _is_free(self, template: Template) -> bool:
        """Whether a template takes any text somewhere."""
        return any(
            isinstance(self.list_of(template, reference), WildcardSlotList) for reference in self.references(template)
        )

    def _begins_free(self, template: Template) -> bool:
        """Whether a template may begin with any text, so that it could be told from no other."""
        return any(
            isinstance(first, WildcardSlotList) for first in self._firsts(template, template.sentence.expression)
        )

    def _firsts(self, template: Template, part: Expression) -> list[SlotList | None]:
        """Lists that a part of a template may begin with; None for words, and nothing for a part without any."""
        match part:
            case TextChunk():
                return [None] if part.text.strip() else []
            case ListReference():
                return [self.list_of(template, part)]
            case RuleReference():
                return self._firsts(template, self._rules(template)[part.rule_name].expression)
            case Alternative() | Permutation():
                return [first for item in part.items for first in self._firsts(template, item)]
        assert isinstance(part, Group)
        found: list[SlotList | None] = []
        for item in part.items:
            found += (some := self._firsts(template, item))
            if some and not (isinstance(item, Alternative) and item.is_optional):
                break
        return found

    def _domains(self, template: Template) -> set[str]:
        needed = template.data.requires_context.get("domain", [])
        return {needed} if isinstance(needed, str) else set(needed)

    def references(self, template: Template) -> Iterator[ListReference]:
        """The lists that a template uses, those of its rules too."""
        assert isinstance(template.sentence.expression, Group)
        yield from template.sentence.expression.list_references(self._rules(template))

    def _rules(self, template: Template) -> dict[str, Sentence]:
        return {**self.intents.expansion_rules, **template.data.expansion_rules}

    def list_of(self, template: Template, reference: ListReference) -> SlotList:
        """The list that a template means by a name: its own, the language's or the house's."""
        if (span := reference.get_inline_range()) is not None:
            return RangeSlotList(None, *span)
        found = template.data.slot_lists.get(reference.list_name) or self.lists.get(reference.list_name)
        if found is None:
            raise Unusable(f"has {{{reference.list_name}}}, a list that is nowhere")
        return found

    def _texts(self, reference: ListReference) -> Sequence[str]:
        texts: Sequence[str] = self.language.vocabulary["texts"].get(_TEXTS.get(reference.list_name, ""), ())
        return texts

    # drawing

    def draw(self, template: Template, random: random.Random) -> Said | None:
        """A sentence of a template; None where what came out is what nobody says, or another template's."""
        parts: list[tuple[str, ListReference | None, Any]] = []
        self._walk(template, template.sentence.expression, random, parts)
        text, marks = "", []
        for piece, reference, value in parts:
            if reference is not None and not reference.is_capture:
                marks.append((reference.slot_name, value, len(text), len(text) + len(piece)))
            text += piece
        spoken = plain_text(text, self.spaces)
        places = self._places(text, spoken)
        slots = tuple(Slot(name, value, places[start], places[end - 1] + 1) for name, value, start, end in marks)
        said = Said(template, spoken, slots)
        ok = spoken and not self.wrong.search(spoken) and len({slot.name for slot in slots}) == len(slots)
        return said if ok and self._grammatical(said) else None

    def _places(self, text: str, spoken: str) -> list[int]:
        """Where each character of a text stands once its spaces are put right."""
        places, at = [], 0
        for char in text:
            while at < len(spoken) and spoken[at] == " " and not char.isspace():
                at += 1
            places.append(at)
            at += at < len(spoken) and not char.isspace() and spoken[at] == char
        return places

    def _grammatical(self, said: Said) -> bool:
        """Whether an area's name with the endings that the template gives it is a form of it."""
        if not self.forms:
            return True
        words = (
            (slot, self._around(said.text, slot))
            for slot in said.slots
            if slot.name == "area" and slot.value in self.known_areas
        )
        return all(word in self.forms for _, word in words)

    def _around(self, text: str, slot: Slot) -> str:
        start, end = text.rfind(" ", 0, slot.start) + 1, text.find(" ", slot.end)
        return text[start : end if end >= 0 else len(text)]

    def _walk(self, template: Template, part: Expression, random: random.Random, parts: list[Any]) -> None:
        match part:
            case TextChunk():
                parts.append((part.original_text, None, None))
            case ListReference():
                parts.append(self._value(template, part, random))
            case RuleReference():
                self._walk(template, self._rules(template)[part.rule_name].expression, random, parts)
            case Alternative():
                self._walk(template, random.choice(part.items), random, parts)
            case Permutation():
                for item in random.sample(part.items, len(part.items)):
                    self._walk(template, item, random, parts)
            case Group():
                for item in part.items:
                    self._walk(template, item, random, parts)

    def _value(
        self, template: Template, reference: ListReference, random: random.Random
    ) -> tuple[str, ListReference, Any]:
        found = self.list_of(template, reference)
        if isinstance(found, RangeSlotList):
            low, high, step = _RANGES.get(reference.list_name, (5, 95, 5))
            number = random.randrange(max(low, found.start), min(high, found.stop) + 1, step)
            return str(number), reference, int(number * (found.multiplier or 1))
        if isinstance(found, WildcardSlotList):
            text = random.choice(self._texts(reference))
            return text, reference, text
        assert isinstance(found, TextSlotList)
        value = random.choice(self._values(template, reference, found))
        spoken: list[tuple[str, Any, Any]] = []
        self._walk(template, value.text_in, random, spoken)
        return "".join(text for text, *_ in spoken), reference, value.value_out

    def _values(self, template: Template, reference: ListReference, found: TextSlotList) -> Sequence[TextSlotValue]:
        if reference.list_name != "name":
            return found.values
        domains = self._domains(template)
        return [value for value in found.values if not domains or (value.context or {})["domain"] in domains]

    # what is clear after so many words

    def given_by(self, said: Said, splits: Sequence[Split]) -> bool:
        """Whether a template of one of the splits could have given the same sentence."""
        alike = self._groups[_key(said.template)]
        return any(template.split in splits and self._single(template).fullmatch(said.text) for template in alike)

    def _single(self, template: Template) -> regex.Pattern:
        if template not in self._singles:
            self._singles[template] = self._compile([template], ANYTHING)
        return self._singles[template]

    def calls(self, text: str) -> set[tuple[str, tuple[tuple[str, Any], ...]]]:
        """What Home Assistant's own parser takes a sentence for: intents with their slots, of the readings with most of
        it literal and least of it free."""
        lists = {name: self.lists[name] for name in ("name", "area", "floor")}
        results = [
            (-result.text_chunks_matched, sum(entity.is_wildcard for entity in result.entities_list), result)
            for result in recognize_all(
                text, self.intents, lists, intent_context={"area": HERE}, language=self.language.code
            )
        ]
        best = min((rank for *rank, _ in results), default=[])
        found = set()
        for *rank, result in results:
            if rank == best and result.intent.name not in SKIPPED:
                entities = {name: entity.value for name, entity in result.entities.items() if entity.value != HERE}
                found.add((result.intent.name, tuple(sorted(entities.items()))))
        return found

    def _known(self, beginning: str) -> tuple[str | None, Mapping[str, Any]]:
        """The intent and the fixed slots that all templates agree on which a sentence with this beginning may be of.

        What may be any text is taken for that only where nothing else fits ("pause attic" is of no timer called
        "attic"), and at the beginning of a sentence last of all.
        """
        left: list[tuple[str, tuple[Any, ...]]] = []
        for patterns in (self._exact, self._free, self._vague):
            left = left or [
                key for key, pattern in patterns.items() if pattern.fullmatch(beginning, partial=True) is not None
            ]
        if not left or len({intent for intent, _ in left}) > 1:
            return None, {}
        return left[0][0], dict(set(left[0][1]).intersection(*(fixed for _, fixed in left[1:])))

    def _compile(self, templates: Sequence[Template], free: str) -> regex.Pattern:
        """Templates as one regular expression; ``free`` stands for what may be any text."""
        lists: dict[str, Sequence[str]] = {}
        parts = dict.fromkeys(self._pattern(template, template.sentence.expression, lists) for template in templates)
        return regex.compile(f"(?:{'|'.join(parts)}) *".replace("\x00", free), **lists)

    def _pattern(self, template: Template, part: Expression, lists: dict[str, Sequence[str]]) -> str:
        """A template, or a part of one, as a regular expression; ``lists`` takes the lists that it names."""
        match part:
            case TextChunk():
                return str(
                    regex.sub(r"(?:\\ |\s)+", " *", regex.escape(part.original_text.lower(), literal_spaces=True))
                )
            case ListReference():
                return self._pattern_of_list(template, part, lists)
            case RuleReference():
                return self._pattern(template, self._rules(template)[part.rule_name].expression, lists)
            case Alternative():
                return _either([self._pattern(template, item, lists) for item in part.items])
            case Permutation():
                items = [self._pattern(template, item, lists) for item in part.items]
                return _either(["".join(order) for order in itertools.permutations(items)])
        assert isinstance(part, Group)
        return "".join(self._pattern(template, item, lists) for item in part.items)

    def _pattern_of_list(self, template: Template, reference: ListReference, lists: dict[str, Sequence[str]]) -> str:
        found = self.list_of(template, reference)
        if isinstance(found, RangeSlotList):
            return r"\d+"
        if isinstance(found, WildcardSlotList):
            return "\x00"
        assert isinstance(found, TextSlotList)
        texts = tuple(
            text.lower()
            for value in self._values(template, reference, found)
            for text in sample_expression(value.text_in)
        )
        key = next((key for key, known in lists.items() if known == texts), f"l{len(lists)}")
        lists[key] = texts
        return rf"\L<{key}>"


def _either(patterns: Sequence[str]) -> str:
    different = dict.fromkeys(patterns)
    if "" not in different:
        return f"(?:{'|'.join(different)})"
    rest = [pattern for pattern in different if pattern]
    return f"(?:{'|'.join(rest)})?" if rest else ""

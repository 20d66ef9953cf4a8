"""Home Assistant's intents as tasks: commands that volunteers phrased, in several languages, each word's meaning known.

Owns how a request is made of one to three sentences and what is marked in it: where each slot is said, and the first
word after which all templates of the language agree on the tool. Every request passes the door of marked rows
(`data_gen.tasks.rows`), whose rehearsal plays it in its house, and Home Assistant's own parser must take every sentence
for what gold says. Does not know how sentences are drawn (`grammar`) and what tools do (`house`).

    python -m data_gen.tasks.home fi      # counts of the language, and a few of its requests
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from data_gen.grounding.derivation import Edit
from data_gen.grounding.spans import plain
from data_gen.seeds import child
from data_gen.speech.timing import CHARACTERS, speak
from data_gen.speech.words import cut, joined, word_spans
from data_gen.task import BadTask, Split, Task
from data_gen.tasks.assistant import Lazy
from data_gen.tasks.home.package import MissingPackage, content, languages, provenance, read
from data_gen.tasks.own_tools import Tools
from data_gen.tasks.rows import task_of_row
from midsentence.tools.function import Tool

__all__ = ["MissingPackage", "content", "languages", "rejected", "tasks"]

COMMANDS = (1, 1, 1, 2, 2, 3)
"""How many sentences a request has, drawn evenly from these; where one can't be used, all are drawn again, so that
fewer are commoner."""
MOST_TEMPLATES = 8
"""An intent is drawn as often as it has templates, but no more often than this, so that timers are not most of it."""
LISTED = 12
"""Tools of a prompt: those that the request needs, and others of the language's."""
BEFORE: Mapping[Split, tuple[Split, ...]] = {"train": (), "validation": ("train",), "test": ("train", "validation")}
"""Splits whose templates must not be able to give a sentence of this one."""
_TRIES, _DRAWS = 400, 20


class _Other(Exception):
    """What was drawn can't be used; another is drawn."""


@dataclass(frozen=True, slots=True)
class _Language:
    code: str
    grammar: Any
    tools: Mapping[str, Tool]
    vocabulary: Mapping[str, Any]
    places: Mapping[str, str]
    """The area of each device."""
    optional: frozenset[tuple[str, str]]
    """Intents with fixed slots that every template with them gives the same value, so that leaving them out means it
    too."""


@lru_cache
def _language(code: str) -> _Language:
    found = read(code)
    from data_gen.tasks.home.grammar import Grammar  # after the door: these import packages that may be missing
    from data_gen.tasks.home.tools import tools

    words = found.vocabulary
    names = [(name, domain) for domain, named in words["devices"].items() for name in named]
    names += [(name, "cover") for named in words["covers"].values() for name in named]
    places = {name: area for named in words["devices"].values() for name, area in named.items()}
    places |= {name: area for area, named in words["covers"].items() for name in named}
    grammar = Grammar(found, names, words["areas"], sorted(set(words["areas"].values())))
    values: dict[tuple[str, str], set[Any]] = {}
    for template in grammar.templates:
        for slot, value in template.fixed.items():
            values.setdefault((template.intent, slot), set()).add(value)
    optional = frozenset(key for key, some in values.items() if len(some) == 1)
    return _Language(code, grammar, tools(grammar), words, places, optional)


def tasks(split: Split, seed: int = 0, count: int = 300, language: str = "en") -> Sequence[Task]:
    """``count`` requests of a split; those of validation and test are all different.

    Raises:
        ValueError: no such language, or a package is missing; the text says which and what to do.
    """
    chosen = _language(language)
    if split == "train":
        return Lazy(count, lambda index: _task(chosen, split, index, seed))
    return _different(chosen.code, split, count, seed)


@lru_cache(maxsize=8)
def _different(code: str, split: Split, count: int, seed: int) -> tuple[Task, ...]:
    found: dict[str, Task] = {}
    for index in range(20 * count):
        if len(found) == count:
            break
        task = _task(_language(code), split, index, seed)
        found.setdefault(task.request, task)
    return tuple(found.values())


def rejected(language: str) -> tuple[tuple[str, str], ...]:
    """Templates of a language that are not used, and why."""
    return tuple(_language(language).grammar.rejected)


def _task(language: _Language, split: Split, index: int, seed: int) -> Task:
    """One request; what can't be used (nobody says it, the house refuses it, another split could say it) is drawn
    again."""
    id = f"home-{language.code}-{split}-{index}"
    draw = random.Random(child(seed, id))
    for _ in range(_TRIES):
        try:
            return _made(language, split, id, draw, seed)
        except (_Other, BadTask):
            continue
    raise ValueError(f'{id}: no request after {_TRIES} tries; look at the vocabulary\'s "wrong" and at the house')


def _made(language: _Language, split: Split, id: str, draw: random.Random, seed: int) -> Task:
    spaces = language.vocabulary["spaces"]
    said = [_sentence(language, split, draw) for _ in range(draw.choice(COMMANDS))]
    text, starts = said[0].text, [0]
    for one in said[1:]:
        text += (" " if spaces else "") + draw.choice(language.vocabulary["joiners"]) + (" " if spaces else "")
        starts.append(len(text))
        text += one.text
    words, places = cut(text, spaces), word_spans(text, spaces)
    if joined(words, spaces) != text:
        raise _Other
    calls, spans, late = [], [], []
    for number, (one, start) in enumerate(zip(said, starts)):
        first = next(n for n, (_, end) in enumerate(places) if end > start)
        call, marks, clear = _marked(language, one, start, first, words, places)
        calls.append(call)
        spans.append(marks)
        late += [] if clear else [number + 1]
    row: dict[str, Any] = {"id": id, "request": " ".join(words), "calls": calls, "spans": spans, "split": split}
    if not spaces:
        row["words"] = [[w.text, w.start_ns / 1e9, w.end_ns / 1e9] for w in speak(words, child(seed, id), CHARACTERS)]
    names = {call["name"] for call in calls}
    others = [name for name in language.tools if name not in names]
    shown = names | set(draw.sample(others, max(0, min(LISTED, len(language.tools)) - len(names))))
    listed = _listed(language, tuple(name for name in language.tools if name in shown))
    task = task_of_row(row, listed, seed, "home")
    edits = tuple(_closed(edit, words, late, language.vocabulary.get("goes_on")) for edit in task.reading.edits)
    return replace(
        task,
        reading=replace(task.reading, edits=edits),
        tags=(f"language:{language.code}", f"commands:{len(said)}"),
        meta={
            "said": text,
            "package": provenance(),
            "templates": [f"{one.template.intent}: {_wording(one, spaces)}" for one in said],
            "world": id,
            "pairs": [],
            "entities": [],
        },
    )


def _closed(edit: Edit, words: Sequence[str], late: Sequence[int], goes_on: Sequence[str] | None) -> Edit:
    """An edit with the word that closes it: none for a tool that only the end tells, and for a value the next that it
    can't go on with.

    The door of marked rows knows the words of English that a value goes on with; ``goes_on`` are those of another
    language.
    """
    if edit.op == "open":
        return replace(edit, closes=None) if edit.clause in late else edit
    if goes_on is None or edit.closes == edit.end:
        return edit
    return replace(
        edit, closes=next((n + 1 for n in range(edit.end, len(words)) if plain(words[n]) not in goes_on), None)
    )


@lru_cache(maxsize=4096)
def _listing(code: str, names: tuple[str, ...]) -> Tools:
    from data_gen.tasks.home.tools import listed

    language = _language(code)
    return listed([language.tools[name] for name in names], language.vocabulary)


def _listed(language: _Language, names: tuple[str, ...]) -> Tools:
    return _listing(language.code, names)


def _wording(one: Any, spaces: bool) -> str:
    """A sentence with its slots' names in the place of values, a word each where its language writes none apart."""
    return one.wording if spaces else " ".join(re.findall(r"\{\w+\}|[^{}\s]", one.wording))


def _sentence(language: _Language, split: Split, draw: random.Random) -> Any:
    """A sentence of the split that no earlier one could give, and that Home Assistant's parser takes for its call and
    no other."""
    by = language.grammar.of(split)
    intents = sorted(by)
    intent = draw.choices(intents, [min(len(by[name]), MOST_TEMPLATES) for name in intents])[0]
    template = draw.choice(by[intent])
    drawn = (language.grammar.draw(template, draw) for _ in range(_DRAWS))
    said = next((one for one in drawn if one is not None and _fits(language, one)), None)
    if said is None or language.grammar.given_by(said, BEFORE[split]):
        raise _Other
    if language.grammar.calls(said.text) != {(intent, tuple(sorted(_values(said).items())))}:
        raise _Other
    return said


def _fits(language: _Language, said: Any) -> bool:
    """Whether a device that is named with a place stands there; where a vacuum is sent is another place."""
    values = _values(said)
    place = language.places.get(values.get("name", ""))
    if place is None or said.template.intent.startswith("HassVacuum"):
        return True
    floor = language.vocabulary["areas"][place]
    return bool(values.get("area", place) == place and values.get("floor", floor) == floor)


def _values(said: Any) -> dict[str, Any]:
    return {slot.name: slot.value for slot in said.slots} | dict(said.template.fixed)


def _marked(
    language: _Language, said: Any, start: int, first: int, words: Sequence[str], places: Sequence[tuple[int, int]]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """A sentence's call, its marks, and whether the tool is clear before the request is over.

    Args:
        language: whose templates there are.
        said: the sentence.
        start: where it begins in the request, in characters.
        first: its first word.
        words: the request's.
        places: where they stand.
    """
    intent, fixed = said.template.intent, said.template.fixed
    own = cut(said.text, language.vocabulary["spaces"])
    tool, known = _clear(language, said, own)
    after = first + len(own)
    # the next word shows that the sentence is over, if there is one
    clear = tool is not None or after < len(words)
    at = first + tool if tool is not None else min(after, len(words) - 1)
    marks: dict[str, Any] = {}
    for slot in said.slots:
        inside = [n for n, (left, right) in enumerate(places) if left < start + slot.end and right > start + slot.start]
        marks[slot.name] = {"words": _quote(words, inside[0], inside[-1] + 1), "value": slot.value}
    for slot, value in fixed.items():
        n = first + known[slot] if slot in known else min(after, len(words) - 1)
        marks[slot] = {"value": value} if n <= at and clear else {"words": _quote(words, n, n + 1), "value": value}
    optional = {
        slot for slot in fixed if (intent, slot) in language.optional or slot == "domain" and "device_class" in marks
    }
    args = {slot: [mark["value"], *([""] if slot in optional else [])] for slot, mark in marks.items()}
    return {"name": intent, "args": args}, {"tool": _quote(words, at, at + 1), "args": marks}, clear


def _clear(language: _Language, said: Any, own: Sequence[str]) -> tuple[int | None, dict[str, int]]:
    """The word of a sentence after which its tool is clear, and those of its fixed slots; none for what only the end
    tells.

    Raises:
        _Other: its beginning is what a listener takes for another command.
    """
    spaces, intent, fixed = language.vocabulary["spaces"], said.template.intent, said.template.fixed
    tool = None
    known: dict[str, Any] = {}
    for n in range(1, len(own) + 1):
        found, slots = language.grammar.known(joined(own[:n], spaces).lower() + (" " if spaces else ""))
        if found is None:
            continue
        if found != intent or any(fixed.get(slot) != value for slot, value in slots.items()):
            raise _Other
        tool = n - 1 if tool is None else tool
        for slot in slots:
            known.setdefault(slot, n - 1)
    return tool, known


def _quote(words: Sequence[str], start: int, end: int) -> str:
    """Words as the marks quote them, with a number where they are said more than once."""
    said, wanted = [plain(word) for word in words], [plain(word) for word in words[start:end]]
    found = [n for n in range(len(said) - len(wanted) + 1) if said[n : n + len(wanted)] == wanted]
    return " ".join(words[start:end]) + (f"#{found.index(start) + 1}" if len(found) > 1 else "")


def summary(code: str, count: int = 6) -> dict[str, Any]:
    """Counts of a language and a few of its test requests."""
    grammar = _language(code).grammar
    reasons: dict[str, int] = {}
    for _, why in grammar.rejected:
        reasons[why] = reasons.get(why, 0) + 1
    splits = {split: sum(len(some) for some in grammar.of(split).values()) for split in BEFORE}
    return {
        "package": provenance(),
        "intents": len(_language(code).tools),
        "templates": splits,
        "not_used": reasons,
        "requests": [(task.meta or {})["said"] for task in tasks("test", 0, count, code)],
    }


def _main(code: str = "en") -> None:
    print(json.dumps(summary(code), indent=1, ensure_ascii=False))

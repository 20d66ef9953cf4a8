"""One row as a task.

Owns the fields of a row, their form, and the reasons why a row can't be used. Does not know how values are found in
words (`data_gen.tasks.row_evidence`).

    {"id", "request", "calls": [{"name", "args": {parameter: [accepted values]}, "defaults"?: [parameters]}],
     "now"?, "words"?: [[text, start_s, end_s]], "answer"?: [accepted], "tags"?: [], "split"?, "tools"?, "spans"?:
     [marks], "hear_out"?, "turns"?: a conversation's, see `data_gen.tasks.conversation`, "results"?: [{"name", "args",
     "result"}] of the tools}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from data_gen.dialogue.turns import timed
from data_gen.gold import canonical, filled, read_calls, read_value, references
from data_gen.grounding.spans import Habits, marked, meant
from data_gen.seeds import child
from data_gen.speech.timing import CHARACTERS, speak
from data_gen.speech.words import is_unspaced, units
from data_gen.task import BadTask, GoldCall, Split, Task, Word
from data_gen.tasks.conversation import by_turns, ends_of, turns_of_row
from data_gen.tasks.own_tools import Named, Tools, acknowledged, shallow
from data_gen.tasks.recorded import recorded
from data_gen.tasks.rehearsal import check_quotable, rehearse_gold
from data_gen.tasks.row_evidence import grounded, heard_out
from midsentence.clock import NS_PER_S, parse_now
from midsentence.core.values import as_text
from midsentence.tools.foreign import shown, shown_param
from midsentence.tools.tool import Toolbox, ToolSpec

SHARES: Mapping[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
LONGEST_S = 3600
"""No request is longer."""
_KEYS = frozenset("id now request words calls answer tags split tools spans hear_out turns results".split())
_LIST = (list | tuple, "a list")
_KINDS: Mapping[str, tuple[Any, str]] = {
    "id": (str | int, "a text or a number"),
    "request": (str, "a text"),
    "words": _LIST,
    "split": (str, f"one of {', '.join(SHARES)}"),
    "spans": _LIST,
    "hear_out": (bool, "true or false"),
    "turns": _LIST,
    "results": _LIST,
}
"""What a row's fields hold, but for those that say so themselves. Something empty of another kind is not a field that
was left out."""
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")
"""As JSON writes it, behind no backslash that takes its own away."""


def task_of_row(row: Mapping[str, Any], shared: Tools | None, seed: int = 0, source: str = "jsonl") -> Task:
    """One row as a task.

    Raises:
        BadTask: the row can't be used; the text says why.
    """
    _check_form(row)
    id = str(row["id"])
    row = _as_shown(row)
    calls = row["calls"]
    tools = _tools(row, shared)
    ends = ends_of(row, len(row["request"].split())) if row.get("turns") else []
    if ends and (row.get("words") or row.get("answer")):
        raise BadTask(
            "it has turns: when they begin depends on the answers, and each has its own; leave out words and answer"
        )
    words = timed(row["request"].split(), ends, child(seed, id)) if ends else _words(row, child(seed, id))
    specs = {spec.name: spec for spec in tools.specs}
    for k, call in enumerate(calls, start=1):
        for name, values in call["args"].items():
            if not isinstance(values, list) or not values:
                raise BadTask(f"call {k}: {name} must be a list of accepted values, as [{json.dumps(values)}]")
    texts = [word.text for word in words]
    if strange := [call["name"] for call in calls if call["name"] not in specs]:
        raise BadTask(f"calls {strange[0]!r}, which is not among the tools: {', '.join(sorted(specs))}")
    asked = read_calls([(call["name"], call["args"]) for call in calls], specs)
    gold, reading = _gold(row, texts, ends, asked, specs, tools.habits)
    keys = [json.dumps([call.name, canonical(call)], sort_keys=True, default=str) for call in gold]
    if len(set(keys)) < len(keys):
        raise BadTask("the same call twice: the protocol refuses a second equal call")
    named = [*asked, *meant([name for name, _ in asked], row.get("spans", ()))]
    if "results" in row:
        tools = replace(tools, toolbox=partial(_recorded, tools.specs, row["results"]))
    rehearse = partial(rehearse_gold, gold, specs)
    results = rehearse(tools.toolbox(id, named))
    answers = tuple(read_value(text, len(gold)) for text in _listed(row.get("answer", ()), "answer"))
    if quoted := sorted(set(references(answers))):
        check_quotable(quoted, gold, specs, results, rehearse(tools.toolbox(id, named)))
        answers = tuple(as_text(filled(text, results)) for text in answers)
    split = row.get("split") or split_of(id)
    if split not in SHARES:
        raise BadTask(f"split is {split!r}; use one of {', '.join(SHARES)}, or leave it out")
    turns = turns_of_row(row, ends, gold, reading, specs) if ends else ()
    return Task(
        id,
        source,
        split,
        words,
        tools.specs,
        gold,
        partial(tools.toolbox, id, named),
        answers,
        now=row.get("now"),
        tags=tuple(_listed(row.get("tags", ()), "tags")),
        reading=reading,
        turns=turns,
    )


def _check_form(row: Mapping[str, Any]) -> None:
    """Refuses a row whose fields can't be read."""
    shallow(row, "it")
    text = json.dumps(row, ensure_ascii=False)
    text.encode()  # or it can't be written to any file
    if unknown := set(row) - _KEYS:
        raise BadTask(f"unknown field {min(unknown)!r}; use {', '.join(sorted(_KEYS))}")
    if missing := [name for name in ("id", "request") if row.get(name) in (None, "")]:
        raise BadTask(f"field {missing[0]!r} is missing or empty")
    for name, (kind, what) in _KINDS.items():
        if (value := row.get(name)) is not None and (
            not isinstance(value, kind) or isinstance(value, bool) and kind is not bool
        ):
            raise BadTask(f"{name} is {str(value)[:60]}; give {what}, or leave the field out")
    if _NUL.search(text):
        raise BadTask("it has a NUL character, which nobody says and no terminal shows; take it out")
    calls = row.get("calls")
    if not isinstance(calls, list):
        raise BadTask("field 'calls' is missing; give a list, an empty one where no tool is needed")
    if not calls and not row.get("answer") and not row.get("turns"):
        raise BadTask(
            "it has no call, so it needs an answer: what is said where no tool is needed, or the question back"
        )


def _tools(row: Mapping[str, Any], shared: Tools | None) -> Tools:
    """The row's own tools or the shared ones, at its date and time."""
    tools = acknowledged(row["tools"], "the row") if "tools" in row else shared
    if tools is None:
        raise BadTask("no tools: give tools=FILE or tools=assistant, or a field 'tools'")
    if row.get("now") in (None, ""):
        return tools
    parse_now(row["now"])
    return tools.at(row["now"]) if tools.at is not None else tools


def _recorded(specs: tuple[ToolSpec, ...], results: Any, id: str, calls: Sequence[Named]) -> Toolbox:
    return recorded(id, specs, results)


def _gold(
    row: Mapping[str, Any],
    texts: Sequence[str],
    ends: Sequence[int],
    asked: Sequence[Named],
    specs: Mapping[str, ToolSpec],
    habits: Habits,
) -> tuple[tuple[GoldCall, ...], Any]:
    """The gold calls with their evidence, and the reading of a row that has marks."""
    defaults = [frozenset(call.get("defaults") or ()) for call in row["calls"]]
    if row.get("hear_out") and "spans" in row:
        raise BadTask("it has both spans and hear_out; spans say which words mean what, so drop hear_out")
    if "spans" in row:
        return marked(texts, asked, row["spans"], specs, habits)
    if ends and all("calls" in turn for turn in row["turns"]):
        counts = [turn["calls"] for turn in row["turns"]]
        return by_turns(
            texts, ends, counts, asked, defaults, specs, partial(grounded, now=row.get("now")), heard_out
        ), None
    if row.get("hear_out"):
        return heard_out(texts, asked, specs), None
    return grounded(texts, asked, defaults, specs, row.get("now")), None


def _as_shown(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with tools and parameters by the names that calls are written with; for most that is their own."""
    named = {
        key: [_entry_as_shown(entry) for entry in row[key]]
        for key in ("calls", "spans")
        if isinstance(row.get(key), list)
    }
    return {**row, **named}


def _entry_as_shown(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    made = dict(entry)
    if isinstance(entry.get("name"), str):
        made["name"] = shown(entry["name"])
    if isinstance(entry.get("args"), Mapping):
        made["args"] = {shown_param(name): value for name, value in entry["args"].items()}
    return made


def _listed(value: Any, name: str) -> Sequence[str]:
    if not isinstance(value, str | list | tuple):
        raise BadTask(f"{name} is {str(value)[:60]}; give a text or a list of texts")
    return [value] if isinstance(value, str) else value


def _words(row: Mapping[str, Any], seed: int) -> tuple[Word, ...]:
    """The row's own timings, unchanged, or spoken ones."""
    if not row.get("words"):
        text = row["request"]
        return speak(units(text), seed, CHARACTERS) if is_unspaced(text) else speak(text.split(), seed)
    words = tuple(
        Word(text, _moment_ns(text, start_s), _moment_ns(text, end_s)) for text, start_s, end_s in row["words"]
    )
    texts, said = [word.text for word in words], row["request"].split()
    if texts != said and not (is_unspaced(row["request"]) and "".join(texts) == "".join(said)):
        raise BadTask(f"its words say {' '.join(word.text for word in words)[:60]!r}, which is not the request")
    for word in words:
        if word.start_ns > word.end_ns:
            raise BadTask(f"word {word.text!r} lasts from {word.start_ns / NS_PER_S} to {word.end_ns / NS_PER_S} s")
    return words


def _moment_ns(word: str, at_s: Any) -> int:
    """A time of a row's own in nanoseconds; text would be multiplied letter by letter, and what is endless never
    ends."""
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s <= LONGEST_S:
        raise BadTask(
            f"word {str(word)[:40]!r} has time {str(at_s)[:40]!r}; give seconds, 0 to {LONGEST_S}, as a number"
        )
    return round(at_s * NS_PER_S)


def split_of(id: str) -> Split:
    """The split that an id hashes to."""
    unit = child(0, "jsonl", id) / (1 << 63)
    return (
        "train" if unit < SHARES["train"] else "validation" if unit < SHARES["train"] + SHARES["validation"] else "test"
    )

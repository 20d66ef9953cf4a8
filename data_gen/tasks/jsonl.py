"""Bring your own: tools and spoken requests from two files become the same `Task` as everybody else's.

Owns the reading of the two files, the split, and the reasons why a row can't be used. Does not know how values are found in
words (`data_gen.grounding.arguments`) and what other projects' rows look like (`data_gen.tasks.formats` turns them into ours).
`docs/bring-your-own.md` has a worked example.

    {"id", "request", "calls": [{"name", "args": {parameter: [accepted values]}, "defaults"?: [parameters]}],
     "now"?, "words"?: [[text, start_s, end_s]], "answer"?: [accepted], "tags"?: [], "split"?, "tools"?, "spans"?: [marks], "hear_out"?,
     "turns"?: a conversation's, see `data_gen.tasks.conversation`, "results"?: [{"name", "args", "result"}] of the tools}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from data_gen.dialogue.turns import timed
from data_gen.files import text_of
from data_gen.gold import canonical, filled, gold_args, read_calls, read_value, references
from data_gen.grounding.arguments import ground
from data_gen.grounding.spans import Habits, marked, meant
from data_gen.seeds import child
from data_gen.speech.timing import CHARACTERS, speak
from data_gen.speech.words import is_unspaced, units
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Split, Task, Word
from data_gen.tasks import formats, written
from data_gen.tasks.bfcl import AckToolbox
from data_gen.tasks.conversation import by_turns, ends_of, turns_of_row
from data_gen.tasks.gathered import content as content_of
from data_gen.tasks.gathered import is_hub
from data_gen.tasks.recorded import recorded
from midsentence.clock import NS_PER_S, parse_now
from midsentence.core.protocol import as_text
from midsentence.files import path_of
from midsentence.tools.assistant import AssistantToolbox, assistant_specs
from midsentence.tools.foreign import shown, shown_param, tool_specs
from midsentence.tools.python_file import load_tools_file
from midsentence.tools.tool import Json, Toolbox, ToolFailure, ToolSpec, mismatch

SHARES: Mapping[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
DEEPEST = 32
"""Levels of lists and objects in a row or a tool."""
LONGEST_S = 3600
"""No request is longer."""
_KEYS = frozenset("id now request words calls answer tags split tools spans hear_out turns results".split())
_LIST = (list | tuple, "a list")
_KINDS: Mapping[str, tuple[Any, str]] = {
    "id": (str | int, "a text or a number"), "request": (str, "a text"), "words": _LIST,
    "split": (str, f"one of {', '.join(SHARES)}"), "spans": _LIST, "hear_out": (bool, "true or false"), "turns": _LIST, "results": _LIST,
}
"""What a row's fields hold, but for those that say so themselves. Something empty of another kind is not a field that was left out."""
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")
"""As JSON writes it, behind no backslash that takes its own away."""
RESULTS = ("string", "integer", "number", "boolean", "array", "object")
"""What a tool without an implementation may say that it returns."""
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""The id of a data set on the hub, alone."""

Named = tuple[str, Mapping[str, GoldArg]]
"""A call that a row names: its tool, and what is accepted by parameter."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a tools file holds."""

    specs: tuple[ToolSpec, ...]
    toolbox: Callable[[str, Sequence[Named]], Toolbox]
    """From a task's id and its row's calls, a fresh world."""
    habits: Habits = Habits()
    """What is so of them in every request."""
    at: Callable[[str], Tools] | None = None
    """The same tools for a request made at this date and time, if they take what is said of times."""


def tools_of(given: str) -> Tools | None:
    """The tools that ``tools=`` names: ``assistant``, a Python file, or a JSON file; None for none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no usable tools; the text names the tool and the fix.
    """
    if not given:
        return None
    if given == "assistant":
        return Tools(assistant_specs(), _assistant, written.HABITS, _assistant_at)
    path = path_of(given)
    if not path.is_file():
        raise FileNotFoundError(f"no tools file {given}; give a .json or .py file, or tools=assistant")
    if path.suffix == ".py":
        return _python_tools(path)
    try:
        listed = json.loads(text_of(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{given} is no JSON ({error}); give a list of tools with JSON schemas") from None
    return acknowledged(listed, given)


@dataclass(slots=True)
class Acknowledging(AckToolbox):
    """Tools without an implementation: every call succeeds and says so in the type that the tool declares."""

    returns: Mapping[str, str] = field(default_factory=dict)
    """Types of results by tool, as the tools file's field "returns" has them; text where it is silent."""

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """A pseudo result, the same whenever it is asked again; writes go into the log of effects."""
        if name not in self.specs:
            raise ToolFailure(f"no tool {name!r}: use {', '.join(self.specs)}")
        if self.specs[name].access == "write":
            self.effects.append((name, dict(args)))
        digest = self._digest("result", name, args)
        number = int.from_bytes(digest[:4], "big")
        match self.returns.get(name, "string"):
            case "integer":
                return number % 100
            case "number":
                return number % 10_000 / 100
            case "boolean":
                return bool(number % 2)
            case "array":
                return [f"{name}-{digest.hex()[:6]}"]
            case "object":
                return {"status": "ok", "id": digest.hex()[:6]}
        return f"{name}-{digest.hex()[:6]}"


def acknowledged(listed: Any, where: str) -> Tools:
    """Tools from a list of JSON-schema functions, all of which acknowledge their calls."""
    shallow(listed, f"{where}: a tool")
    specs = tool_specs(listed, where)
    returns = {}
    for entry, spec in zip(listed, specs):
        kind = entry.get("returns", entry.get("function", entry).get("returns", "string"))
        returns[spec.name] = kind.get("type", "string") if isinstance(kind, Mapping) else kind
        if returns[spec.name] not in RESULTS:
            raise ValueError(f"{where}: tool {spec.name} returns {kind!r}; use one of {', '.join(RESULTS)}")
    return Tools(specs, partial(_acknowledging, specs, returns))


def shallow(value: Any, what: str) -> None:
    """Refuses what is nested deeper than anybody means, before something that follows it runs out of stack.

    Raises:
        BadTask: names ``what`` is nested.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [each for one in level if isinstance(one, list | Mapping) for each in (one.values() if isinstance(one, Mapping) else one)]
        if not level:
            return
    raise BadTask(f"{what} is nested more than {DEEPEST} levels deep")


def _python_tools(path: Path) -> Tools:
    """The `@tool` functions of a Python file; ``new_state()`` in it makes the state of those that take one.

    A ``new_state(now="…")`` gets the row's date and time, and ``HABITS`` in the file are its tools' `Habits`.
    """
    file = load_tools_file(path)
    habits = getattr(file.module, "HABITS", Habits())
    if not isinstance(habits, Habits):
        raise ValueError(f"{path}: HABITS is {habits!r}; make it a data_gen.grounding.spans.Habits")

    def at(now: str | None) -> Tools:
        def toolbox(id: str, calls: Sequence[Named]) -> Toolbox:
            return file.toolbox(id, now)

        specs = tuple(tool.spec for tool in file.tools)
        return Tools(specs, toolbox, habits, at if file.dated else None)

    return at(None)


def _assistant(id: str, calls: Sequence[Named], now: str | None = None) -> Toolbox:
    return AssistantToolbox(written.world(calls), id, now=now)


def _assistant_at(now: str) -> Tools:
    return Tools(assistant_specs(now=now), partial(_assistant, now=now), written.HABITS)


def _acknowledging(specs: tuple[ToolSpec, ...], returns: Mapping[str, str], id: str, calls: Sequence[Named]) -> Toolbox:
    return Acknowledging(id, specs, returns=returns)


@dataclass(slots=True)
class Loaded:
    """What became of a requests file."""

    tasks: list[Task] = field(default_factory=list)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    """The fields of each task's row, by which it can be told again."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason of every row that can't be used."""


def load(requests: str, tools: str, seed: int = 0, source: str = "jsonl", hear_out: bool = False) -> Loaded:
    """All usable rows of a requests file, of every split, and the reasons against the others.

    Args:
        requests: a file of rows, a folder of such files, or ``hf://datasets/OWNER/NAME@COMMIT``; see the module and
            `data_gen.tasks.formats`.
        tools: see `tools_of`.
        seed: root seed of the speech.
        source: the tasks' source.
        hear_out: whether the whole request is the evidence of every row, as a row's own field "hear_out" says of it.
    """
    path = path_of(requests)
    if not requests or not (path.exists() or is_hub(requests)):
        raise FileNotFoundError(_no_file(requests, path))
    own = path_of(tools)
    content = content_of(requests, path) + (hashlib.sha256(own.read_bytes()).hexdigest() if own.is_file() else "")
    return _load(requests, str(path), tools, seed, source, hear_out, content)


def _no_file(requests: str, path: Path) -> str:
    """What to do where there is no file of that name."""
    if _HUB_ID.fullmatch(requests) and path.suffix not in formats.FILES and not path.parent.is_dir():
        return f"no requests file {requests!r}; if it is a data set of the hub, give requests=hf://datasets/{requests}@COMMIT, of 40 digits"
    return f"no requests file {requests!r}; give requests=FILE, a JSON row a line"


@lru_cache(maxsize=4)
def _load(requests: str, path: str, tools: str, seed: int, source: str, hear_out: bool, content: str) -> Loaded:
    shared = tools_of(tools)
    loaded = Loaded()
    seen: dict[str, str] = {}
    for name, row in formats.rows(requests, Path(path), shared.specs if shared else ()):
        try:
            if isinstance(row, BadTask):
                raise row
            made = task({"hear_out": hear_out} | dict(row), shared, seed, source)
            if made.id in seen:
                raise BadTask(f"its id {made.id!r} is that of {seen[made.id]} already")
            seen[made.id] = name
            loaded.tasks.append(made)
            loaded.rows.append(row)
        except Exception as error:  # one row never ends a run; its tools, which may be the user's own, can raise anything
            loaded.rejected.append((name, _reason(error)))
    return loaded


def _reason(error: Exception) -> str:
    """Why a row can't be used, in text that can be written and printed."""
    match error:
        case UnicodeError():
            return "it has half a character (a lone surrogate), which no file can hold; write the whole one"
        case RecursionError():
            return "it is nested too deeply"
        case ValueError():
            return str(error)
    return f"{type(error).__name__}: {error}"


def task(row: Mapping[str, Any], shared: Tools | None, seed: int = 0, source: str = "jsonl") -> Task:
    """One row as a task.

    Raises:
        BadTask: the row can't be used; the text says why.
    """
    shallow(row, "it")
    written = json.dumps(row, ensure_ascii=False)
    written.encode()  # or it can't be written to any file
    if unknown := set(row) - _KEYS:
        raise BadTask(f"unknown field {min(unknown)!r}; use {', '.join(sorted(_KEYS))}")
    if missing := [name for name in ("id", "request") if row.get(name) in (None, "")]:
        raise BadTask(f"field {missing[0]!r} is missing or empty")
    for name, (kind, what) in _KINDS.items():
        if (value := row.get(name)) is not None and (not isinstance(value, kind) or isinstance(value, bool) and kind is not bool):
            raise BadTask(f"{name} is {str(value)[:60]}; give {what}, or leave the field out")
    if _NUL.search(written):
        raise BadTask("it has a NUL character, which nobody says and no terminal shows; take it out")
    id, calls = str(row["id"]), row.get("calls")
    if not isinstance(calls, list):
        raise BadTask("field 'calls' is missing; give a list, an empty one where no tool is needed")
    if not calls and not row.get("answer") and not row.get("turns"):
        raise BadTask("it has no call, so it needs an answer: what is said where no tool is needed, or the question back")
    row = _as_shown(row)
    calls = row["calls"]
    tools = acknowledged(row["tools"], "the row") if "tools" in row else shared
    if tools is None:
        raise BadTask("no tools: give tools=FILE or tools=assistant, or a field 'tools'")
    if row.get("now") not in (None, ""):
        parse_now(row["now"])
        tools = tools.at(row["now"]) if tools.at is not None else tools
    ends = ends_of(row, len(row["request"].split())) if row.get("turns") else []
    if ends and (row.get("words") or row.get("answer")):
        raise BadTask("it has turns: when they begin depends on the answers, and each has its own; leave out words and answer")
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
    defaults = [frozenset(call.get("defaults") or ()) for call in calls]
    reading = None
    if row.get("hear_out") and "spans" in row:
        raise BadTask("it has both spans and hear_out; spans say which words mean what, so drop hear_out")
    if "spans" in row:
        gold, reading = marked(texts, asked, row["spans"], specs, tools.habits)
    elif ends and all("calls" in turn for turn in row["turns"]):
        counts = [turn["calls"] for turn in row["turns"]]
        gold = by_turns(texts, ends, counts, asked, defaults, specs, partial(_grounded, now=row.get("now")), _heard_out)
    else:
        gold = _heard_out(texts, asked, specs) if row.get("hear_out") else _grounded(texts, asked, defaults, specs, row.get("now"))
    keys = [json.dumps([call.name, canonical(call)], sort_keys=True, default=str) for call in gold]
    if len(set(keys)) < len(keys):
        raise BadTask("the same call twice: the protocol refuses a second equal call")
    named = [*asked, *meant([name for name, _ in asked], row.get("spans", ()))]
    if "results" in row:
        listed = tools.specs
        tools = replace(tools, toolbox=lambda id, calls: recorded(id, listed, row["results"]))
    rehearse = partial(_rehearse, gold, specs)
    results = rehearse(tools.toolbox(id, named))
    answers = tuple(read_value(text, len(gold)) for text in _listed(row.get("answer", ()), "answer"))
    if quoted := sorted(set(references(answers))):
        _quotable(quoted, gold, specs, results, rehearse(tools.toolbox(id, named)))
        answers = tuple(as_text(filled(text, results)) for text in answers)
    split = row.get("split") or split_of(id)
    if split not in SHARES:
        raise BadTask(f"split is {split!r}; use one of {', '.join(SHARES)}, or leave it out")
    turns = turns_of_row(row, ends, gold, reading, specs) if ends else ()
    return Task(
        id, source, split, words, tools.specs, gold, partial(tools.toolbox, id, named), answers,
        now=row.get("now"), tags=tuple(_listed(row.get("tags", ()), "tags")), reading=reading, turns=turns,
    )


def _as_shown(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with tools and parameters by the names that calls are written with; for most that is their own."""
    named = {key: [_entry_as_shown(entry) for entry in row[key]] for key in ("calls", "spans") if isinstance(row.get(key), list)}
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
    words = tuple(Word(text, _moment_ns(text, start_s), _moment_ns(text, end_s)) for text, start_s, end_s in row["words"])
    texts, said = [word.text for word in words], row["request"].split()
    if texts != said and not (is_unspaced(row["request"]) and "".join(texts) == "".join(said)):
        raise BadTask(f"its words say {' '.join(word.text for word in words)[:60]!r}, which is not the request")
    for word in words:
        if word.start_ns > word.end_ns:
            raise BadTask(f"word {word.text!r} lasts from {word.start_ns / NS_PER_S} to {word.end_ns / NS_PER_S} s")
    return words


def _moment_ns(word: str, at_s: Any) -> int:
    """A time of a row's own in nanoseconds; text would be multiplied letter by letter, and what is endless never ends."""
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s <= LONGEST_S:
        raise BadTask(f"word {str(word)[:40]!r} has time {str(at_s)[:40]!r}; give seconds, 0 to {LONGEST_S}, as a number")
    return round(at_s * NS_PER_S)


def _grounded(
    words: Sequence[str], asked: Sequence[Named], defaults: Sequence[frozenset[str]], specs: Mapping[str, ToolSpec], now: str | None
) -> tuple[GoldCall, ...]:
    """Gold whose evidence grounding finds; a value of ``defaults`` is given where the words say it, and may be left out elsewhere."""
    loose = []
    for k, ((name, args), free) in enumerate(zip(asked, defaults), start=1):
        required = {param.name for param in specs[name].params if param.required}
        loose.append((name, {
            param: replace(
                arg, values=tuple(_exact(value, f"call {k}: {param}") for value in arg.values),
                optional=arg.optional or param in free - required and "" not in arg.values)
            for param, arg in args.items()
        }))
    found = []
    for gold, free in zip(ground(words, loose, specs, now), defaults):
        said = free & gold.arg_evidence.keys()
        found.append(replace(gold, args={name: _given(arg) if name in said else arg for name, arg in gold.args.items()}))
    return tuple(found)


def _given(arg: GoldArg) -> GoldArg:
    """An argument that has to be given, for the words say it."""
    return GoldArg(tuple(value for value in arg.values if value != ""))


def _exact(value: Any, where: str, inside: bool = False) -> Any:
    """A value as grounding takes it, which reads the lists in an object as alternatives: here each field has the value that it has."""
    if isinstance(value, Mapping):
        return {name: [_exact(item, f"{where}.{name}", True)] for name, item in value.items()}
    if isinstance(value, list):
        return [_exact(item, where, inside) for item in value]
    if inside and value == "":
        raise BadTask(f'{where} is "", which no words say; leave the field out, or give spans or hear_out')
    return value


def _heard_out(words: Sequence[str], asked: Sequence[Named], specs: Mapping[str, ToolSpec]) -> tuple[GoldCall, ...]:
    """Gold whose evidence is the whole request: nobody said which words mean what, so the expert hears it out."""
    whole = Evidence(0, len(words))
    gold = []
    for name, args in asked:
        needed = {param.name for param in specs[name].params if param.required}
        given = [p for p, arg in args.items() if p in needed or not arg.left_out and arg.values[0] != ""]
        said = [p for p in given if not references(args[p].values[0])]
        gold.append(GoldCall(name, args, whole, dict.fromkeys(said, whole)))
    return tuple(gold)


def _rehearse(gold: Sequence[GoldCall], specs: Mapping[str, ToolSpec], toolbox: Toolbox) -> dict[int, Json]:
    """Makes sure that the tools themselves take the gold calls; gives their results."""
    results: dict[int, Json] = {}
    for k, call in enumerate(gold, start=1):
        # nothing at all, for a parameter that can't be left out, is a value like any other
        needed = {param.name for param in specs[call.name].params if param.required}
        args = {name: value for name, value in gold_args(call, results).items() if name in needed or value != ""}
        if late := references(args):
            raise BadTask(f"call {k} takes ${late[0]}, the result of a call that is not before it")
        for param in specs[call.name].params:
            if param.name in args and (why := mismatch(args[param.name], param.schema)) is not None:
                raise BadTask(f"call {k}: {call.name}.{param.name} {why}; mend the value, or what the tool that it comes from returns")
        try:
            results[k] = toolbox.run(call.name, args)
        except ToolFailure as error:
            raise BadTask(f"call {k} is refused by its own tool: {error}") from None
    return results


def _quotable(
    quoted: Sequence[int], gold: Sequence[GoldCall], specs: Mapping[str, ToolSpec], results: Mapping[int, Json], again: Mapping[int, Json]
) -> None:
    """Makes sure that an answer that quotes results comes after them, and that they are what they were in rehearsal."""
    taken = {n for call in gold for n in references(canonical(call))}
    for k in quoted:
        name, args = gold[k - 1].name, gold[k - 1].args
        if specs[name].access == "write":
            raise BadTask(f"the answer quotes ${k}, but {name} is a write, and no answer waits for what a write returns; leave it out")
        if k in taken:
            raise BadTask(f"the answer quotes ${k}, but another call takes it, and the answer does not wait for it; leave it out")
        if results[k] != again[k]:
            raise BadTask(f"the answer quotes ${k}, but {name} returns something else each time; leave it out")
        if free := [param for param, arg in args.items() if arg.optional]:
            raise BadTask(f"the answer quotes ${k}, but {name} may be called without {free[0]}, which may change it; leave it out")


def split_of(id: str) -> Split:
    """The split that an id hashes to."""
    unit = child(0, "jsonl", id) / (1 << 63)
    return "train" if unit < SHARES["train"] else "validation" if unit < SHARES["train"] + SHARES["validation"] else "test"


def tasks(split: Split, requests: str, tools: str, seed: int = 0) -> tuple[Task, ...]:
    """The split's tasks.

    Raises:
        ValueError: the split has none; the text says how many the others have.
    """
    loaded = load(requests, tools, seed)
    found = tuple(task for task in loaded.tasks if task.split == split)
    if not found:
        counts = Counter(task.split for task in loaded.tasks)
        why = f"; the first of {len(loaded.rejected)} rejected: {': '.join(loaded.rejected[0])}" if loaded.rejected else ""
        raise ValueError(
            f"{requests} has no usable row in split {split!r} (train {counts['train']}, validation {counts['validation']}, "
            f"test {counts['test']}); add rows, give rows a field \"split\", or set data.sizes.{split}=0{why}"
        )
    return found


def rejected(requests: str, tools: str, seed: int = 0) -> tuple[tuple[str, str], ...]:
    """The rows kept out: name and reason."""
    return tuple(load(requests, tools, seed).rejected)

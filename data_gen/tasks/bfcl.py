"""Tasks from the Berkeley function-calling leaderboard (BFCL v4): single-turn, several calls or several tools.

Owns the reading of its rows out of the wheel (as a zip; nothing of it is imported), the tools made from its function
documents, and the fixed split. Does not know how arguments are found in words (`data_gen.grounding.arguments`) or how
calls are scored (`eval.measures.bfcl`). Rows that can't be used are named with their reason by `rejected`.

    python -m data_gen.tasks.bfcl               # counts: rows, used, kept out by reason, how tools are revealed
    python -m data_gen.tasks.bfcl splits        # writes bfcl_splits.json anew
    python -m data_gen.tasks.bfcl unclassified  # used functions that the table of classes does not name
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

from data_gen.files import lines_of
from data_gen.gold import canonical, read_calls
from data_gen.grounding.arguments import ground
from data_gen.seeds import child
from data_gen.speech.timing import speak
from data_gen.task import BadTask, GoldCall, Split, Task
from midsentence.assets import asset_path
from midsentence.clock import NS_PER_S
from midsentence.ending import UserError, program
from midsentence.tools.tool import Access, Json, Param, ToolSpec

CATEGORIES = ("parallel", "parallel_multiple", "multiple", "live_parallel", "live_parallel_multiple")
"""``parallel``: one tool, several calls; ``multiple``: several tools, one call (reported apart); ``live``: written by
users."""
SPLITS_FILE = Path(__file__).with_name("bfcl_splits.json")
CLASSES_FILE = Path(__file__).with_name("bfcl_classes.json")
SHARES: Mapping[Split, float] = {"train": 0.6, "validation": 0.1, "test": 0.3}

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the leaderboard, as it stands in the wheel."""

    id: str
    """As the leaderboard names it."""
    category: str
    """The part of the leaderboard that it is from."""
    messages: tuple[Mapping[str, str], ...]
    """What the user says, with roles."""
    functions: tuple[Mapping[str, Any], ...]
    """Function documents."""
    answers: tuple[Mapping[str, Mapping[str, Sequence[Any]]], ...]
    """Possible answers, a call each: function name to accepted values by parameter."""

    @property
    def gold_names(self) -> frozenset[str]:
        """The functions that the row's gold calls call."""
        return frozenset(name for answer in self.answers for name in answer)


def rows(wheel: Path | None = None, categories: Sequence[str] = CATEGORIES) -> tuple[Row, ...]:
    """All rows of the categories, in the leaderboard's order.

    Raises:
        ValueError: an unknown category, or a file that is not the leaderboard's wheel.
    """
    if unknown := set(categories) - set(CATEGORIES):
        raise ValueError(f"unknown category {sorted(unknown)[0]!r}; use some of {', '.join(CATEGORIES)}")
    wheel = wheel or asset_path("bfcl")
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for category in categories:
            answers = {
                row["id"]: row["ground_truth"] for row in _lines(archive, f"possible_answer/BFCL_v4_{category}.json")
            }
            for row in _lines(archive, f"BFCL_v4_{category}.json"):
                found.append(
                    Row(
                        row["id"],
                        category,
                        tuple(row["question"][0]),
                        tuple(row["function"]),
                        tuple(answers[row["id"]]),
                    )
                )
    return tuple(found)


def _lines(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    path = f"bfcl_eval/data/{name}"
    if path not in archive.namelist():
        raise ValueError(f"{archive.filename} has no {path}; give the wheel of bfcl-eval 2026.3.23")
    for line in lines_of(archive.read(path).decode("utf-8")):
        if line.strip():
            yield json.loads(line)


def json_schema_of(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's document in BFCL's words as JSON schema: type words translated, defaults and prose left out."""
    schema: dict[str, Any] = {}
    kind = _TYPES.get(doc["type"], doc["type"]) if "type" in doc else None
    if kind is not None:
        schema["type"] = kind
    if "enum" in doc:
        schema["enum"] = list(doc["enum"])
    if isinstance(doc.get("items"), Mapping):
        schema["items"] = json_schema_of(doc["items"])
    if isinstance(doc.get("properties"), Mapping):
        schema["properties"] = {name: json_schema_of(part) for name, part in doc["properties"].items()}
        if doc.get("required"):
            schema["required"] = list(doc["required"])
    return schema


def tool_spec(doc: Mapping[str, Any]) -> ToolSpec:
    """A tool from its function document; its class comes from the reviewed table, ``write`` where that is silent."""
    properties, required = doc["parameters"]["properties"], set(doc["parameters"].get("required", ()))
    params = tuple(
        Param(name, json_schema_of(part), name in required, part.get("description", ""))
        for name, part in properties.items()
    )
    return ToolSpec(doc["name"], params, classes().get(doc["name"], "write"), doc.get("description", ""))


@lru_cache(maxsize=1)
def classes() -> Mapping[str, Access]:
    """The reviewed table: function name to class."""
    by_class = json.loads(CLASSES_FILE.read_text(encoding="utf-8"))
    if unknown := set(by_class) - set(get_args(Access)):
        raise ValueError(
            f"{CLASSES_FILE.name}: unknown class {sorted(unknown)[0]!r}; use {', '.join(get_args(Access))}"
        )
    return {name: access for access, names in by_class.items() for name in names}


@dataclass(slots=True)
class AckToolbox:
    """Tools without an implementation: every call succeeds and says so; writes are kept in a log of effects."""

    task_id: str
    """Seed of the latencies."""
    tools: tuple[ToolSpec, ...]
    """The tools that there are."""
    effects: list[tuple[str, dict[str, Json]]] = field(default_factory=list)
    """Every write that ran, in order."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by name."""
        return {tool.name: tool for tool in self.tools}

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Acknowledges the call: a pseudo value for a read, an id for a write, the same whenever it is asked again."""
        digest = self._digest("result", name, args)
        if self.specs[name].access == "write":
            self.effects.append((name, dict(args)))
            return {"status": "ok", "id": digest.hex()[:8]}
        return {"status": "ok", "value": int.from_bytes(digest[:4], "big") % 10_000}

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """Uniform over 0.5 to 1 s, drawn by a hash of task, tool and arguments."""
        draw = int.from_bytes(self._digest("latency", name, args)[:8], "big")
        return NS_PER_S // 2 + draw % (NS_PER_S // 2)

    def elsewhere(self) -> AckToolbox:
        """The same tools where they acknowledge with other values, which nobody knows before."""
        return replace(self, task_id=f"{self.task_id}/elsewhere", effects=[])

    def _digest(self, use: str, name: str, args: Mapping[str, Json]) -> bytes:
        text = json.dumps([use, self.task_id, name, dict(args)], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).digest()


def grounded(row: Row) -> tuple[tuple[str, ...], tuple[ToolSpec, ...], tuple[GoldCall, ...]]:
    """A row's words, tools and gold calls.

    Raises:
        BadTask: the row can't be used; the text begins with the kind of reason, then a colon.
    """
    if len(row.messages) != 1:
        raise BadTask("more than one message: the request is not the only text")
    words = tuple(row.messages[0]["content"].split())
    tools = tuple(tool_spec(doc) for doc in row.functions)
    calls = [(name, args) for answer in row.answers for name, args in answer.items()]
    specs = {tool.name: tool for tool in tools}
    gold = ground(words, read_calls(calls, specs, linked=False), specs)
    keys = [json.dumps([call.name, canonical(call)], sort_keys=True) for call in gold]
    if len(set(keys)) < len(keys):
        raise BadTask("the same call twice: the protocol refuses a second equal call")
    return words, tools, gold


@lru_cache(maxsize=8)
def _sorted_out(
    wheel: Path | None, categories: tuple[str, ...]
) -> tuple[tuple[tuple[Row, Any], ...], tuple[tuple[str, str], ...]]:
    used, out = [], []
    for row in rows(wheel, categories):
        try:
            used.append((row, grounded(row)))
        except BadTask as error:
            out.append((row.id, str(error)))
    return tuple(used), tuple(out)


def tasks(
    split: Split, seed: int, categories: Sequence[str] = CATEGORIES[:2], wheel: Path | None = None
) -> tuple[Task, ...]:
    """The split's tasks, spoken.

    Args:
        split: ``train``, ``validation`` or ``test``.
        seed: root seed of the speech; a task's own is a hash of it and the task's id.
        categories: some of `CATEGORIES`; by default those with several calls.
        wheel: the wheel of bfcl-eval; the fetched asset by default.
    """
    if split not in SHARES:
        raise ValueError(f"unknown split {split!r}; use one of {', '.join(SHARES)}")
    table = splits()
    made = []
    for row, (words, tools, gold) in _sorted_out(wheel, tuple(categories))[0]:
        if split_of(row, table) != split:
            continue
        meta = {"category": row.category, "functions": row.functions, "possible_answers": row.answers}
        live = ("live",) if row.category.startswith("live_") else ()
        made.append(
            Task(
                row.id,
                "bfcl",
                split,
                speak(words, child(seed, row.id)),
                tools,
                gold,
                partial(AckToolbox, row.id, tools),
                tags=(row.category, *live),
                meta=meta,
            )
        )
    return tuple(made)


def rejected(
    categories: Sequence[str] = CATEGORIES, wheel: Path | None = None, split: Split | None = None
) -> tuple[tuple[str, str], ...]:
    """The rows kept out, of one split or of all: id and reason."""
    out = _sorted_out(wheel, tuple(categories))[1]
    if split is None:
        return out
    table = splits()
    there = {row.id for row in rows(wheel, tuple(categories)) if split_of(row, table) == split}
    return tuple((id, reason) for id, reason in out if id in there)


def splits() -> Mapping[str, Split]:
    """The committed split: gold function name to split."""
    table: Mapping[str, Split] = json.loads(SPLITS_FILE.read_text(encoding="utf-8"))
    return table


def split_of(row: Row, table: Mapping[str, Split]) -> Split:
    """The split of a row's gold functions, which all have the same; ``train`` for functions that the table does not
    know."""
    found = {table.get(name, "train") for name in row.gold_names}
    if len(found) != 1:
        raise ValueError(
            f"row {row.id}: its functions lie in several splits, {sorted(found)}; make the split anew with "
            "python -m data_gen.tasks.bfcl splits"
        )
    return found.pop()


def make_splits(all_rows: Sequence[Row], used: frozenset[str]) -> dict[str, Split]:
    """A split by function name: rows that share a gold function stay together.

    Components come largest first, then in the order of a hash, and each goes to the split that lacks the largest share
    of its used rows. Rows kept out count for nothing but have a split, so that better grounding moves no function.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for row in all_rows:
        first, *others = sorted(row.gold_names)
        for other in others:
            parent[root(other)] = root(first)
    weight = Counter(root(min(row.gold_names)) for row in all_rows if row.id in used)
    order = sorted(
        {root(name) for name in list(parent) or ()} | {root(min(row.gold_names)) for row in all_rows},
        key=lambda name: (-weight[name], hashlib.sha256(name.encode()).hexdigest()),
    )
    filled: Counter[str] = Counter()
    chosen: dict[str, Split] = {}
    for component in order:
        split = max(SHARES, key=lambda name: SHARES[name] * (len(used) or 1) - filled[name])
        chosen[component] = split
        filled[split] += weight[component]
    return {name: chosen[root(name)] for name in sorted(set().union(*(row.gold_names for row in all_rows)))}


def summary(wheel: Path | None = None) -> dict[str, Any]:
    """Counts by category: rows, used, kept out by kind of reason, and from where on the tool is clear."""
    report = {}
    for category in CATEGORIES:
        used, out = _sorted_out(wheel, (category,))
        named: Counter[str] = Counter()
        for _, (words, tools, gold) in used:
            for call in gold:
                last = max((evidence.end for evidence in call.arg_evidence.values()), default=0)
                end = call.name_evidence.end
                named[
                    "only tool"
                    if len(tools) == 1
                    else "with the last argument or before"
                    if end <= last
                    else "end of the request"
                    if call.name_evidence.start == 0 and end == len(words)
                    else "after the last argument"
                ] += 1
        reasons = Counter(_kind(reason) for _, reason in out)
        by_split = Counter(split_of(row, splits()) for row, _ in used)
        report[category] = {
            "rows": len(used) + len(out),
            "used": len(used),
            "kept_out": dict(reasons.most_common()),
            "splits": dict(by_split),
            "tool_is_clear": dict(named),
        }
    return report


def _kind(reason: str) -> str:
    if "no words reveal" in reason:
        return "no words reveal: " + reason.split("(", 1)[1].split(")", 1)[0]
    return "gold disagrees with the function document" if reason.startswith("call ") else reason.split(":", 1)[0]


def main(arguments: list[str]) -> None:
    """Prints the counts, or writes the split, or lists what the table of classes lacks."""
    verb = arguments[0] if arguments else "summary"
    if verb not in ("summary", "splits", "unclassified"):
        raise UserError(f"unknown verb {verb!r}; use summary, splits or unclassified")
    if verb == "splits":
        used, _ = _sorted_out(None, CATEGORIES)
        table = make_splits(rows(), frozenset(row.id for row, _ in used))
        SPLITS_FILE.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", encoding="utf-8")
        print(f"wrote {SPLITS_FILE.name}: {dict(Counter(table.values()))} functions")
    elif verb == "unclassified":
        used, _ = _sorted_out(None, CATEGORIES)
        print("\n".join(sorted({doc["name"] for row, _ in used for doc in row.functions} - set(classes()))))
    else:
        print(json.dumps(summary(), indent=1))


if __name__ == "__main__":
    program(main, __doc__)

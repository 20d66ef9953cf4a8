"""Rows of other projects, turned into rows of `data_gen.tasks.rows`: xLAM/APIGen, Glaive v2, TinyAgent, and chat
messages.

Owns the look of a requests file: one JSON row a line, a list of rows (alone, or the one list of an object), one row,
TinyAgent's object of rows by id, a Parquet table, or a file of the markup (`data_gen.markup`) by its name's end; what a
row is shows in its own fields. Owns the spellings of a call, too. Does not know whether a row can be used. What can't
even be read comes out as the reason.

    xLAM/APIGen  {"query", "tools": JSON text, "answers": JSON text of [{"name", "arguments"}]}
    Glaive v2    {"system": "… functions … {JSON} {JSON}", "chat": "USER: … ASSISTANT: <functioncall> {…} …"}, one turn
    or several messages     {"messages": [{"role", "content", "tool_calls"?}], "tools": […]}, several turns:
    `data_gen.tasks.messages` ShareGPT     {"conversations": [{"from", "value"}], "tools"}, a call a turn of its own
    (APIGen-MT): the same TinyAgent    {id: {"input", "output": [{"type": "plan", "parsed_output": [{"tool_name",
    "tool_args"}]}, …]}}
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_gen import markup
from data_gen.files import lines_of, text_of
from data_gen.task import BadTask, Split
from data_gen.tasks import gathered, messages
from midsentence.tools.tool import ToolSpec

_OTHER_FILES = frozenset(".csv .tsv .xls .xlsx .arrow .feather .gz .bz2 .xz .zst .zip .tar .yaml .yml".split())
FILES = _OTHER_FILES | {".jsonl", ".ndjson", ".json", ".parquet", *markup.SUFFIXES}
"""How names of files with rows end, those included that are not read."""
_NESTED = ("calls", "tools", "spans", "words")
"""Fields that may be JSON text: a table's columns can't hold what differs from row to row."""
_TURN = re.compile(r"(USER|ASSISTANT|FUNCTION RESPONSE):\s*")
_GLAIVE_CALL = re.compile(
    r"""<functioncall>\s*\{\s*"name"\s*:\s*"([^"]+)"\s*(?:,\s*"arguments"\s*:\s*(.*?)\s*)?\}\s*(?:<\|endoftext\|>|$)""",
    re.S,
)


def rows(requests: str, path: Path, tools: Sequence[ToolSpec]) -> Iterator[tuple[str, Mapping[str, Any] | BadTask]]:
    """Every row of a file, of a folder, or of a data set of the hub: what it is called, and the row in our own format,
    or why it can't be read.

    Args:
        requests: what the user named.
        path: where that is, if it is no name of the hub.
        tools: the tools at hand; TinyAgent's arguments are positional, so their order is needed.
    """
    for name, row, split in _gathered(requests, path):
        if isinstance(row, BadTask):
            yield name, row
            continue
        try:
            made = ours(row, tools)
            yield name, {**made, "split": split} if split and not made.get("split") else made
        except BadTask as error:
            yield name, error
        except (ValueError, KeyError, TypeError, AttributeError, SyntaxError, RecursionError, MemoryError) as error:
            yield name, BadTask(f"can't be read as {kind(row)}: {type(error).__name__}: {error}")


def _gathered(requests: str, path: Path) -> Iterator[tuple[str, Any, Split | None]]:
    """Every row, with its place and the split that the place says."""
    if gathered.is_hub(requests):
        yield from (
            (name, _without_nulls(row), split) for name, row, split in gathered.told_apart(gathered.of_hub(requests))
        )
    elif path.is_file():
        yield from ((name, row, None) for name, row in _read(path))
    elif gathered.is_saved(path):
        yield from (
            (name, _without_nulls(row), split) for name, row, split in gathered.told_apart(gathered.tables(str(path)))
        )
    else:
        files = {str(file.relative_to(path)): file for file in gathered.files_in(path)}
        splits = gathered.with_splits(files)
        for place, file in files.items():
            yield from ((f"{place} {name}", row, splits[place]) for name, row in _read(file))


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix in _OTHER_FILES:
        raise ValueError(f"{path}: a {path.suffix} file is not read; save the rows as .jsonl, .json or .parquet")
    if path.suffix == ".parquet":
        yield from ((_name(f"row {n}", row), row) for n, row in enumerate(_table(path), start=1))
        return
    text = text_of(path)
    if path.suffix in markup.SUFFIXES:
        yield from markup.rows(text, path.suffix)
        return
    try:
        whole = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        if path.suffix == ".json" and text.lstrip().startswith("["):
            raise ValueError(f"{path} is no JSON ({error}); mend it, or give a row a line") from None
        whole = None
    if (
        isinstance(whole, dict)
        and kind(whole) == "unknown"
        and len(lists := [rows for rows in whole.values() if _are_rows(rows)]) == 1
    ):
        whole = lists[0]
    if isinstance(whole, list):
        yield from ((_name(f"row {n}", row), row) for n, row in enumerate(whole, start=1))
    elif (
        isinstance(whole, dict) and kind(whole) == "unknown" and all(kind(row) == "tinyagent" for row in whole.values())
    ):
        yield from ((f"row {id}", {"id": id, **row}) for id, row in whole.items())
    elif isinstance(whole, dict):
        yield _name("line 1", whole), whole
    else:
        for n, line in enumerate(lines_of(text), start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                    yield _name(f"line {n}", row), row
                except (json.JSONDecodeError, RecursionError) as error:
                    yield f"line {n}", BadTask(f"is no JSON: {error}")


def _are_rows(value: Any) -> bool:
    """Whether a value is a list of rows that somebody's reader knows."""
    return isinstance(value, list) and bool(value) and all(kind(row) != "unknown" for row in value)


def _table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, without what is null: a table has every column in every row."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is no Parquet file ({error}); save the rows anew") from None
    with file:
        if "spans" in file.schema_arrow.names and not _is_text(file.schema_arrow.field("spans").type):
            raise ValueError(
                f"{path}: column spans must be JSON text, for a null that takes an argument back is lost in a table"
            )
        for batch in file.iter_batches(batch_size=1024):
            yield from map(_without_nulls, batch.to_pylist())


def _is_text(type: Any) -> bool:
    return str(type) in ("string", "large_string", "string_view")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _name(place: str, row: Any) -> str:
    return f"{place} ({row['id']})" if isinstance(row, Mapping) and "id" in row else place


def kind(row: Any) -> str:
    """Whose row it is: ``own``, ``xlam``, ``glaive``, ``tinyagent``, ``messages``, ``sharegpt`` or ``unknown``."""
    fields = set(row) if isinstance(row, Mapping) else set()
    for name, needs in (
        ("own", {"request"}),
        ("xlam", {"query", "answers"}),
        ("glaive", {"system", "chat"}),
        ("tinyagent", {"input", "output"}),
        ("messages", {"messages"}),
        ("sharegpt", {"conversations"}),
    ):
        if needs <= fields:
            return name
    return "unknown"


def ours(row: Any, tools: Sequence[ToolSpec]) -> Mapping[str, Any]:
    """A row in our own format.

    Raises:
        BadTask: nobody's row, or one without calls to learn from.
    """
    match kind(row):
        case "own":
            return _own(row)
        case "xlam":
            return _xlam(row)
        case "glaive":
            return _glaive(row)
        case "tinyagent":
            return _tinyagent(row, tools)
        case "messages":
            return messages.row_of(row)
        case "sharegpt":
            return _sharegpt(row)
    raise BadTask(
        "is in no known format: give fields id, request and calls; messages and tools; xLAM's query and answers; Glaive's system and "
        f"chat; or TinyAgent's input and output; got {', '.join(map(str, row)) if isinstance(row, Mapping) else json.dumps(row)[:60]}"
    )


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    """Our own row, with its calls in one spelling."""
    found = dict(row)
    for name in _NESTED:
        if isinstance(row.get(name), str):
            try:
                found[name] = json.loads(row[name])
            except json.JSONDecodeError as error:
                raise BadTask(f"field {name!r} is a text that is no JSON: {error}") from None
    if isinstance(found.get("calls"), list):
        found["calls"] = [_own_call(k, call) for k, call in enumerate(found["calls"], start=1)]
    return found


def _own_call(number: int, call: Any) -> dict[str, Any]:
    """A gold call: accepted values in ``args``, or plain ones in ``arguments``, as the chat interfaces write a call."""
    if not isinstance(call, Mapping):
        raise BadTask(f'call {number} is {json.dumps(call)[:60]}; give {{"name", "args"}}')
    form = call["function"] if isinstance(call.get("function"), Mapping) else call
    doc = {name: value for name, value in form.items() if name not in ("id", "type", "index")}
    if unknown := set(doc) - {"name", "args", "arguments", "defaults"}:
        raise BadTask(f"call {number}: unknown field {min(unknown)!r}; use name and args")
    if not isinstance(doc.get("name"), str) or not doc["name"]:
        raise BadTask(f'call {number} has no name; give {{"name", "args"}}')
    if "args" in doc and "arguments" in doc:
        raise BadTask(
            f"call {number} has both args and arguments; give accepted values in args, or plain ones in arguments"
        )
    spelling = "arguments" if "arguments" in doc else "args"
    try:
        args = _json(doc.get(spelling) or {})
    except json.JSONDecodeError as error:
        raise BadTask(f"call {number}: {spelling} is a text that is no JSON: {error}") from None
    if not isinstance(args, Mapping):
        raise BadTask(f"call {number}: {spelling} must be an object of parameters, got {json.dumps(args)[:60]}")
    made = {
        "name": doc["name"],
        "args": {param: [value] for param, value in args.items()} if spelling == "arguments" else dict(args),
    }
    return made | ({"defaults": list(doc["defaults"])} if doc.get("defaults") else {})


def _xlam(row: Mapping[str, Any]) -> dict[str, Any]:
    listed, answers = _json(row.get("tools", "[]")), _json(row["answers"])
    calls = [_call(answer["name"], _json(answer.get("arguments") or {}), listed) for answer in answers]
    made = {"id": _id("xlam", row, row["query"]), "request": row["query"].strip(), "calls": calls, "tags": ["xlam"]}
    return made | ({"tools": listed} if listed else {})


def _glaive(row: Mapping[str, Any]) -> dict[str, Any]:
    listed = list(_objects(row["system"]))
    parts = _TURN.split(row["chat"])[1:]
    turns = [(who, said.replace("<|endoftext|>", "").strip()) for who, said in zip(parts[::2], parts[1::2])]
    id = _id("glaive", row, row["system"] + row["chat"])
    if sum(who == "USER" for who, _ in turns) > 1 and turns[0][0] == "USER":
        try:
            return _whole_chat(turns, listed) | {"id": id, "tags": ["glaive"]}
        except (BadTask, ValueError, KeyError, TypeError):
            pass  # its first call may be of use all the same
    if len(turns) < 2 or turns[0][0] != "USER":
        raise BadTask("the chat does not begin with a user's turn and an answer to it")
    if (found := _glaive_call(turns[1][1])) is None:
        raise BadTask("the first answer calls no function, so there is nothing to learn about streaming")
    return {"id": id, "request": turns[0][1], "calls": [_call(*found, listed)], "tools": listed, "tags": ["glaive"]}


def _glaive_call(said: str) -> tuple[str, Any] | None:
    """The call in an answer of Glaive's: its name and its arguments, which stand as JSON text in single quotes."""
    if (found := _GLAIVE_CALL.search(said)) is None:
        return None
    text = (found[2] or "{}").strip()
    return found[1], json.loads(text[1:-1].replace("\\'", "'")) if text.startswith("'") else _json(json.loads(text))


def _whole_chat(turns: Sequence[tuple[str, str]], listed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A chat of Glaive's with more than one turn, as the conversation that it is.

    Raises:
        BadTask: it can't be used.
    """
    told: list[dict[str, Any]] = []
    for who, said in turns:
        if who == "USER":
            told.append({"role": "user", "content": said})
        elif who == "FUNCTION RESPONSE":
            told.append({"role": "tool", "content": said})
        elif (call := _glaive_call(said)) is not None:
            told.append({"role": "assistant", "tool_calls": [{"function": {"name": call[0], "arguments": call[1]}}]})
        else:
            told.append({"role": "assistant", "content": said})
    return messages.row_of({"messages": told, "tools": list(listed)})


_SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "tool": "tool",
    "system": "system",
}


def _sharegpt(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turns as ``from`` and ``value``, where a call is a ``function_call`` of its own: APIGen-MT's conversations."""
    told: list[dict[str, Any]] = []
    for entry in _json(row["conversations"]):
        who, said = entry.get("from", entry.get("role")), entry.get("value", entry.get("content"))
        if who in ("function_call", "tool_call"):
            calls = _json(said)
            told.append({"role": "assistant", "tool_calls": calls if isinstance(calls, list) else [calls]})
        else:
            told.append({"role": _SHAREGPT_ROLES.get(who, who), "content": said})
    if row.get("system"):
        told.insert(0, {"role": "system", "content": row["system"]})
    kept = {name: row[name] for name in ("id", "split") if name in row}
    return messages.row_of({"messages": told, "tools": row.get("tools") or [], **kept}) | {
        "tags": ["messages", "sharegpt"]
    }


def _tinyagent(row: Mapping[str, Any], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    plans = [step for step in row["output"] if step.get("type") == "plan"]
    if len(plans) != 1:
        raise BadTask(f"has {len(plans)} plans; only rows that were planned once are used")
    params = {spec.name: [param.name for param in spec.params] for spec in tools}
    calls = []
    for step in plans[0]["parsed_output"]:
        name, given = step["tool_name"], step["tool_args"]
        if name == "join":
            continue
        if name not in params:
            raise BadTask(f"calls {name!r}, which is not among the tools; give tools=assistant for TinyAgent's sixteen")
        given = list(ast.literal_eval(given)) if isinstance(given, str) else given
        named = given if isinstance(given, Mapping) else dict(zip(params[name], given))
        # as in TinyAgent, nothing stands for "left out"
        calls.append(
            {"name": name, "args": {param: [value] for param, value in named.items() if value not in (None, "", [])}}
        )
    return {
        "id": _id("tinyagent", row, row["input"]),
        "request": row["input"].strip(),
        "calls": calls,
        "tags": ["tinyagent"],
    }


def _call(name: str, arguments: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A gold call; a value that is its parameter's default may be left out where nobody says it."""
    docs = (entry.get("function", entry) for entry in listed)
    doc: Mapping[str, Any] = next((doc for doc in docs if doc.get("name") == name), {})
    shape = doc.get("parameters") or {}
    properties = shape.get("properties", shape)
    defaults = [
        param
        for param, value in arguments.items()
        if isinstance(part := properties.get(param), Mapping)
        and "default" in part
        and str(part["default"]) == str(value)
    ]
    return {"name": name, "args": {param: [value] for param, value in arguments.items()}, "defaults": defaults}


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in a text, one after another."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        found, end = decoder.raw_decode(text, at)
        yield found
        at = text.find("{", end)


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _id(prefix: str, row: Mapping[str, Any], text: str) -> str:
    """The row's own id, else one that follows from its text."""
    return f"{prefix}-{row['id']}" if "id" in row else f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

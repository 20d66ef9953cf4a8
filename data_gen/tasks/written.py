"""Requests to the assistant that people wrote, one a line of JSON, with the calls that they ask for.

Owns the reading of such a file and the world that its calls need: every person, file and note that a row's calls name
is there. Nobody marked which words say what, and a repair makes guessing unsafe, so the whole request is the evidence of
everything: the expert hears it out. Refuses to know how requests are generated.

    {"id", "now", "request", "calls": [{"name", "args": {parameter: [accepted values]}}], "answer"?: [...], "tags"?: [...]}
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agent.tools.assistant import AssistantToolbox, assistant_specs
from agent.tools.text import fold
from agent.tools.world import File, Mail, Note, Person, WorldData
from data_gen.reading import references
from data_gen.seeds import child
from data_gen.speech import speak
from data_gen.task import BadTask, Evidence, GoldCall, Task

_PEOPLE = (("get_phone_number", "name"), ("get_email_address", "name"))
_FILES = (
    ("open_and_get_file_path", "file_name"), ("summarize_pdf", "pdf_path"), ("compose_new_email", "attachments"),
    ("reply_to_email", "attachments"), ("forward_email", "attachments"),
)
_NOTES = (("open_note", "name"), ("append_note_content", "name"))


def read(path: Path, source: str, tags: Sequence[str] = ()) -> tuple[Task, ...]:
    """All rows of a file as test tasks.

    Raises:
        BadTask: a row that can't be used; the text names the file, the line and the reason.
    """
    made = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            made.append(task(json.loads(line), source, tags))
        except (ValueError, KeyError, TypeError) as error:
            raise BadTask(f"{path.name}, line {number}: {error!s}") from error
    return tuple(made)


def task(row: Mapping[str, Any], source: str, tags: Sequence[str] = ()) -> Task:
    """One row as a task."""
    specs = assistant_specs()
    words = row["request"].split()
    gold = []
    for call in row["calls"]:
        args = {name: tuple(values) for name, values in call["args"].items()}
        # "" is "left out", unless the tool insists on a value: then it is the value
        needed = {param.name for spec in specs if spec.name == call["name"] for param in spec.params if param.required}
        said = [name for name, values in args.items() if (values[0] != "" or name in needed) and not references(values[0])]
        gold.append(GoldCall(call["name"], args, Evidence(0, len(words)), {name: Evidence(0, len(words)) for name in said}))
    return Task(
        row["id"], source, "test", speak(words, child(0, row["id"])), specs, tuple(gold),
        partial(AssistantToolbox, world(row["calls"]), row["id"]), tuple(row.get("answer", ())), row["now"],
        (*row.get("tags", ()), *tags),
    )


def world(calls: Sequence[Mapping[str, Any]]) -> WorldData:
    """A world that knows every person, file, note, folder, list and calendar that the calls name."""
    names = _distinct(_named(calls, _PEOPLE))
    people = tuple(Person(name, f"+1{_digits(name, 10)}", f"{fold(name).replace(' ', '.')}@example.com") for name in names)
    found = {name: sorted(_given(calls, name)) for name in ("folder", "list_name", "calendar")}
    notes = [
        Note(values[0], "one line of it", next(iter(call["args"].get("folder", ())), "") or "Notes")
        for call in calls for tool, param in _NOTES if call["name"] == tool for values in [call["args"][param]]
    ]
    return WorldData(
        people, tuple(_file(name) for name in dict.fromkeys(_named(calls, _FILES))),
        tuple({(fold(note.folder), fold(note.name)): note for note in notes}.values()),
        (Mail("someone@example.com", "a question", "Can you tell me more?"),), None,
        tuple(dict.fromkeys(["Notes", *found["folder"]])), tuple(dict.fromkeys(["Calendar", *found["calendar"]])),
        tuple(dict.fromkeys(["Reminders", *found["list_name"]])),
    )


def _named(calls: Iterable[Mapping[str, Any]], params: Sequence[tuple[str, str]]) -> list[str]:
    """The first accepted name of each mention; of people the longest, for others may be parts of it."""
    found = []
    for call in calls:
        for tool, param in params:
            if call["name"] == tool and (values := call["args"].get(param)):
                first = max(values, key=len) if param == "name" else values[0]
                found += [name for name in (first if isinstance(first, list) else [first]) if name and not references(name)]
    return found


def _distinct(names: Iterable[str]) -> list[str]:
    """People, once each: a first name is whoever has it."""
    whole: list[str] = []
    for name in sorted({fold(name): name for name in names}.values(), key=lambda name: (-len(name), name)):
        if not any(fold(other).split()[0] == fold(name) for other in whole):
            whole.append(name)
    return whole


def _given(calls: Iterable[Mapping[str, Any]], param: str) -> set[str]:
    return {value for call in calls for value in call["args"].get(param, ())[:1] if isinstance(value, str) and value}


def _file(name: str) -> File:
    path = name if name.startswith("/") else f"/Users/me/Documents/{name}"
    if not posixpath.splitext(path)[1]:
        path += ".pdf"
    return File(path, f"This is about {posixpath.splitext(posixpath.basename(path))[0]}. It has two parts.")


def _digits(text: str, count: int) -> str:
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return f"{number % (8 * 10 ** (count - 1)) + 2 * 10 ** (count - 1)}"
